"""`process_many`: many documents through one kind of run, each with one result, and no run left behind."""

import asyncio
import io
import itertools
import json
import logging
import os
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from inspect import signature
from operator import attrgetter
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from clients import ONCE, client_for, workers
from payloads import KEY
from pydantic import BaseModel

from retab_async import (
    AsyncRetab,
    ClientStateError,
    ConfigurationError,
    EndReason,
    Extraction,
    FileRef,
    InvalidDocumentError,
    InvalidRequestError,
    JournalError,
    MIMEData,
    NotFoundError,
    ProcessDisposition,
    ProcessReport,
    ProcessResult,
    RunCancelledError,
    RunFailedError,
    SettledError,
    Split,
    Subdocument,
    UnknownRunError,
    WaitTimeoutError,
)
from retab_async.documents import identify_document
from retab_async.emulator import Emulator, Fault
from retab_async.journal import Journal, JournalHeader
from retab_async.process.options import ProcessOptions
from retab_async.process.reporter import ProcessReporter, without_content
from retab_async.process.source import ProcessItem
from retab_async.resources import RESOURCES
from retab_async.throttle import FifoSemaphore

PART = Subdocument("invoice")
SCHEMA = {
    "type": "object",
    "properties": {
        "total": {"type": "number"},
        "seller": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}
CREATE = "POST /v1/splits"
KINDS: dict[str, dict[str, Any]] = {
    "splits": {"subdocuments": [PART]},
    "partitions": {"key": "account", "instructions": "by account"},
    "classifications": {"categories": [{"name": "a"}, {"name": "b"}]},
    "extractions": {"json_schema": SCHEMA},
    "parses": {},
    "edits": {"instructions": "fill it in"},
}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(queued=0, running=0, api_key=KEY) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    async with client_for(emulator.url) as made:
        yield made


@pytest.fixture
async def slow() -> AsyncIterator[Emulator]:
    """An emulator whose runs do not finish by themselves."""
    async with Emulator(queued=600, running=600, api_key=KEY) as running:
        yield running


def pdfs(count: int) -> list[tuple[str, bytes]]:
    return [(f"{number}.pdf", b"%%PDF %d" % number) for number in range(count)]


def creates(emulator: Emulator, path: str = "/v1/splits") -> int:
    return sum(request.method == "POST" and request.path == path for request in emulator.requests)


async def soon(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the emulator sets no event
            await asyncio.sleep(0.005)


def process_workers() -> list["asyncio.Task[Any]"]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "retab_async process_many"]


class TestKinds:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_each_document_has_one_completed_run(self, kind: str, emulator: Emulator, client: AsyncRetab) -> None:
        report = await attrgetter(kind)(client).process_many(pdfs(3), **KINDS[kind])

        assert report.counts == {"completed": 3}
        assert (report.started, report.active, report.failures, report.end_reason) == (3, 0, (), EndReason.COMPLETED)
        assert creates(emulator, f"/v1/{kind}") == 3

    def test_all_kinds_with_a_document_have_the_method(self) -> None:
        create = attrgetter("create")
        with_document = {name for name, cls in RESOURCES.items() if "document" in signature(create(cls)).parameters}

        assert with_document == set(KINDS) == {name for name, cls in RESOURCES.items() if hasattr(cls, "process_many")}

    @pytest.mark.parametrize("kind", KINDS)
    def test_arguments_are_those_of_running_and_the_options(self, kind: str) -> None:
        (hint,) = get_type_hints(RESOURCES[kind].process_many)["arguments"].__args__  # type: ignore[attr-defined]
        of_running = set(signature(RESOURCES[kind].running).parameters)  # type: ignore[attr-defined]
        options = {field.name for field in ProcessOptions.__attrs_attrs__}

        per_document = {"self", "document", "filename", "idempotency_key", "template_id", "on_upload"}
        assert set(hint.__annotations__) | set(hint.__optional_keys__) == (of_running - per_document) | options


class TestItems:
    async def test_documents_pairs_and_mappings_are_items(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        path = tmp_path / "scan.pdf"
        path.write_bytes(b"%PDF scan")
        items: list[Any] = [
            path,
            str(path),
            b"%PDF bytes",
            io.BytesIO(b"%PDF io"),
            ("named.pdf", b"%PDF named"),
            MIMEData(filename="mime.pdf", url="https://example.com/mime.pdf"),
            "https://user:pw@example.com/a.pdf?signature=s3cr3t",
            "data:application/pdf;base64,JVBERg==",
            {"document": b"%PDF mapping", "filename": "mapping.pdf", "n_consensus": 3},
        ]

        async with client.splits.process_many(items, subdocuments=[PART], concurrency=1) as results:
            found = [result async for result in results]

        assert [result.item for result in found] == items
        names = [result.name for result in found]
        assert names[:2] == [str(path), str(path)]
        assert names[4:7] == ["named.pdf", "mime.pdf", "https://example.com/a.pdf"]
        assert names[8] == "mapping.pdf"
        assert not any("s3cr3t" in name or "pw" in name or "JVBER" in name for name in names)
        last = found[-1].run
        assert last is not None
        assert last.n_consensus == 3
        received = {emulator.document_of(result.run.id).filename for result in found[4:5] if result.run}
        assert received == {"named.pdf"}

    async def test_files_streams_and_file_refs_are_documents(self, client: AsyncRetab, tmp_path: Path) -> None:
        path = tmp_path / "scan.pdf"
        path.write_bytes(b"%PDF scan")
        read, write = os.pipe()
        os.write(write, b"%PDF pipe")
        os.close(write)
        first = await client.splits.create(document=b"%PDF x", subdocuments=[PART])
        assert first.file is not None
        with path.open("rb") as file, os.fdopen(read, "rb") as pipe:
            items: list[Any] = [file, pipe, first.file, memoryview(b"%PDF " + b"x" * 100_000)]
            async with client.splits.process_many(items, subdocuments=[PART], concurrency=1) as results:
                found = [result async for result in results]

        assert [result.disposition for result in found] == ["completed"] * 4
        assert found[0].name == "scan.pdf"
        assert found[2].name == first.file.filename

    async def test_on_upload_of_an_item_is_called_for_its_document(self, client: AsyncRetab) -> None:
        uploads: list[Any] = []
        items: list[Mapping[str, Any]] = [{"document": b"%PDF a", "on_upload": uploads.append}]

        await client.splits.process_many(items, subdocuments=[PART])

        assert uploads

    async def test_asynchronous_iterable_is_consumed(self, client: AsyncRetab) -> None:
        async def produce() -> AsyncIterator[tuple[str, bytes]]:
            for pair in pdfs(20):
                await asyncio.sleep(0)
                yield pair

        report = await client.splits.process_many(produce(), subdocuments=[PART], concurrency=4)

        assert report.counts == {"completed": 20}

    async def test_edit_of_a_template_needs_no_document(self, client: AsyncRetab) -> None:
        items: list[Mapping[str, Any]] = [{"template_id": "tpl_1"}, {"template_id": "tpl_2"}]

        report = await client.edits.process_many(items, instructions="fill it in")

        assert report.counts == {"completed": 2}
        assert report.started == 2

    @pytest.mark.parametrize("items", ["a.pdf", b"%PDF", bytearray(b"%PDF"), {"document": b"%PDF"}, 7])
    async def test_what_is_not_several_documents_is_rejected(self, items: Any, client: AsyncRetab) -> None:
        with pytest.raises(InvalidRequestError, match="items must be an iterable of several documents"):
            client.splits.process_many(items, subdocuments=[PART])

    @pytest.mark.parametrize("name", ["idempotency_key", "background"])
    async def test_reserved_argument_is_rejected(self, name: str, client: AsyncRetab) -> None:
        arguments: Any = {name: "x"}

        with pytest.raises(InvalidRequestError, match=f"{name} is not an argument of a process job"):
            client.splits.process_many([], subdocuments=[PART], **arguments)

    async def test_misspelt_argument_is_a_type_error(self, client: AsyncRetab) -> None:
        arguments: Any = {"subdocument": [PART]}

        with pytest.raises(TypeError, match="subdocument"):
            client.splits.process_many([], **arguments)

    @pytest.mark.parametrize(
        "option", [{"concurrency": 0}, {"wait_timeout": 0}, {"outage_timeout": "x"}, {"include_settled": 1}]
    )
    async def test_invalid_option_is_rejected(self, option: Any, client: AsyncRetab) -> None:
        with pytest.raises(ConfigurationError):
            client.splits.process_many([], subdocuments=[PART], **option)


class TestFailures:
    async def test_failed_run_is_the_result_of_its_document_alone(self, emulator: Emulator, client: AsyncRetab) -> None:
        error = {"code": "bad_document", "message": "no pages"}
        emulator.fail("GET /v1/splits/{id}", *[Fault.with_fields({"status": "failed", "error": error})] * 2)

        async with client.splits.process_many(pdfs(3), subdocuments=[PART], concurrency=1) as results:
            found = [result async for result in results]

        assert [result.disposition for result in found] == ["failed", "completed", "completed"]
        assert isinstance(found[0].error, RunFailedError)
        assert found[0].run is not None
        assert found[0].run.id in str(found[0].error)
        assert [failure.name for failure in results.report.failures] == ["0.pdf"]
        with pytest.raises(ExceptionGroup, match="1 of 3 documents failed"):
            results.report.raise_for_failures()

    async def test_rejected_document_is_the_result_of_its_document_alone(
        self, emulator: Emulator, client: AsyncRetab
    ) -> None:
        emulator.fail(CREATE, Fault.status(422, body={"detail": "unsupported document"}))

        report = await client.splits.process_many(pdfs(3), subdocuments=[PART], concurrency=1)

        assert report.counts == {"rejected": 1, "completed": 2}
        assert "unsupported document" in str(report.failures[0].error)
        assert report.failures[0].item == "0.pdf"

    async def test_invalid_documents_and_arguments_send_nothing(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        items: list[Any] = [
            tmp_path / "absent.pdf",
            b"",
            5,
            ("", b"x"),
            {"document": b"x", "pages": 2},
            {"document": b"x", "background": True},
            {"filename": "x"},
        ]

        report = await client.splits.process_many(items, subdocuments=[PART], concurrency=1)

        assert report.counts == {"invalid": len(items)}
        assert all(isinstance(failure.error, InvalidRequestError) for failure in report.failures)
        assert emulator.requests == []

    @pytest.mark.parametrize("kind", ["path", "file"])
    async def test_document_on_a_dead_file_system_is_invalid(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released = threading.Event()

        class Silent(io.BytesIO):
            def fileno(self) -> int:
                released.wait(10)
                raise OSError

        document = Silent(b"%PDF") if kind == "file" else tmp_path / "scan.pdf"
        if kind == "path":
            monkeypatch.setattr(os, "stat", lambda _: released.wait(10))
        try:
            with pytest.raises(InvalidDocumentError, match="its file system did not answer within"):
                await identify_document(document, max_seconds=0.05)
        finally:
            released.set()

    async def test_missing_argument_is_invalid_for_each_document_without_it(self, client: AsyncRetab) -> None:
        items: list[Any] = [{"document": b"%PDF 1", "subdocuments": [PART]}, {"document": b"%PDF 2"}]

        report = await client.splits.process_many(items)

        assert report.counts == {"completed": 1, "invalid": 1}
        assert "subdocuments" in str(report.failures[0].error)

    async def test_document_that_changes_during_its_upload_is_invalid(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "growing.pdf"
        path.write_bytes(b"%PDF " + b"x" * 3_000_000)
        read = os.pread

        def grow(*arguments: Any) -> bytes:
            with path.open("ab") as file:
                file.write(b"more")
            return read(*arguments)

        monkeypatch.setattr(os, "pread", grow)
        items: list[Any] = [path, b"%PDF other"]
        report = await client.splits.process_many(items, subdocuments=[PART], concurrency=1)
        unconfirmed = await client.aclose()

        assert report.counts == {"invalid": 1, "completed": 1}
        assert isinstance(report.failures[0].error, InvalidDocumentError)
        assert "changed while it was being sent" in str(report.failures[0].error)
        assert (emulator.active_runs(), unconfirmed) == ([], ())

    async def test_run_that_does_not_finish_in_time_is_cancelled(self, slow: Emulator) -> None:
        async with client_for(slow.url) as client:
            report = await client.splits.process_many(pdfs(2), subdocuments=[PART], wait_timeout=0.05)

            assert report.counts == {"timed_out": 2}
            assert isinstance(report.failures[0].error, WaitTimeoutError)
            assert slow.active_runs() == []

    async def test_run_cancelled_by_someone_else_is_a_failure(self, slow: Emulator) -> None:
        async with client_for(slow.url) as client:
            job = client.splits.process_many(pdfs(1), subdocuments=[PART])
            task = asyncio.ensure_future(_awaited(job))
            await soon(lambda: any(request.method == "GET" for request in slow.requests))
            await client.splits.cancel(slow.active_runs()[0])
            report = await task

        assert report.counts == {"cancelled": 1}
        assert isinstance(report.failures[0].error, RunCancelledError)
        assert creates(slow) == 1

    async def test_unexpected_exception_is_the_result_of_its_document(
        self, client: AsyncRetab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(**_: Any) -> Any:
            raise ZeroDivisionError

        items: list[Any] = [b"%PDF a"]
        job = client.splits.process_many(items, subdocuments=[PART])
        monkeypatch.setattr(job, "_target", job._target._replace(running=broken))
        with caplog.at_level(logging.ERROR, "retab_async"):
            report = await job

        assert report.counts == {"unconfirmed": 1}
        assert "unexpected error: ZeroDivisionError" in caplog.text

    async def test_failures_keep_no_documents(self, emulator: Emulator, client: AsyncRetab) -> None:
        emulator.fail(CREATE, *[Fault.status(422)] * 4)
        items: list[Any] = [
            b"%PDF 1",
            ("b.pdf", b"%PDF 2"),
            {"document": b"%PDF 3"},
            FileRef(id="file_1", filename="c.pdf"),
        ]
        emulator.fail("GET /v1/files/{id}/download-link", Fault.status(404))

        report = await client.splits.process_many(items, subdocuments=[PART], concurrency=1)

        assert [failure.item for failure in report.failures[:3]] == [failure.name for failure in report.failures[:3]]
        assert report.failures[3].item == items[3]

    async def test_closed_client_ends_the_job(self, emulator: Emulator) -> None:
        client = client_for(emulator.url)
        job = client.splits.process_many(itertools.cycle(pdfs(3)), subdocuments=[PART], concurrency=2)

        async def close_in_between() -> None:
            async with job as results:
                async for _ in results:
                    await client.aclose()

        with pytest.raises(ClientStateError):
            await close_in_between()

        assert process_workers() == []

    async def test_exception_of_the_producer_is_raised_after_the_taken_documents(self, client: AsyncRetab) -> None:
        def produce() -> Iterator[tuple[str, bytes]]:
            yield from pdfs(3)
            raise ZeroDivisionError

        job = client.splits.process_many(produce(), subdocuments=[PART])
        with pytest.raises(ZeroDivisionError):
            await job

        assert job.report.counts == {"completed": 3}
        assert job.report.end_reason is None


async def _awaited(job: Any) -> Any:
    return await job


class TestOutages:
    async def test_failed_creates_are_repeated_under_one_key(self, emulator: Emulator, client: AsyncRetab) -> None:
        emulator.fail(CREATE, Fault.reset_after_effect(), *[Fault.status(503)] * 5, Fault.reset_after_effect())

        report = await client.splits.process_many(pdfs(5), subdocuments=[PART], concurrency=5)

        assert report.counts == {"completed": 5}
        assert len([run async for run in client.splits.list()]) == 5

    async def test_outage_loses_no_document(self, emulator: Emulator) -> None:
        emulator.fail(CREATE, *[Fault.status(500)] * 40)
        async with client_for(emulator.url) as client:
            report = await client.splits.process_many(pdfs(30), subdocuments=[PART], concurrency=10, outage_timeout=30)

        assert report.counts == {"completed": 30}
        assert report.end_reason is EndReason.COMPLETED

    async def test_outage_beyond_its_timeout_leaves_the_rest_unsent(self, emulator: Emulator) -> None:
        emulator.fail(CREATE, *[Fault.status(500)] * 1000)
        async with client_for(emulator.url, retry=ONCE) as client:
            report = await client.splits.process_many(pdfs(200), subdocuments=[PART], concurrency=4, outage_timeout=0.5)
            # Closing the client repeats those in doubt.
            assert creates(emulator) < 40
            await client.aclose(timeout=0.1)

        assert report.counts == {"unconfirmed": 200}
        assert report.end_reason is EndReason.OUTAGE

    async def test_endless_source_ends_after_an_outage(self, emulator: Emulator) -> None:
        emulator.fail(CREATE, *[Fault.status(500)] * 1000)
        documents = ((f"{number}.pdf", b"%PDF x") for number in itertools.count())
        async with client_for(emulator.url, retry=ONCE) as client:
            report = await client.splits.process_many(documents, subdocuments=[PART], concurrency=4, outage_timeout=0.2)
            # Closing the client repeats those in doubt.
            await client.aclose(timeout=0.1)

        assert report.end_reason is EndReason.OUTAGE
        assert set(report.counts) == {ProcessDisposition.UNCONFIRMED}

    async def test_document_that_always_fails_does_not_stop_the_others(self, emulator: Emulator) -> None:
        poisoned = [Fault.status(500)] * 6
        async with client_for(emulator.url, retry=ONCE) as client:
            await client.splits.process_many(pdfs(1), subdocuments=[PART])
            job = client.splits.process_many(pdfs(4)[1:], subdocuments=[PART], concurrency=1, outage_timeout=20)
            async with job as results:
                first = await anext(results)
                emulator.fail(CREATE, *poisoned)
                rest = [result async for result in results]

        assert first.disposition == "completed"
        assert Counter(str(result.disposition) for result in rest)["completed"] >= 1
        assert job.report.end_reason is EndReason.COMPLETED

    async def test_throttled_document_is_created_when_the_limit_allows(self, emulator: Emulator) -> None:
        emulator.fail(CREATE, *[Fault.status(429, retry_after=0)] * 6)
        async with client_for(emulator.url, retry=ONCE) as client:
            report = await client.splits.process_many(pdfs(3), subdocuments=[PART], concurrency=3)

        assert report.counts == {"completed": 3}

    async def test_pause_beyond_five_minutes_ends_the_job(self, emulator: Emulator) -> None:
        emulator.fail(CREATE, Fault.status(429, retry_after=3600))
        async with client_for(emulator.url, retry=ONCE) as client:
            report = await client.splits.process_many(pdfs(3), subdocuments=[PART], concurrency=1)

        assert report.counts == {"unconfirmed": 3}
        assert report.end_reason is EndReason.OUTAGE

    async def test_refusal_of_the_caller_ends_the_job(self, emulator: Emulator, client: AsyncRetab) -> None:
        emulator.fail(CREATE, *[Fault.status(402, body={"detail": "out of credits"})] * 3)

        report = await client.splits.process_many(iter(pdfs(1000)), subdocuments=[PART], concurrency=3)

        assert report.end_reason is EndReason.REFUSED
        assert "out of credits" in str(report.error)
        assert report.counts.total() < 10

    async def test_ten_403_before_any_run_end_the_job(self, emulator: Emulator, client: AsyncRetab) -> None:
        emulator.fail(CREATE, *[Fault.status(403)] * 20)

        report = await client.splits.process_many(iter(pdfs(1000)), subdocuments=[PART], concurrency=1)

        assert report.end_reason is EndReason.REFUSED
        assert report.counts.total() == 10

    async def test_refusal_of_a_probe_ends_the_wait_of_its_document(self, emulator: Emulator) -> None:
        emulator.fail(CREATE, *[Fault.status(500)] * 3, *[Fault.status(422)] * 4)
        async with client_for(emulator.url, retry=ONCE) as client:
            report = await client.splits.process_many(pdfs(2), subdocuments=[PART], concurrency=1)

        assert report.counts == {"rejected": 2}


class TestLeaving:
    async def test_block_left_early_cancels_the_runs_in_flight(self, slow: Emulator) -> None:
        async with client_for(slow.url) as client:
            async with client.splits.process_many(
                itertools.cycle(pdfs(50)), subdocuments=[PART], concurrency=8
            ) as results:
                await soon(lambda: len(slow.active_runs()) == 8)

            assert slow.active_runs() == []
            assert results.report.unconfirmed == ()
            assert results.report.active == 0
            assert process_workers() == []
            assert "stopped" in repr(results)

    async def test_cancelled_await_cancels_the_runs_in_flight(self, slow: Emulator) -> None:
        async with client_for(slow.url) as client:
            task = asyncio.ensure_future(
                _awaited(client.splits.process_many(pdfs(50), subdocuments=[PART], concurrency=8))
            )
            await soon(lambda: len(slow.active_runs()) == 8)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            unconfirmed = await client.aclose()

        assert (slow.active_runs(), unconfirmed) == ([], ())

    async def test_unconfirmed_cancels_are_in_the_report(self, slow: Emulator) -> None:
        slow.fail("POST /v1/splits/{id}/cancel", *[Fault.status(403)] * 4)
        async with client_for(slow.url) as client:
            async with client.splits.process_many(pdfs(2), subdocuments=[PART]) as results:
                await soon(lambda: results.report.started == 2)

            assert {cancel.run_id for cancel in results.report.unconfirmed} == set(slow.active_runs())
            assert len(slow.active_runs()) == 2

    async def test_exit_waits_no_longer_than_its_timeout(self, slow: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retab_async.process.job._EXIT_TIMEOUT", 0.05)
        slow.fail("POST /v1/splits/{id}/cancel", Fault.hang(), Fault.hang())
        client = client_for(slow.url)
        async with client.splits.process_many(pdfs(1), subdocuments=[PART]) as results:
            await soon(lambda: results.report.started == 1)
        await client.aclose(0.05)

        assert len(results.report.unconfirmed) == 1

    async def test_stop_gives_the_taken_documents_their_results(self, client: AsyncRetab) -> None:
        async with client.splits.process_many(itertools.cycle(pdfs(5)), subdocuments=[PART], concurrency=2) as results:
            await anext(results)
            results.stop()
            rest = [result async for result in results]

        assert results.report.end_reason is EndReason.STOPPED
        assert results.report.counts == {"completed": len(rest) + 1}

    async def test_job_under_the_same_keys_creates_new_runs_for_those_that_were_cancelled(self, slow: Emulator) -> None:
        async with client_for(slow.url) as client:
            async with client.splits.process_many(pdfs(3), subdocuments=[PART]) as results:
                await soon(lambda: results.report.started == 3)
            assert slow.active_runs() == []

            async with client.splits.process_many(pdfs(3), subdocuments=[PART]):
                await soon(lambda: len(slow.active_runs()) == 3)

    async def test_job_is_for_one_use(self, client: AsyncRetab) -> None:
        job = client.splits.process_many([], subdocuments=[PART])
        assert repr(job) == "<ProcessJob /v1/splits not started: no results>"
        assert job.report == ProcessReport(counts=Counter(), failures=(), elapsed=0.0)
        with pytest.raises(RuntimeError, match="inside its block"):
            await anext(job)
        await job

        with pytest.raises(RuntimeError, match="started before"):
            await job

    async def test_job_whose_documents_cannot_be_iterated_over_raises_at_the_start(
        self, client: AsyncRetab, tmp_path: Path
    ) -> None:
        class Closed:
            def __iter__(self) -> Iterator[bytes]:
                raise ZeroDivisionError

        job = client.splits.process_many(Closed(), subdocuments=[PART], journal=tmp_path / "j.jsonl")
        with pytest.raises(ZeroDivisionError):
            await job

        assert job.report.counts == {}
        assert (await client.splits.process_many([], subdocuments=[PART], journal=tmp_path / "j.jsonl")).counts == {}


class TestMemory:
    async def test_endless_source_with_a_slow_consumer_is_bounded(self, client: AsyncRetab) -> None:
        taken = 0

        def produce() -> Iterator[tuple[str, bytes]]:
            nonlocal taken
            for taken in itertools.count(1):
                yield f"{taken}.pdf", b"%PDF x"

        async with client.splits.process_many(produce(), subdocuments=[PART], concurrency=4) as results:
            await anext(results)
            await soon(lambda: taken == 9)
            await asyncio.sleep(0.1)
            assert taken == 9
            for _ in range(20):
                await anext(results)
            assert taken <= 29

    async def test_documents_are_released_with_their_results(self, client: AsyncRetab) -> None:
        class Content(io.BytesIO):
            """A document that can be referred to weakly."""

        alive: weakref.WeakSet[Content] = weakref.WeakSet()
        most = 0

        def produce() -> Iterator[tuple[str, Content]]:
            nonlocal most
            for number in range(100):
                content = Content(b"%PDF x")
                alive.add(content)
                most = max(most, len(alive))
                yield f"{number}.pdf", content

        report = await client.splits.process_many(produce(), subdocuments=[PART], concurrency=4)

        assert report.counts == {"completed": 100}
        assert most <= 2 * 4 + 2


class TestRecords:
    async def test_record_is_flat(self, client: AsyncRetab) -> None:
        async with client.extractions.process_many(pdfs(1), json_schema=SCHEMA) as results:
            result = await anext(results)

        assert result.run is not None
        assert result.to_record() == {
            "item": "0.pdf",
            "run_id": result.run.id,
            "status": "completed",
            "error": None,
            "credits": result.credits,
            "output.total": 1.0,
            "output.seller.name": "name",
        }
        assert result.credits == results.report.credits

    def test_lists_and_empty_objects_of_the_output_are_json_text(self) -> None:
        run = Extraction(
            id="extr_1", status="completed", output={"lines": [{"a": 1}], "none": None, "empty": {}, "ok": True}
        )
        result = ProcessResult(item="a", name="a", disposition=ProcessDisposition.COMPLETED, run=run)

        record = result.to_record()

        assert {name: record[name] for name in record if name.startswith("output")} == {
            "output.lines": '[{"a":1}]',
            "output.none": None,
            "output.empty": "{}",
            "output.ok": True,
        }

    def test_failure_has_its_error_and_no_output(self) -> None:
        result: ProcessResult[Split] = ProcessResult(
            item="a", name="a", disposition=ProcessDisposition.INVALID, error=InvalidDocumentError("it is empty")
        )

        assert result.to_record() == {
            "item": "a",
            "run_id": None,
            "status": "invalid",
            "error": "it is empty",
            "credits": None,
        }

    async def test_records_of_all_dispositions_begin_with_the_fields(
        self, emulator: Emulator, client: AsyncRetab
    ) -> None:
        emulator.fail("POST /v1/extractions", Fault.status(422))
        items: list[Any] = [*pdfs(2), Path("absent.pdf")]

        async with client.extractions.process_many(items, json_schema=SCHEMA, concurrency=1) as results:
            records = [result.to_record() async for result in results]

        assert [record["status"] for record in records] == ["rejected", "completed", "invalid"]
        fields = ProcessResult.FIELDS
        assert {tuple(record)[: len(fields)] for record in records} == {fields}
        assert [len(record) > len(fields) for record in records] == [False, True, False]

    @pytest.mark.slow
    async def test_records_make_a_data_frame(self, client: AsyncRetab) -> None:
        pandas = pytest.importorskip("pandas")
        async with client.extractions.process_many(pdfs(5), json_schema=SCHEMA) as results:
            frame = pandas.DataFrame([result.to_record() async for result in results])

        assert frame["output.total"].sum() == 5.0
        assert set(frame["status"]) == {"completed"}

    async def test_pydantic_model_is_a_schema(self, client: AsyncRetab) -> None:
        class Invoice(BaseModel):
            total: float

        report = await client.extractions.process_many(pdfs(2), json_schema=Invoice)

        assert report.counts == {"completed": 2}
        report.raise_for_failures()


def lines(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text().splitlines()]


class TestJournal:
    async def test_resumed_job_skips_and_counts_what_is_settled(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        emulator.fail(CREATE, Fault.status(422, body={"detail": "unsupported document"}))
        first = await client.splits.process_many(pdfs(4), subdocuments=[PART], concurrency=1, journal=journal)
        sent = len(emulator.requests)

        async with client.splits.process_many(pdfs(6), subdocuments=[PART], concurrency=1, journal=journal) as results:
            found = [result async for result in results]

        assert first.counts == {"rejected": 1, "completed": 3}
        assert results.report.counts == {"rejected": 1, "completed": 5}
        assert results.report.settled == {"rejected": 1, "completed": 3}
        assert [result.name for result in found] == ["0.pdf", "4.pdf", "5.pdf"]
        assert isinstance(found[0].error, SettledError)
        assert "unsupported document" in str(found[0].error)
        assert creates(emulator) == 6
        assert len(emulator.requests) > sent

    async def test_other_arguments_or_content_are_another_document(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        await client.splits.process_many([("a.pdf", b"%PDF 1")], subdocuments=[PART], journal=journal)

        await client.splits.process_many([("a.pdf", b"%PDF 2")], subdocuments=[PART], journal=journal)
        await client.splits.process_many([("a.pdf", b"%PDF 1")], subdocuments=[PART], n_consensus=2, journal=journal)
        await client.splits.process_many([("b.pdf", b"%PDF 1")], subdocuments=[PART], journal=journal)

        assert creates(emulator) == 4

    async def test_yielded_result_is_settled_when_the_next_one_is_asked_for(
        self, client: AsyncRetab, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        job = client.splits.process_many(pdfs(3), subdocuments=[PART], concurrency=1, journal=journal)

        async def fail_at_the_second() -> None:
            async with job as results:
                await anext(results)
                await anext(results)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail_at_the_second()

        async with client.splits.process_many(pdfs(3), subdocuments=[PART], concurrency=1, journal=journal) as results:
            assert [result.name async for result in results] == ["1.pdf", "2.pdf"]

    async def test_result_before_a_break_is_settled(self, client: AsyncRetab, tmp_path: Path) -> None:
        journal = tmp_path / "out.jsonl"
        async with client.splits.process_many(pdfs(2), subdocuments=[PART], concurrency=1, journal=journal) as results:
            async for _ in results:
                break

        async with client.splits.process_many(pdfs(2), subdocuments=[PART], concurrency=1, journal=journal) as results:
            assert [result.name async for result in results] == ["1.pdf"]

    async def test_runs_that_were_cancelled_with_their_job_are_created_again(
        self, slow: Emulator, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        async with client_for(slow.url) as client:
            async with client.splits.process_many(pdfs(3), subdocuments=[PART], journal=journal) as results:
                await soon(lambda: results.report.started == 3)
                cancelled = set(slow.active_runs())

            async with client.splits.process_many(pdfs(3), subdocuments=[PART], journal=journal) as results:
                await soon(lambda: len(slow.active_runs()) == 3)
                created = set(slow.active_runs())

        assert len(cancelled) == len(created) == 3
        assert not cancelled & created

    async def test_run_in_the_journal_that_is_gone_is_created_again(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("retab_async.polling.state._FIRST_INTERVAL", 0.01)
        journal = tmp_path / "out.jsonl"
        async with client.splits.process_many(pdfs(1), subdocuments=[PART], journal=journal) as results:
            await soon(lambda: results.report.counts.total() == 1)
        (run_id,) = {line["run_id"] for line in lines(journal)[1:]}
        await client.splits.delete(run_id)
        emulator._service.idempotency._entries.clear()

        async with client_for(emulator.url) as other:
            report = await other.splits.process_many(pdfs(1), subdocuments=[PART], journal=journal)

        assert report.counts == {"completed": 1}

    async def test_journal_of_a_cancel_job_is_rejected(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        await client.splits.cancel_many(emulator.seed("splits"), journal=journal)

        with pytest.raises(JournalError, match="it belongs to a cancel job, not to a process job"):
            await client.splits.process_many(pdfs(1), subdocuments=[PART], journal=journal)

    async def test_journal_with_only_active_runs_of_another_kind_is_rejected(
        self, slow: Emulator, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        async with client_for(slow.url) as client:
            async with client.splits.process_many(pdfs(1), subdocuments=[PART], journal=journal) as results:
                await soon(lambda: results.report.started == 1)

            with pytest.raises(JournalError, match="splits"):
                await client.parses.process_many(pdfs(1), journal=journal)

    async def test_journal_has_no_secrets_and_no_content(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        echo = "bad value data:application/pdf;base64,JVBERi1zZWNyZXQ= of https://example.com/a.pdf?signature=s3cr3t"
        emulator.fail(CREATE, Fault.status(422, body={"detail": f"{echo} and {KEY}"}))
        items: list[Any] = [
            "https://example.com/a.pdf?signature=s3cr3t",
            "data:application/pdf;base64,JVBERi1zZWNyZXQ=",
            b"%PDF-secret",
            "JVBERi1zZWNyZXQ" * 50,
        ]
        report = await client.splits.process_many(items, subdocuments=[PART], concurrency=1, journal=journal)

        text = journal.read_text()
        assert report.counts == {"rejected": 1, "completed": 2, "invalid": 1}
        assert "bad value" in text
        for secret in ("s3cr3t", "JVBER", "secret", KEY):
            assert secret not in text

    def test_content_is_removed_from_a_reason(self) -> None:
        assert (
            without_content(f"bad {'QUJD' * 20}= at https://a.b/c?token=1 really?")
            == "bad *** at https://a.b/c*** really?"
        )

    async def test_full_journal_ends_the_job(
        self, client: AsyncRetab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("retab_async.journal.journal.append", fail)
        job = client.splits.process_many(
            itertools.cycle(pdfs(9)), subdocuments=[PART], concurrency=2, journal=tmp_path / "j"
        )

        with pytest.raises(JournalError, match="No space left"):
            await job

        assert job.unwritten > 0
        assert workers() == []

    async def test_changed_file_is_a_new_document(self, emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
        path, journal = tmp_path / "same.pdf", tmp_path / "out.jsonl"
        path.write_bytes(b"%PDF 1")
        await client.splits.process_many([path], subdocuments=[PART], journal=journal)
        path.write_bytes(b"%PDF second")

        for settled in ({}, {"completed": 1}):
            report = await client.splits.process_many([path], subdocuments=[PART], journal=journal)
            assert (report.settled, report.counts) == (settled, {"completed": 1})

        assert creates(emulator) == 2


class TestIncludeSettled:
    async def test_results_of_an_earlier_job_are_read_and_yielded_again(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        emulator.fail(CREATE, Fault.status(422, body={"detail": "unsupported"}))
        arguments: dict[str, Any] = {"subdocuments": [PART], "concurrency": 1, "journal": journal}
        async with client.splits.process_many(pdfs(3), **arguments) as results:
            first = [result.to_record() async for result in results]

        for _ in range(2):
            async with client.splits.process_many(pdfs(4), **arguments, include_settled=True) as results:
                found = [result async for result in results]
            assert [result.to_record() for result in found[:3]] == first
            assert isinstance(found[0].error, SettledError)

        assert found[1].run is not None
        assert results.report.counts == results.report.settled == {"rejected": 1, "completed": 3}
        assert (results.report.started, results.report.credits) == (0, 0)
        assert creates(emulator) == 4
        # The journal has the three documents once.
        assert Counter(line["name"] for line in lines(journal)[1:] if line["final"]) == Counter(
            f"{number}.pdf" for number in range(4)
        )

    async def test_function_selects_the_runs_to_read(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        arguments: dict[str, Any] = {"subdocuments": [PART], "journal": tmp_path / "out.jsonl"}
        async with client.splits.process_many(pdfs(3), **arguments) as results:
            stored = [str(result.run.id) async for result in results if result.run is not None][:2]
        sent = len(emulator.requests)

        async with client.splits.process_many(
            pdfs(3), **arguments, include_settled=lambda run_id: run_id not in stored
        ) as results:
            (found,) = [result async for result in results]

        assert found.run is not None
        assert found.run.id not in stored
        assert results.report.counts == results.report.settled == {"completed": 3}
        assert len(emulator.requests) == sent + 1

    async def test_failed_run_is_read_and_keeps_its_reason(self, emulator: Emulator, tmp_path: Path) -> None:
        arguments: dict[str, Any] = {"subdocuments": [PART], "journal": tmp_path / "out.jsonl"}
        failed = Fault.with_fields({"status": "failed", "error": {"code": "bad_document", "message": "no pages"}})
        async with client_for(emulator.url) as client:
            emulator.fail("GET /v1/splits/{id}", *[failed] * 2)
            report = await client.splits.process_many(pdfs(1), **arguments)
            reason = str(report.failures[0].error)
            emulator.fail("GET /v1/splits/{id}", failed)

            async with client.splits.process_many(pdfs(1), **arguments, include_settled=True) as results:
                (found,) = [result async for result in results]

        assert found.disposition == "failed"
        assert (str(found.error), found.to_record()["status"]) == (reason, "failed")
        assert found.run is not None

    async def test_run_that_cannot_be_read_is_unconfirmed_and_stays_settled(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        arguments: dict[str, Any] = {"subdocuments": [PART], "journal": tmp_path / "out.jsonl"}
        await client.splits.process_many(pdfs(1), **arguments)
        (run_id,) = [run.id async for run in client.splits.list()]
        await client.splits.delete(run_id)

        async with client.splits.process_many(pdfs(1), **arguments, include_settled=True) as results:
            (found,) = [result async for result in results]

        assert (found.disposition, type(found.error)) == ("unconfirmed", NotFoundError)
        assert (await client.splits.process_many(pdfs(1), **arguments)).settled == {"completed": 1}
        assert creates(emulator) == 1

    async def test_awaited_job_reads_no_run(self, emulator: Emulator, client: AsyncRetab, tmp_path: Path) -> None:
        arguments: dict[str, Any] = {"subdocuments": [PART], "journal": tmp_path / "out.jsonl"}
        await client.splits.process_many(pdfs(2), **arguments)
        sent = len(emulator.requests)

        report = await client.splits.process_many(pdfs(2), **arguments, include_settled=True)

        assert report.settled == {"completed": 2}
        assert len(emulator.requests) == sent


def reporter_with(journal: Journal, failures: list[Exception]) -> ProcessReporter[Split]:
    return ProcessReporter(
        kind="splits", slots=FifoSemaphore(1), queue=None, journal=journal, on_failure=failures.append
    )


class TestUploads:
    """Documents that are too large for the body of a create: each upload has another URL."""

    @pytest.fixture(autouse=True)
    def small_bodies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retab_async.documents.create_body._MAX_BODY_BYTES", 2048)

    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        path = tmp_path / "large.pdf"
        path.write_bytes(b"%PDF" * 2000)
        return path

    async def test_create_whose_response_was_lost_is_repeated_with_the_same_upload(
        self, slow: Emulator, large: Path, tmp_path: Path
    ) -> None:
        arguments: dict[str, Any] = {"subdocuments": [PART], "journal": tmp_path / "out.jsonl"}
        slow.fail(CREATE, Fault.hang_after_effect())
        async with client_for(slow.url, timeout=30) as killed, client_for(slow.url) as client:
            # Its cleanup is refused, as if it had been killed.
            job = asyncio.ensure_future(killed.splits.process_many([large], **arguments))
            await soon(slow.active_runs)
            slow.fail(CREATE, Fault.status(400))
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            await soon(lambda: not any("journal" in thread.name for thread in threading.enumerate()))

            async with client.splits.process_many([large], **arguments) as results:
                await soon(lambda: results.report.active == 1)

            assert slow.active_runs() == []
            assert len([run async for run in client.splits.list()]) == 1
        assert [request.path for request in slow.requests].count("/v1/files/upload") == 1

    async def test_upload_with_a_signed_url_is_not_recorded(self, tmp_path: Path) -> None:
        file = MIMEData(filename="large.pdf", url="https://storage.test/large.pdf?signature=1")
        header = JournalHeader(("splits",), "https://api.test", "0", job="process")
        journal = await Journal.open(tmp_path / "out.jsonl", header)
        await reporter_with(journal, []).record_upload(ProcessItem("large.pdf", {}), file)
        await journal.aclose()

        assert len(lines(tmp_path / "out.jsonl")) == 1

    async def test_upload_that_cannot_be_recorded_ends_the_job(self, tmp_path: Path) -> None:
        file = MIMEData(filename="large.pdf", url="https://storage.test/large.pdf")
        failures: list[Exception] = []
        header = JournalHeader(("splits",), "https://api.test", "0", job="process")
        journal = await Journal.open(tmp_path / "out.jsonl", header)
        await journal.aclose()
        with pytest.raises(JournalError) as caught:
            await reporter_with(journal, failures).record_upload(ProcessItem("large.pdf", {}), file)

        assert failures == [caught.value]

    async def test_document_whose_upload_cannot_be_recorded_gets_no_run(
        self, emulator: Emulator, client: AsyncRetab, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: int, batch: bytes, __: int) -> None:
            if batch:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr("retab_async.journal.journal.append", refuse)
        job = client.splits.process_many([large], subdocuments=[PART], journal=tmp_path / "out.jsonl")
        with pytest.raises(JournalError, match="No space left"):
            await job

        (failure,) = job.report.failures
        assert (job.report.counts, job.unwritten) == ({"unconfirmed": 1}, 2)
        assert isinstance(failure.error, JournalError)
        assert creates(emulator) == 0

    @pytest.mark.parametrize("status", [404, 410, 422])
    async def test_recorded_upload_that_the_api_no_longer_has_is_repeated_once(
        self, status: int, emulator: Emulator, large: Path, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        async with client_for(emulator.url) as client:
            # Uploaded, but its create was not sent: the state in which a kill leaves the journal.
            emulator.fail(CREATE, Fault.status(401))
            await client.splits.process_many([large], subdocuments=[PART], journal=journal)
        emulator.fail(CREATE, Fault.status(status))
        async with client_for(emulator.url) as client:
            report = await client.splits.process_many([large], subdocuments=[PART], journal=journal)

        assert report.counts == {"completed": 1}
        first, second = (line["file"]["url"] for line in lines(journal)[1:] if line["disposition"] == "uploaded")
        assert first != second
        assert creates(emulator) == 3

    async def test_run_that_is_gone_while_it_is_waited_for_costs_no_new_upload(
        self, emulator: Emulator, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def miss(*_: Any, **__: Any) -> None:
            msg = "no such run"
            raise NotFoundError(msg, method="GET", url="/v1/splits/splt_1", status_code=404)

        journal = tmp_path / "out.jsonl"
        async with client_for(emulator.url) as client:
            emulator.fail(CREATE, Fault.status(401))
            await client.splits.process_many([large], subdocuments=[PART], journal=journal)
            monkeypatch.setattr("retab_async.polling.Waiter.wait", miss)
            report = await client.splits.process_many([large], subdocuments=[PART], journal=journal)

        assert report.counts == {"rejected": 1}
        assert [request.path for request in emulator.requests].count("/v1/files/upload") == 1

    async def test_document_that_is_rejected_after_a_new_upload_is_rejected(
        self, emulator: Emulator, large: Path, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        async with client_for(emulator.url) as client:
            emulator.fail(CREATE, Fault.status(401))
            await client.splits.process_many([large], subdocuments=[PART], journal=journal)
            for _ in range(2):
                emulator.fail(CREATE, Fault.status(422))
            report = await client.splits.process_many([large], subdocuments=[PART], journal=journal)

        assert report.counts == {"rejected": 1}
        assert (creates(emulator), [request.path for request in emulator.requests].count("/v1/files/upload")) == (3, 2)

    async def test_run_that_the_killed_job_did_not_record_is_unconfirmed_and_not_settled(
        self, client: AsyncRetab, large: Path, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        await client.splits.process_many([large], subdocuments=[PART])

        for _ in range(2):
            report = await client.splits.process_many([large], subdocuments=[PART], journal=journal)
            assert (report.counts, report.settled) == ({"unconfirmed": 1}, {})
        (failure,) = report.failures
        assert isinstance(failure.error, UnknownRunError)
        assert "find the run with client.splits.list()" in str(failure.error)
        found = [(line["disposition"], line["final"]) for line in lines(journal)[1:]]
        assert found == [("uploaded", False), ("unconfirmed", False), ("unconfirmed", False)]
        assert len([run async for run in client.splits.list()]) == 1

        os.utime(large, (1, 1))
        report = await client.splits.process_many([large], subdocuments=[PART], journal=journal)
        assert report.counts == {"completed": 1}

    async def test_runs_that_were_cancelled_with_their_jobs_are_created_again(
        self, slow: Emulator, large: Path, tmp_path: Path
    ) -> None:
        arguments: dict[str, Any] = {"subdocuments": [PART], "journal": tmp_path / "out.jsonl"}
        async with client_for(slow.url) as client:
            for _ in range(3):
                async with client.splits.process_many([large], **arguments) as results:
                    # Not before the journal has the run: without its id it could not be distinguished from a live one.
                    await soon(lambda: results.report.active == 1 and slow.active_runs())
                assert slow.active_runs() == []

            assert len([run async for run in client.splits.list()]) == 3
        assert results.report.counts == {}

    async def test_cancelled_runs_whose_uploads_are_not_recorded_are_created_again(
        self, slow: Emulator, large: Path, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        async with client_for(slow.url) as client:
            for _ in range(3):
                async with client.splits.process_many([large], subdocuments=[PART], journal=journal) as results:
                    await soon(lambda: results.report.active == 1 and slow.active_runs())
                # As if their URLs had been signed.
                kept = [line for line in journal.read_text().splitlines(keepends=True) if '"uploaded"' not in line]
                journal.write_text("".join(kept))

            assert slow.active_runs() == []
            assert len([run async for run in client.splits.list()]) == 3

    async def test_run_that_did_not_finish_in_time_is_created_again(
        self, slow: Emulator, large: Path, tmp_path: Path
    ) -> None:
        journal = tmp_path / "out.jsonl"
        async with client_for(slow.url) as client:
            report = await client.splits.process_many([large], subdocuments=[PART], journal=journal, wait_timeout=0.3)
            assert report.counts == {"timed_out": 1}

            async with client.splits.process_many([large], subdocuments=[PART], journal=journal):
                await soon(lambda: len(slow.active_runs()) == 1)
