"""A table of what a server may do to a call, and what is to come of it: the outcome, and nothing left behind."""

import json
from typing import Any

import pytest
from bodies import BARE_SPLIT
from clients import ONCE, client_for
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
from rig import VERBS, Case, Whole, by_verb, came_of, quiet

from retab_async import APIConnectionError, APIError, APITimeoutError, ResponseError, RetryPolicy

ok = reply(BARE_SPLIT)
TOLD = json.dumps(BARE_SPLIT).encode()
HASTY: dict[str, Any] = {"timeout": 0.3, "retry": ONCE}
TWICE: dict[str, Any] = {"retry": RetryPolicy(attempts=2, wait_initial=0.001)}
ONE: dict[str, Any] = {"retry": ONCE}
LOST = "the connection was lost before the answer"
CUT = "the answer was cut short or garbled"
GARBLED = "the answer is not HTTP, or garbled"
LATE = "no answer within 0.3 s"
CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked"}
READ = ("get", "create")


def head(*lines: str, first: str = "HTTP/1.1 200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *lines, "")).encode("latin-1")


def told(*lines: str, first: str = "HTTP/1.1 200 OK", body: bytes = TOLD) -> bytes:
    return head(*lines, f"Content-Length: {len(body)}", first=first) + body


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return message(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end, headers=CHUNKED)


def twice(step: Step | Early, error: Any, says: str, sends: int = 2) -> Case:
    """Be a fault that is worth another try, and is met again."""
    return Case((step,), error, says, sends, 2, TWICE)


def once(step: Step | Early, **expected: Any) -> Case:
    """Be a fault that goes away."""
    return Case((step, ok), **{"sends": 2, "connections": 2, **expected})


BROKEN: dict[str, Case] = {
    "reset before the request": twice(Early(reset), APIConnectionError, "", 0),
    "reset in the request": twice(Early(reset, 100), APIConnectionError, LOST, 0),
    "reset in the request, once": once(Early(reset, 100), sends=1),
    "reset after the request": twice(reset, APIConnectionError, LOST),
    "reset after the request, once": once(reset),
    "closed before the request": twice(Early(close_early), APIConnectionError, "", 0),
    "closed in the request": twice(Early(close_early, 100), APIConnectionError, LOST, 0),
    "closed after the request": twice(close_early, APIConnectionError, LOST),
    "closed in the status line": twice(say_and_close(b"HTTP/1.1 20"), APIConnectionError, LOST),
    "closed in the headers": twice(say_and_close(b"HTTP/1.1 200 OK\r\nContent-Le"), APIConnectionError, LOST),
    "reset in the headers": twice(say_and_reset(b"HTTP/1.1 200 OK\r\nContent-Le"), APIConnectionError, LOST),
    "closed before the body": twice(say_and_close(head("Content-Length: 500")), APIConnectionError, CUT),
    "closed in the body": twice(say_and_close(message(b"{", headers={"Content-Length": "500"})), APIConnectionError, CUT),
    "closed in the body, once": once(say_and_close(message(b"{", headers={"Content-Length": "500"}))),
    "reset in the body": twice(say_and_reset(message(b"{", headers={"Content-Length": "500"})), APIConnectionError, CUT),
    "closed in a chunk": twice(say_and_close(chunks(TOLD, end=b"5\r\n{")), APIConnectionError, CUT),
    "closed in the size of a chunk": twice(say_and_close(chunks(TOLD, end=b"5")), APIConnectionError, CUT),
    "closed before the last chunk": twice(say_and_close(chunks(TOLD, end=b"")), APIConnectionError, CUT),
    "closed in the last chunk": twice(say_and_close(chunks(TOLD, end=b"0\r\n")), APIConnectionError, CUT),
    "closed in an error's body": twice(
        say_and_close(message(b"{", 400, {"Content-Length": "500"})), APIConnectionError, CUT
    ),
}

SLOW: dict[str, Case] = {
    "headers that come late": Case((later(ok),)),
    "nothing at all": Case((stall,), APITimeoutError, LATE, settings=HASTY),
    "headers that stop": Case((say_and_stall(b"HTTP/1.1 200 OK\r\n"),), APITimeoutError, LATE, settings=HASTY),
    "headers that drip": Case((drip(b"HTTP/1.1 200 OK\r\nX: ", b"y"),), APITimeoutError, LATE, settings=HASTY),
    "a body that drips": Case((drip(head("Content-Length: 5000")),), APITimeoutError, LATE, settings=HASTY),
    "a body of chunks that drips": Case(
        (drip(message(b"", headers=CHUNKED), b"1\r\n \r\n"),), APITimeoutError, LATE, settings=HASTY
    ),
    "a body that stops short of its length": Case(
        (say_and_stall(message(TOLD, headers={"Content-Length": "5000"})),), APITimeoutError, LATE, settings=HASTY
    ),
    "an error's body that stops": Case(
        (say_and_stall(message(b"{", 400, {"Content-Length": "5000"})),), APITimeoutError, LATE, settings=HASTY
    ),
    "interim answers without end": Case(
        (drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),), APITimeoutError, LATE, settings=HASTY
    ),
    "a request that is not read": Case(
        (Early(stall, 100),), APITimeoutError, LATE, 0, settings=HASTY, verbs=("cancel", "get")
    ),
}

