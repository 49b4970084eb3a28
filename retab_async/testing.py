"""Test helper: cancels a coroutine at each of its suspension points."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import FrameType

# Seconds for a task that ignored a cancel to react to a second one.
_STUCK_TASK_TIMEOUT = 1.0
_CLOCK_ADVICE = "if it waits for a clock that stands still, such as a ManualClock, advance that clock inside `make`"


async def cancel_everywhere(
    make: Callable[[], Awaitable[object]],
    *,
    check: Callable[[], object] | None = None,
    limit: int = 1000,
    timeout: float = 5.0,  # noqa: ASYNC109 - the limit of each of many runs, not of this call
    total_timeout: float = 60.0,
) -> int:
    """Run a coroutine again and again, each time cancelled at another suspension point.

    A suspension point is identified by the lines that await, and by how often they did so in that run. At each point
    the coroutine is cancelled twice, by `task.cancel()` in a new task: once while it is suspended, and once when it is
    about to resume because what it awaits has just finished. The last run reaches no new point and ends by itself; its
    exception is raised.

    Only the suspension points of the coroutine and of what it awaits are counted. Tasks that it starts, as in a
    `TaskGroup`, are cancelled where it cancels them. To test an async generator, iterate over it in a coroutine.

    Waits inside the coroutine take real time in every run, so keep them short: seed runs that finish at once, pass a
    small `poll_interval`, and advance a `ManualClock` inside `make`, as nothing else does.

    Args:
        make: Makes the coroutine; called once for each run.
        check: Called after each run, and awaited if it returns an awaitable; asserts that nothing is left behind.
        limit: The maximum number of suspension points.
        timeout: Seconds of real time for each run.
        total_timeout: Seconds of real time for all runs together.

    Returns:
        The number of suspension points.

    Raises:
        AssertionError: A cancelled run returned or raised something else; or a run, or all of them, exceeded a limit.
            The message names the suspension point.

    Example:
        A cancelled block leaves no active run behind, wherever it is cancelled::

            async def test_a_cancelled_block_leaves_no_active_run():
                async with Emulator(queued=0, running=0.02) as emulator:
                    async with AsyncRetab(emulator.api_key, base_url=emulator.url) as client:

                        async def block():
                            async with client.splits.running(
                                document=b"%PDF", subdocuments=[Subdocument("invoice")]
                            ) as run:
                                await run.result(poll_interval=0.01)

                        assert await cancel_everywhere(block) > 0
                        await client.aclose()
                        assert emulator.active_runs() == []
    """
    tried: set[_Attempt] = set()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + total_timeout
    while True:
        stepper = _Stepper(make(), tried)
        await _run(stepper, timeout)
        outcome = check() if check is not None else None
        if inspect.isawaitable(outcome):
            await outcome
        points = len({attempt.point for attempt in tried})
        if stepper.attempt is None:
            return points
        if points > limit:
            msg = f"more than {limit} suspension points: raise `limit`, or make the coroutine shorter"
            raise AssertionError(msg)
        if loop.time() >= deadline:
            msg = f"not finished within {total_timeout:g} s, after {points} suspension points; {_CLOCK_ADVICE}"
            raise AssertionError(stepper.attempt.describe(msg))


async def _run(stepper: "_Stepper", seconds: float) -> None:
    task = asyncio.get_running_loop().create_task(stepper)
    try:
        await asyncio.wait({task}, timeout=seconds)
        problem = "" if task.done() else stepper.describe_timeout(seconds)
    finally:
        task.cancel()
    if problem:
        await asyncio.wait({task}, timeout=_STUCK_TASK_TIMEOUT)
        raise AssertionError(problem)
    if stepper.attempt is None:
        task.result()
    elif not task.cancelled():
        error = task.exception()
        outcome = f"raised {error!r}" if error else f"returned {task.result()!r}"
        raise AssertionError(stepper.attempt.describe(f"the coroutine {outcome} instead of being cancelled")) from error


class _Point(NamedTuple):
    lines: tuple[str, ...]
    occurrence: int


class _Attempt(NamedTuple):
    point: _Point
    on_resume: bool

    def describe(self, problem: str) -> str:
        """Return a message: the problem, and the suspension point of the cancel."""
        lines, occurrence = self.point
        moment = "about to resume" if self.on_resume else "suspended"
        return "\n  ".join((f"{problem}; cancelled while {moment} at (occurrence {occurrence} in this run):", *lines))


class _Stepper(Coroutine[Any, Any, object]):
    """Coroutine that cancels its own task at the first suspension point that has not been tried."""

    def __init__(self, awaitable: Awaitable[object], tried: set[_Attempt]) -> None:
        self.attempt: _Attempt | None = None
        self._cancelled: _Attempt | None = None
        self._tried = tried
        self._occurrences: Counter[tuple[str, ...]] = Counter()
        self._inner = awaitable if isinstance(awaitable, Coroutine) else _as_coroutine(awaitable)

    def describe_timeout(self, seconds: float) -> str:
        """Return a message for a run that did not end within `seconds`."""
        if self._cancelled is not None:
            return self._cancelled.describe(f"the coroutine did not end within {seconds:g} s of its cancel")
        problem = f"suspension point not reached within {seconds:g} s; {_CLOCK_ADVICE}; now suspended at:"
        return "\n  ".join((problem, *_awaiting_lines(self._inner)))

    def __await__(self) -> Generator[Any, Any, object]:
        return self._inner.__await__()

    def send(self, value: Any) -> Any:
        return self._suspended(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        return self._suspended(self._inner.throw(*error))

    def close(self) -> None:
        self._inner.close()

    def _suspended(self, awaited: Any) -> Any:
        task = asyncio.current_task()
        if self.attempt is None and task is not None:
            self.attempt = self._next_attempt()
            if self.attempt is not None:
                self._tried.add(self.attempt)
                if self.attempt.on_resume and awaited is not None:
                    # Runs before the task's own callback, which is added when this method has returned.
                    awaited.add_done_callback(lambda _: self._cancel(task))
                else:
                    self._cancel(task)
        return awaited

    def _cancel(self, task: "asyncio.Task[Any]") -> None:
        self._cancelled = self.attempt
        task.cancel()

    def _next_attempt(self) -> _Attempt | None:
        lines = tuple(_awaiting_lines(self._inner))
        self._occurrences[lines] += 1
        point = _Point(lines, self._occurrences[lines])
        attempts = (_Attempt(point, on_resume=on_resume) for on_resume in (False, True))
        return next((attempt for attempt in attempts if attempt not in self._tried), None)


async def _as_coroutine(awaitable: Awaitable[object]) -> object:
    return await awaitable


def _awaiting_lines(coroutine: Any) -> Iterator[str]:
    """Yield the line at which a coroutine is suspended, then those of the coroutines that it awaits."""
    while coroutine is not None:
        kind = next((kind for kind in ("cr", "ag", "gi") if hasattr(coroutine, f"{kind}_frame")), "")
        frame: FrameType | None = getattr(coroutine, f"{kind}_frame", None)
        if frame is not None:
            yield f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_qualname}"
        coroutine = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
