"""Streamed extractions: one state a line, on one connection."""

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from clients import ONCE, client_for, connections_in_use
from payloads import KEY
from payloads_kinds import body
from raw_server import (
    RawServer,
    Step,
    close_early,
    drip,
    message,
    raw_server,
    reply,
    reset,
    say_and_close,
    say_and_stall,
    stall,
    until,
)

from retab_async import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncRetab,
    ClientStateError,
    Extraction,
    InternalServerError,
    InvalidDocumentError,
    InvalidRequestError,
    ResponseError,
    RunStatus,
    ValidationError,
)
from retab_async.protocol import MAX_LINE_BYTES

PDF = b"%PDF-1.7\n"
REQUIRED: dict[str, Any] = {"document": PDF, "json_schema": {"type": "object"}}
PARTS: list[dict[str, Any]] = [
    {"status": "in_progress", "output": {}},
    {"id": "extr_1", "status": "in_progress", "output": {"name": "A"}},
    {"id": "extr_1", "status": "in_progress", "output": {"name": "Ada"}, "usage": "none yet"},
    body("extractions", "completed"),
]
CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked", "Content-Type": "application/stream+json"}


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def lines(*parts: object, start: bytes = b"") -> bytes:
    return b"".join(start + json.dumps(part).encode() + b"\n" for part in parts)


def begun(*parts: object) -> bytes:
    """Return the bytes of an unfinished response with these states."""
    return message(b"", headers=CHUNKED) + b"".join(chunk(lines(part)) for part in parts)


def whole(content: bytes) -> Step:
    return reply(chunk(content) + b"0\r\n\r\n", headers=CHUNKED) if content else reply(b"0\r\n\r\n", headers=CHUNKED)


async def streamed(*steps: Step, **settings: Any) -> tuple[list[Extraction], RawServer]:
    async with raw_server(*steps) as server, client_for(server.url, **{"retry": ONCE} | settings) as client:
        try:
            async with client.extractions.stream(**REQUIRED) as states:
                return [state async for state in states], server
        finally:
            assert connections_in_use(client) == 0
            assert client._pool.slots._free == 100


async def rest_of(states: AsyncIterator[Extraction], seen: list[Extraction] | None = None) -> list[Extraction]:
    seen = [] if seen is None else seen
    async for state in states:
        seen.append(state)
    return seen


@pytest.fixture
async def flowing() -> AsyncIterator[tuple[RawServer, AsyncRetab]]:
    """A stream that stalls after its first states."""
    async with (
        raw_server(say_and_stall(begun(*PARTS[:2]))) as server,
        client_for(server.url, retry=ONCE) as client,
    ):
        yield server, client


class TestStates:
    async def test_are_yielded_line_by_line(self) -> None:
        states, server = await streamed(whole(lines(*PARTS)))

        assert [state.output for state in states] == [part["output"] for part in PARTS]
        assert [state.id for state in states] == ["", "extr_1", "extr_1", "extr_1"]
        assert states[-1].status is RunStatus.COMPLETED
        (request,) = server.requests
        assert (request.method, request.target) == ("POST", "/v1/extractions/stream")
        assert request.headers["accept"] == "application/stream+json"
        assert request.headers["idempotency-key"]
        assert json.loads(request.body) == {
            "document": {"filename": "document.pdf", "url": "data:application/pdf;base64,JVBERi0xLjcK"},
            "json_schema": {"type": "object"},
            "model": "retab-small",
            "n_consensus": 1,
            "bust_cache": False,
            "background": False,
            "stream": True,
        }

    @pytest.mark.parametrize(
        "content",
        [
            lines(*PARTS, start=b"data: "),
            lines(*PARTS, start=b"data:"),
            b"\n\r\n" + lines(*PARTS[:2]) + b"   \n\n" + lines(*PARTS[2:]).replace(b"\n", b"\r\n") + b"\n",
            lines(*PARTS).rstrip(b"\n"),
        ],
        ids=["events", "tight events", "empty lines", "no end of the last line"],
    )
    async def test_are_read_from_events_and_between_blank_lines(self, content: bytes) -> None:
        states, _ = await streamed(whole(content))

        assert len(states) == len(PARTS)

    async def test_are_assembled_from_pieces(self) -> None:
        content = lines(*PARTS)
        pieces = b"".join(chunk(content[at : at + 7]) for at in range(0, len(content), 7))
        states, _ = await streamed(reply(pieces + b"0\r\n\r\n", headers=CHUNKED))

        assert len(states) == len(PARTS)

    async def test_may_be_none(self) -> None:
        states, _ = await streamed(whole(b""))

        assert states == []

    async def test_may_be_long(self) -> None:
        long = {"id": "extr_1", "status": "completed", "output": {"text": "x" * (MAX_LINE_BYTES - 100)}}
        states, _ = await streamed(whole(lines(long, PARTS[0])))

        assert len(states) == 2

    async def test_with_fields_that_do_not_fit_get_defaults(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "retab_async")
        states, _ = await streamed(whole(lines({"id": 5, "status": 5, "output": [], "n_consensus": "?"})))

        assert states == [Extraction(id="", status=RunStatus.PENDING)]
        assert "n_consensus" in caplog.text
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]

    async def test_leave_a_reusable_connection(self) -> None:
        steps = whole(lines(*PARTS)), reply(body("extractions", "completed"))
        async with raw_server(*steps) as server, client_for(server.url) as client:
            assert len([state async for state in client.extractions.stream(**REQUIRED)]) == len(PARTS)
            await client.extractions.get("extr_1")

            assert server.connections == 1

    async def test_are_available_under_the_published_name(self) -> None:
        async with raw_server(whole(lines(PARTS[3]))) as server, client_for(server.url) as client:
            assert [state.id async for state in client.extractions.create_stream(**REQUIRED)] == ["extr_1"]


