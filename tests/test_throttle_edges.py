"""Adaptive limiter: responses that overtake each other."""

from math import inf

from retab_async.throttle.adaptive_limiter import AdaptiveLimiter
from retab_async.throttle.rate_estimator import RateEstimator, RecoverySample


def test_response_to_a_request_before_the_refusal_does_not_open_the_gate() -> None:
    limiter = AdaptiveLimiter()
    limiter.on_sent(0.0)
    limiter.on_sent(0.1)
    limiter.on_throttled(0.1, 0.2, 5.0, is_rate_limited=True)

    assert not limiter.on_response(0.0, 0.3)
    assert limiter.is_closed
    assert 0 < limiter.next_send_at(0.3) < inf


def test_request_in_the_same_clock_tick_as_a_refusal_does_not_open_the_gate() -> None:
    limiter = AdaptiveLimiter()
    limiter.on_sent(0.1)
    limiter.on_sent(0.2)
    limiter.on_throttled(0.1, 0.2, None, is_rate_limited=True)

    assert not limiter.on_response(0.2, 0.3)
    assert limiter.on_response(0.4, 0.5)


def test_late_retry_after_is_kept_though_a_probe_has_opened_the_gate() -> None:
    limiter = AdaptiveLimiter()
    limiter.on_sent(0.0)
    limiter.on_sent(0.1)
    limiter.on_throttled(0.1, 0.2, 1.0, is_rate_limited=True)
    limiter.on_sent(1.2)
    limiter.on_throttled(0.0, 1.3, 20.0, is_rate_limited=True)

    assert limiter.on_response(1.2, 1.4)
    assert limiter.next_send_at(1.4) == 21.3
    assert limiter.next_send_at(21.4) < 21.4


def test_refusal_right_after_the_burst_of_a_bucket_keeps_its_period() -> None:
    estimate = RateEstimator()
    estimate.observe([100.0 + number / 100 for number in range(50)] + [101.0], RecoverySample(101.0, 1.0, 0.2, 0.0, 50))
    period = estimate.period

    estimate.observe([102.0], RecoverySample(102.0, 1.0, 0.2, 0.0, 1))

    assert estimate.period == period
