"""Upload progress, and further fields of a create."""

import inspect
import io
import logging
from collections.abc import AsyncIterator
from operator import attrgetter
from typing import Any

import pytest
from clients import client_for
from raw_server import raw_server, reply, reset
from test_kinds import LEAST

from retab_async import AsyncRetab, InvalidRequestError, UploadProgress
from retab_async.cli.progress import format_upload
from retab_async.emulator import Emulator, Fault
from retab_async.resources import RESOURCES

MIB = 1024 * 1024
SPLIT: dict[str, Any] = {"subdocuments": [{"name": "a"}], "background": True}
KINDS_WITH_DOCUMENTS = [kind for kind, (given, _) in LEAST.items() if {"document", "documents"} & set(given)] + [
    "workflows.runs"
]


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with Emulator(queued=0, running=60) as running:
        yield running


def test_every_kind_with_documents_has_on_upload() -> None:
    assert {kind for kind in RESOURCES if "on_upload" in _parameters(kind)} == set(KINDS_WITH_DOCUMENTS)


def _parameters(kind: str) -> set[str]:
    return set(inspect.signature(attrgetter("create")(RESOURCES[kind])).parameters)


# Progress


@pytest.mark.parametrize("size", [10, 5 * MIB])
async def test_create_reports_the_progress_of_its_body(size: int, server: Emulator) -> None:
    seen: list[UploadProgress] = []
    async with client_for(server.url) as client:
        await client.splits.create(document=b"%" * size, filename="a.pdf", **SPLIT, on_upload=seen.append)

    sent = [each.sent for each in seen]
    assert sent == sorted(set(sent))
    assert seen[-1].sent == seen[-1].total >= size * 4 // 3
    assert {(each.total, each.filename) for each in seen} == {(seen[-1].total, None)}
    assert (len(seen) > 2) == (size > MIB)


async def test_large_document_is_reported_by_its_name_before_the_body(server: Emulator) -> None:
    seen: list[UploadProgress] = []
    size = 25 * MIB
    async with client_for(server.url, timeout=30) as client:
        await client.splits.create(document=b"%" * size, filename="a.pdf", **SPLIT, on_upload=seen.append)

    *uploaded, body = seen
    assert (uploaded[-1].sent, uploaded[-1].total) == (size, size)
    assert {each.filename for each in uploaded} == {"a.pdf"}
    assert (body.filename, body.sent) == (None, body.total)


@pytest.mark.parametrize("size", [10, 2 * MIB])
async def test_upload_reports_its_progress(size: int, server: Emulator) -> None:
    seen: list[UploadProgress] = []
    async with client_for(server.url) as client:
        file = await client.files.upload(io.BytesIO(b"%" * size), filename="a.pdf", on_upload=seen.append)

    assert seen[-1] == UploadProgress(sent=size, total=size, filename=file.filename)


@pytest.mark.parametrize("kind", KINDS_WITH_DOCUMENTS)
@pytest.mark.parametrize("verb", ["create", "running"])
async def test_progress_is_reported_by_every_kind(kind: str, verb: str, server: Emulator) -> None:
    seen: list[UploadProgress] = []
    async with client_for(server.url) as client:
        call = attrgetter(f"{kind}.{verb}")(client)(**LEAST[kind][0], on_upload=seen.append)
        if verb == "create":
            await call
        else:
            async with call:
                pass

    assert seen
    assert seen[-1].sent == seen[-1].total


async def test_stream_reports_its_progress(server: Emulator) -> None:
    seen: list[UploadProgress] = []
    async with client_for(server.url) as client:
        given: dict[str, Any] = {"document": b"%PDF", "filename": "a.pdf", "json_schema": {"type": "object"}}
        async with client.extractions.stream(**given, on_upload=seen.append) as states:
            [state async for state in states]

    assert seen[-1].sent == seen[-1].total


