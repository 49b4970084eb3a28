"""Checks around every fault: what must hold for the client, its event loop and its process."""

import asyncio
import gc
import logging
import pickle
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from clients import connections_in_use
from payloads import KEY, SPLIT_ID
from raw_server import Early, RawServer, Step, until

import retab_async
from retab_async import APIConnectionError, AsyncRetab, RetabError, Split, Subdocument
from retab_async.throttle import Throttle

PACKAGE = str(Path(retab_async.__file__).parent)
PROXY_WORD = "word-of-the-proxy"
# Also in base64, as sent to a proxy: "user:word-of-the-proxy".
SECRETS = (KEY, PROXY_WORD, "dXNlcjp3b3JkLW9mLXRoZS1wcm94eQ==")
# More than the buffers of a socket hold.
LARGE = bytes(6 * 1024 * 1024)


def create(client: AsyncRetab, document: bytes = b"%PDF-1.7") -> Awaitable[Split]:
    return client.splits.create(document=document, subdocuments=[Subdocument("invoice")], background=True)


ALL = ("cancel", "get", "create")
VERBS: dict[str, Callable[[AsyncRetab], Awaitable[Split]]] = {
    "cancel": lambda client: client.splits.cancel(SPLIT_ID),
    "get": lambda client: client.splits.get(SPLIT_ID),
    "create": create,
    "create large": lambda client: create(client, LARGE),
}


class Case(NamedTuple):
    """What a server does with the requests of one call, and the expected outcome: an error, or else the run.

    `says` is in the error's text; `sends` requests arrive completely, on `connections` connections. A `final` error
    is not transient.
    """

    steps: tuple[Step | Early, ...]
    error: type[RetabError] | None = None
    says: str = ""
    sends: int = 1
    connections: int = 1
    settings: dict[str, Any] = {}  # noqa: RUF012 - only read
    verbs: tuple[str, ...] = ALL
    final: bool = False

    def check(self, outcome: Split | RetabError, server: RawServer) -> None:
        """Assert that this is the outcome."""
        assert type(outcome) is (self.error or Split), outcome
        assert self.says in str(outcome)
        assert not isinstance(outcome, APIConnectionError) or outcome.transient is not self.final
        assert (len(server.requests), server.connections) == (self.sends, self.connections)


def by_verb(cases: dict[str, Case]) -> list[Any]:
    """Return what `parametrize` is to go through: each case with each of its verbs."""
    return [pytest.param(case, verb, id=f"{name}-{verb}") for name, case in cases.items() for verb in case.verbs]


def by_verb_and_path(cases: dict[str, Case]) -> list[Any]:
    """Return the same, each also on the session path; creates have a body, and take no other path anyway."""
    session_path = [
        pytest.param(*param.values, "session path", id=f"{param.id}-session path", marks=pytest.mark.slow)
        for param in by_verb(cases)
        if not param.values[1].startswith("create")
    ]
    return [*(pytest.param(*param.values, "fast path", id=param.id) for param in by_verb(cases)), *session_path]


def tasks() -> "set[asyncio.Task[Any]]":
    """All tasks, but for those in which servers of the tests serve their connections."""
    served = ("RequestHandler", "RawServer.serve", "_accept_connection2", "_pour")
    return {task for task in asyncio.all_tasks() if not any(name in repr(task.get_coro()) for name in served)}


def descriptors() -> int:
    """How many files and sockets the process has open; 0 if unknown."""
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


class LeakCheck:
    """Leak check: compares a client with its initial state.

    Whatever a client owns gets a line in `check`.
    """

    def __init__(self, client: AsyncRetab) -> None:
        self._client = client
        self._free = client._pool.slots._free
        self.tasks = tasks()

    async def check(self) -> None:
        """Assert that nothing is held, nothing waits, and no cancel is pending."""
        await until(lambda: self._client._cleanup.is_idle)
        await until(lambda: tasks() <= self.tasks | {asyncio.current_task()})

        assert self._client._pool.closed or connections_in_use(self._client) == 0
        assert self._client._pool.slots._free == self._free
        assert self._client._pool.slots.waiting == 0
        assert self._client._cleanup.unconfirmed == ()
        self._check_throttle(self._client._throttle)
        self._check_throttle(self._client._throttle.external)

    def _check_throttle(self, throttle: Throttle) -> None:
        assert (throttle.in_flight, throttle.concurrency.in_flight) == (0, 0)
        assert (len(throttle.queue), throttle.concurrency.waiting) == (0, set())
        assert 0 <= throttle.budget.tokens <= 500


@asynccontextmanager
async def no_leaks(caplog: pytest.LogCaptureFixture, *secrets: str) -> AsyncIterator[None]:
    """Assert that the block leaves no task and no descriptor, and logs no secret."""
    caplog.set_level(logging.DEBUG)
    before, opened = tasks(), descriptors()
    yield
    # Unclosed resources warn when they are collected, which pytest turns into an error.
    gc.collect(1)
    await until(lambda: tasks() <= before)
    await until(lambda: descriptors() <= opened)
    logged = "\n".join((caplog.text, *(repr((record.args, record.exc_info)) for record in caplog.records)))
    for secret in secrets or SECRETS:
        assert secret not in logged


async def came_of(call: Awaitable[Split]) -> Split | RetabError:
    """Return the run or the error; an error must not contain secrets."""
    try:
        return await call
    except RetabError as error:
        keeps(error)
        return error


def keeps(error: BaseException, *secrets: str, besides: Collection[str] = ()) -> None:
    """Assert that no secret is in an error: its text, attributes, causes, or the locals of our own frames.

    `besides`: files whose frames may hold the text of the server.
    """
    said = said_by(error)
    for secret in secrets or SECRETS:
        assert secret not in said
        assert secret.encode() not in pickle.dumps(error)
        for place, value in own_locals(error):
            assert secret not in value or place.startswith(tuple(besides)), place


def said_by(error: BaseException) -> str:
    """Return all text that an error shows when it is printed or inspected."""
    said = [repr((one, str(one), one.args, getattr(one, "__dict__", None))) for one in chain(error)]
    return "\n".join([*said, *traceback.format_exception(error)])


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and all that stand behind it."""
    while error is not None:
        yield error
        if error.__cause__ is not None:
            yield from chain(error.__cause__)
        error = error.__context__


def own_locals(error: BaseException) -> Iterator[tuple[str, str]]:
    """Give the locals that a traceback would show of the package's own frames, each with its place."""
    for one in chain(error):
        for frame in traceback.TracebackException.from_exception(one, capture_locals=True).stack:
            if frame.filename.startswith(PACKAGE):
                for name, value in (frame.locals or {}).items():
                    yield f"{Path(frame.filename).name}:{frame.lineno}: {name}", value
