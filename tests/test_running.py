"""Runs bound to a block: each way of leaving it, at each moment at which it can be left."""

import asyncio
import io
import logging
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import aiohttp
import anyio
import pytest
from clients import ONCE, client_for, connections_in_use
from raw_server import until

from retab_async import (
    APITimeoutError,
    AsyncRetab,
    ConfigurationError,
    InvalidDocumentError,
    InvalidRequestError,
    InvalidRunIdError,
    NotFoundError,
    ResponseError,
    RunCancelledError,
    RunFailedError,
    RunHandle,
    RunScope,
    RunStatus,
    Split,
    Subdocument,
    WaitTimeoutError,
)
from retab_async.api.run_api import RecentRuns, RunApi
from retab_async.emulator import Emulator, Fault
from retab_async.throttle import FifoSemaphore

PDF = b"%PDF-1.7\n"
PART = Subdocument("invoice")
CREATE = "POST /v1/splits"
CANCEL = "POST /v1/splits/{id}/cancel"
READ = "GET /v1/splits/{id}"


class OutsideError(Exception):
    """An error beside or inside a block."""


class AbruptError(BaseException):
    """Neither an `Exception` nor a cancellation."""


class Scene:
    """A client, its emulator, and a block that signals when it is to be left."""

    def __init__(self, emulator: Emulator, client: AsyncRetab) -> None:
        self.emulator = emulator
        self.client = client
        self.reached = asyncio.Event()
        self.held = threading.Event()
        self.document: Any = PDF

    def running(self) -> RunScope[Split]:
        return self.client.splits.running(document=self.document, subdocuments=[PART])

    async def block(self) -> None:
        async with self.running() as run:
            await self.inside(run)

    async def inside(self, run: RunHandle[Split]) -> None:  # noqa: ARG002 - others need it
        self.reached.set()
        await asyncio.Event().wait()

    def sent(self, *routes: str) -> int:
        return sum(f"{served.method} {served.path}".endswith(routes) for served in self.emulator.requests)

    async def moment(self) -> None:
        async with asyncio.timeout(5):
            await self.reached.wait()


class StuckFile(io.BytesIO):
    """A file whose reads block after `stops_at` bytes until they are released."""

    def __init__(self, scene: Scene, stops_at: int) -> None:
        super().__init__(PDF * 200_000)
        self._scene = scene
        self._stops_at = stops_at
        self._loop = asyncio.get_running_loop()

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._stops_at:
            self._loop.call_soon_threadsafe(self._scene.reached.set)
            self._scene.held.wait(10)
        return super().read(size)


def while_opening(scene: Scene) -> None:
    scene.document = StuckFile(scene, 0)


def while_sending(scene: Scene) -> None:
    scene.document = StuckFile(scene, 500_000)


def after_request(scene: Scene, route: str) -> None:
    async def watch() -> None:
        await until(lambda: scene.sent(route) > 0)
        scene.reached.set()

    watching.append(asyncio.create_task(watch()))


def while_the_server_creates(scene: Scene) -> None:
    scene.emulator.fail(CREATE, Fault.hang_after_effect())
    after_request(scene, "POST /v1/splits")


def while_the_server_hangs(scene: Scene) -> None:
    scene.emulator.fail(CREATE, Fault.hang())
    after_request(scene, "POST /v1/splits")


def before_a_retry(scene: Scene) -> None:
    """The response to the first attempt was lost, and the second attempt has not been sent."""
    scene.emulator.fail(CREATE, Fault.reset_after_effect(), Fault.status(503, retry_after=0.4))

    async def watch() -> None:
        await until(lambda: scene.sent("POST /v1/splits") == 2)
        await asyncio.sleep(0.05)
        scene.reached.set()

    watching.append(asyncio.create_task(watch()))


def once_created(scene: Scene) -> None:
    """The block is entered and waits."""


def while_waiting(scene: Scene) -> None:
    async def inside(run: RunHandle[Split]) -> None:
        await run.result(on_status=lambda _: scene.reached.set())

    scene.inside = inside  # type: ignore[method-assign]


def once_finished(scene: Scene) -> None:
    async def inside(run: RunHandle[Split]) -> None:
        await scene.client.splits.cancel(run.id)
        with pytest.raises(RunCancelledError):
            await run.result()
        scene.emulator.requests.clear()
        scene.reached.set()
        await asyncio.Event().wait()

    scene.inside = inside  # type: ignore[method-assign]


