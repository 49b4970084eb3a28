"""For tests: a proof that a coroutine can be cancelled anywhere."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from typing import TYPE_CHECKING, Any

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

    A point is where the coroutine can be suspended. At each of them it is cancelled twice, by `task.cancel()` and each
    time in a task of its own: once while it is suspended there, and once in the moment in which it was to go on,
    because what it waits for has just come. The last runs end by themselves, having fewer points than are asked for;
    what they raise is raised. `check` is called after each run, and awaited where it has to be: let it assert that
    nothing is left behind.

    Raises `AssertionError`, which names the point, for a run that was cancelled and yet returned, or raised something
    else, or did not end within so many `seconds`; and for more than `limit` points.

    Counted are the points of the coroutine itself and of all that it awaits; what goes on in tasks that it starts, as
    in a `TaskGroup`, is not, although those are cancelled where it cancels them. What waits for the network may have a
    point more in one run than in another. An async generator is stepped by a coroutine that walks it.

        async def test_a_cancelled_call_leaves_no_run_behind():
            async with Emulator() as emulator, AsyncRetab(emulator.api_key, base_url=emulator.url) as client:
                (run_id,) = emulator.seed("splits")
                assert await cancel_everywhere(lambda: client.splits.cancel(run_id)) > 1
    """
    for number in range(1, limit + 2):
        is_reached = False
        for late in (False, True):
            point = _Point(make(), number, late=late)
            await _run(point, seconds)
            outcome = check() if check is not None else None
            if inspect.isawaitable(outcome):
                await outcome
            is_reached |= point.is_reached
        if not is_reached:
            return number - 1
    msg = f"there are more than {limit} points at which this can be cancelled"
    raise AssertionError(msg)


async def _run(point: "_Point", seconds: float) -> None:
    task = asyncio.get_running_loop().create_task(point, name=f"cancelled at point {point.number}")
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        is_stuck = task.cancel()
    if is_stuck:
        await asyncio.wait({task}, timeout=_LAST_WORD)
        msg = point.told(f"it was not over {seconds:g} s later")
        raise AssertionError(msg)
    if not point.is_reached:
        task.result()
    elif not task.cancelled():
        error = task.exception()
        msg = point.told(f"it {f'raised {error!r}' if error else f'returned {task.result()!r}'} instead")
        raise AssertionError(msg) from error


class _Point(Coroutine[Any, Any, object]):
    """A coroutine that cancels its own task when it is suspended for the n-th time, or is `late` and so resumed."""

    def __init__(self, awaitable: Awaitable[object], number: int, *, late: bool) -> None:
        self.number = number
        self.is_reached = False
        self._late = late
        self._seen = 0
        self._places: tuple[str, ...] = ()
        self._inner = awaitable if isinstance(awaitable, Coroutine) else _awaited(awaitable)

    def told(self, outcome: str) -> str:
        """Return what is to be said of an outcome that was not to be."""
        if not self.is_reached:
            return f"before point {self.number}, {outcome}"
        moment = "going on after it had been suspended" if self._late else "suspended"
        return "\n  ".join((f"cancelled at point {self.number}, {moment} here, {outcome}:", *self._places))

    def __await__(self) -> Generator[Any, Any, object]:
        return self._inner.__await__()

    def send(self, value: Any) -> Any:
        return self._suspended(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        return self._suspended(self._inner.throw(*error))

    def close(self) -> None:
        self._inner.close()

    def _suspended(self, waited_for: Any) -> Any:
        self._seen += 1
        task = asyncio.current_task()
        if self._seen == self.number and task is not None:
            self.is_reached = True
            self._places = tuple(_places_in(self._inner))
            if self._late and waited_for is not None:
                # Called before the task's own callback, which is added when this has returned.
                waited_for.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        return waited_for


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
