"""A scripted server in virtual time behind real transports; it checks each call against its guarantees."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import inf
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import aiohttp
from multidict import CIMultiDict

from retab_async.errors import APIError, APITimeoutError, RequestError, ResponseError, RetabError
from retab_async.protocol import DeliveryState, Request, Response
from retab_async.retry import RetryPolicy
from retab_async.throttle import FifoSemaphore, Throttle
from retab_async.throttle.throttle import RetryBudget

EPOCH = datetime(2026, 9, 14, 8, 0, 0, tzinfo=UTC)
CAP = 100
# The error of summed floats and of datetimes in microseconds.
EXACT = 1e-5
LATE = 0.05
# No attempt starts with less left of the deadline, in seconds.
SHORTEST = 0.01
FULL, KEPT = 500, 100
THROTTLED, TRANSIENT = 5, 14
RETRIED = {408, 425, 429, 500, 502, 503, 504}


class Step(NamedTuple):
    """What the server does with one send: after `latency` a status, or "refused", "reset", "silence" or "flood".

    With `ends_a_wait` a call that waits for the slot of this one is cancelled in the same moment.
    """

    outcome: int | str = 200
    latency: float = 0.0
    retry_after: tuple[str, float] | None = None
    ends_a_wait: bool = False


class Failure(NamedTuple):
    """A failed send: its class, and whether the budget could pay for a retry."""

    is_transient: bool
    is_throttled: bool
    could_be_paid: bool

    @property
    def cost(self) -> int:
        return THROTTLED if self.is_throttled else TRANSIENT


class Call:
    """One call and what was observed of it; with a `job` it is a bulk send."""

    def __init__(
        self, request: Request, policy: RetryPolicy, timeout: float, throttle: Throttle, slots: FifoSemaphore
    ) -> None:
        self.request, self.policy, self.timeout, self.throttle, self.slots = request, policy, timeout, throttle, slots
        self.job: JobLimits | None = None
        self.deadline = inf
        self.sends = 0
        self.paid = 0
        self.failures: list[Failure] = []
        self.has_succeeded = False
        self.in_doubt = False
        self.quiet_until = -inf

    @property
    def is_bulk(self) -> bool:
        return self.job is not None

    @property
    def budget(self) -> "CheckedBudget":
        return cast("CheckedBudget", self.throttle.budget)

    @property
    def least_left(self) -> int:
        """The tokens that its retries must leave."""
        return 0 if self.request.is_cancel else KEPT


class JobLimits(NamedTuple):
    """The limits of a bulk job."""

    max_in_flight: int
    requests: int | None
    per: float
    back: list[float]

    def check(self, now: float, out: int) -> None:
        assert out < self.max_in_flight
        if self.requests is not None:
            self.back[:] = [moment for moment in self.back if now < moment + self.per - EXACT]
            assert out + len(self.back) < self.requests


class CheckedBudget(RetryBudget):
    """A real retry budget that checks each change, and the `Retry-After` of those who share it."""

    def __init__(self, call: Callable[[], Call]) -> None:
        self._call: Callable[[], Call] | None = None
        super().__init__()
        self._call = call
        self.due = self.tokens
        self.quiet_until = -inf

    def start_with(self, tokens: int) -> None:
        call, self._call = self._call, None
        self.tokens = self.due = tokens
        self._call = call

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "tokens" and self._call is not None:
            self._account(self._call(), value - self.tokens, value)
        super().__setattr__(name, value)

    def _account(self, call: Call, change: int, left: int) -> None:
        assert 0 <= left <= FULL, "more tokens than there are, or fewer than none"
        if change > 0:
            return
        assert left >= call.least_left, "the reserve for cancels was spent by another call"
        call.paid -= change
        self.due += change


class Server:
    """Replaces `Exchange.run`: takes its steps in turn, and checks each send."""

    def __init__(self, clock: Callable[[], float], throttle: Throttle) -> None:
        self.clock = clock
        self.calls: dict[asyncio.Task[Any], Call] = {}
        self.steps: Sequence[Step] = (Step(),)
        self.out: Counter[Any] = Counter()
        self.sizes: dict[FifoSemaphore, int] = {}
        # Cancels that may be sent beside other calls in all slots.
        self.reserves: dict[FifoSemaphore, int] = {}
        self._turn = 0
        self.budgets = [CheckedBudget(self.call), CheckedBudget(self.call)]
        throttle.budget, throttle.external.budget = self.budgets

    def now(self, _: Any) -> datetime:
        """Return the virtual time, as `datetime.now` does."""
        return EPOCH + timedelta(seconds=self.clock())

    def turn(self, steps: Sequence[Step]) -> None:
        self.steps, self._turn = steps, 0

    def call(self) -> Call:
        """Return the call of the current task."""
        return self.calls[cast("asyncio.Task[Any]", asyncio.current_task())]

    async def make(self, request: Request, number: int, seconds: float, delivery: DeliveryState) -> Response:
        """Act as `Exchange.run`, without a network."""
        call, now = self.call(), self.clock()
        assert request is call.request
        self._check(call, number, seconds, now)
        call.sends += 1
        step = self.steps[self._turn % len(self.steps)]
        self._turn += 1
        delivery.is_sent = request.body is None
        holders = ((call.slots, request.is_cancel), id(call.job))
        self.out.update(holders)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(inf if step.outcome == "silence" else step.latency)
        except TimeoutError:
            self._failed(call, Step("silence"), None)
            raise
        finally:
            if step.ends_a_wait:
                self._end_a_wait(call.slots)
            self.out.subtract(holders)
            if call.job is not None:
                call.job.back.append(self.clock())
        return self._answer(call, step, number)

    def _end_a_wait(self, slots: FifoSemaphore) -> None:
        waiting = (task for task, call in self.calls.items() if call.slots is slots and not (call.sends or task.done()))
        if task := next(waiting, None):
            task.get_loop().call_soon(task.cancel)

    def _check(self, call: Call, number: int, seconds: float, now: float) -> None:
        assert now >= call.budget.quiet_until - EXACT, "sent before the Retry-After of another call had passed"
        assert now >= call.quiet_until - EXACT, "sent before its own Retry-After had passed"
        assert not call.has_succeeded, "sent again after a 2xx"
        assert all(failure.is_transient for failure in call.failures), "sent again after a final answer"
        size, reserve = self.sizes[call.slots], self.reserves.get(call.slots, 0)
        assert self.out[call.slots, call.request.is_cancel] < size, "sent without a slot"
        assert self.out[call.slots, True] + self.out[call.slots, False] < size + reserve, "sent without a slot"
        assert 0 < seconds <= call.timeout + call.request.extra_seconds + EXACT
        if call.job is not None:
            assert number == 1
            assert all(failure.is_throttled for failure in call.failures), "more than one attempt that counts"
            call.job.check(now, self.out[id(call.job)])
            return
        assert number == call.sends + 1 <= call.policy.attempts, "more attempts than the policy has"
        assert call.paid == sum(failure.cost for failure in call.failures), "retried without paying for it"

    def _answer(self, call: Call, step: Step, number: int) -> Response:
        headers, seconds = self._retry_after(step)
        seconds = seconds if isinstance(step.outcome, int) else None
        if step.outcome == 200:
            call.has_succeeded = True
            call.budget.due = min(FULL, call.budget.due + 1)
        else:
            self._failed(call, step, seconds)
        if step.outcome == "refused":
            raise aiohttp.ClientConnectorError(cast("Any", SimpleNamespace(host="x", port=1, ssl=True)), OSError(111))
        if step.outcome == "reset":
            raise aiohttp.ServerDisconnectedError
        status, length = (200, CAP + 1) if step.outcome == "flood" else (int(step.outcome), 2)
        return Response(call.request, status, headers, b"x" * length, number, str)

    def _retry_after(self, step: Step) -> tuple[CIMultiDict[str], float | None]:
        if step.retry_after is None:
            return CIMultiDict(), None
        form, seconds = step.retry_after
        if form == "seconds":
            return CIMultiDict({"Retry-After": f"{seconds:g}"}), seconds
        moment = (self.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)
        seconds = (moment - self.now(UTC)).total_seconds()
        return CIMultiDict({"Retry-After": format_datetime(moment, usegmt=True)}), seconds if seconds > 0 else None

    def _failed(self, call: Call, step: Step, retry_after: float | None) -> None:
        outcome, budget = step.outcome, call.budget
        is_throttled = outcome == 429 or (outcome == 503 and retry_after is not None)
        if retry_after is not None:
            until = self.clock() + retry_after
            call.quiet_until = until
            if is_throttled:
                budget.quiet_until = max(budget.quiet_until, until)
        is_transient = outcome in RETRIED or outcome in {"refused", "reset", "silence"}
        if outcome == 409:
            is_transient = call.in_doubt and call.request.idempotency_key is not None
        cost = THROTTLED if is_throttled else TRANSIENT
        call.failures.append(Failure(is_transient, is_throttled, budget.tokens - cost >= call.least_left))
        call.in_doubt |= outcome in {500, 502, "reset", "silence", "flood"} and call.request.method != "GET"

    def check_end(self, call: Call, result: Response | RetabError) -> None:
        """Check the outcome of a call, in the moment in which it deadline."""
        assert self.clock() <= call.deadline + LATE, "finished after its deadline"
        assert isinstance(result, Response | RequestError)
        if isinstance(result, Response):
            assert call.has_succeeded
            assert result.attempts == (1 if call.is_bulk else call.sends)
            return
        assert not call.has_succeeded
        assert result.in_doubt == call.in_doubt
        is_too_late = isinstance(result, APITimeoutError) and not result.transient
        if call.is_bulk:
            assert not is_too_late
            assert result.attempts == 1
            assert not call.failures[-1].is_throttled
            return
        assert result.attempts == call.sends
        if is_too_late:
            assert not call.throttle.is_unthrottled or self.clock() >= call.deadline - SHORTEST - EXACT
            return
        self._check_reason(call, result)

    def _check_reason(self, call: Call, result: RequestError) -> None:
        last = call.failures[-1]
        assert isinstance(result, ResponseError) or last.is_transient or isinstance(result, APIError)
        quiet_until = max(call.quiet_until, call.budget.quiet_until)
        assert (
            not last.is_transient
            or call.sends == call.policy.attempts
            or not last.could_be_paid
            or max(self.clock(), quiet_until) + SHORTEST > call.deadline - EXACT
        ), "gave up without a reason"