Moment = Callable[[Scene], None]
# Moment to whether a run must be cancelled, and whether its create must be repeated to learn the id.
MOMENTS: dict[Moment, tuple[bool, bool]] = {
    while_opening: (False, False),
    while_sending: (False, False),
    while_the_server_creates: (True, True),
    while_the_server_hangs: (True, True),
    before_a_retry: (True, True),
    once_created: (True, False),
    while_waiting: (True, False),
    once_finished: (False, False),
}
watching: list["asyncio.Task[None]"] = []


async def by_cancelling_the_task(scene: Scene) -> None:
    task = asyncio.create_task(scene.block())
    await scene.moment()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def by_a_timeout(scene: Scene) -> None:
    async def expire(timeout: asyncio.Timeout) -> None:
        await scene.moment()
        timeout.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):  # noqa: PT012
        async with asyncio.timeout(None) as timeout:
            watching.append(asyncio.create_task(expire(timeout)))
            await scene.block()


async def by_anyio_move_on_after(scene: Scene) -> None:
    async def expire(scope: anyio.CancelScope) -> None:
        await scene.moment()
        scope.deadline = anyio.current_time()

    with anyio.move_on_after(60) as scope:
        watching.append(asyncio.create_task(expire(scope)))
        await scene.block()

    assert scope.cancelled_caught


async def by_a_failed_sibling(scene: Scene) -> None:
    async def fail() -> None:
        await scene.moment()
        raise OutsideError

    with pytest.raises(ExceptionGroup):  # noqa: PT012
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            await scene.block()


async def by_a_failed_anyio_sibling(scene: Scene) -> None:
    async def fail() -> None:
        await scene.moment()
        raise OutsideError

    with pytest.raises(ExceptionGroup):  # noqa: PT012
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
            await scene.block()


async def by_closing_a_generator(scene: Scene) -> None:
    async def steps() -> AsyncIterator[None]:
        async with scene.running() as run:
            inside = asyncio.create_task(scene.inside(run))
            await scene.moment()
            inside.cancel()
            with suppress(asyncio.CancelledError):
                await inside
            yield

    generator = steps()
    await anext(generator)
    await generator.aclose()  # type: ignore[attr-defined]


async def inside_then(scene: Scene, leave: Callable[[], None]) -> None:
    async with scene.running() as run:
        inside = asyncio.create_task(scene.inside(run))
        await scene.moment()
        inside.cancel()
        with suppress(asyncio.CancelledError):
            await inside
        leave()


def fail() -> None:
    raise OutsideError


def fail_abruptly() -> None:
    raise AbruptError


async def at_its_end(scene: Scene) -> None:
    await inside_then(scene, lambda: None)


async def by_an_exception(scene: Scene) -> None:
    with pytest.raises(OutsideError):
        await inside_then(scene, fail)


async def by_a_base_exception(scene: Scene) -> None:
    with pytest.raises(AbruptError):
        await inside_then(scene, fail_abruptly)


Way = Callable[[Scene], Awaitable[None]]
OUTSIDE_WAYS: tuple[Way, ...] = (
    by_cancelling_the_task,
    by_a_timeout,
    by_anyio_move_on_after,
    by_a_failed_sibling,
    by_a_failed_anyio_sibling,
)
INSIDE_WAYS: tuple[Way, ...] = (
    at_its_end,
    by_an_exception,
    by_a_base_exception,
    by_closing_a_generator,
)
INSIDE: tuple[Moment, ...] = (once_created, while_waiting, once_finished)
CASES = [(way, moment) for way in OUTSIDE_WAYS for moment in MOMENTS]
CASES += [(way, moment) for way in INSIDE_WAYS for moment in INSIDE]