class TestLeftEarly:
    async def test_by_leaving_its_block_closes_the_connection(self, flowing: tuple[RawServer, AsyncRetab]) -> None:
        server, client = flowing
        async with client.extractions.stream(**REQUIRED) as states:
            await anext(states)

        assert connections_in_use(client) == 0
        assert client._pool.slots._free == 100
        await until(lambda: not server.open)

    async def test_by_a_break_closes_the_connection_at_finalization(
        self, flowing: tuple[RawServer, AsyncRetab]
    ) -> None:
        server, client = flowing
        async for _ in client.extractions.stream(**REQUIRED):
            break
        gc.collect()

        await until(lambda: not server.open)
        assert connections_in_use(client) == 0

    async def test_by_aclose_is_exhausted(self, flowing: tuple[RawServer, AsyncRetab]) -> None:
        _, client = flowing
        states = client.extractions.stream(**REQUIRED)
        await anext(states)
        await states.aclose()
        await states.aclose()

        assert [state async for state in states] == []
        assert connections_in_use(client) == 0

    async def test_by_cancellation_closes_the_connection(self, flowing: tuple[RawServer, AsyncRetab]) -> None:
        server, client = flowing

        async def watch() -> None:
            async with client.extractions.stream(**REQUIRED) as states:
                async for _ in states:
                    pass

        task = asyncio.create_task(watch())
        await server.asked.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert connections_in_use(client) == 0
        await until(lambda: not server.open)

    async def test_before_the_first_step_sends_nothing(self, flowing: tuple[RawServer, AsyncRetab]) -> None:
        server, client = flowing
        async with client.extractions.stream(**REQUIRED):
            pass

        assert server.requests == []

    async def test_by_closing_the_client_raises_a_client_state_error(
        self, flowing: tuple[RawServer, AsyncRetab]
    ) -> None:
        _, client = flowing
        states = client.extractions.stream(**REQUIRED)
        await anext(states)
        await client.aclose()

        with pytest.raises(ClientStateError, match="closed"):
            await rest_of(states)


class TestSlots:
    async def test_are_held_until_the_stream_is_left(self) -> None:
        async with (
            raw_server(say_and_stall(begun(PARTS[1]))) as server,
            client_for(server.url, max_connections=1, timeout=0.1, retry=ONCE) as client,
        ):
            async with client.extractions.stream(**REQUIRED) as states:
                assert repr(states) == "<RunStream /v1/extractions no state yet>"
                await anext(states)
                assert repr(states) == "<RunStream /v1/extractions extr_1 in_progress>"
                assert not client._pool.slots.try_acquire()

            assert client._pool.slots.try_acquire()


class TestRetries:
    @pytest.mark.parametrize(
        "first", [reply({}, 503), reply({}, 429), reset, close_early], ids=["503", "429", "reset", "closed"]
    )
    async def test_happen_before_the_response_has_begun(self, first: Step) -> None:
        async with raw_server(first, whole(lines(*PARTS))) as server, client_for(server.url) as client:
            states = [state async for state in client.extractions.stream(**REQUIRED)]

        assert len(states) == len(PARTS)
        one, two = (request.headers["idempotency-key"] for request in server.requests)
        assert one == two

    async def test_never_happen_once_the_response_has_begun(self) -> None:
        async with raw_server(say_and_close(begun(PARTS[1]))) as server, client_for(server.url) as client:
            with pytest.raises(APIConnectionError):
                await rest_of(client.extractions.stream(**REQUIRED))

            assert len(server.requests) == 1


