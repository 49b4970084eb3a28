"""The stepper that cancels a coroutine wherever it can be: that it finds the places, and what it has to say of them."""

import ast
import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from retab_async import testing
from retab_async.testing import cancel_everywhere

Run = Callable[[Coroutine[Any, Any, int]], int]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run on each event loop."""
    module = pytest.importorskip(request.param)

    def on_loop(told: Coroutine[Any, Any, int]) -> int:
        with asyncio.Runner(loop_factory=module.new_event_loop) as runner:
            return runner.run(told)

    return on_loop


async def nothing() -> int:
    return 5


async def pauses(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def one_future() -> str:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(told.set_result, "told")
    return await told


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
    """What can be awaited and is no coroutine."""

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
def test_every_point_is_found(make: Callable[[], Awaitable[object]], points: int, run: Run) -> None:
    assert run(cancel_everywhere(make)) == points


def test_each_point_has_two_runs_and_the_last_one_goes_through(run: Run) -> None:
    told: list[str] = []

    async def noted() -> None:
        try:
            await one_future()
            told.append("came")
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise
        told.append("over")

    run(cancel_everywhere(noted, check=lambda: told.append("checked")))

    broken_off = ["cancelled", "checked"] * 2 + ["came", "cancelled", "checked"] * 2
    assert told == [*broken_off, "came", "over", "checked"]


def test_what_has_just_come_is_lost_when_the_second_run_is_cancelled(run: Run) -> None:
    """The moment in which careless code loses a thing that was already its own."""
    given: list[asyncio.Future[str]] = []

    async def takes() -> None:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        given.append(told)
        asyncio.get_running_loop().call_soon(_give, told)
        await told

    run(cancel_everywhere(takes))

    assert [told.cancelled() for told in given] == [True, False, False]


def _give(told: "asyncio.Future[str]") -> None:
    if not told.done():
        told.set_result("given")


def test_a_check_may_be_a_coroutine_function(run: Run) -> None:
    checked = 0

    async def check() -> None:
        nonlocal checked
        await asyncio.sleep(0)
        checked += 1

    assert run(cancel_everywhere(lambda: pauses(2), check=check)) == 2
    assert checked == 5


def test_a_check_that_fails_is_heard(run: Run) -> None:
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
    """What `asyncio.wait_for` did until 3.12: the cancellation comes together with the result, and is forgotten."""
    told = asyncio.ensure_future(one_future())
    try:
        await told
    except asyncio.CancelledError:
        if not told.done() or told.cancelled():
            raise


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (
            swallows,
            r"cancelled when suspended here .time 1 in this run., it returned 'all well' instead:\n.*, in swall",
        ),
        (
            turns_it_into_another,
            r"when suspended here .*, it raised KeyError\('made of it'\) instead:\n .*, in t",
        ),
        (loses_a_race, r"when going on after it had been suspended here .*, it returned None instead:\n.*, in loses_"),
    ],
)
def test_a_cancellation_that_does_not_come_through_is_told_by_its_point(
    make: Callable[[], Awaitable[object]], complaint: str, run: Run
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        run(cancel_everywhere(make))


def test_the_point_is_told_by_the_line_that_waits_however_deep(run: Run) -> None:
    async def outer() -> None:
        with suppress(asyncio.CancelledError):
            await Custom()

    with pytest.raises(AssertionError, match=r"it returned None instead:\n.*\.outer\n.*:\d+, in Custom.__await__"):
        run(cancel_everywhere(outer))


def test_what_cannot_be_cancelled_does_not_hold_the_test(run: Run) -> None:
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

    with pytest.raises(AssertionError, match=r"when suspended here .*, it was not over 0\.1 s later:\n"):
        run(cancel_everywhere(deaf, seconds=0.1))


def test_what_never_goes_on_does_not_hold_the_test_either(run: Run) -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match=r"when going on .* not over 0\.1 s later:\n(.*\n)*.*in Event.wait"):
        run(cancel_everywhere(stuck, seconds=0.1))


def test_what_ends_before_its_point_by_an_error_raises_it(run: Run) -> None:
    async def breaks() -> None:
        await asyncio.sleep(0)
        msg = "of its own"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="of its own"):
        run(cancel_everywhere(breaks))


def test_what_hangs_before_its_point_is_told(run: Run) -> None:
    runs = 0

    async def hangs_later() -> None:
        nonlocal runs
        runs += 1
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if runs < 3:
            asyncio.get_running_loop().call_soon(_give, told)
        await told

    with pytest.raises(AssertionError, match=r"not cancelled at any new point, it was not over 0\.1 s later"):
        run(cancel_everywhere(hangs_later, seconds=0.1))


def test_there_may_be_too_many_points(run: Run) -> None:
    assert run(cancel_everywhere(lambda: pauses(3), limit=3)) == 3
    with pytest.raises(AssertionError, match="more than 2 points"):
        run(cancel_everywhere(lambda: pauses(3), limit=2))


def test_an_async_generator_is_stepped_by_a_walk_through_it(run: Run) -> None:
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


def test_a_point_that_only_some_runs_come_upon_is_not_passed_over(run: Run) -> None:
    """A connection that is kept from one run to the next makes what comes after it another suspension by number."""
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


def test_whoever_cancels_the_stepper_ends_the_run_that_it_steps(run: Run) -> None:
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
        while runs < 3:  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)
        stepper.cancel()
        with suppress(asyncio.CancelledError):
            await stepper
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert run(impatient()) == 1
    assert ended == ["cancelled", "cancelled"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
async def test_eager_tasks_are_stepped_as_others_are() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    try:
        assert await cancel_everywhere(one_of_each) == 3
    finally:
        loop.set_task_factory(None)


async def test_the_stepper_is_a_coroutine_like_any_other() -> None:
    inner = pauses(1)
    unused = testing._Stepper(inner, set())
    unused.close()

    assert inspect.getcoroutinestate(inner) == inspect.CORO_CLOSED
    assert await testing._Stepper(nothing(), set()) == 5


def test_it_needs_nothing_but_python() -> None:
    tree = ast.parse(Path(testing.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    assert {str(name).partition(".")[0] for name in imported} <= sys.stdlib_module_names