def tasks() -> "set[asyncio.Task[Any]]":
    """Return all tasks except those of the emulator's connections."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task.get_coro())}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(queued=600, running=600) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    async with client_for(emulator.url, api_key=emulator.api_key) as opened:
        yield opened


@pytest.fixture
async def scene(emulator: Emulator, client: AsyncRetab) -> AsyncIterator[Scene]:
    made = Scene(emulator, client)
    yield made
    made.held.set()


@pytest.mark.parametrize(("way", "moment"), CASES, ids=[f"{way.__name__}-{moment.__name__}" for way, moment in CASES])
async def test_block_left_in_any_way_at_any_moment_leaves_no_run_active(way: Way, moment: Moment, scene: Scene) -> None:
    cancels, repeats = MOMENTS[moment]
    before = tasks()
    watching.clear()
    moment(scene)

    await way(scene)
    left = await scene.client.aclose()
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)

    assert left == ()
    assert scene.emulator.active_runs() == []
    assert tasks() <= before
    assert bool(scene.sent("/cancel")) == cancels
    keys = {
        served.idempotency_key
        for served in scene.emulator.requests
        if served.path == "/v1/splits" and served.idempotency_key
    }
    assert len(keys) <= 1
    assert (scene.sent("POST /v1/splits") > 1) == repeats


@pytest.mark.parametrize("way", [at_its_end, by_an_exception])
async def test_block_left_normally_or_by_an_exception_confirms_the_cancel(way: Way, scene: Scene) -> None:
    await way(scene)

    assert scene.emulator.active_runs() == []


async def test_cancelled_task_does_not_wait_for_the_cleanup(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retab_async.cleanup._SEND_TIMEOUT", 0.2)
    scene.emulator.fail(CANCEL, Fault.hang())
    task = asyncio.create_task(scene.block())
    await scene.moment()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not scene.sent("/cancel")
    assert len(scene.emulator.active_runs()) == 1


async def test_event_loop_is_idle_while_a_block_is_cancelled(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.emulator.fail(CANCEL, Fault.delay_after_effect(0.5))
    selector: Any = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    select = selector.select
    turns = 0

    def count(timeout: float | None = None) -> Any:
        nonlocal turns
        turns += 1
        return select(timeout)

    monkeypatch.setattr(selector, "select", count)

    await at_its_end(scene)

    assert scene.emulator.active_runs() == []
    assert turns < 60


async def test_block_does_not_wait_longer_than_its_exit_timeout(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("retab_async.scope._EXIT_TIMEOUT", 0.05)
    scene.emulator.fail(CANCEL, Fault.delay_after_effect(0.3))

    await at_its_end(scene)
    assert len(scene.emulator.active_runs()) <= 1
    assert "not confirmed within 0.05 s, goes on in the background" in caplog.text

    assert await scene.client.aclose() == ()
    assert scene.emulator.active_runs() == []


async def test_unconfirmed_cancel_is_logged_and_returned_by_aclose(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.emulator.fail(CANCEL, Fault.status(403))

    await at_its_end(scene)
    (left,) = await scene.client.aclose()

    (run_id,) = scene.emulator.active_runs()
    assert (left.path, left.run_id, left.idempotency_key) == ("/v1/splits", run_id, None)
    assert left.error is not None
    assert f"/v1/splits {run_id} may still be running" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


async def test_unconfirmed_cancel_without_an_id_names_the_idempotency_key(emulator: Emulator) -> None:
    emulator.fail(CREATE, *[Fault.hang_after_effect()] * 5)
    async with client_for(emulator.url, api_key=emulator.api_key, timeout=0.1, retry=ONCE) as client:
        with pytest.raises(APITimeoutError) as caught:
            await Scene(emulator, client).block()
        (left,) = await client.aclose(timeout=0.05)

    assert (left.run_id, left.idempotency_key) == (None, caught.value.idempotency_key)
    assert str(left).startswith(f"/v1/splits created under idempotency_key='{left.idempotency_key}' may still be")


async def test_create_that_failed_in_doubt_is_cleaned_up(emulator: Emulator) -> None:
    emulator.fail(CREATE, Fault.hang_after_effect())
    async with client_for(emulator.url, api_key=emulator.api_key, timeout=0.1, retry=ONCE) as client:
        with pytest.raises(APITimeoutError):
            await Scene(emulator, client).block()

        assert await client.aclose() == ()
        assert emulator.active_runs() == []


async def test_repeated_create_of_a_finished_run_is_followed_by_no_cancel(scene: Scene) -> None:
    while_the_server_hangs(scene)
    scene.emulator.fail(CREATE, Fault.status(201, body={"id": "splt_1", "status": "completed"}))

    await by_cancelling_the_task(scene)

    assert await scene.client.aclose() == ()
    assert not scene.sent("/cancel")


@pytest.mark.parametrize("body", [b'{"status": "queued"}', b"<html>", b""])
async def test_create_with_an_unreadable_response_is_cleaned_up(body: bytes, scene: Scene) -> None:
    created = scene.emulator.seed("splits")
    scene.emulator.fail(CREATE, Fault.status(201, body=body))
    scene.emulator.fail(CREATE, Fault.status(201, body={"id": created[0], "status": "queued"}))

    with pytest.raises(ResponseError):
        await scene.block()

    assert await scene.client.aclose() == ()
    assert scene.emulator.active_runs() == []


async def test_cleanup_repeats_a_create_whose_response_is_unreadable_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.cleanup._LONG_PAUSE", 0.01)
    monkeypatch.setattr("retab_async.cleanup._FIRST_PAUSE", 0.01)
    created = scene.emulator.seed("splits")
    scene.emulator.fail(CREATE, *[Fault.status(201, body=b"<html>")] * 3)
    scene.emulator.fail(CREATE, Fault.status(201, body={"id": created[0], "status": "queued"}))

    with pytest.raises(ResponseError):
        await scene.block()

    assert await scene.client.aclose() == ()
    assert scene.emulator.active_runs() == []


async def test_cleanup_waits_for_a_create_that_is_still_in_progress(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.cleanup._LONG_PAUSE", 0.02)
    scene.emulator.fail(CREATE, Fault.hang_after_effect(), Fault.status(409), Fault.status(409))
    after_request(scene, "POST /v1/splits")

    await by_cancelling_the_task(scene)

    assert await scene.client.aclose() == ()
    assert scene.emulator.active_runs() == []
    assert scene.sent("POST /v1/splits") == 4


async def test_cleanup_gives_up_a_cancel_whose_response_stays_unreadable(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.cleanup._LONG_PAUSE", 0.01)
    monkeypatch.setattr("retab_async.cleanup._FIRST_PAUSE", 0.01)
    scene.emulator.fail(CANCEL, *[Fault.status(200, body=b"<html>")] * 10)
    scene.emulator.fail(READ, *[Fault.status(200, body=b"<html>")] * 10)

    await at_its_end(scene)
    (left,) = await scene.client.aclose()

    assert isinstance(left.error, ResponseError)
    assert scene.sent("/cancel") == 3


@pytest.mark.parametrize("status", [403, 422])
async def test_cleanup_does_not_repeat_a_rejected_cancel(status: int, scene: Scene) -> None:
    scene.emulator.fail(CANCEL, Fault.status(status))

    await at_its_end(scene)

    assert scene.sent("/cancel") == 1
    assert len(await scene.client.aclose()) == 1


async def test_cancelled_task_that_raises_does_not_wait_for_the_cleanup(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.cleanup._SEND_TIMEOUT", 0.2)
    scene.emulator.fail(CANCEL, Fault.hang())

    async def block() -> None:
        async with scene.running():
            try:
                scene.reached.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise OutsideError from None

    task = asyncio.create_task(block())
    await scene.moment()
    task.cancel()
    with pytest.raises(OutsideError):
        await task

    assert not scene.sent("/cancel")


async def test_rejected_create_leaves_no_pending_cancel(scene: Scene) -> None:
    scene.emulator.fail(CREATE, Fault.status(422))

    with pytest.raises(Exception, match="422"):
        await scene.block()

    assert scene.client._cleanup.is_idle


async def test_cleanup_repeats_a_create_from_a_file_that_can_be_read_once(scene: Scene) -> None:
    class Pipe(io.RawIOBase):
        pieces = [PDF, PDF]  # noqa: RUF012 - read once

        def readable(self) -> bool:
            return True

        def read(self, _: int = -1, /) -> bytes:
            return self.pieces.pop() if self.pieces else b""

    scene.document = Pipe()
    while_the_server_creates(scene)

    await by_cancelling_the_task(scene)

    assert await scene.client.aclose() == ()
    assert scene.emulator.active_runs() == []


async def test_task_cancelled_between_create_and_block_cancels_the_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary copy of a document is closed after the create, in a thread: a moment like any other."""
    from contextlib import asynccontextmanager  # noqa: PLC0415

    collection = scene.client.splits._api
    prepare_create = collection.prepare_create

    @asynccontextmanager
    async def slow_to_close(*args: Any) -> AsyncIterator[Any]:
        async with prepare_create(*args) as request:
            yield request
        scene.reached.set()
        await asyncio.sleep(5)

    monkeypatch.setattr(collection, "prepare_create", slow_to_close)

    await by_cancelling_the_task(scene)

    assert await scene.client.aclose() == ()
    assert scene.sent("/cancel") == 1
    assert scene.emulator.active_runs() == []


