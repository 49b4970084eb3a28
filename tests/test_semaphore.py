"""Places: taken at once while there are some, waited for in order after that, and never lost."""

import asyncio

import pytest

from retab_async.throttle import FifoSemaphore


async def test_a_free_place_is_taken_at_once() -> None:
    places = FifoSemaphore(2)

    assert [places.try_acquire(), places.try_acquire(), places.try_acquire()] == [True, True, False]


async def test_a_place_given_back_can_be_taken_again() -> None:
    places = FifoSemaphore(1)
    places.try_acquire()
    places.release()

    assert places.try_acquire()


async def test_places_come_in_the_order_in_which_they_were_asked_for() -> None:
    places = FifoSemaphore(1)
    places.try_acquire()
    served: list[int] = []

    async def stand(number: int) -> None:
        await places.acquire(5)
        served.append(number)
        places.release()

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(stand(number))
        await asyncio.sleep(0)
        places.release()

    assert served == [0, 1, 2, 3]
    assert places.try_acquire()


async def test_a_wait_ends_with_its_time_and_takes_no_place() -> None:
    places = FifoSemaphore(1)
    places.try_acquire()
    with pytest.raises(TimeoutError):
        await places.acquire(0.01)
    places.release()

    assert places.try_acquire()
    assert not places.try_acquire()


async def test_one_who_gave_up_is_passed_over() -> None:
    places = FifoSemaphore(1)
    places.try_acquire()
    gone = asyncio.create_task(places.acquire(5))
    patient = asyncio.create_task(places.acquire(5))
    await asyncio.sleep(0)
    gone.cancel()
    places.release()

    await patient
    assert gone.cancelled() or gone.cancelling()
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_place_that_came_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    places = FifoSemaphore(1)
    places.try_acquire()
    late = asyncio.create_task(places.acquire(5))
    await asyncio.sleep(0)
    places.release()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late

    assert places.try_acquire()
