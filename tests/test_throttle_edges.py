"""What the pace meets only when things overtake each other, brought about on purpose."""

import asyncio
from math import inf

from retab_async.throttle.adaptive_limiter import AdaptiveLimiter
from retab_async.throttle.waiters import _ring


def test_what_was_sent_before_a_refusal_opens_nothing() -> None:
    allowance = AdaptiveLimiter()
    allowance.on_sent(0.0)
    allowance.on_sent(0.1)
    allowance.on_throttled(0.1, 0.2, 5.0, is_rate_limited=True)

    assert not allowance.on_response(0.0, 0.3)
    assert allowance.is_closed
    assert 0 < allowance.next_send_at(0.3) < inf


def test_what_went_in_the_same_tick_of_the_clock_as_a_refusal_was_noted_opens_nothing() -> None:
    allowance = AdaptiveLimiter()
    allowance.on_sent(0.1)
    allowance.on_sent(0.2)
    allowance.on_throttled(0.1, 0.2, None, is_rate_limited=True)

    assert not allowance.on_response(0.2, 0.3)
    assert allowance.on_response(0.4, 0.5)


def test_a_pause_that_a_slow_one_was_told_is_kept_though_a_probe_has_opened_the_gate() -> None:
    allowance = AdaptiveLimiter()
    allowance.on_sent(0.0)
    allowance.on_sent(0.1)
    allowance.on_throttled(0.1, 0.2, 1.0, is_rate_limited=True)
    allowance.on_sent(1.2)
    allowance.on_throttled(0.0, 1.3, 20.0, is_rate_limited=True)

    assert allowance.on_response(1.2, 1.4)
    assert allowance.next_send_at(1.4) == 21.3
    assert allowance.next_send_at(21.4) < 21.4


async def test_a_bell_is_rung_once() -> None:
    bell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    _ring(bell)
    _ring(bell)

    assert bell.done()
