"""Abort scope: who ended the block, and how often the task counts as cancelled afterwards."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from retab_async.abort import AbortScope
from retab_async.testing import cancel_everywhere


class OutsideError(Exception):
    """The error of `abort`."""


def soon(call: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_soon(call)


def current_task() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None
    return task


async def block_aborted_by(*errors: Exception) -> None:
    async with AbortScope() as scope:
        for error in errors:
            soon(partial(scope.abort, error))
        await asyncio.Event().wait()


async def test_abort_ends_the_block_with_its_error_at_its_suspension_point() -> None:
    with pytest.raises(OutsideError) as caught:
        await block_aborted_by(OutsideError())

    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert current_task().cancelling() == 0


async def test_task_continues_after_an_aborted_block() -> None:
    with pytest.raises(OutsideError):
        await block_aborted_by(OutsideError())

    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()


async def test_second_abort_is_ignored() -> None:
    with pytest.raises(OutsideError, match="first"):
        await block_aborted_by(OutsideError("first"), OutsideError("second"))

    assert current_task().cancelling() == 0


async def test_abort_outside_of_the_block_is_ignored() -> None:
    scope = AbortScope()
    scope.abort(OutsideError())
    async with scope:
        await asyncio.sleep(0)
    scope.abort(OutsideError())

    await asyncio.sleep(0)
    assert current_task().cancelling() == 0


async def test_block_that_ignores_the_cancellation_raises_nothing() -> None:
    async with AbortScope() as scope:
        soon(lambda: scope.abort(OutsideError()))
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()

    assert current_task().cancelling() == 0


async def test_exception_of_the_block_propagates() -> None:
    async def block() -> None:
        async with AbortScope() as scope:
            soon(lambda: scope.abort(OutsideError()))
            try:
                await asyncio.Event().wait()
            finally:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()

    assert current_task().cancelling() == 0


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_cancellation_of_the_task_at_the_same_time_takes_precedence(*, cancel_first: bool) -> None:
    cancelling: list[int] = []

    async def block() -> None:
        task = current_task()
        try:
            async with AbortScope() as scope:
                calls: list[Callable[[], object]] = [task.cancel, lambda: scope.abort(OutsideError())]
                for call in calls if cancel_first else reversed(calls):
                    soon(call)
                await asyncio.Event().wait()
        finally:
            cancelling.append(task.cancelling())

    task = asyncio.create_task(block())
    await asyncio.wait({task})

    assert task.cancelled()
    assert cancelling == [1]


async def test_cancellation_that_was_requested_before_the_block_is_raised_on_entry() -> None:
    entered: list[AbortScope] = []

    async def block() -> None:
        current_task().cancel()
        async with AbortScope() as scope:
            entered.append(scope)

    task = asyncio.create_task(block())
    await asyncio.wait({task})

    assert (task.cancelled(), entered) == (True, [])


async def test_outer_timeout_takes_precedence_over_an_abort_at_the_same_time() -> None:
    loop = asyncio.get_running_loop()

    async def block() -> None:
        async with asyncio.timeout(None) as timeout, AbortScope() as scope:
            timeout.reschedule(loop.time())
            soon(lambda: scope.abort(OutsideError()))
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await block()

    assert current_task().cancelling() == 0


async def test_outer_of_two_aborted_blocks_raises_its_error() -> None:
    async def block() -> None:
        async with AbortScope() as outer, AbortScope() as inner:
            soon(lambda: inner.abort(OutsideError("inner")))
            soon(lambda: outer.abort(OutsideError("outer")))
            await asyncio.Event().wait()

    with pytest.raises(OutsideError, match="outer"):
        await block()

    assert current_task().cancelling() == 0


async def test_abort_scope_can_be_cancelled_everywhere() -> None:
    async def block() -> None:
        async with AbortScope():
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    assert await cancel_everywhere(block) == 3


async def test_abort_scope_outside_of_a_task_raises_runtime_error() -> None:
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[BaseException] = loop.create_future()

    def enter() -> None:
        try:
            AbortScope().__aenter__().send(None)
        except RuntimeError as error:
            failed.set_result(error)

    soon(enter)

    assert "enter this block inside a coroutine" in str(await failed)