async def test_progress_starts_again_when_a_request_is_retried(server: Emulator) -> None:
    seen: list[UploadProgress] = []
    server.fail("POST /v1/splits", Fault.status(503))
    async with client_for(server.url) as client:
        await client.splits.create(document=b"%PDF", filename="a.pdf", **SPLIT, on_upload=seen.append)

    assert [each.sent == each.total for each in seen] == [True, True]


async def test_callback_that_raises_is_logged_once_and_the_upload_continues(
    server: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[UploadProgress] = []

    def fail(progress: UploadProgress) -> None:
        calls.append(progress)
        raise ValueError

    async with client_for(server.url) as client:
        run = await client.splits.create(document=b"%" * 3 * MIB, filename="a.pdf", **SPLIT, on_upload=fail)

    assert run.id
    assert len(calls) == 1
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "on_upload failed" in record.getMessage()


async def test_body_with_progress_is_the_same_in_every_attempt() -> None:
    async with (
        raw_server(reset, reply({"id": "splt_1", "status": "queued"})) as server,
        client_for(server.url) as client,
    ):
        await client.splits.create(document=b"%PDF", filename="a.pdf", **SPLIT, on_upload=lambda _: None)

    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert len(server.requests) == 2
    assert len(keys) == 1
    assert server.requests[0].body == server.requests[1].body


async def test_callback_that_cannot_be_called_is_rejected_before_sending(server: Emulator) -> None:
    async with client_for(server.url) as client:
        with pytest.raises(InvalidRequestError, match="on_upload must be callable"):
            await client.splits.create(document=b"%PDF", filename="a.pdf", **SPLIT, on_upload=1)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="on_upload must be callable"):
            await client.files.upload(b"%PDF", filename="a.pdf", on_upload=1)  # type: ignore[arg-type]

    assert server.requests == []


def test_progress_is_shown_with_its_share_and_size() -> None:
    assert format_upload(UploadProgress(sent=1, total=4_000_000)) == "uploading documents: 0 % of 4.0 MB"
    assert format_upload(UploadProgress(sent=3, total=4, filename="a.pdf")) == "uploading a.pdf: 75 % of 4 bytes"


# Further fields


@pytest.mark.parametrize("kind", RESOURCES)
@pytest.mark.parametrize("verb", ["create", "running"])
async def test_further_fields_are_sent_by_every_kind(kind: str, verb: str) -> None:
    extra = {"region": "eu", "options": {"a": [1, None]}}
    async with raw_server(reply(status=400)) as server, client_for(server.url) as client:
        call = attrgetter(f"{kind}.{verb}")(client)(**LEAST[kind][0], extra_body=extra)
        with pytest.raises(Exception, match="400"):
            await (call if verb == "create" else call.__aenter__())

    assert b'"region":"eu","options":{"a":[1,null]}' in server.requests[-1].body


async def test_further_fields_of_a_stream_are_sent() -> None:
    given: dict[str, Any] = {"document": b"%PDF", "filename": "a.pdf", "json_schema": {"type": "object"}}
    async with raw_server(reply(status=400)) as server, client_for(server.url) as client:
        with pytest.raises(Exception, match="400"):
            await anext(client.extractions.stream(**given, extra_body={"region": "eu"}))

    assert b'"region":"eu"' in server.requests[0].body


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"model": "retab-large"}, "extra_body must not have 'model'"),
        ({"background": False}, "extra_body must not have 'background'"),
        ({"a": object()}, "extra_body cannot be sent as JSON"),
        ({1: 2}, "extra_body cannot be sent as JSON"),
        ([("a", 1)], "extra_body must be a mapping"),
    ],
)
async def test_further_fields_that_cannot_be_sent_are_rejected_before_sending(
    extra: Any, problem: str, server: Emulator
) -> None:
    client: AsyncRetab
    async with client_for(server.url) as client:
        with pytest.raises(InvalidRequestError, match=problem):
            await client.splits.create(document=b"%PDF", filename="a.pdf", **SPLIT, extra_body=extra)

    assert server.requests == []