LIES: dict[str, Case] = {
    "two lengths that differ": Case(
        (say_and_close(told("Content-Length: 5")),), APIConnectionError, GARBLED, settings=ONE
    ),
    "two lengths that agree": Case(
        (say_and_close(told(f"Content-Length: {len(TOLD)}")),), APIConnectionError, GARBLED, settings=ONE
    ),
    "a length and chunks": Case(
        (say_and_close(told("Transfer-Encoding: chunked")),), APIConnectionError, GARBLED, settings=ONE
    ),
    "a length that is no number": Case(
        (say_and_close(head("Content-Length: many") + TOLD),), APIConnectionError, GARBLED, settings=ONE
    ),
    "a length below nothing": Case(
        (say_and_close(head("Content-Length: -5") + TOLD),), APIConnectionError, GARBLED, settings=ONE
    ),
    "a length beyond all numbers": Case(
        (say_and_close(head(f"Content-Length: {10**30}") + TOLD),), APIConnectionError, GARBLED, settings=ONE
    ),
    "a chunk beyond all numbers": Case(
        (say_and_close(message(b"F" * 30 + b"\r\n", headers=CHUNKED)),), APIConnectionError, CUT, settings=ONE
    ),
    "a chunk whose size is no number": Case(
        (say_and_close(message(b"many\r\n", headers=CHUNKED)),), APIConnectionError, CUT, settings=ONE
    ),
    "a chunk that is longer than it says": Case(
        (say_and_close(message(b"1\r\n{}{}\r\n0\r\n\r\n", headers=CHUNKED)),), APIConnectionError, CUT, settings=ONE
    ),
    "a length of nothing": Case(
        (reply(TOLD, headers={"Content-Length": "0"}),), ResponseError, "the answer is empty", verbs=READ
    ),
    "a length that cuts the body": Case(
        (reply(TOLD, headers={"Content-Length": "5"}),), ResponseError, "the answer is not JSON", verbs=READ
    ),
    "a body that is longer than its length": Case((reply(TOLD + b"more", headers={"Content-Length": str(len(TOLD))}),)),
    "an encoding that it has not": Case(
        (reply(TOLD, headers={"Content-Encoding": "gzip"}),), APIConnectionError, CUT, settings=ONE
    ),
    "an encoding that nobody asked for": Case(
        (reply(TOLD, headers={"Content-Encoding": "x-own"}),),
    ),
    "a type that it is not": Case((reply(TOLD, headers={"Content-Type": "text/html; charset=utf-16"}),)),
}

