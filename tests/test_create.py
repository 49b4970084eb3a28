"""Creates: their requests, rejected arguments, retries and responses."""

import json
import logging
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from clients import ONCE, client_for, connections_in_use
from raw_server import RawServer, raw_server, reply

from retab_async import (
    APIConnectionError,
    APITimeoutError,
    AsyncRetab,
    Category,
    IdempotencyReplayError,
    InternalServerError,
    InvalidDocumentError,
    InvalidRequestError,
    ResponseError,
    Run,
    RunStatus,
    Subdocument,
    ValidationError,
)
from retab_async.emulator import Emulator, Fault

PDF = b"%PDF-1.7\n"
PART = Subdocument("invoice")
Create = Callable[..., Awaitable[Run]]

KINDS = ("splits", "partitions")
REQUIRED: dict[str, dict[str, Any]] = {
    "splits": {"subdocuments": [PART]},
    "partitions": {"key": "account", "instructions": "One chunk for each account."},
}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(queued=0, running=0.02) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    async with client_for(emulator.url, api_key=emulator.api_key) as opened:
        yield opened


def create_of(client: AsyncRetab, kind: str) -> Create:
    create: Create = getattr(client, kind).create
    return create


def request_json(server: RawServer) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(server.requests[-1].body)
    return payload


@pytest.fixture
async def answering() -> AsyncIterator[RawServer]:
    async with raw_server(reply({"id": "run_1"}, 201)) as server:
        yield server


def keys(emulator: Emulator) -> list[str | None]:
    return [served.idempotency_key for served in emulator.requests if served.method == "POST"]


@pytest.mark.parametrize("kind", KINDS)
async def test_background_create_returns_an_active_run(kind: str, client: AsyncRetab, emulator: Emulator) -> None:
    run = await create_of(client, kind)(document=PDF, background=True, **REQUIRED[kind])

    assert not run.status.is_terminal
    assert emulator.document_of(run.id).size == len(PDF)


@pytest.mark.parametrize("kind", KINDS)
async def test_foreground_create_returns_a_completed_run(kind: str, client: AsyncRetab) -> None:
    run = await create_of(client, kind)(document=PDF, **REQUIRED[kind])

    assert run.status is RunStatus.COMPLETED


async def test_foreground_create_may_take_longer_than_the_timeout() -> None:
    async with (
        Emulator(queued=0, running=0.4) as slow,
        client_for(slow.url, api_key=slow.api_key, timeout=0.1, retry=ONCE) as client,
    ):
        run = await client.splits.create(document=PDF, subdocuments=[PART])

    assert run.status is RunStatus.COMPLETED


async def test_split_request_has_the_documented_json(answering: RawServer) -> None:
    parts = [PART, Subdocument("receipt", description="A till's slip", allow_multiple_instances=True)]

    async with client_for(answering.url) as client:
        await client.splits.create(
            document=PDF,
            subdocuments=parts,
            instructions="Receipts last.",
            model="retab-large",
            n_consensus=8,
            bust_cache=True,
            background=True,
        )

    assert request_json(answering) == {
        "document": {"filename": "document.pdf", "url": "data:application/pdf;base64,JVBERi0xLjcK"},
        "subdocuments": [
            {"name": "invoice", "description": "", "allow_multiple_instances": False},
            {"name": "receipt", "description": "A till's slip", "allow_multiple_instances": True},
        ],
        "model": "retab-large",
        "instructions": "Receipts last.",
        "n_consensus": 8,
        "bust_cache": True,
        "background": True,
    }


async def test_omitted_fields_are_sent_as_their_defaults_and_none_is_left_out(answering: RawServer) -> None:
    async with client_for(answering.url) as client:
        await client.splits.create(document=PDF, subdocuments=[PART])

    payload = request_json(answering)
    assert {name: payload[name] for name in payload if name not in {"document", "subdocuments"}} == {
        "model": "retab-small",
        "n_consensus": 1,
        "bust_cache": False,
        "background": False,
    }


