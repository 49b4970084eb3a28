"""What the pace meets only when things overtake each other, brought about on purpose."""

import asyncio
from math import inf

from retab_async.pacing.allowance import Allowance
from retab_async.pacing.lines import _ring


def test_what_was_sent_before_a_refusal_opens_nothing() -> None:
    allowance = Allowance()
    allowance.went(0.0)
    allowance.went(0.1)
    allowance.refused(0.1, 0.2, 5.0, is_for_pace=True)

    assert not allowance.got_through(0.0, 0.3)
    assert allowance.is_closed
    assert 0 < allowance.opens(0.3) < inf


def test_what_went_in_the_same_tick_of_the_clock_as_a_refusal_was_noted_opens_nothing() -> None:
    allowance = Allowance()
    allowance.went(0.1)
    allowance.went(0.2)
    allowance.refused(0.1, 0.2, None, is_for_pace=True)

    assert not allowance.got_through(0.2, 0.3)
    assert allowance.got_through(0.4, 0.5)


def test_a_pause_that_a_slow_one_was_told_is_kept_though_a_probe_has_opened_the_gate() -> None:
    allowance = Allowance()
    allowance.went(0.0)
    allowance.went(0.1)
    allowance.refused(0.1, 0.2, 1.0, is_for_pace=True)
    allowance.went(1.2)
    allowance.refused(0.0, 1.3, 20.0, is_for_pace=True)

    assert allowance.got_through(1.2, 1.4)
    assert allowance.opens(1.4) == 21.3
    assert allowance.opens(21.4) < 21.4


async def test_a_bell_is_rung_once() -> None:
    bell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    _ring(bell)
    _ring(bell)

    assert bell.done()