ODD: dict[str, Case] = {
    "no HTTP": Case((say_and_close(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),), APIConnectionError, GARBLED, settings=ONE),
    "no HTTP, once": once(say_and_close(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    "HTTP/2": Case((say_and_close(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),), APIConnectionError, GARBLED, settings=ONE),
    "HTTP/1.0": Case((say_and_close(told(first="HTTP/1.0 200 OK")),)),
    "no length and no chunks": Case((say_and_close(head() + TOLD),)),
    "no reason": Case((say_and_close(told(first="HTTP/1.1 200 ")),)),
    "a status of two digits": Case(
        (say_and_close(told(first="HTTP/1.1 20 OK")),), APIConnectionError, GARBLED, settings=ONE
    ),
    "a status that nobody knows": Case((say_and_close(told(first="HTTP/1.1 299 Hm")),)),
    "a status beyond all": Case((say_and_close(told(first="HTTP/1.1 999 Hm")),), APIError, "999", settings=ONE),
    "a header without a colon": Case((say_and_close(told("nothing")),), APIConnectionError, GARBLED, settings=ONE),
    "a header with a NUL": Case((say_and_close(told("X: \x00")),), APIConnectionError, GARBLED, settings=ONE),
    "a header that is folded": Case((say_and_close(told("X: a", " b")),), APIConnectionError, GARBLED, settings=ONE),
    "128 headers": Case((say_and_close(told(*(f"X-{number}: y" for number in range(127)))),)),
    "129 headers": Case(
        (say_and_close(told(*(f"X-{number}: y" for number in range(128)))),), APIConnectionError, GARBLED, settings=ONE
    ),
    "a header of a megabyte": Case(
        (say_and_close(told(f"X: {'y' * 1_000_000}")),), APIConnectionError, GARBLED, settings=ONE
    ),
    "100 before the answer": Case((say_and_close(head(first="HTTP/1.1 100 Continue") + told()),)),
    "103 before the answer": Case((say_and_close(head("Link: </x>", first="HTTP/1.1 103 Early Hints") + told()),)),
    "101": Case((say_and_close(head("Upgrade: own", "Connection: upgrade", first="HTTP/1.1 101 On")),), APIError),
    "304": Case((say_and_close(head(first="HTTP/1.1 304 Not Modified")),), APIError, "status 304"),
    "trailers": Case((say_and_close(chunks(TOLD, end=b"0\r\nX-Late: yes\r\n\r\n")),)),
    "many chunks": Case((reply_of_chunks := say_and_close(chunks(*(TOLD[at : at + 1] for at in range(len(TOLD))))),)),
    "a redirect on the spot": Case((reply(b"", 307, {"Location": "/v1/elsewhere"}),), APIError, "redirect"),
    "a redirect to another origin": Case((reply(b"", 302, {"Location": "http://127.0.0.1:9/"}),), APIError, "redirect"),
    "a redirect to nowhere": Case((reply(b"", 308),), APIError, "redirect"),
    "chunks without end": Case(
        (drip(message(b"", headers=CHUNKED), b"%x\r\n%s\r\n" % (2**20, bytes(2**20)), 0),),
        ResponseError, "larger than 67108864 bytes", verbs=READ,
    ),
    "an error without end": Case(
        (drip(message(b"", 400, CHUNKED), b"%x\r\n%s\r\n" % (2**16, bytes(2**16)), 0),), APIError, "status 400"
    ),
}

KEPT_ALIVE: dict[str, Case] = {
    "reset under us": Case((ok, reset, ok), sends=3, connections=2, settings=ONE),
    "closed under us": Case((ok, close_early, ok), sends=3, connections=2, settings=ONE),
    "reset under us in the request": Case((ok, Early(reset, 1), ok), sends=2, connections=2, settings=ONE),
    "closed under us in the request": Case((ok, Early(close_early, 1), ok), sends=2, connections=2, settings=ONE),
    "closed in the answer": Case(
        (ok, say_and_close(b"HTTP/1.1 200"), ok), sends=3, connections=2, settings=ONE
    ),
}


@pytest.mark.parametrize(("case", "verb"), by_verb(BROKEN | SLOW | LIES | ODD))
async def test_a_server_that_does_this(case: Case, verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with quiet(caplog):
        async with raw_server(*case.steps) as server, client_for(server.url, **case.settings) as client:
            whole = Whole(client)
            outcome = await came_of(VERBS[verb](client))
            await whole.check()

        print(repr(outcome), len(server.requests), server.connections)
        assert case.says in str(outcome)
        assert (type(outcome).__name__) == (case.error.__name__ if case.error else "Split")
        assert (len(server.requests), server.connections) == (case.sends, case.connections)


@pytest.mark.parametrize(("case", "verb"), by_verb(KEPT_ALIVE))
async def test_a_kept_alive_connection_that_is(case: Case, verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with quiet(caplog):
        async with raw_server(*case.steps) as server, client_for(server.url, **case.settings) as client:
            await client.splits.get("splt_before")
            whole = Whole(client)
            outcome = await came_of(VERBS[verb](client))
            await whole.check()

        print(repr(outcome), len(server.requests), server.connections)
        assert (type(outcome).__name__) == (case.error.__name__ if case.error else "Split")
        assert (len(server.requests), server.connections) == (case.sends, case.connections)
