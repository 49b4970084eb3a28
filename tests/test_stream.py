"""Extractions that are watched while they come about: line by line, on one connection."""

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
ASKED: dict[str, Any] = {"document": PDF, "json_schema": {"type": "object"}}
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
    """Return the bytes of an answer that says these parts and is not at its end."""
    return message(b"", headers=CHUNKED) + b"".join(chunk(lines(part)) for part in parts)


def whole(content: bytes) -> Step:
    return reply(chunk(content) + b"0\r\n\r\n", headers=CHUNKED) if content else reply(b"0\r\n\r\n", headers=CHUNKED)


async def streamed(*steps: Step, **settings: Any) -> tuple[list[Extraction], RawServer]:
    async with raw_server(*steps) as server, client_for(server.url, **{"retry": ONCE} | settings) as client:
        try:
            async with client.extractions.stream(**ASKED) as states:
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
    """A stream that has begun and does not go on."""
    async with (
        raw_server(say_and_stall(begun(*PARTS[:2]))) as server,
        client_for(server.url, retry=ONCE) as client,
    ):
        yield server, client


class TestStates:
    async def test_come_as_the_lines_come(self) -> None:
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
    async def test_are_found_behind_what_surrounds_them(self, content: bytes) -> None:
        states, _ = await streamed(whole(content))

        assert len(states) == len(PARTS)

    async def test_are_put_together_from_whatever_pieces_come(self) -> None:
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

    async def test_of_another_shape_are_read_as_far_as_they_fit(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "retab_async")
        states, _ = await streamed(whole(lines({"id": 5, "status": 5, "output": [], "n_consensus": "?"})))

        assert states == [Extraction(id="", status=RunStatus.PENDING)]
        assert "n_consensus" in caplog.text
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]

    async def test_leave_a_connection_that_is_of_use_again(self) -> None:
        steps = whole(lines(*PARTS)), reply(body("extractions", "completed"))
        async with raw_server(*steps) as server, client_for(server.url) as client:
            assert len([state async for state in client.extractions.stream(**ASKED)]) == len(PARTS)
            await client.extractions.get("extr_1")

            assert server.connections == 1

    async def test_are_to_be_had_by_the_published_name(self) -> None:
        async with raw_server(whole(lines(PARTS[3]))) as server, client_for(server.url) as client:
            assert [state.id async for state in client.extractions.create_stream(**ASKED)] == ["extr_1"]


class TestLeftEarly:
    async def test_by_its_block_it_closes_the_connection(self, flowing: tuple[RawServer, AsyncRetab]) -> None:
        server, client = flowing
        async with client.extractions.stream(**ASKED) as states:
            await anext(states)

        assert connections_in_use(client) == 0
        assert client._pool.slots._free == 100
        await until(lambda: not server.open)

    async def test_by_a_break_it_closes_the_connection_when_the_loop_gets_to_it(
        self, flowing: tuple[RawServer, AsyncRetab]
    ) -> None:
        server, client = flowing
        async for _ in client.extractions.stream(**ASKED):
            break
        gc.collect()

        await until(lambda: not server.open)
        assert connections_in_use(client) == 0

    async def test_by_aclose_it_is_at_its_end(self, flowing: tuple[RawServer, AsyncRetab]) -> None:
        _, client = flowing
        states = client.extractions.stream(**ASKED)
        await anext(states)
        await states.aclose()
        await states.aclose()

        assert [state async for state in states] == []
        assert connections_in_use(client) == 0

    async def test_by_cancellation_it_closes_the_connection(self, flowing: tuple[RawServer, AsyncRetab]) -> None:
        server, client = flowing

        async def watch() -> None:
            async with client.extractions.stream(**ASKED) as states:
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

    async def test_before_the_first_step_nothing_was_sent(self, flowing: tuple[RawServer, AsyncRetab]) -> None:
        server, client = flowing
        async with client.extractions.stream(**ASKED):
            pass

        assert server.requests == []

    async def test_by_the_client_it_says_so(self, flowing: tuple[RawServer, AsyncRetab]) -> None:
        _, client = flowing
        states = client.extractions.stream(**ASKED)
        await anext(states)
        await client.aclose()

        with pytest.raises(ClientStateError, match="closed"):
            await rest_of(states)


class TestPlaces:
    async def test_are_taken_for_as_long_as_the_stream_goes_on(self) -> None:
        async with (
            raw_server(say_and_stall(begun(PARTS[1]))) as server,
            client_for(server.url, max_connections=1, timeout=0.1, retry=ONCE) as client,
        ):
            async with client.extractions.stream(**ASKED) as states:
                await anext(states)
                assert not client._pool.slots.try_acquire()

            assert client._pool.slots.try_acquire()


class TestSentAgain:
    @pytest.mark.parametrize(
        "first", [reply({}, 503), reply({}, 429), reset, close_early], ids=["503", "429", "reset", "closed"]
    )
    async def test_as_long_as_there_is_no_answer(self, first: Step) -> None:
        async with raw_server(first, whole(lines(*PARTS))) as server, client_for(server.url) as client:
            states = [state async for state in client.extractions.stream(**ASKED)]

        assert len(states) == len(PARTS)
        one, two = (request.headers["idempotency-key"] for request in server.requests)
        assert one == two

    async def test_never_once_it_has_begun(self) -> None:
        async with raw_server(say_and_close(begun(PARTS[1]))) as server, client_for(server.url) as client:
            with pytest.raises(APIConnectionError):
                await rest_of(client.extractions.stream(**ASKED))

            assert len(server.requests) == 1


