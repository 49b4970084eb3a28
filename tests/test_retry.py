"""Retries: which failures are retried, how long the waits are, and which error is raised."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from unittest.mock import AsyncMock

import attrs
import pytest
import tenacity
from aioresponses import aioresponses
from clients import QUICK
from hypothesis import given
from hypothesis import strategies as st
from payloads import BARE_SPLIT, KEY, SPLIT_ID

from retab_async import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncRetab,
    ConfigurationError,
    InternalServerError,
    RateLimitError,
    ResponseError,
    RetabError,
    RetryPolicy,
)
from retab_async.errors import error_class
from retab_async.retry import is_transient, retry_after_failure
from retab_async.throttle.waiters import FifoGate
from retab_async.transport import transport

URL = f"https://api.retab.com/v1/splits/{SPLIT_ID}/cancel"
CALL: dict[str, Any] = {"method": "POST", "url": "/v1/splits/splt_1/cancel"}

TRANSIENT = [408, 425, 429, 500, 502, 503, 504, 507, 511, 520, 521, 522, 523, 524, 529, 530, 598, 599]
FINAL = [300, 307, 400, 401, 402, 403, 404, 405, 409, 410, 413, 422, 431, 451, 501, 505, 600]


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that were requested, none of which takes any time."""
    taken: list[float] = []

    async def sleep(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    # The throttle gate follows the clock, which stands still here.
    monkeypatch.setattr(FifoGate, "try_pass", lambda _: True)
    return taken


def client_with(policy: RetryPolicy, **settings: Any) -> AsyncRetab:
    return AsyncRetab(KEY, retry=policy, **settings)


def calls_of(wire: aioresponses) -> int:
    return sum(len(calls) for calls in wire.requests.values())


# Classification


@pytest.mark.parametrize("status", TRANSIENT)
async def test_a_transient_status_is_attempted_four_times(wire: aioresponses, status: int) -> None:
    wire.post(URL, status=status, repeat=True)
    async with client_with(QUICK) as client:
        with pytest.raises(APIError) as caught:
            await client.splits.cancel(SPLIT_ID)

    assert caught.value.status_code == status
    assert caught.value.attempts == 4
    assert calls_of(wire) == 4


@pytest.mark.parametrize("status", FINAL)
async def test_a_final_status_is_attempted_once(wire: aioresponses, status: int) -> None:
    wire.post(URL, status=status, repeat=True)
    async with client_with(QUICK) as client:
        with pytest.raises(APIError) as caught:
            await client.splits.cancel(SPLIT_ID)

    assert caught.value.status_code == status
    assert caught.value.attempts == 1
    assert calls_of(wire) == 1


@pytest.mark.parametrize("failures", [1, 2, 3])
async def test_a_call_succeeds_at_any_of_its_attempts(wire: aioresponses, failures: int) -> None:
    wire.post(URL, status=503, repeat=failures)
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(QUICK) as client:
        run = await client.splits.cancel(SPLIT_ID)

    assert run.status == "cancelled"
    assert calls_of(wire) == failures + 1


async def test_a_policy_of_one_attempt_does_not_retry(wire: aioresponses, naps: list[float]) -> None:
    wire.post(URL, status=503)
    async with client_with(RetryPolicy(attempts=1)) as client:
        with pytest.raises(InternalServerError) as caught:
            await client.splits.cancel(SPLIT_ID)

    assert caught.value.attempts == 1
    assert naps == []


@pytest.mark.parametrize("statuses", [{409, 418}, [418], (418, 501)], ids=repr)
async def test_retry_statuses_of_the_policy_are_retried_too(wire: aioresponses, statuses: Any) -> None:
    policy = attrs.evolve(QUICK, retry_statuses=statuses)
    wire.post(URL, status=418)
    wire.post(URL, status=503)
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(policy) as client:
        run = await client.splits.cancel(SPLIT_ID)

    assert run.status == "cancelled"
    assert calls_of(wire) == 3


async def test_retry_statuses_apply_in_bulk_jobs_and_waits(wire: aioresponses) -> None:
    policy = attrs.evolve(QUICK, retry_statuses={418})
    wire.post(URL, status=418)
    wire.post(URL, payload=BARE_SPLIT)
    get = f"https://api.retab.com/v1/splits/{SPLIT_ID}"
    for url in (get, f"{get}?include_output=false"):
        wire.get(url, status=418)
        wire.get(url, payload=BARE_SPLIT, repeat=True)
    async with client_with(policy) as client:
        report = await client.splits.cancel_many([SPLIT_ID])
        run = await client.splits.wait(SPLIT_ID, poll_interval=0.01)

    assert report.failures == ()
    assert run.status == "cancelled"


async def test_with_timeout_keeps_the_retry_statuses(wire: aioresponses) -> None:
    async with client_with(attrs.evolve(QUICK, retry_statuses={418})) as client:
        transport = client.splits._api.transport.with_timeout(timeout=1, policy=RetryPolicy(retry_statuses={599}))

    assert transport.policy.retry_statuses == {418, 599}


@pytest.mark.parametrize("statuses", [{200}, {600}, {"418"}, {True}, 418, None, "503"], ids=repr)
def test_invalid_retry_statuses_raise(statuses: Any) -> None:
    with pytest.raises(ConfigurationError, match="retry_statuses must be"):
        RetryPolicy(retry_statuses=statuses)


async def test_an_api_error_says_whether_it_is_transient(wire: aioresponses) -> None:
    wire.post(URL, status=418)
    wire.post(URL, status=404)
    wire.post(URL, status=502)
    found = []
    async with client_with(RetryPolicy(attempts=1, retry_statuses={418})) as client:
        for _ in range(3):
            with pytest.raises(APIError) as caught:
                await client.splits.cancel(SPLIT_ID)
            found.append(caught.value.transient)

    assert found == [True, False, True]


async def test_a_final_failure_after_a_transient_one_ends_the_call(wire: aioresponses) -> None:
    wire.post(URL, status=503)
    wire.post(URL, status=404, payload={"detail": "Split not found"})
    async with client_with(QUICK) as client:
        with pytest.raises(RetabError, match="Split not found") as caught:
            await client.splits.cancel(SPLIT_ID)

    assert isinstance(caught.value, APIError)
    assert caught.value.attempts == 2


async def test_the_error_of_the_last_attempt_is_raised(wire: aioresponses) -> None:
    for status in (500, 502, 503, 429):
        wire.post(URL, status=status, payload={"detail": f"it was {status}"})
    async with client_with(QUICK) as client:
        with pytest.raises(RateLimitError, match="it was 429") as caught:
            await client.splits.cancel(SPLIT_ID)

    assert not isinstance(caught.value, tenacity.RetryError)
    assert caught.value.attempts == 4


async def test_tenacity_is_not_entered_on_success(wire: aioresponses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "retry_after_failure", AsyncMock(side_effect=AssertionError("entered")))
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(QUICK) as client:
        run = await client.splits.cancel(SPLIT_ID)

    assert run.status == "cancelled"


@pytest.mark.parametrize("status", TRANSIENT + FINAL)
def test_is_transient_classifies_statuses(status: int) -> None:
    error = error_class(status)("failed", status_code=status, **CALL)

    assert is_transient(error) is (status in TRANSIENT)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (APIConnectionError("reset", **CALL), True),
        (APIConnectionError("not trusted", transient=False, **CALL), False),
        (APITimeoutError("no answer", **CALL), True),
        (ResponseError("not JSON", status_code=200, **CALL), False),
        (ValueError("anything"), False),
        (asyncio.CancelledError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_is_transient_classifies_errors(error: BaseException, *, transient: bool) -> None:
    assert is_transient(error) is transient


# Waits


async def test_the_wait_doubles_up_to_wait_max(
    wire: aioresponses, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: (low, high)[1])
    wire.post(URL, status=503, repeat=True)
    async with client_with(RetryPolicy(attempts=8, wait_initial=0.25, wait_max=8.0)) as client:
        with pytest.raises(InternalServerError):
            await client.splits.cancel(SPLIT_ID)

    assert naps == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


async def test_a_wait_may_be_zero(wire: aioresponses, naps: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: (low, high)[0])
    wire.post(URL, status=503, repeat=True)
    async with client_with(RetryPolicy()) as client:
        with pytest.raises(InternalServerError):
            await client.splits.cancel(SPLIT_ID)

    assert naps == [0, 0, 0]


@pytest.mark.parametrize("value", ["3", "3.0", "0.75", " 3 "])
async def test_a_retry_after_in_seconds_is_waited_for_in_full(
    wire: aioresponses, naps: list[float], value: str
) -> None:
    wire.post(URL, status=429, headers={"Retry-After": value})
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(RetryPolicy(wait_initial=0.2)) as client:
        await client.splits.cancel(SPLIT_ID)

    assert float(value) <= naps[0] <= float(value) + 0.2
    assert len(naps) == 1


async def test_a_retry_after_as_http_date_is_waited_for_in_full(wire: aioresponses, naps: list[float]) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=20)
    wire.post(URL, status=503, headers={"Retry-After": moment.strftime("%a, %d %b %Y %H:%M:%S GMT")})
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(RetryPolicy(wait_initial=0.2)) as client:
        await client.splits.cancel(SPLIT_ID)

    # The header's date has whole seconds, and the test takes a moment.
    assert 15 < naps[0] <= 20.2


@pytest.mark.parametrize("skew", [-600, 600], ids=["slow clock", "fast clock"])
async def test_a_retry_after_date_is_relative_to_the_date_of_the_response(
    wire: aioresponses, naps: list[float], skew: int
) -> None:
    now = datetime.now(UTC) + timedelta(seconds=skew)
    date, until = (format_datetime(moment, usegmt=True) for moment in (now, now + timedelta(seconds=3)))
    wire.post(URL, status=503, headers={"Date": date, "Retry-After": until})
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(RetryPolicy(wait_initial=0.2)) as client:
        await client.splits.cancel(SPLIT_ID)

    assert 3 <= naps[0] <= 3.2


async def test_retry_after_ms_is_waited_for_in_full(wire: aioresponses, naps: list[float]) -> None:
    wire.post(URL, status=429, headers={"retry-after-ms": "1250", "Retry-After": "9"})
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(RetryPolicy(wait_initial=0.2)) as client:
        await client.splits.cancel(SPLIT_ID)

    assert 1.25 <= naps[0] <= 1.45


async def test_a_retry_after_longer_than_wait_max_is_not_shortened(wire: aioresponses, naps: list[float]) -> None:
    wire.post(URL, status=429, headers={"Retry-After": "30"})
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(RetryPolicy(wait_max=1)) as client:
        await client.splits.cancel(SPLIT_ID)

    assert naps[0] >= 30


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "inf", "-inf", "1e9", "", "Mon, 99 Foo 2026 00:00:00 GMT"])
async def test_an_invalid_retry_after_is_ignored(wire: aioresponses, naps: list[float], value: str) -> None:
    wire.post(URL, status=429, headers={"Retry-After": value})
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(RetryPolicy(wait_initial=0.2)) as client:
        await client.splits.cancel(SPLIT_ID)

    assert 0 <= naps[0] <= 0.2