class TestErrors:
    @pytest.mark.parametrize(("status", "kind"), [(400, APIError), (422, ValidationError), (500, InternalServerError)])
    async def test_of_the_api_are_api_errors(self, status: int, kind: type[APIError]) -> None:
        with pytest.raises(kind, match="no spreadsheet") as caught:
            await streamed(reply({"detail": "no spreadsheet"}, status))

        assert caught.value.status_code == status
        assert caught.value.url == "/v1/extractions/stream"

    @pytest.mark.parametrize(
        "broken",
        [
            say_and_close(begun(*PARTS[:2])),
            say_and_close(message(lines(*PARTS[:2]), headers={"Content-Length": "5000"})),
            say_and_close(begun(*PARTS[:2]) + b"zz\r\n"),
        ],
        ids=["chunked", "counted", "garbled"],
    )
    async def test_of_the_connection_are_in_doubt(self, broken: Step) -> None:
        seen: list[Extraction] = []
        async with raw_server(broken) as server, client_for(server.url, retry=ONCE) as client:
            with pytest.raises(APIConnectionError) as caught:
                await rest_of(client.extractions.stream(**REQUIRED, idempotency_key="k-1"), seen)

            assert connections_in_use(client) == 0
            assert client._pool.slots._free == 100
        assert len(seen) <= 2
        assert caught.value.in_doubt
        assert caught.value.idempotency_key == "k-1"

    async def test_of_a_missing_state_are_timeouts(self) -> None:
        async with (
            raw_server(say_and_stall(begun(PARTS[1]))) as server,
            client_for(server.url, retry=ONCE, timeout=0.05) as client,
        ):
            states = client.extractions.stream(**REQUIRED)
            await anext(states)
            with pytest.raises(APITimeoutError, match=r"no answer within 0\.05 s") as caught:
                await anext(states)

            assert caught.value.in_doubt
            assert connections_in_use(client) == 0

    async def test_of_a_line_that_drips_without_end_are_timeouts(self) -> None:
        async with (
            raw_server(drip(begun(PARTS[1]), chunk(b" "), every=0.005)) as server,
            client_for(server.url, retry=ONCE, timeout=0.1) as client,
        ):
            states = client.extractions.stream(**REQUIRED)
            await anext(states)
            with pytest.raises(APITimeoutError):
                await anext(states)

    async def test_do_not_include_a_first_state_that_takes_as_long_as_the_foreground(self) -> None:
        """The service reads the document before the first state."""

        async def late(wire: Any) -> None:
            wire.writer.write(message(b"", headers=CHUNKED))
            await wire.writer.drain()
            await asyncio.sleep(0.3)
            wire.writer.write(chunk(lines(PARTS[1])) + b"0\r\n\r\n")

        async with raw_server(late) as server, client_for(server.url, retry=ONCE, timeout=0.05) as client:
            assert [state.id async for state in client.extractions.stream(**REQUIRED)] == ["extr_1"]

    async def test_of_a_missing_response_are_timeouts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retab_async.api.run_api.FOREGROUND_SECONDS", 0.1)
        with pytest.raises(APITimeoutError):
            await streamed(stall, timeout=0.05)

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"[1]\n", "not a JSON object"),
            (b"tell me\n", "not JSON"),
            (b'{"id": "extr_1"\n', "not JSON"),
        ],
        ids=["no object", "no JSON", "half a line"],
    )
    async def test_of_an_unreadable_line_are_response_errors(self, line: bytes, reason: str) -> None:
        with pytest.raises(ResponseError, match=reason) as caught:
            await streamed(whole(lines(PARTS[1]) + line))

        assert caught.value.in_doubt

    async def test_that_quote_a_line_redact_the_key(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with pytest.raises(ResponseError) as caught:
            await streamed(whole(f"you sent {KEY}\n".encode()))

        assert KEY not in f"{caught.value!r}{vars(caught.value)}{caplog.text}"

    async def test_of_an_endless_line_are_raised_at_the_size_limit(self) -> None:
        with pytest.raises(ResponseError, match=f"longer than {MAX_LINE_BYTES} bytes"):
            await streamed(drip(begun(PARTS[1]), chunk(b"x" * 2**20), every=0))

    async def test_of_a_closed_client_are_client_state_errors(self) -> None:
        async with client_for("http://127.0.0.1:9") as client:
            await client.aclose()
            with pytest.raises(ClientStateError):
                await anext(client.extractions.stream(**REQUIRED))


class TestInvalidArguments:
    async def test_are_rejected_at_once(self) -> None:
        async with raw_server(reset) as server, client_for(server.url) as client:
            with pytest.raises(InvalidRequestError, match="background=True cannot be combined with stream"):
                client.extractions.stream(**REQUIRED, background=True)
            with pytest.raises(InvalidRequestError, match="json_schema"):
                client.extractions.stream(document=PDF, json_schema={})
            with pytest.raises(InvalidRequestError, match="idempotency_key"):
                client.extractions.stream(**REQUIRED, idempotency_key="")

            assert server.requests == []

    async def test_include_an_invalid_document(self) -> None:
        async with raw_server(reset) as server, client_for(server.url) as client:
            with pytest.raises(InvalidDocumentError):
                await anext(client.extractions.stream(document="missing.pdf", json_schema={"type": "object"}))

            assert server.requests == []
