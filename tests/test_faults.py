"""A table of server faults with their expected outcomes; no fault leaves anything behind."""

import json
from typing import Any

import pytest
from clients import ONCE, client_for
from fault_harness import ALL, VERBS, Case, LeakCheck, by_verb, by_verb_and_path, came_of, no_leaks
from payloads import BARE_SPLIT, SPLIT_ID
from raw_server import (
    Early,
    Step,
    blackhole,
    close_early,
    drip,
    later,
    message,
    raw_server,
    reply,
    reset,
    say_and_close,
    say_and_reset,
    say_and_stall,
    stall,
    unused_port,
)

from retab_async import APIConnectionError, APIError, APITimeoutError, ResponseTooLargeError, RetryPolicy

pytestmark = pytest.mark.usefixtures("connection_path")

ok = reply(BARE_SPLIT)
BODY = json.dumps(BARE_SPLIT).encode()
SHORT_TIMEOUT: dict[str, Any] = {"timeout": 0.3, "retry": ONCE}
TWICE: dict[str, Any] = {"retry": RetryPolicy(attempts=2, wait_initial=0.001)}
ONE: dict[str, Any] = {"retry": ONCE}
LOST = "the connection was lost before the answer"
CUT = "the answer was cut short or garbled"
CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked"}
LARGE_ONES = ("create large",)


