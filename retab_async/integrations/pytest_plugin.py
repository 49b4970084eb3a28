"""pytest plugin: an emulator of the API for each test that asks for it, also for code that calls `asyncio.run`.

Its entry point loads it in every project that has this package and pytest. So it loads the rest of the package only for
tests that use its fixtures, has no autouse fixture, and no fixture with a generic name.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from retab_async.emulator import Emulator, Fault, ReceivedDocument, RecordedRequest

ResultT = TypeVar("ResultT")

# Seconds for a call in the thread of the emulator, and for its start and its end.
_TIMEOUT = 20.0


@pytest.fixture
def retab_emulator_settings() -> dict[str, Any]:
    """Arguments of the `Emulator` of `retab_emulator`; override this fixture to change them.

    By default runs are in progress for 0.05 seconds. With a `ManualClock` as `clock` the test advances it.
    """
    return {"queued": 0.0, "running": 0.05}


@pytest.fixture
def retab_emulator(retab_emulator_settings: dict[str, Any]) -> "Iterator[RetabEmulator]":
    """Run an emulator of the Retab API in a thread, with `RETAB_API_KEY` and `RETAB_API_BASE_URL` set for clients.

    Each test has its own. It is a synchronous fixture, for tests with or without an event loop.
    """
    from retab_async.emulator import Emulator  # noqa: PLC0415 - loaded for tests that use it

    emulator = Emulator(**retab_emulator_settings)
    with _served_in_thread(emulator) as loop, pytest.MonkeyPatch.context() as environment:
        environment.setenv("RETAB_API_KEY", emulator.api_key)
        environment.setenv("RETAB_API_BASE_URL", emulator.url)
        yield RetabEmulator(emulator, loop)


@pytest.fixture
def cancel_everywhere() -> "Callable[..., Awaitable[int]]":
    """Cancel a coroutine at each of its suspension points, with `retab_async.testing.cancel_everywhere`."""
    from retab_async.testing import cancel_everywhere as function  # noqa: PLC0415 - loaded for tests that use it

    return function


class RetabEmulator:
    """Emulator in a thread of its own; its methods may be called from any thread, in an event loop or not.

    Attributes:
        url: The base URL; also in `RETAB_API_BASE_URL`.
        api_key: A key that is accepted; also in `RETAB_API_KEY`.
    """

    def __init__(self, emulator: "Emulator", loop: asyncio.AbstractEventLoop) -> None:
        self.url: str = emulator.url
        self.api_key: str = emulator.api_key
        self._emulator = emulator
        self._loop = loop

    def seed(self, kind: str, count: int = 1, **options: Any) -> list[str]:
        """Create background runs without a request and return their ids; see `Emulator.seed`."""
        return self._call(lambda: self._emulator.seed(kind, count, **options))

    def fail(self, route: str, *faults: "Fault") -> None:
        """Replace the next responses of a route by faults, one each; see `Emulator.fail`."""
        self._call(lambda: self._emulator.fail(route, *faults))

    def active_runs(self) -> list[str]:
        """Return the ids of the runs of all kinds that are not terminal, oldest first."""
        return self._call(self._emulator.active_runs)

    def document_of(self, run_id: str, which: str | int = 0) -> "ReceivedDocument":
        """Return what was received as a document of a run; see `Emulator.document_of`."""
        return self._call(lambda: self._emulator.document_of(run_id, which))

    @property
    def requests(self) -> "list[RecordedRequest]":
        """The requests that were served so far, in the order in which they were answered."""
        return self._call(lambda: self._emulator.requests[:])

    @property
    def counts(self) -> Counter[int]:
        """The number of responses so far by status."""
        return self._call(self._emulator.counts.copy)

    def __repr__(self) -> str:
        return f"<RetabEmulator {self.url}>"

    def _call(self, function: Callable[[], ResultT]) -> ResultT:
        async def call() -> ResultT:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(_TIMEOUT)


@contextmanager
def _served_in_thread(emulator: "Emulator") -> Iterator[asyncio.AbstractEventLoop]:
    """Start an emulator in an event loop of its own, and stop both when the block is left."""
    started: Future[asyncio.AbstractEventLoop] = Future()
    stopped = asyncio.Event()

    async def serve() -> None:
        try:
            await emulator.start()
        except Exception as error:  # noqa: BLE001 - raised in the thread of the test
            started.set_exception(error)
            return
        async with aclosing(emulator):
            started.set_result(asyncio.get_running_loop())
            await stopped.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="retab_emulator", daemon=True)
    thread.start()
    loop = started.result(_TIMEOUT)
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(_TIMEOUT)
