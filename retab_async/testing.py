"""For tests: a proof that a coroutine can be cancelled anywhere."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import FrameType

# Seconds for a task that could not be cancelled to end by a second try.
_LAST_WORD = 1.0


async def cancel_everywhere(
    make: Callable[[], Awaitable[object]],
    *,
    check: Callable[[], object] | None = None,
    limit: int = 1000,
    seconds: float = 30.0,
) -> int:
    """Run what `make` makes anew again and again, each time cancelled at another point; return how many points it has.

    A point is where the coroutine can be suspended, told by the lines that wait and by how often they have done so in
    that run. At each of them it is cancelled twice, by `task.cancel()` and each time in a task of its own: once while
    it is suspended there, and once in the moment in which it was to go on, because what it waits for has just come. The
    last run comes upon no new point and ends by itself; what it raises is raised. `check` is called after each run, and
    awaited where it has to be: let it assert that nothing is left behind.

    Raises `AssertionError`, which tells the lines, for a run that was cancelled and yet returned, or raised something
    else; for one that did not end within so many `seconds`; and for more than `limit` points.

    Counted are the points of the coroutine itself and of all that it awaits; what goes on in tasks that it starts, as
    in a `TaskGroup`, is not, although those are cancelled where it cancels them. An async generator is stepped by a
    coroutine that walks it.

        async def test_a_cancelled_block_leaves_no_run_behind():
            async with Emulator() as emulator, AsyncRetab(emulator.api_key, base_url=emulator.url) as client:

                async def block():
                    async with client.splits.running(document=b"%PDF", subdocuments=[Subdocument("invoice")]) as run:
                        await run.result(timeout=60)

                assert await cancel_everywhere(block) > 0
                await client.aclose()
                assert emulator.alive() == []
    """
    tried: set[_Attempt] = set()
    while True:
        stepper = _Stepper(make(), tried)
        await _run(stepper, seconds)
        outcome = check() if check is not None else None
        if inspect.isawaitable(outcome):
            await outcome
        points = len({attempt.point for attempt in tried})
        if points > limit:
            msg = f"there are more than {limit} points at which this can be cancelled"
            raise AssertionError(msg)
        if stepper.attempt is None:
            return points


async def _run(stepper: "_Stepper", seconds: float) -> None:
    task = asyncio.get_running_loop().create_task(stepper)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        is_stuck = task.cancel()
    if is_stuck:
        await asyncio.wait({task}, timeout=_LAST_WORD)
        raise AssertionError(stepper.told(f"it was not over {seconds:g} s later"))
    if stepper.attempt is None:
        task.result()
    elif not task.cancelled():
        error = task.exception()
        outcome = f"raised {error!r}" if error else f"returned {task.result()!r}"
        raise AssertionError(stepper.told(f"it {outcome} instead")) from error


class _Point(NamedTuple):
    places: tuple[str, ...]
    time: int


class _Attempt(NamedTuple):
    point: _Point
    is_late: bool


class _Stepper(Coroutine[Any, Any, object]):
    """A coroutine that cancels its own task at the first point at which that has not been tried, and notes it there."""

    def __init__(self, awaitable: Awaitable[object], tried: set[_Attempt]) -> None:
        self.attempt: _Attempt | None = None
        self._tried = tried
        self._times: Counter[tuple[str, ...]] = Counter()
        self._inner = awaitable if isinstance(awaitable, Coroutine) else _awaited(awaitable)

    def told(self, outcome: str) -> str:
        """Return what is to be said of an outcome that was not to be."""
        if self.attempt is None:
            return f"not cancelled at any new point, {outcome}"
        (places, time), is_late = self.attempt
        moment = "going on after it had been suspended" if is_late else "suspended"
        return "\n  ".join((f"cancelled when {moment} here (time {time} in this run), {outcome}:", *places))

    def __await__(self) -> Generator[Any, Any, object]:
        return self._inner.__await__()

    def send(self, value: Any) -> Any:
        return self._suspended(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        return self._suspended(self._inner.throw(*error))

    def close(self) -> None:
        self._inner.close()

    def _suspended(self, waited_for: Any) -> Any:
        task = asyncio.current_task()
        if self.attempt is None and task is not None:
            self.attempt = self._next()
            if self.attempt is not None:
                self._tried.add(self.attempt)
                if self.attempt.is_late and waited_for is not None:
                    # Called before the task's own callback, which is added when this has returned.
                    waited_for.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
        return waited_for

    def _next(self) -> _Attempt | None:
        places = tuple(_places_in(self._inner))
        self._times[places] += 1
        point = _Point(places, self._times[places])
        attempts = (_Attempt(point, is_late=late) for late in (False, True))
        return next((each for each in attempts if each not in self._tried), None)


async def _awaited(awaitable: Awaitable[object]) -> object:
    return await awaitable


def _places_in(coroutine: Any) -> Iterator[str]:
    """Give where a coroutine is suspended, and what it awaits there, as deep as can be seen."""
    while coroutine is not None:
        kind = next((kind for kind in ("cr", "ag", "gi") if hasattr(coroutine, f"{kind}_frame")), "")
        frame: FrameType | None = getattr(coroutine, f"{kind}_frame", None)
        if frame is not None:
            yield f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_qualname}"
        coroutine = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