async def test_partition_request_has_the_documented_json(answering: RawServer) -> None:
    async with client_for(answering.url) as client:
        await client.partitions.create(
            document=PDF, key="account", instructions="Each.", allow_overlap=False, background=True
        )

    assert {name: value for name, value in request_json(answering).items() if name != "document"} == {
        "key": "account",
        "instructions": "Each.",
        "model": "retab-small",
        "n_consensus": 1,
        "allow_overlap": False,
        "bust_cache": False,
        "background": True,
    }


class Model(str, Enum):  # noqa: UP042 - as many have them
    """An enum of the kind whose members are printed by their names."""

    LARGE = "retab-large"


async def test_enum_member_is_sent_as_its_value(answering: RawServer) -> None:
    async with client_for(answering.url) as client:
        await client.splits.create(document=PDF, subdocuments=[PART], model=Model.LARGE)

    assert request_json(answering)["model"] == "retab-large"


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "no subdocuments": ("splits", {"subdocuments": []}, "subdocuments"),
    "a text of subdocuments": ("splits", {"subdocuments": "invoice"}, "subdocuments"),
    "an iterator of subdocuments": ("splits", {"subdocuments": iter([PART])}, "subdocuments"),
    "names for subdocuments": ("splits", {"subdocuments": ["invoice"]}, 'Subdocument("name")'),
    "a blank subdocument": ("splits", {"subdocuments": [Subdocument(" ")]}, "name"),
    "several instances, maybe": (
        "splits",
        {"subdocuments": [Subdocument("a", allow_multiple_instances="yes")]},  # type: ignore[arg-type]
        "allow_multiple_instances",
    ),
    "a description that is no text": (
        "splits",
        {"subdocuments": [Subdocument("a", description=5)]},  # type: ignore[arg-type]
        "description",
    ),
    "half a letter": ("splits", {"instructions": "\ud83d"}, "UTF-8"),
    "a blank model": ("splits", {"model": ""}, "model"),
    "blank instructions": ("splits", {"instructions": " "}, "instructions"),
    "no votes": ("splits", {"n_consensus": 0}, "1 to 8"),
    "nine votes": ("splits", {"n_consensus": 9}, "1 to 8"),
    "half a vote": ("splits", {"n_consensus": 1.5}, "1 to 8"),
    "true votes": ("splits", {"n_consensus": True}, "1 to 8"),
    "a cache, maybe": ("splits", {"bust_cache": 1}, "bust_cache"),
    "a background, maybe": ("splits", {"background": "yes"}, "background"),
    "a blank key": ("partitions", {"key": "  "}, "key"),
    "no instructions": ("partitions", {"instructions": None}, "instructions"),
    "an overlap, maybe": ("partitions", {"allow_overlap": None}, "allow_overlap"),
    "an empty idempotency key": ("splits", {"idempotency_key": ""}, "idempotency_key"),
    "a long idempotency key": ("splits", {"idempotency_key": "k" * 256}, "idempotency_key"),
    "an idempotency key of two words": ("splits", {"idempotency_key": "a b"}, "idempotency_key"),
    "an idempotency key with a line break": ("splits", {"idempotency_key": "a\r\nApi-Key:x"}, "idempotency_key"),
    "an idempotency key that no header takes": ("splits", {"idempotency_key": "schlüssel"}, "idempotency_key"),
    "a number for an idempotency key": ("splits", {"idempotency_key": 7}, "idempotency_key"),
}


@pytest.mark.parametrize(("kind", "kwargs", "named"), WRONG.values(), ids=WRONG)
async def test_invalid_arguments_are_rejected_before_anything_is_sent(
    kind: str, kwargs: dict[str, Any], named: str, client: AsyncRetab, emulator: Emulator
) -> None:
    with pytest.raises(InvalidRequestError, match=named.replace("(", r"\(").replace(")", r"\)")):
        await create_of(client, kind)(**{"document": PDF} | REQUIRED[kind] | kwargs)

    assert emulator.requests == []


@pytest.mark.parametrize("document", ["http://x.test/a.pdf", "missing.pdf", b"", 5], ids=str)
async def test_invalid_document_is_rejected_before_anything_is_sent(
    document: Any, client: AsyncRetab, emulator: Emulator
) -> None:
    with pytest.raises(InvalidDocumentError):
        await client.splits.create(document=document, subdocuments=[PART])

    assert emulator.requests == []


