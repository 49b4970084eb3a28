"""FIFO waiters and the semaphore on them: slots are taken at once, then in order, and never lost."""

import asyncio
from math import inf

import pytest

from retab_async.throttle import FifoSemaphore
from retab_async.throttle.waiters import WaiterQueue


class TestWaiterQueue:
    async def test_wakeup_is_delivered_once(self) -> None:
        waiter = WaiterQueue().join()
        sleeping = asyncio.create_task(waiter.sleep(inf))
        await asyncio.sleep(0)

        assert [waiter.wake(), waiter.wake()] == [True, False]
        await sleeping
        assert waiter.is_woken

    async def test_waiter_that_does_not_sleep_is_not_woken(self) -> None:
        waiter = WaiterQueue().join()

        assert not waiter.wake()
        assert not waiter.is_woken

    async def test_sleep_that_times_out_is_no_wakeup(self) -> None:
        waiter = WaiterQueue().join()
        await waiter.sleep(0.001)

        assert not waiter.is_woken
        assert not waiter.wake()

    async def test_timer_after_a_wakeup_changes_nothing(self) -> None:
        waiter = WaiterQueue().join()
        sleeping = asyncio.create_task(waiter.sleep(0.001))
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        # Both come due in one iteration of the loop, the wakeup first.
        loop.call_at(loop.time() + 0.0005, waiter.wake)
        await asyncio.sleep(0)
        busy_until = loop.time() + 0.01
        while loop.time() < busy_until:
            pass
        await sleeping

        assert waiter.is_woken

    async def test_urgent_waiters_stand_first(self) -> None:
        queue = WaiterQueue()
        normal, urgent, second = queue.join(), queue.join(is_urgent=True), queue.join(is_urgent=True)
        order = []
        while queue:
            order.append(queue[0])
            queue.leave(queue[0])

        assert order == [urgent, second, normal]


class TestFifoSemaphore:
    async def test_free_slots_are_taken_at_once(self) -> None:
        slots = FifoSemaphore(2)

        assert [slots.try_acquire(), slots.try_acquire(), slots.try_acquire()] == [True, True, False]

    async def test_released_slot_can_be_taken_again(self) -> None:
        slots = FifoSemaphore(1)
        slots.try_acquire()
        slots.release()

        assert slots.try_acquire()

    async def test_slots_are_handed_over_in_fifo_order(self) -> None:
        slots = FifoSemaphore(1)
        slots.try_acquire()
        served: list[int] = []

        async def work(number: int) -> None:
            await slots.acquire(5)
            served.append(number)
            slots.release()

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(work(number))
            await asyncio.sleep(0)
            slots.release()

        assert served == [0, 1, 2, 3]
        assert slots.try_acquire()

    async def test_wait_that_times_out_takes_no_slot(self) -> None:
        slots = FifoSemaphore(1)
        slots.try_acquire()
        with pytest.raises(TimeoutError):
            await slots.acquire(0.01)
        slots.release()

        assert slots.try_acquire()
        assert not slots.try_acquire()
        assert slots.waiting == 0

    async def test_cancelled_waiter_is_passed_over(self) -> None:
        slots = FifoSemaphore(1)
        slots.try_acquire()
        cancelled = asyncio.create_task(slots.acquire(5))
        patient = asyncio.create_task(slots.acquire(None))
        await asyncio.sleep(0)
        cancelled.cancel()
        slots.release()

        await patient
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert slots.waiting == 0

    async def test_slot_of_a_task_cancelled_as_its_turn_comes_goes_to_the_next(self) -> None:
        slots = FifoSemaphore(1)
        slots.try_acquire()
        late = asyncio.create_task(slots.acquire(5))
        await asyncio.sleep(0)
        slots.release()
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late

        assert slots.try_acquire()

    async def test_urgent_holder_gets_a_slot_beyond_those_of_others(self) -> None:
        slots = FifoSemaphore(2, reserve=1)
        assert [slots.try_acquire() for _ in range(3)] == [True, True, False]

        assert [slots.try_acquire(is_urgent=True) for _ in range(2)] == [True, False]
        slots.release(is_urgent=True)
        slots.release()
        slots.release()
        assert [slots.try_acquire() for _ in range(3)] == [True, True, False]

    async def test_urgent_holders_alone_have_no_more_than_the_count(self) -> None:
        slots = FifoSemaphore(2, reserve=2)

        assert [slots.try_acquire(is_urgent=True) for _ in range(3)] == [True, True, False]

    async def test_released_reserve_goes_to_an_urgent_waiter_alone(self) -> None:
        slots = FifoSemaphore(1, reserve=1)
        slots.try_acquire()
        slots.try_acquire(is_urgent=True)
        normal = asyncio.create_task(slots.acquire(5))
        urgent = asyncio.create_task(slots.acquire(5, is_urgent=True))
        await asyncio.sleep(0)
        slots.release(is_urgent=True)
        await urgent
        slots.release(is_urgent=True)
        await asyncio.sleep(0)
        assert not normal.done()

        slots.release()
        await normal
        assert not slots.try_acquire()

    async def test_urgent_waiter_that_timed_out_leaves_the_reserve_free(self) -> None:
        slots = FifoSemaphore(1, reserve=1)
        slots.try_acquire(is_urgent=True)
        waiting = asyncio.create_task(slots.acquire(5, is_urgent=True))
        await asyncio.sleep(0)
        waiting.cancel()
        slots.release(is_urgent=True)
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert slots.try_acquire()
        assert slots.try_acquire(is_urgent=True)
        assert not slots.try_acquire(is_urgent=True)