class TestRunThatIsNotVisibleYet:
    """The API answers reads and cancels with 404 for some seconds after the create."""

    @pytest.fixture(autouse=True)
    def short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retab_async.cleanup._LONG_PAUSE", 0.01)
        monkeypatch.setattr("retab_async.cleanup._MAX_PAUSE", 0.01)

    async def test_is_cancelled_once_it_is(self, scene: Scene) -> None:
        scene.emulator.fail(CANCEL, *[Fault.status(404)] * 30)

        await at_its_end(scene)

        assert await scene.client.aclose() == ()
        assert scene.emulator.active_runs() == []
        assert scene.sent("/cancel") == 31

    async def test_is_unconfirmed_if_it_never_is(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("retab_async.api.run_api._VISIBILITY_SECONDS", 0.3)
        scene.emulator.fail(CANCEL, *[Fault.status(404)] * 1000)

        await at_its_end(scene)
        (left,) = await scene.client.aclose()

        assert isinstance(left.error, NotFoundError)
        assert left.run_id in scene.emulator.active_runs()
        assert str(left) in caplog.text

    async def test_holds_up_aclose_beyond_its_default_time(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retab_async.cleanup._DRAIN_MIN", 0.0)
        monkeypatch.setattr("retab_async.cleanup._DRAIN_PER_BATCH", 0.05)
        scene.emulator.fail(CANCEL, *[Fault.status(404)] * 30)

        await by_cancelling_the_task(scene)
        await until(lambda: bool(scene.sent("/cancel") > 3))

        assert await scene.client.aclose() == ()
        assert scene.emulator.active_runs() == []

    async def test_ends_the_wait_of_its_block_by_its_result(self) -> None:
        async with (
            Emulator(queued=0, running=0.05) as emulator,
            client_for(emulator.url, api_key=emulator.api_key) as client,
        ):
            emulator.fail(READ, *[Fault.status(404)] * 10)
            async with client.splits.running(document=PDF, subdocuments=[PART]) as run:
                split = await run.result(poll_interval=0.01)

        assert split.status is RunStatus.COMPLETED

    async def test_created_by_a_copy_is_waited_for_by_its_client(self) -> None:
        async with (
            Emulator(queued=0, running=0.05) as emulator,
            client_for(emulator.url, api_key=emulator.api_key) as client,
        ):
            copy = client.with_options(timeout=4)
            created = await copy.splits.create(document=PDF, subdocuments=[PART], background=True)
            emulator.fail(READ, *[Fault.status(404)] * 10)
            split = await client.splits.wait(created, poll_interval=0.01)

        assert split.status is RunStatus.COMPLETED

    async def test_but_was_created_by_others_is_not_found_quickly(self, scene: Scene) -> None:
        (run_id,) = scene.emulator.seed("splits")
        scene.emulator.fail(READ, *[Fault.status(404)] * 10)
        with pytest.raises(NotFoundError):
            await scene.client.splits.wait(run_id, poll_interval=0.01)
        assert scene.sent(f"GET /v1/splits/{run_id}") == 3

        scene.emulator.fail(CANCEL, *[Fault.status(404)] * 10)
        async with scene.client.splits.attach(run_id):
            pass
        assert scene.sent("/cancel") == 3
        assert await scene.client.aclose() == ()


def test_recent_runs_are_forgotten_after_their_minute_and_when_deleted() -> None:
    now = 100.0
    recent = RecentRuns(lambda: now)
    recent.add("splt_1")
    recent.add("splt_2")
    now = 130.0
    recent.add("splt_1")
    recent.discard("splt_2")
    recent.discard("splt_3")
    assert (recent.not_found_until("splt_1"), recent.not_found_until("splt_2")) == (190.0, -math.inf)

    now = 190.0
    recent.add("splt_4")
    assert recent.not_found_until("splt_1") == -math.inf


class TestFailedCleanup:
    async def test_unexpected_failure_is_reported_and_leaves_the_other_cancels_alone(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, *others = scene.emulator.seed("splits", 5)
        cancel = RunApi.cancel

        async def fail_for_the_first(api: RunApi[Split], run_id: str) -> Split:
            if run_id == first:
                raise IndexError
            return await cancel(api, run_id)

        monkeypatch.setattr(RunApi, "cancel", fail_for_the_first)
        for run_id in (first, *others):
            async with scene.client.splits.attach(run_id):
                pass
        (left,) = await scene.client.aclose()

        assert scene.emulator.active_runs() == [first]
        assert left.run_id == first
        assert isinstance(left.error, IndexError)
        assert str(left) == f"/v1/splits {first} may still be running: unexpected IndexError"
        assert caplog.messages.count(str(left)) == 1

    async def test_failure_of_a_repeated_create_leaves_later_blocks_alone(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: Any) -> Split:
            raise RecursionError

        while_the_server_hangs(scene)
        with monkeypatch.context() as broken:
            task = asyncio.create_task(scene.block())
            await scene.moment()
            broken.setattr(RunApi, "send_create", fail)
            task.cancel()
            await asyncio.wait({task})
            await until(lambda: bool(scene.client._cleanup.unconfirmed))
        async with scene.running() as run:
            pass

        (left,) = await scene.client.aclose()
        assert isinstance(left.error, RecursionError)
        assert run.id not in scene.emulator.active_runs()


request_id: ContextVar[str] = ContextVar("request_id")


async def test_cleanup_runs_in_the_context_of_its_block(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    seen: dict[str, str] = {}

    async def record(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        seen[params.url.path.split("/")[3]] = request_id.get("none")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(record)
    ids = emulator.seed("splits", 40)
    async with client_for(emulator.url, api_key=emulator.api_key, trace_configs=[trace]) as client:

        async def block(run_id: str) -> None:
            async with client.splits.attach(run_id):
                request_id.set(f"for {run_id}")
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(block(run_id)) for run_id in ids[:30]]
        still_open = [asyncio.create_task(block(run_id)) for run_id in ids[30:]]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert await client.aclose() == ()
        for task in still_open:
            task.cancel()
        await asyncio.wait(still_open)

    assert {run_id: seen[run_id] for run_id in ids[:30]} == {run_id: f"for {run_id}" for run_id in ids[:30]}
    assert set(seen) == set(ids)


async def test_reprs_show_the_route_the_id_and_the_status(scene: Scene) -> None:
    scope = scene.running()
    assert repr(scope) == "<RunScope /v1/splits not entered>"
    async with scope as run:
        assert repr(run) == f"<RunHandle /v1/splits {run.id} queued>"
        assert repr(scope) == f"<RunScope /v1/splits {run!r}>"
        run.detach()
        assert repr(run).endswith(" queued detached>")

    assert repr(RunHandle(scene.client.splits._api, scene.client.splits._waiter, "splt_1")) == (
        "<RunHandle /v1/splits splt_1 not seen yet>"
    )


class TestHandle:
    async def test_result_returns_the_completed_run(self) -> None:
        async with (
            Emulator(queued=0, running=0.05) as emulator,
            client_for(emulator.url, api_key=emulator.api_key) as client,
        ):
            async with client.splits.running(document=PDF, subdocuments=[PART]) as run:
                statuses: list[RunStatus] = []
                split = await run.result(on_status=lambda seen: statuses.append(seen.status))

            assert split.status is RunStatus.COMPLETED
            assert split.output
            assert run.run is split
            assert statuses[-1] is RunStatus.COMPLETED
            assert not [served for served in emulator.requests if served.path.endswith("/cancel")]

    async def test_result_raises_run_failed_error(self, emulator: Emulator, client: AsyncRetab) -> None:
        (run_id,) = emulator.seed("splits", queued=0, running=0, error={"code": "bad", "message": "no pages"})

        with pytest.raises(RunFailedError, match="failed: bad: no pages") as caught:
            async with client.splits.attach(run_id) as run:
                await run.result()

        assert caught.value.run is not None
        assert caught.value.run.id == run_id

    async def test_result_raises_run_cancelled_error(self, emulator: Emulator, client: AsyncRetab) -> None:
        (run_id,) = emulator.seed("splits")
        await client.splits.cancel(run_id)

        with pytest.raises(RunCancelledError) as caught:
            async with client.splits.attach(run_id) as run:
                await run.result()

        assert caught.value.run is not None
        assert caught.value.run.status is RunStatus.CANCELLED

    async def test_result_that_times_out_cancels_the_run(self, emulator: Emulator, client: AsyncRetab) -> None:
        with pytest.raises(WaitTimeoutError):
            async with client.splits.running(document=PDF, subdocuments=[PART]) as run:
                await run.result(timeout=0.05)

        assert emulator.active_runs() == []

    async def test_get_reads_the_run(self, emulator: Emulator, client: AsyncRetab) -> None:
        (run_id,) = emulator.seed("splits", queued=0, running=0)

        async with client.splits.attach(run_id) as run:
            assert run.run is None
            split = await run.get(include_output=False)
            assert split.status is RunStatus.COMPLETED

        assert len(emulator.requests) == 1

    async def test_cancel_is_sent_once(self, emulator: Emulator, client: AsyncRetab) -> None:
        async with client.splits.running(document=PDF, subdocuments=[PART]) as run:
            split = await run.cancel()

        assert split.status is RunStatus.CANCELLED
        assert [served.path for served in emulator.requests if served.path.endswith("/cancel")] == [
            f"/v1/splits/{run.id}/cancel"
        ]

    async def test_detach_leaves_the_run_active(self, emulator: Emulator, client: AsyncRetab) -> None:
        async with client.splits.running(document=PDF, subdocuments=[PART]) as run:
            run.detach()

        assert emulator.active_runs() == [run.id]

    async def test_works_for_another_kind(self, emulator: Emulator, client: AsyncRetab) -> None:
        async with client.partitions.running(document=PDF, key="account", instructions="Each.") as run:
            assert emulator.active_runs() == [run.id]

        assert emulator.active_runs() == []

    async def test_of_a_deleted_run_leaves_no_pending_cancel(
        self, client: AsyncRetab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("retab_async.cleanup._LONG_PAUSE", 0.01)
        async with client.splits.running(document=PDF, subdocuments=[PART]) as run:
            await client.splits.delete(run.id)

        assert await client.aclose() == ()


class TestEntering:
    async def test_attach_to_a_finished_run_sends_nothing(self, emulator: Emulator, client: AsyncRetab) -> None:
        split = await client.splits.get(*emulator.seed("splits", queued=0, running=0))

        async with client.splits.attach(split) as run:
            assert run.run is split

        assert len(emulator.requests) == 1

    async def test_attach_sends_nothing(self, emulator: Emulator, client: AsyncRetab) -> None:
        (run_id,) = emulator.seed("splits")
        async with client.splits.attach(run_id):
            assert emulator.requests == []

        assert emulator.active_runs() == []

    @pytest.mark.parametrize("run_id", ["a/b", "", 5])
    async def test_attach_rejects_an_invalid_id_at_once(self, run_id: Any, client: AsyncRetab) -> None:
        with pytest.raises(InvalidRunIdError):
            client.splits.attach(run_id)

    async def test_running_rejects_invalid_arguments_at_once(self, client: AsyncRetab) -> None:
        with pytest.raises(InvalidRequestError):
            client.splits.running(document=PDF, subdocuments=[])
        with pytest.raises(InvalidRequestError):
            client.splits.running(document=PDF, subdocuments=[PART], idempotency_key="")

    async def test_entering_rejects_an_invalid_document(self, emulator: Emulator, client: AsyncRetab) -> None:
        with pytest.raises(InvalidDocumentError):
            async with client.splits.running(document="missing.pdf", subdocuments=[PART]):
                pass

        assert emulator.requests == []

    async def test_scope_can_be_entered_once(self, client: AsyncRetab) -> None:
        scope = client.splits.running(document=PDF, subdocuments=[PART])
        async with scope:
            pass

        with pytest.raises(RuntimeError, match="one `async with`"):
            async with scope:
                pass


class TestClosing:
    async def test_sends_the_cancels_of_a_copy_with_the_key_of_the_copy(self, emulator: Emulator) -> None:
        async with client_for(emulator.url, api_key="sk_wrong_0123456789") as client:
            copy = client.with_options(api_key=emulator.api_key)
            await by_cancelling_the_task(Scene(emulator, copy))

            assert await copy.aclose() == ()
            assert await client.aclose() == ()
            assert emulator.active_runs() == []

    async def test_continues_if_its_caller_is_cancelled(self, scene: Scene) -> None:
        scene.emulator.fail(CANCEL, Fault.delay_after_effect(0.2))
        await by_cancelling_the_task(scene)

        with anyio.move_on_after(0.01):
            await scene.client.aclose()
        assert len(scene.emulator.active_runs()) <= 1

        assert await scene.client.aclose() == ()
        assert scene.emulator.active_runs() == []

    async def test_gives_up_after_its_timeout(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scene.client._cleanup, "_turns", FifoSemaphore(1))
        scene.emulator.fail(CANCEL, Fault.hang())
        ids = scene.emulator.seed("splits", 3)
        async with asyncio.TaskGroup() as group:
            for run_id in ids:
                group.create_task(self.leave(scene, run_id))

        left = await scene.client.aclose(timeout=0.05)

        assert {each.run_id for each in left} == set(ids)
        assert {str(each).partition(" running: ")[2] for each in left} == {
            "the client was closed before it could be cancelled"
        }
        assert scene.client._cleanup.is_idle

    @pytest.mark.parametrize("timeout", [0, -1, "10"])
    async def test_rejects_a_timeout_that_is_not_above_zero(self, timeout: Any, scene: Scene) -> None:
        with pytest.raises(ConfigurationError, match="timeout must be"):
            await scene.client.aclose(timeout=timeout)

    @staticmethod
    async def leave(scene: Scene, run_id: str) -> None:
        with anyio.CancelScope() as scope:
            async with scene.client.splits.attach(run_id):
                scope.cancel()
                await asyncio.sleep(1)

    async def test_cancels_the_runs_of_open_blocks(self, scene: Scene) -> None:
        scopes = [asyncio.create_task(scene.block()) for _ in range(20)]
        await until(lambda: len(scene.emulator.active_runs()) == 20)
        await asyncio.sleep(0.05)

        assert await scene.client.aclose() == ()
        assert scene.emulator.active_runs() == []
        for scope in scopes:
            scope.cancel()
        await asyncio.gather(*scopes, return_exceptions=True)
        assert scene.sent("/cancel") == 20
        assert await scene.client.aclose() == ()

    async def test_cancels_the_runs_of_tasks_that_are_about_to_be_cancelled(self, scene: Scene) -> None:
        task = asyncio.create_task(scene.block())
        await scene.moment()

        task.cancel()
        assert await scene.client.aclose() == ()

        assert scene.emulator.active_runs() == []
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_inside_a_block_cancels_the_run_of_the_block(self, scene: Scene) -> None:
        async with scene.running():
            assert await scene.client.aclose() == ()
            assert scene.emulator.active_runs() == []

        assert await scene.client.aclose() == ()

    async def test_leaves_a_detached_run_active(self, scene: Scene) -> None:
        async with scene.running() as run:
            run.detach()
            assert await scene.client.aclose() == ()

        assert scene.emulator.active_runs() == [run.id]

    async def test_cancels_the_run_of_a_create_in_flight(self, scene: Scene) -> None:
        while_the_server_creates(scene)
        task = asyncio.create_task(scene.block())
        await scene.moment()

        assert await scene.client.aclose() == ()
        assert scene.emulator.active_runs() == []
        with pytest.raises(Exception, match="closed"):
            await task
        assert await scene.client.aclose() == ()

    async def test_cancels_the_run_of_a_create_that_is_answered_while_it_drains(self, scene: Scene) -> None:
        scene.emulator.fail(CREATE, Fault.delay_after_effect(0.3))
        scene.emulator.fail(CANCEL, Fault.delay_after_effect(0.6))
        task = asyncio.create_task(scene.block())
        takers: Any = scene.client._cleanup.open_scopes
        await until(
            lambda: any(
                create and create.delivery.may_have_taken_effect
                for create in (each.__self__._pending_create for each in takers)
            )
        )

        assert await scene.client.aclose() == ()
        assert scene.emulator.active_runs() == []
        assert scene.reached.is_set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await scene.client.aclose() == ()

    async def test_sends_nothing_for_a_create_that_was_not_sent_completely(self, scene: Scene) -> None:
        while_sending(scene)
        task = asyncio.create_task(scene.block())
        await scene.moment()

        assert await scene.client.aclose() == ()
        scene.held.set()
        with pytest.raises(Exception, match="closed"):
            await task
        assert await scene.client.aclose() == ()
        assert scene.emulator.active_runs() == []

    async def test_reports_a_cancel_that_becomes_pending_after_it(
        self, scene: Scene, caplog: pytest.LogCaptureFixture
    ) -> None:
        scope = scene.client.splits.attach("splt_1")
        await scene.client.aclose()
        async with scope:
            pass

        (left,) = await scene.client.aclose()
        assert left.run_id == "splt_1"
        assert "/v1/splits splt_1 may still be running" in caplog.text

    def test_event_loop_that_ends_before_it_reports_every_run(self, caplog: pytest.LogCaptureFixture) -> None:
        clients: list[AsyncRetab] = []

        async def leave_all() -> None:
            async with Emulator(queued=600) as emulator:
                client = client_for(emulator.url, api_key=emulator.api_key)
                clients.append(client)
                emulator.fail(CANCEL, *[Fault.hang()] * 40)
                for run_id in emulator.seed("splits", 40):
                    await self.leave(Scene(emulator, client), run_id)
                await asyncio.sleep(0.05)
                client._pool.closed = True
                assert client._pool._session is not None
                await client._pool._session.close()

        asyncio.run(leave_all())

        assert len(clients[0]._cleanup.unconfirmed) == 40
        assert caplog.text.count("may still be running") == 40

    async def test_cleanup_takes_the_idle_connections_and_no_more_than_sixteen_beside_busy_ones(
        self, emulator: Emulator
    ) -> None:
        ids = emulator.seed("splits", 60)
        emulator.fail(CANCEL, *[Fault.delay_after_effect(0.1)] * 60)
        async with client_for(emulator.url, api_key=emulator.api_key, max_connections=20) as client:
            scene = Scene(emulator, client)
            for _ in range(15):
                assert client._pool.slots.try_acquire()
            busiest = 0

            async def count() -> None:
                nonlocal busiest
                while True:
                    busiest = max(busiest, connections_in_use(client))
                    await asyncio.sleep(0.005)

            async with asyncio.TaskGroup() as group:
                for run_id in ids:
                    group.create_task(self.leave(scene, run_id))
            counting = asyncio.create_task(count())
            assert await client.aclose() == ()
            counting.cancel()

            assert emulator.active_runs() == []
            assert busiest == 16 + 5
            assert client._pool.slots._free == 5