async def test_a_retry_after_past_the_deadline_fails_immediately(wire: aioresponses, naps: list[float]) -> None:
    wire.post(URL, status=429, headers={"Retry-After": "61"}, repeat=True)
    async with client_with(RetryPolicy(deadline=60)) as client:
        with pytest.raises(RateLimitError) as caught:
            await client.splits.cancel(SPLIT_ID)

    assert caught.value.retry_after == 61
    assert caught.value.attempts == 1
    assert naps == []
    assert calls_of(wire) == 1


async def test_the_jitter_on_a_retry_after_stays_within_the_deadline(
    wire: aioresponses, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: (low, high)[1])
    wire.post(URL, status=429, headers={"Retry-After": "59"})
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(RetryPolicy(wait_initial=8, deadline=60)) as client:
        await client.splits.cancel(SPLIT_ID)

    assert 59 <= naps[0] < 60


async def test_calls_with_the_same_retry_after_are_spread_by_jitter(wire: aioresponses, naps: list[float]) -> None:
    async with client_with(QUICK) as client:
        for _ in range(10):
            wire.post(URL, status=429, headers={"Retry-After": "2"})
            wire.post(URL, payload=BARE_SPLIT)
            await client.splits.cancel(SPLIT_ID)

    assert len(set(naps)) > 5