class TestErrors:
    @pytest.mark.parametrize(("status", "kind"), [(400, APIError), (422, ValidationError), (500, InternalServerError)])
    async def test_of_the_api_are_its_errors(self, status: int, kind: type[APIError]) -> None:
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
    async def test_of_the_connection_under_way_are_in_doubt(self, broken: Step) -> None:
        seen: list[Extraction] = []
        async with raw_server(broken) as server, client_for(server.url, retry=ONCE) as client:
            with pytest.raises(APIConnectionError) as caught:
                await rest_of(client.extractions.stream(**ASKED, idempotency_key="k-1"), seen)

            assert connections_in_use(client) == 0
            assert client._pool.slots._free == 100
        assert len(seen) <= 2
        assert caught.value.in_doubt
        assert caught.value.idempotency_key == "k-1"

    async def test_of_a_state_that_does_not_come_is_a_timeout(self) -> None:
        async with (
            raw_server(say_and_stall(begun(PARTS[1]))) as server,
            client_for(server.url, retry=ONCE, timeout=0.05) as client,
        ):
            states = client.extractions.stream(**ASKED)
            await anext(states)
            with pytest.raises(APITimeoutError, match=r"no answer within 0\.05 s") as caught:
                await anext(states)

            assert caught.value.in_doubt
            assert connections_in_use(client) == 0

    async def test_of_a_line_that_comes_in_drops_without_end_is_a_timeout(self) -> None:
        async with (
            raw_server(drip(begun(PARTS[1]), chunk(b" "), every=0.005)) as server,
            client_for(server.url, retry=ONCE, timeout=0.1) as client,
        ):
            states = client.extractions.stream(**ASKED)
            await anext(states)
            with pytest.raises(APITimeoutError):
                await anext(states)

    async def test_of_the_first_state_leave_it_the_time_of_the_foreground(self) -> None:
        """A document is read before anything can be told of it."""

        async def late(wire: Any) -> None:
            wire.writer.write(message(b"", headers=CHUNKED))
            await wire.writer.drain()
            await asyncio.sleep(0.3)
            wire.writer.write(chunk(lines(PARTS[1])) + b"0\r\n\r\n")

        async with raw_server(late) as server, client_for(server.url, retry=ONCE, timeout=0.05) as client:
            assert [state.id async for state in client.extractions.stream(**ASKED)] == ["extr_1"]

    async def test_of_no_answer_at_all_is_a_timeout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retab_async.api.run_api.IN_FOREGROUND", 0.1)
        with pytest.raises(APITimeoutError):
            await streamed(stall, timeout=0.05)

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"[1]\n", "no object"),
            (b"tell me\n", "not JSON"),
            (b'{"id": "extr_1"\n', "not JSON"),
        ],
        ids=["no object", "no JSON", "half a line"],
    )
    async def test_of_what_a_line_says_are_told(self, line: bytes, reason: str) -> None:
        with pytest.raises(ResponseError, match=reason) as caught:
            await streamed(whole(lines(PARTS[1]) + line))

        assert caught.value.in_doubt

    async def test_that_quote_a_line_leave_out_the_key(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with pytest.raises(ResponseError) as caught:
            await streamed(whole(f"you sent {KEY}\n".encode()))

        assert KEY not in f"{caught.value!r}{vars(caught.value)}{caplog.text}"

    async def test_of_a_line_without_an_end_are_told_before_it_fills_the_memory(self) -> None:
        with pytest.raises(ResponseError, match=f"longer than {MAX_LINE_BYTES} bytes"):
            await streamed(drip(begun(PARTS[1]), chunk(b"x" * 2**20), every=0))

    async def test_of_an_event_loop_that_is_not_the_client_s(self) -> None:
        async with client_for("http://127.0.0.1:9") as client:
            await client.aclose()
            with pytest.raises(ClientStateError):
                await anext(client.extractions.stream(**ASKED))


class TestRefused:
    async def test_at_once_is_what_the_api_would_refuse(self) -> None:
        async with raw_server(reset) as server, client_for(server.url) as client:
            with pytest.raises(InvalidRequestError, match="background=True cannot be combined with stream"):
                client.extractions.stream(**ASKED, background=True)
            with pytest.raises(InvalidRequestError, match="json_schema"):
                client.extractions.stream(document=PDF, json_schema={})
            with pytest.raises(InvalidRequestError, match="idempotency_key"):
                client.extractions.stream(**ASKED, idempotency_key="")

            assert server.requests == []

    async def test_is_a_document_that_cannot_be_sent(self) -> None:
        async with raw_server(reset) as server, client_for(server.url) as client:
            with pytest.raises(InvalidDocumentError):
                await anext(client.extractions.stream(document="missing.pdf", json_schema={"type": "object"}))

            assert server.requests == []