class TestRetries:
    async def test_share_the_idempotency_key_of_their_call(self, client: AsyncRetab, emulator: Emulator) -> None:
        emulator.fail("POST /v1/splits", Fault.reset_after_effect(), Fault.status(503))

        run = await client.splits.create(document=PDF, subdocuments=[PART], background=True)
        await client.splits.create(document=PDF, subdocuments=[PART], background=True)

        first, second, third, other = keys(emulator)
        assert first == second == third
        assert first not in {None, other}
        assert emulator.document_of(run.id).size == len(PDF)

    async def test_after_a_lost_response_create_no_second_run(self, client: AsyncRetab, emulator: Emulator) -> None:
        emulator.fail("POST /v1/splits", Fault.reset_after_effect())

        run = await client.splits.create(document=PDF, subdocuments=[PART], background=True)

        assert [row.id async for row in client.splits.list()] == [run.id]

    async def test_of_the_caller_answered_with_a_cancelled_run_raise_an_error_that_names_the_key(
        self, client: AsyncRetab, emulator: Emulator
    ) -> None:
        required: dict[str, Any] = {"document": PDF, "subdocuments": [PART], "idempotency_key": "nightly-7"}
        emulator.fail("POST /v1/splits", *[Fault.status(201, body={"id": "splt_1", "status": "cancelled"})] * 2)

        with pytest.raises(IdempotencyReplayError, match="idempotency_key='nightly-7' belongs to run splt_1") as caught:
            await client.splits.create(**required, background=True)
        assert caught.value.run.id == "splt_1"
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own
        with pytest.raises(IdempotencyReplayError, match="pass another key"):
            async with client.splits.running(**required):
                raise AssertionError
        assert await client.aclose() == ()
        assert len(emulator.requests) == 2

    async def test_of_the_caller_under_the_key_of_a_cancelled_block_raise_an_error_that_names_the_key(self) -> None:
        required: dict[str, Any] = {"document": PDF, "subdocuments": [PART], "idempotency_key": "nightly-7"}
        async with Emulator(queued=60) as emulator, client_for(emulator.url, api_key=emulator.api_key) as client:
            async with client.splits.running(**required):
                pass
            with pytest.raises(IdempotencyReplayError, match="idempotency_key='nightly-7' belongs to run splt_"):
                async with client.splits.running(**required) as run:
                    await run.result()

    async def test_of_the_caller_under_the_key_of_an_active_run_return_the_run(self, client: AsyncRetab) -> None:
        required: dict[str, Any] = {"document": PDF, "subdocuments": [PART], "idempotency_key": "nightly-7"}
        first = await client.splits.create(**required, background=True)

        async with client.splits.running(**required) as run:
            assert run.id == first.id

    async def test_of_the_caller_under_one_key_create_one_run(self, client: AsyncRetab, emulator: Emulator) -> None:
        kwargs: dict[str, Any] = {"document": PDF, "subdocuments": [PART], "background": True, "idempotency_key": "k-1"}

        first = await client.splits.create(**kwargs)
        second = await client.splits.create(**kwargs)

        assert first.id == second.id
        assert keys(emulator) == ["k-1", "k-1"]

    async def test_that_run_out_in_doubt_raise_an_error_with_the_key(self, emulator: Emulator) -> None:
        emulator.fail("POST /v1/splits", Fault.hang_after_effect())
        async with client_for(emulator.url, api_key=emulator.api_key, retry=ONCE, timeout=0.1) as client:
            with pytest.raises(APITimeoutError) as caught:
                await client.splits.create(document=PDF, subdocuments=[PART], background=True)

            assert caught.value.in_doubt
            assert caught.value.idempotency_key == keys(emulator)[0]
            assert f"idempotency_key='{caught.value.idempotency_key}'" in str(caught.value)
            key = caught.value.idempotency_key
            run = await client.splits.create(document=PDF, subdocuments=[PART], background=True, idempotency_key=key)
            assert [row.id async for row in client.splits.list()] == [run.id]

    async def test_that_never_connected_leave_no_doubt(self) -> None:
        async with client_for("http://127.0.0.1:9", retry=ONCE) as nowhere:
            with pytest.raises(APIConnectionError) as caught:
                await nowhere.splits.create(document=PDF, subdocuments=[PART])

        assert not caught.value.in_doubt

    @pytest.mark.parametrize("status", [400, 422])
    async def test_do_not_follow_a_rejection(self, status: int, client: AsyncRetab, emulator: Emulator) -> None:
        emulator.fail("POST /v1/splits", Fault.status(status, body={"detail": "no"}))

        with pytest.raises(Exception, match="no") as caught:
            await client.splits.create(document=PDF, subdocuments=[PART])

        assert isinstance(caught.value, ValidationError) == (status == 422)
        assert len(keys(emulator)) == 1

    async def test_read_the_file_again(self, client: AsyncRetab, emulator: Emulator, tmp_path: Path) -> None:
        file = tmp_path / "batch.pdf"
        file.write_bytes(PDF * 100_000)
        emulator.fail("POST /v1/splits", Fault.reset_after_effect(), Fault.status(500))

        run = await client.splits.create(document=file, subdocuments=[PART], background=True)

        assert emulator.document_of(run.id).size == len(PDF) * 100_000
        assert run.file
        assert run.file.filename == "batch.pdf"