def head(*lines: str, first: str = "HTTP/1.1 200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *lines, "")).encode("latin-1")


def response(*lines: str, first: str = "HTTP/1.1 200 OK", body: bytes = BODY) -> bytes:
    return head(*lines, f"Content-Length: {len(body)}", first=first) + body


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return message(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end, headers=CHUNKED)


def endless(status: int, size: int) -> Step:
    return drip(message(b"", status, CHUNKED), b"%x\r\n%s\r\n" % (size, bytes(size)), 0)


say_twice = say_and_stall(message(BODY) + message(BODY))


def fine(*steps: Step | Early, **expected: Any) -> Case:
    """Return the case of an unusual but valid response."""
    return Case(steps, **expected)


def once(step: Step | Early, **expected: Any) -> Case:
    """Return the case of a fault that a retry overcomes."""
    return Case((step, ok), **{"sends": 2, "connections": 2, **expected})


def twice(step: Step | Early, says: str, sends: int = 2, **expected: Any) -> Case:
    """Return the case of a transient fault in both attempts."""
    return Case((step,), APIConnectionError, says, sends, 2, TWICE, **expected)


def garbled(step: Step) -> Case:
    """Return the case of an unreadable response."""
    return Case((step,), APIConnectionError, "garbled", settings=ONE)


def late(step: Step | Early, sends: int = 1) -> Case:
    """Return the case of a timeout before any response."""
    return Case((step,), APITimeoutError, "no answer within 0.3 s", sends, settings=SHORT_TIMEOUT)


def incomplete(step: Step, received: str = "") -> Case:
    """Return the case of a timeout within the body."""
    return Case((step,), APITimeoutError, f"{received} bytes of the answer arrived within 0.3", settings=SHORT_TIMEOUT)


def oversized(step: Step) -> Case:
    """Return the case of a header line over the limit."""
    return Case((step,), APIConnectionError, "a header line of the answer is longer than 65536 bytes", final=True)


def refused(step: Step, says: str) -> Case:
    """Return the case of an error response."""
    return Case((step,), APIError, says)


SHORT = {"Content-Length": "500"}
BROKEN: dict[str, Case] = {
    "reset before the request": twice(Early(reset), "", 0),
    "reset in the request": twice(Early(reset, 100), LOST, 0),
    "reset in the request, once": once(Early(reset, 100), sends=1),
    "reset in a large request": twice(Early(reset, 1_000_000), LOST, 0, verbs=LARGE_ONES),
    "reset after the request": twice(reset, LOST),
    "reset after the request, once": once(reset),
    "closed before the request": twice(Early(close_early), "", 0),
    "closed in the request": twice(Early(close_early, 100), LOST, 0),
    "closed in a large request": twice(Early(close_early, 1_000_000), LOST, 0, verbs=LARGE_ONES),
    "closed after the request": twice(close_early, LOST),
    "closed in the status line": twice(say_and_close(b"HTTP/1.1 20"), LOST),
    "closed in the headers": twice(say_and_close(b"HTTP/1.1 200 OK\r\nContent-Le"), LOST),
    "reset in the headers": twice(say_and_reset(b"HTTP/1.1 200 OK\r\nContent-Le"), LOST),
    "closed before the body": twice(say_and_close(message(b"", headers=SHORT)), CUT),
    "closed in the body": twice(say_and_close(message(b"{", headers=SHORT)), CUT),
    "closed in the body, once": once(say_and_close(message(b"{", headers=SHORT))),
    "reset in the body": twice(say_and_reset(message(b"{", headers=SHORT)), CUT),
    "closed in a chunk": twice(say_and_close(chunks(BODY, end=b"5\r\n{")), CUT),
    "closed in the size of a chunk": twice(say_and_close(chunks(BODY, end=b"5")), CUT),
    "closed before the last chunk": twice(say_and_close(chunks(BODY, end=b"")), CUT),
    "closed in the last chunk": twice(say_and_close(chunks(BODY, end=b"0\r\n")), CUT),
    "closed in an error's body": twice(say_and_close(message(b"{", 400, SHORT)), CUT),
}

SLOW: dict[str, Case] = {
    "headers that come late": fine(later(ok)),
    "nothing at all": late(stall),
    "a request that is not read": late(Early(stall, 100), 0),
    "headers that stop": late(say_and_stall(b"HTTP/1.1 200 OK\r\n")),
    "headers that drip": late(drip(b"HTTP/1.1 200 OK\r\nX: ", b"y")),
    "a body that drips": incomplete(drip(message(b"", headers=SHORT))),
    "a body of chunks that drips": incomplete(drip(message(b"", headers=CHUNKED), b"1\r\n \r\n")),
    "a body that stops short of its length": incomplete(
        say_and_stall(message(BODY, headers=SHORT)), f"only {len(BODY)}"
    ),
    "an error's body that stops": incomplete(say_and_stall(message(b"{", 400, SHORT)), "only 1"),
    "interim answers without end": late(drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")),
}

LIES: dict[str, Case] = {
    "two lengths that differ": garbled(say_and_close(response("Content-Length: 5"))),
    "two lengths that agree": garbled(say_and_close(response(f"Content-Length: {len(BODY)}"))),
    "a length and chunks": garbled(say_and_close(response("Transfer-Encoding: chunked"))),
    "a length that is no number": garbled(say_and_close(head("Content-Length: many") + BODY)),
    "a length below nothing": garbled(say_and_close(head("Content-Length: -5") + BODY)),
    "a length beyond all numbers": garbled(say_and_close(head(f"Content-Length: {10**30}") + BODY)),
    "a length that the body exceeds": garbled(reply(BODY, headers={"Content-Length": "5"})),
    "a length that the body exceeds, once": once(reply(BODY + b"more", headers={"Content-Length": "5"})),
    "a chunk beyond all numbers": garbled(say_and_close(message(b"F" * 30 + b"\r\n", headers=CHUNKED))),
    "a chunk whose size is no number": garbled(say_and_close(message(b"many\r\n", headers=CHUNKED))),
    "a chunk that exceeds its size": garbled(say_and_close(message(b"1\r\n{}{}\r\n0\r\n\r\n", headers=CHUNKED))),
    "an encoding that it has not": garbled(reply(BODY, headers={"Content-Encoding": "gzip"})),
    "an encoding that was not requested": fine(reply(BODY, headers={"Content-Encoding": "x-own"})),
    "a type that it is not": fine(reply(BODY, headers={"Content-Type": "text/html; charset=utf-16"})),
}

ODD: dict[str, Case] = {
    "no HTTP": garbled(say_and_close(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    "no HTTP, once": once(say_and_close(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    "HTTP/2": garbled(say_and_close(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")),
    "HTTP/1.0": fine(say_and_close(response(first="HTTP/1.0 200 OK"))),
    "no length and no chunks": fine(say_and_close(head() + BODY)),
    "no reason": fine(say_and_close(response(first="HTTP/1.1 200 "))),
    "a status of two digits": garbled(say_and_close(response(first="HTTP/1.1 20 OK"))),
    "an unknown status": fine(say_and_close(response(first="HTTP/1.1 299 Hm"))),
    "a header without a colon": garbled(say_and_close(response("nothing"))),
    "a header with a NUL": garbled(say_and_close(response("X: \x00"))),
    "128 headers": fine(say_and_close(response(*(f"X-{number}: y" for number in range(127))))),
    "129 headers": garbled(say_and_close(response(*(f"X-{number}: y" for number in range(128))))),
    "a header line of 64 KiB": fine(say_and_close(response(f"X: {'y' * 65_500}"))),
    "a header line over 64 KiB": oversized(say_and_close(response(f"X: {'y' * 66_000}"))),
    "a header line of a megabyte": oversized(say_and_close(response(f"X: {'y' * 1_000_000}"))),
    "a status line over 64 KiB": oversized(say_and_close(response(first=f"HTTP/1.1 200 {'y' * 66_000}"))),
    "many long headers": fine(say_and_close(response(*(f"X-{number}: {'y' * 9000}" for number in range(20))))),
    "100 before the answer": fine(say_and_close(head(first="HTTP/1.1 100 Continue") + response())),
    "103 before the answer": fine(say_and_close(head("Link: </x>", first="HTTP/1.1 103 Early Hints") + response())),
    "101": refused(say_and_close(head("Upgrade: own", "Connection: upgrade", first="HTTP/1.1 101 On")), "status 101"),
    "304": refused(say_and_close(head(first="HTTP/1.1 304 Not Modified")), "status 304"),
    "trailers": fine(say_and_close(chunks(BODY, end=b"0\r\nX-Late: yes\r\n\r\n"))),
    "many chunks": fine(say_and_close(chunks(*(BODY[at : at + 1] for at in range(len(BODY)))))),
    "a redirect within its origin": refused(reply(b"", 307, {"Location": "/v1/other"}), "redirect"),
    "a redirect to another origin": refused(reply(b"", 302, {"Location": "http://127.0.0.1:9/"}), "redirect"),
    "a redirect to nowhere": refused(reply(b"", 308), "redirect"),
    "an error without end": refused(endless(400, 2**16), "status 400"),
    "a result without end": Case(
        (endless(200, 2**20),), ResponseTooLargeError, "larger than 67108864 bytes", verbs=("get", "create")
    ),
}

# After one successful call.
KEPT_ALIVE: dict[str, Case] = {
    "reset": fine(ok, reset, ok, sends=3, connections=2, settings=ONE),
    "reset in the request": fine(ok, Early(reset, 1), ok, sends=2, connections=2, settings=ONE),
    "closed": fine(ok, close_early, ok, sends=3, connections=2, settings=ONE),
    "closed in the request": fine(ok, Early(close_early, 1), ok, sends=2, connections=2, settings=ONE),
    "closed in the answer": fine(ok, say_and_close(b"HTTP/1.1 200"), ok, sends=3, connections=2, settings=ONE),
    "full of a second answer": fine(say_twice, ok, sends=2, connections=2, settings=ONE),
    "cut in the body": Case(
        (ok, say_and_close(message(b"{", headers=SHORT)), ok), APIConnectionError, CUT, 2, settings=ONE
    ),
}


@pytest.mark.parametrize(
    ("case", "verb", "connection_path"), by_verb_and_path(BROKEN | SLOW | LIES | ODD), indirect=["connection_path"]
)
async def test_a_server_fault_ends_as_specified(case: Case, verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with no_leaks(caplog):
        async with raw_server(*case.steps) as server, client_for(server.url, **case.settings) as client:
            leaks = LeakCheck(client)
            outcome = await came_of(VERBS[verb](client))
            await leaks.check()

        case.check(outcome, server)


@pytest.mark.parametrize(("case", "verb"), by_verb(KEPT_ALIVE))
async def test_a_fault_of_a_kept_alive_connection_ends_as_specified(
    case: Case, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with no_leaks(caplog):
        async with raw_server(*case.steps) as server, client_for(server.url, **case.settings) as client:
            await client.splits.get(SPLIT_ID)
            leaks = LeakCheck(client)
            outcome = await came_of(VERBS[verb](client))
            await leaks.check()

        case.check(outcome, server)


@pytest.mark.parametrize("verb", ALL)
async def test_a_closed_port_raises_connection_error(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with no_leaks(caplog), client_for(f"http://127.0.0.1:{unused_port()}", **TWICE) as client:
        leaks = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await leaks.check()

        assert isinstance(outcome, APIConnectionError)
        assert outcome.attempts == 2
        assert not outcome.in_doubt


@pytest.mark.parametrize("verb", ALL)
async def test_an_unresponsive_address_raises_timeout_error(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with no_leaks(caplog), blackhole() as url, client_for(url, **SHORT_TIMEOUT) as client:
        leaks = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await leaks.check()

        assert isinstance(outcome, APITimeoutError)


async def test_an_unsolicited_response_is_discarded() -> None:
    """A second response behind the first would answer the next call if the connection were reused."""
    forged = message(json.dumps({"id": "splt_forged", "status": "completed"}).encode())
    both = say_and_stall(message(BODY) + forged)
    async with raw_server(both, ok) as server, client_for(server.url) as client:
        runs = [await client.splits.get(SPLIT_ID) for _ in range(2)]

        assert [run.status for run in runs] == ["cancelled", "cancelled"]
        assert server.connections == 2