# retry_after_failure


def failing(*outcomes: Any) -> Callable[[int], Any]:
    remaining = iter(outcomes)

    async def attempt(number: int) -> Any:
        outcome = next(remaining)(number)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return attempt


async def test_attempts_are_numbered(naps: list[float]) -> None:
    seen: list[int] = []

    def fail(number: int) -> Exception:
        seen.append(number)
        return APIConnectionError("reset", **CALL)

    first = APIConnectionError("reset", **CALL)
    deadline = time.monotonic() + 30
    result = await retry_after_failure(
        RetryPolicy(), deadline, first, failing(fail, fail, lambda number: f"attempt {number}")
    )

    assert result == "attempt 4"
    assert seen == [2, 3]
    assert len(naps) == 3


async def test_a_wait_leaves_half_of_the_remaining_time_for_the_attempt(naps: list[float]) -> None:
    first = APIConnectionError("reset", **CALL)
    policy = RetryPolicy(wait_initial=1000, wait_max=1000)
    result = await retry_after_failure(policy, time.monotonic() + 2, first, failing(lambda number: number))

    assert result == 2
    assert naps[0] <= 1


async def test_no_attempt_starts_without_time_left(naps: list[float]) -> None:
    first = APIConnectionError("reset", **CALL)
    with pytest.raises(APIConnectionError) as caught:
        await retry_after_failure(RetryPolicy(), time.monotonic() + 0.005, first, failing())

    assert caught.value is first
    assert naps == []


