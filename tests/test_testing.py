"""`cancel_everywhere`: finds every suspension point, and reports a cancel that does not come through."""

import ast
import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from retab_async import AsyncRetab, Subdocument, testing
from retab_async.emulator import Emulator, ManualClock
from retab_async.testing import cancel_everywhere

Run = Callable[[Coroutine[Any, Any, int]], int]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run on each event loop."""
    module = pytest.importorskip(request.param)

    def on_loop(coroutine: Coroutine[Any, Any, int]) -> int:
        with asyncio.Runner(loop_factory=module.new_event_loop) as runner:
            return runner.run(coroutine)

    return on_loop


async def nothing() -> int:
    return 5


async def pauses(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def one_future() -> str:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, "done")
    return await future


async def one_of_each() -> None:
    await asyncio.sleep(0)
    await one_future()
    await asyncio.sleep(0.001)


async def a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(pauses(5))


async def a_timeout() -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(5)
    await asyncio.sleep(0)


async def a_thread() -> None:
    await asyncio.to_thread(int)


async def a_cleanup_of_its_own() -> None:
    try:
        await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)


class Custom:
    """Awaitable that is no coroutine."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from pauses(2).__await__()


@pytest.mark.parametrize(
    ("make", "points"),
    [
        (nothing, 0),
        (lambda: pauses(1), 1),
        (lambda: pauses(7), 7),
        (one_future, 1),
        (one_of_each, 3),
        (a_group, 1),
        (a_timeout, 2),
        (a_thread, 1),
        (a_cleanup_of_its_own, 2),
        (Custom, 2),
    ],
)
def test_every_suspension_point_is_counted(make: Callable[[], Awaitable[object]], points: int, run: Run) -> None:
    assert run(cancel_everywhere(make)) == points


def test_each_point_takes_two_runs_and_the_last_run_ends_by_itself(run: Run) -> None:
    events: list[str] = []

    async def coroutine() -> None:
        try:
            await one_future()
            events.append("resumed")
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        events.append("done")

    run(cancel_everywhere(coroutine, check=lambda: events.append("checked")))

    cancelled_runs = ["cancelled", "checked"] * 2 + ["resumed", "cancelled", "checked"] * 2
    assert events == [*cancelled_runs, "resumed", "done", "checked"]


def test_the_second_cancel_of_a_point_comes_after_its_result(run: Run) -> None:
    """The moment in which careless code loses a result that it already owns."""
    futures: list[asyncio.Future[str]] = []

    async def waits() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        futures.append(future)
        asyncio.get_running_loop().call_soon(_resolve, future)
        await future

    run(cancel_everywhere(waits))

    assert [future.cancelled() for future in futures] == [True, False, False]


def _resolve(future: "asyncio.Future[str]") -> None:
    if not future.done():
        future.set_result("done")


def test_a_check_may_be_a_coroutine_function(run: Run) -> None:
    checked = 0

    async def check() -> None:
        nonlocal checked
        await asyncio.sleep(0)
        checked += 1

    assert run(cancel_everywhere(lambda: pauses(2), check=check)) == 2
    assert checked == 5


def test_a_failing_check_fails_the_test(run: Run) -> None:
    left: list[int] = []

    async def leaves() -> None:
        left.append(1)
        await asyncio.sleep(0)
        left.pop()

    def check() -> None:
        assert not left, "something was left"

    with pytest.raises(AssertionError, match="something was left"):
        run(cancel_everywhere(leaves, check=check))


async def swallows() -> str:
    await asyncio.sleep(0)
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    return "all well"


async def turns_it_into_another() -> None:
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        msg = "made of it"
        raise KeyError(msg) from None


async def loses_a_race() -> None:
    """Like `asyncio.wait_for` until 3.12: a cancel that comes together with the result is lost."""
    future = asyncio.ensure_future(one_future())
    try:
        await future
    except asyncio.CancelledError:
        if not future.done() or future.cancelled():
            raise


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (swallows, r"returned 'all well' instead .* while suspended at .occurrence 1 in this run.:\n.*, in swall"),
        (turns_it_into_another, r"raised KeyError\('made of it'\) instead .* while suspended at .*:\n .*, in t"),
        (loses_a_race, r"returned None instead .* while about to resume at .*:\n.*, in loses_"),
    ],
)
def test_a_cancel_that_is_lost_is_reported_with_its_suspension_point(
    make: Callable[[], Awaitable[object]], message: str, run: Run
) -> None:
    with pytest.raises(AssertionError, match=message):
        run(cancel_everywhere(make))


def test_a_suspension_point_is_reported_with_every_awaiting_line(run: Run) -> None:
    async def outer() -> None:
        with suppress(asyncio.CancelledError):
            await Custom()

    with pytest.raises(AssertionError, match=r"returned None instead .*:\n.*\.outer\n.*:\d+, in Custom.__await__"):
        run(cancel_everywhere(outer))


def test_a_coroutine_that_ignores_its_cancel_is_reported_after_the_timeout(run: Run) -> None:
    async def deaf() -> None:
        deaf_once = True
        while deaf_once:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                if not deaf_once:
                    raise
                deaf_once = False
                await asyncio.sleep(30)

    with pytest.raises(AssertionError, match=r"did not end within 0\.1 s of its cancel; .* while suspended at .*:\n"):
        run(cancel_everywhere(deaf, timeout=0.1))


