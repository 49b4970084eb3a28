"""Outages of any length in made-up time, in which two seconds are two seconds on any machine."""

import asyncio
import json
import random
import time
from collections import Counter
from math import inf
from typing import NamedTuple

import aiohttp
import pytest
from payloads import BARE_SPLIT
from virtual_time import Clock, in_virtual_time

from retab_async import AsyncRetab, CancelReport
from retab_async.protocol import DeliveryState, Request, Response
from retab_async.transport.exchange import Exchange

ROUND_TRIP = 0.1
TIMEOUT = 15.0
PATIENCE = 60.0
WORKERS = 64

Patch = pytest.MonkeyPatch


class Course(NamedTuple):
    """How a job went: its report, when each id was answered for the last time, and how often each one was sent."""

    report: CancelReport
    answers: dict[str, float]
    sends: Counter[str]


def course_of(patch: Patch, ids: int, way: str, *, begins: float, seconds: float = inf) -> Course:
    """Cancel so many while the server is away, in one of several ways, from a moment on and for so long."""

    async def story(clock: Clock) -> Course:
        dice = random.Random(1)
        began = clock()
        answers: dict[str, float] = {}
        sends: Counter[str] = Counter()

        async def make(_: Exchange, request: Request, number: int, timeout: float, trail: DeliveryState) -> Response:
            run_id = request.path.split("/")[-2]
            sends[run_id] += 1
            is_away = begins <= clock() - began < begins + seconds
            if is_away and way == "refuses":
                raise aiohttp.ServerDisconnectedError
            if is_away and way == "hangs":
                await asyncio.sleep(timeout + dice.uniform(0, 0.01))
                raise TimeoutError
            await asyncio.sleep(ROUND_TRIP)
            if is_away:
                return Response(request, 503, {}, b"", number, str)
            answers[run_id] = clock() - began
            return Response(request, 200, {}, json.dumps(BARE_SPLIT).encode(), number, str)

        patch.setattr(Exchange, "run", make)
        patch.setattr(time, "monotonic", clock)
        async with AsyncRetab("sk_test", timeout=TIMEOUT) as client:
            every = (f"splt_{number}" for number in range(ids))
            report = await client.splits.cancel_many(every, concurrency=WORKERS, outage_timeout=PATIENCE)
        return Course(report, answers, sends)

    course: Course = in_virtual_time(story)
    return course


# What hangs is known for an absence when the first sends are over, and not before.
@pytest.mark.parametrize(
    ("way", "seconds"),
    [
        *((way, seconds) for way in ("refuses", "503") for seconds in (0.7, 10.0, 55.0)),
        ("hangs", 20.0),
        ("hangs", 55.0),
    ],
)
def test_work_goes_on_within_two_seconds_of_the_return(way: str, seconds: float, monkeypatch: Patch) -> None:
    course = course_of(monkeypatch, 1000, way, begins=1.0, seconds=seconds)
    after = sorted(moment for moment in course.answers.values() if moment >= 1.0 + seconds)

    assert course.report.counts == {"cancelled": 1000}
    assert len(course.answers) == 1000
    # The first one is a probe's.
    assert after[1] <= 1.0 + seconds + 2.0
    # Those in flight when it went, and a probe now and then.
    assert course.sends.total() <= 1000 + WORKERS + 8 + seconds


@pytest.mark.parametrize("way", ["refuses", "503", "hangs"])
def test_where_nobody_is_ever_there_hardly_anything_is_sent(way: str, monkeypatch: Patch) -> None:
    course = course_of(monkeypatch, 400, way, begins=0.0)

    assert course.report.counts == {"unconfirmed": 400}
    assert len(course.report.failures) == 400
    assert course.sends.total() <= 440
    assert course.report.elapsed < PATIENCE + 2 * TIMEOUT