async def test_an_exception_that_is_no_request_error_is_raised(naps: list[float]) -> None:
    first = APIConnectionError("reset", **CALL)
    with pytest.raises(ZeroDivisionError):
        await retry_after_failure(RetryPolicy(), time.monotonic() + 30, first, failing(lambda number: number / 0))

    assert len(naps) == 1


@given(
    asked=st.floats(0, 1000),
    initial=st.floats(0.001, 10),
    longest=st.floats(0.001, 100),
    deadline=st.floats(0.02, 2000),
)
def test_a_retry_after_is_never_shortened_and_never_outlives_the_deadline(
    asked: float, initial: float, longest: float, deadline: float
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def once() -> None:
        policy = RetryPolicy(attempts=2, wait_initial=initial, wait_max=longest, deadline=deadline)
        first = RateLimitError("slow down", status_code=429, retry_after=asked, **CALL)
        await retry_after_failure(policy, time.monotonic() + deadline, first, failing(lambda number: number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", sleep)
        try:
            asyncio.run(once())
        except RateLimitError:
            assert asked > deadline - 0.2
            assert slept == []
        else:
            assert asked <= slept[0] <= deadline


# Logging


async def test_each_attempt_logs_one_debug_line_and_each_retry_one_warning(
    wire: aioresponses, naps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "retab_async")
    wire.post(URL, status=429, payload={"detail": "slow down"}, headers={"Retry-After": "2"})
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(QUICK) as client:
        await client.splits.cancel(SPLIT_ID)

    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "retab_async"]
    path = f"/v1/splits/{SPLIT_ID}/cancel"
    facts = f"POST {path}, status 429, Retry-After 2 s, 1 attempt"
    assert lines.pop(0) == ("WARNING", "the API asked for a pause of 2.0 s")
    lines = [line for line in lines if not line[1].startswith("the API accepts requests again")]
    assert [level for level, _ in lines] == ["DEBUG", "WARNING", "DEBUG"]
    assert lines[0][1].startswith(f"POST {path}, attempt 1: slow down in ")
    assert lines[1][1] == f"attempt 2 of 4 in {naps[0]:.2f} s: slow down ({facts})"
    assert lines[2][1].startswith(f"POST {path}, attempt 2: 200 in ")


async def test_the_debug_line_of_an_attempt_that_failed_to_connect_says_why(
    wire: aioresponses, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "retab_async")
    wire.post(URL, exception=TimeoutError())
    async with client_with(RetryPolicy(attempts=1)) as client:
        with pytest.raises(APITimeoutError):
            await client.splits.cancel(SPLIT_ID)

    (record,) = [record for record in caplog.records if record.name == "retab_async"]
    assert "attempt 1: no answer within 15 s" in record.getMessage()


async def test_a_successful_call_logs_nothing_above_debug(wire: aioresponses, caplog: pytest.LogCaptureFixture) -> None:
    wire.post(URL, payload=BARE_SPLIT)
    async with client_with(QUICK) as client:
        await client.splits.cancel(SPLIT_ID)

    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