def test_a_coroutine_that_never_resumes_is_reported_with_where_it_waits(run: Run) -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    message = (
        r"suspension point not reached within 0\.1 s; .*clock that stands still.*now suspended at:\n(.*\n)*.*Event.wait"
    )
    with pytest.raises(AssertionError, match=message):
        run(cancel_everywhere(stuck, timeout=0.1))


def test_a_loop_without_end_exceeds_the_total_timeout(run: Run) -> None:
    """As a wait that polls a server whose clock stands still."""

    async def polls() -> None:
        while True:  # noqa: ASYNC110 - a poll loop is the subject
            await asyncio.sleep(0.001)

    with pytest.raises(AssertionError, match=r"not finished within 0\.2 s, after \d+ suspension points; .*ManualClock"):
        run(cancel_everywhere(polls, total_timeout=0.2))


def test_an_error_before_the_suspension_point_is_raised(run: Run) -> None:
    async def breaks() -> None:
        await asyncio.sleep(0)
        msg = "of its own"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="of its own"):
        run(cancel_everywhere(breaks))


def test_a_run_that_hangs_before_its_suspension_point_is_reported(run: Run) -> None:
    runs = 0

    async def hangs_later() -> None:
        nonlocal runs
        runs += 1
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if runs < 3:
            asyncio.get_running_loop().call_soon(_resolve, future)
        await future

    with pytest.raises(AssertionError, match=r"suspension point not reached within 0\.1 s; .*:\n.*hangs_later"):
        run(cancel_everywhere(hangs_later, timeout=0.1))


def test_more_suspension_points_than_the_limit_are_an_error(run: Run) -> None:
    assert run(cancel_everywhere(lambda: pauses(3), limit=3)) == 3
    with pytest.raises(AssertionError, match="more than 2 suspension points"):
        run(cancel_everywhere(lambda: pauses(3), limit=2))


def test_an_async_generator_is_tested_by_iterating_over_it(run: Run) -> None:
    closed = 0

    async def steps() -> AsyncGenerator[int, None]:
        nonlocal closed
        try:
            for number in range(3):
                await asyncio.sleep(0)
                yield number
        finally:
            closed += 1

    async def walk() -> None:
        async with aclosing(steps()) as opened:
            async for _ in opened:
                await asyncio.sleep(0)

    assert run(cancel_everywhere(walk)) == 6
    assert closed == 13


def test_a_point_that_only_some_runs_reach_is_not_skipped(run: Run) -> None:
    """A connection kept from one run to the next shifts the numbers of the later suspensions."""
    is_open = False
    cancelled: set[str] = set()

    async def call() -> None:
        nonlocal is_open
        if not is_open:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        is_open = True
        for place in ("first", "second", "third"):
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                cancelled.add(place)
                is_open = place != "first"
                raise

    assert run(cancel_everywhere(call)) == 5
    assert cancelled == {"first", "second", "third"}


def test_cancelling_cancel_everywhere_cancels_the_current_run(run: Run) -> None:
    ended: list[str] = []

    async def sleeps() -> None:
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def impatient() -> int:
        runs = 0

        def make() -> Awaitable[None]:
            nonlocal runs
            runs += 1
            return sleeps() if runs < 3 else asyncio.sleep(30)

        stepper = asyncio.create_task(cancel_everywhere(make))
        while runs < 3:  # noqa: ASYNC110 - the number of runs has no event
            await asyncio.sleep(0)
        stepper.cancel()
        with suppress(asyncio.CancelledError):
            await stepper
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert run(impatient()) == 1
    assert ended == ["cancelled", "cancelled"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
async def test_eager_tasks_are_supported() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    try:
        assert await cancel_everywhere(one_of_each) == 3
    finally:
        loop.set_task_factory(None)


async def test_the_stepper_supports_the_coroutine_protocol() -> None:
    inner = pauses(1)
    unused = testing._Stepper(inner, set())
    unused.close()

    assert inspect.getcoroutinestate(inner) == inspect.CORO_CLOSED
    assert await testing._Stepper(nothing(), set()) == 5


def test_the_module_imports_only_the_standard_library() -> None:
    tree = ast.parse(Path(testing.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    assert {str(name).partition(".")[0] for name in imported} <= sys.stdlib_module_names


async def test_the_example_of_the_docstring_is_fast() -> None:
    async with (
        Emulator(queued=0, running=0.02) as emulator,
        AsyncRetab(emulator.api_key, base_url=emulator.url) as client,
    ):

        async def block() -> None:
            async with client.splits.running(document=b"%PDF", subdocuments=[Subdocument("invoice")]) as run:
                await run.result(poll_interval=0.01)

        async with asyncio.timeout(10):
            assert await cancel_everywhere(block) > 0
        await client.aclose()
        assert emulator.active_runs() == []


async def test_a_frozen_clock_is_reported_within_the_total_timeout() -> None:
    async with (
        Emulator(clock=ManualClock()) as emulator,
        AsyncRetab(emulator.api_key, base_url=emulator.url) as client,
    ):

        async def waits() -> None:
            await client.splits.wait(*emulator.seed("splits"), poll_interval=0.01)

        with pytest.raises(AssertionError, match="clock that stands still, such as a ManualClock"):
            await cancel_everywhere(waits, timeout=0.2, total_timeout=1)