class TestResponse:
    @staticmethod
    async def answered(body: object) -> Run:
        async with raw_server(reply(body, 201)) as server, client_for(server.url, retry=ONCE) as client:
            try:
                return await client.splits.create(document=PDF, subdocuments=[PART], background=True)
            finally:
                assert connections_in_use(client) == 0

    async def test_with_an_id_alone_gives_a_pending_run(self, caplog: pytest.LogCaptureFixture) -> None:
        run = await self.answered({"id": "splt_1"})

        assert (run.id, run.status) == ("splt_1", RunStatus.PENDING)
        assert "left at their defaults" in caplog.text

    async def test_with_a_field_that_does_not_fit_gives_a_run(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING)
        run = await self.answered({"id": "splt_1", "status": "queued", "n_consensus": "many"})

        assert (run.id, run.status) == ("splt_1", RunStatus.QUEUED)
        assert "n_consensus" in caplog.text

    @pytest.mark.parametrize("body", [[], {"status": "queued"}, {"id": 5, "status": "queued"}], ids=str)
    async def test_without_an_id_raises_an_error_in_doubt(self, body: object) -> None:
        with pytest.raises(ResponseError) as caught:
            await self.answered(body)

        assert caught.value.in_doubt
        assert caught.value.idempotency_key


async def test_create_answered_500_is_in_doubt(emulator: Emulator) -> None:
    emulator.fail("POST /v1/splits", Fault.status(500))
    async with client_for(emulator.url, api_key=emulator.api_key, retry=ONCE) as client:
        with pytest.raises(InternalServerError) as caught:
            await client.splits.create(document=PDF, subdocuments=[PART], background=True)

    assert caught.value.in_doubt


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("splits", {"subdocuments": [PART]}),
        ("partitions", {"key": "account", "instructions": "Each."}),
        ("classifications", {"categories": [Category("a")]}),
        ("extractions", {"json_schema": {"type": "object"}}),
        ("parses", {}),
        ("edits", {"instructions": "Fill in."}),
    ],
)
async def test_every_create_sends_a_given_filename(
    kind: str, fields: dict[str, Any], client: AsyncRetab, emulator: Emulator
) -> None:
    resource = getattr(client, kind)
    run = await resource.create(document=PDF, filename="given.pdf", background=True, **fields)
    async with resource.running(document=PDF, filename="given.pdf", **fields) as handle:
        assert emulator.document_of(handle.id).filename == "given.pdf"

    assert emulator.document_of(run.id).filename == "given.pdf"


async def test_a_filename_without_a_document_is_rejected(client: AsyncRetab, emulator: Emulator) -> None:
    with pytest.raises(InvalidRequestError, match="filename is that of a document"):
        await client.edits.create(instructions="Fill in.", template_id="tmpl_1", filename="a.pdf")

    assert emulator.requests == []
