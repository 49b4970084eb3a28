"""Text of a server is printed and logged without control characters and forged log lines."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from clients import ONCE, client_for
from payloads import BARE_SPLIT, SPLIT_ID
from raw_server import Step, raw_server, reply, say_and_close

from retab_async import (
    AsyncRetab,
    PrimitiveError,
    RetabError,
    RunFailedError,
    RunStatus,
    Split,
    Subdocument,
    WaitTimeoutError,
)
from retab_async.errors import SchemaMismatchError
from retab_async.text import single_line

# Colours, a window title, the one-byte form of both, a bell, a new line, an overstrike, right-to-left text.
EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\r\nWARNING forged\b\u202egpj\u2028\x00"
SAID = {"message": EVIL, "code": EVIL, "details": [{"loc": [EVIL, 1], "msg": EVIL}], "detail": EVIL}

Call = Callable[[AsyncRetab], Awaitable[object]]


async def walk(client: AsyncRetab) -> None:
    async for _ in client.splits.list():
        pass


async def run(client: AsyncRetab) -> None:
    async with client.splits.running(document=b"%PDF", subdocuments=[Subdocument("a")]):
        pass


CALLS: dict[str, Call] = {
    "cancel": lambda client: client.splits.cancel(SPLIT_ID),
    "get": lambda client: client.splits.get(SPLIT_ID),
    "create": lambda client: client.splits.create(document=b"%PDF", subdocuments=[Subdocument("a")], background=True),
    "list": walk,
    "running": run,
}
PAGE = {"data": [{EVIL: EVIL, "id": 1}, {"id": EVIL, "status": 1}], "list_metadata": {"after": EVIL}}
ANSWERS: dict[str, Step] = {
    "an error": reply(SAID, 400),
    "an error within one": reply({"error": {"message": json.dumps(SAID)}}, 500),
    "errors by field": reply({"errors": [{"location": EVIL, "message": EVIL}]}, 422),
    "an error's text": reply(EVIL.encode(), 403),
    "an error's page": reply(f"<html>{EVIL}</html>".encode(), 502),
    "a request id": say_and_close(b"HTTP/1.1 500 \x1b[31m\r\nX-Request-Id: \x1b[31mred\r\nContent-Length: 0\r\n\r\n"),
    "no JSON": reply(EVIL.encode()),
    "a run of another shape": reply({"id": [EVIL], EVIL: EVIL, "status": {EVIL: EVIL}}),
    "a run of which some fits": reply(BARE_SPLIT | {"id": EVIL, "output": [{EVIL: 1}], "file": {EVIL: EVIL}}),
    "a run whose name is evil": reply({"id": EVIL, "status": "queued"}),
    "a page": reply(PAGE),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_no_response_reaches_the_terminal_with_control_characters(
    answer: Step, call: Call, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.cleanup._LONG_PAUSE", 0.001)
    monkeypatch.setattr("retab_async.cleanup._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("retab_async.cleanup._DRAIN_MIN", 0.1)
    monkeypatch.setattr("retab_async.cleanup._DRAIN_PER_BATCH", 0.0)
    caplog.set_level(logging.DEBUG, "retab_async")
    said: list[Any] = []
    async with raw_server(answer) as server, client_for(server.url, retry=ONCE) as client:
        try:
            await call(client)
        except RetabError as error:
            said += [str(error), repr(error)]
        said += map(str, await client.aclose())

    assert said or caplog.messages
    for text in (*said, *caplog.messages):
        assert text.isprintable(), ascii(text)


def test_run_errors_are_printable() -> None:
    split = Split(id=EVIL, status=RunStatus(EVIL), error=PrimitiveError(code=EVIL, message=EVIL))
    errors = [RunFailedError(run=split), WaitTimeoutError(run=split, run_id=EVIL, timeout=1)]

    assert all(str(error).isprintable() and repr(error).isprintable() for error in errors)
    assert "red" in str(errors[0])


def test_schema_mismatches_are_printable() -> None:
    assert str(SchemaMismatchError(EVIL, EVIL)).isprintable()


def test_single_line_keeps_printable_text() -> None:
    assert single_line("Grüße  an\n日本, 50 % 👍") == "Grüße an 日本, 50 % 👍"
