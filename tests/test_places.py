"""Places: taken at once while there are some, waited for in order after that, and never lost."""

import asyncio

import pytest

from retab_async.pacing import Places


async def test_a_free_place_is_taken_at_once() -> None:
    places = Places(2)

    assert [places.take(), places.take(), places.take()] == [True, True, False]


async def test_a_place_given_back_can_be_taken_again() -> None:
    places = Places(1)
    places.take()
    places.give_back()

    assert places.take()


async def test_places_come_in_the_order_in_which_they_were_asked_for() -> None:
    places = Places(1)
    places.take()
    served: list[int] = []

    async def stand(number: int) -> None:
        await places.wait(5)
        served.append(number)
        places.give_back()

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(stand(number))
        await asyncio.sleep(0)
        places.give_back()

    assert served == [0, 1, 2, 3]
    assert places.take()


async def test_a_wait_ends_with_its_time_and_takes_no_place() -> None:
    places = Places(1)
    places.take()
    with pytest.raises(TimeoutError):
        await places.wait(0.01)
    places.give_back()

    assert places.take()
    assert not places.take()


async def test_one_who_gave_up_is_passed_over() -> None:
    places = Places(1)
    places.take()
    gone = asyncio.create_task(places.wait(5))
    patient = asyncio.create_task(places.wait(5))
    await asyncio.sleep(0)
    gone.cancel()
    places.give_back()

    await patient
    assert gone.cancelled() or gone.cancelling()
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_place_that_came_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    places = Places(1)
    places.take()
    late = asyncio.create_task(places.wait(5))
    await asyncio.sleep(0)
    places.give_back()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late

    assert places.take()
