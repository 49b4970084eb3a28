"""A scripted server in made-up time behind real transports, which holds each call to what was promised of it."""

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
# What adding up floats, and a calendar of microseconds, may be wrong by.
EXACT = 1e-5
LATE = 0.05
# As the policy says it: no attempt is begun with less left of the deadline, in seconds.
SHORTEST = 0.01
FULL, KEPT = 500, 100
THROTTLED, TRANSIENT = 5, 14
AGAIN = {408, 425, 429, 500, 502, 503, 504}


class Step(NamedTuple):
    """What the server does with one send: after `latency` a status, or "refused", "reset", "silence" or "flood".

    In the same moment somebody may give up who waits for the place of that one.
    """

    outcome: int | str = 200
    latency: float = 0.0
    told: tuple[str, float] | None = None
    ends_a_wait: bool = False


class Failure(NamedTuple):
    """An outcome that is no success: what a retry after it costs, and what came with it."""

    is_transient: bool
    is_throttled: bool
    could_be_paid: bool

    @property
    def cost(self) -> int:
        return THROTTLED if self.is_throttled else TRANSIENT


class Call:
    """One call and what has been seen of it; without `ends` it is a patient one."""

    def __init__(
        self, request: Request, policy: RetryPolicy, timeout: float, pace: Throttle, places: FifoSemaphore
    ) -> None:
        self.request, self.policy, self.timeout, self.pace, self.places = request, policy, timeout, pace, places
        self.lane: Lane | None = None
        self.ends = inf
        self.sends = 0
        self.paid = 0
        self.failures: list[Failure] = []
        self.has_succeeded = False
        self.in_doubt = False
        self.quiet_until = -inf

    @property
    def is_patient(self) -> bool:
        return self.lane is not None

    @property
    def book(self) -> "Book":
        return cast("Book", self.pace.budget)

    @property
    def least_left(self) -> int:
        """The tokens that a retry of it has to leave."""
        return 0 if self.request.is_cancel else KEPT


class Lane(NamedTuple):
    """What a job of bulk work has to keep to."""

    at_once: int
    requests: int | None
    per: float
    back: list[float]

    def check(self, now: float, out: int) -> None:
        assert out < self.at_once
        if self.requests is not None:
            self.back[:] = [moment for moment in self.back if now < moment + self.per - EXACT]
            assert out + len(self.back) < self.requests


class Book(RetryBudget):
    """A real budget, which has each change accounted for, and what the server has told those who share it."""

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
        assert left >= call.least_left, "what is kept for cancels was spent by another call"
        call.paid -= change
        self.due += change


class Server:
    """Stands where a request would be sent: does the steps of its mood in turn, and checks each send that leaves."""

    def __init__(self, clock: Callable[[], float], pace: Throttle) -> None:
        self.clock = clock
        self.calls: dict[asyncio.Task[Any], Call] = {}
        self.mood: Sequence[Step] = (Step(),)
        self.out: Counter[Any] = Counter()
        self.sizes: dict[FifoSemaphore, int] = {}
        self._turn = 0
        self.books = [Book(self.call), Book(self.call)]
        pace.budget, pace.external.budget = self.books

    def now(self, _: Any) -> datetime:
        """Return what the calendar shows, as `datetime.now`."""
        return EPOCH + timedelta(seconds=self.clock())

    def turn(self, mood: Sequence[Step]) -> None:
        self.mood, self._turn = mood, 0

    def call(self) -> Call:
        """Return the call that is at work now."""
        return self.calls[cast("asyncio.Task[Any]", asyncio.current_task())]

    async def make(self, request: Request, number: int, seconds: float, trail: DeliveryState) -> Response:
        """Do what `Exchange.make` does, without a network."""
        call, now = self.call(), self.clock()
        assert request is call.request
        self._check(call, number, seconds, now)
        call.sends += 1
        step = self.mood[self._turn % len(self.mood)]
        self._turn += 1
        trail.is_sent = request.body is None
        holders = (call.places, id(call.lane))
        self.out.update(holders)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(inf if step.outcome == "silence" else step.latency)
        except TimeoutError:
            self._failed(call, Step("silence"), None)
            raise
        finally:
            if step.ends_a_wait:
                self._end_a_wait(call.places)
            self.out.subtract(holders)
            if call.lane is not None:
                call.lane.back.append(self.clock())
        return self._answer(call, step, number)

    def _end_a_wait(self, places: FifoSemaphore) -> None:
        waiting = (
            task for task, call in self.calls.items() if call.places is places and not (call.sends or task.done())
        )
        if task := next(waiting, None):
            task.get_loop().call_soon(task.cancel)

    def _check(self, call: Call, number: int, seconds: float, now: float) -> None:
        assert now >= call.book.quiet_until - EXACT, "sent before the Retry-After that somebody was told was over"
        assert now >= call.quiet_until - EXACT, "sent before the Retry-After that it was told was over"
        assert not call.has_succeeded, "sent again after a 2xx"
        assert all(failure.is_transient for failure in call.failures), "sent again after a final answer"
        assert self.out[call.places] < self.sizes[call.places], "sent without a place"
        assert 0 < seconds <= call.timeout + call.request.extra_seconds + EXACT
        if call.lane is not None:
            assert number == 1
            assert all(failure.is_throttled for failure in call.failures), "more than one attempt that counts"
            call.lane.check(now, self.out[id(call.lane)])
            return
        assert number == call.sends + 1 <= call.policy.attempts, "more attempts than the policy has"
        assert call.paid == sum(failure.cost for failure in call.failures), "retried without paying for it"

    def _answer(self, call: Call, step: Step, number: int) -> Response:
        headers, told = self._retry_after(step)
        told = told if isinstance(step.outcome, int) else None
        if step.outcome == 200:
            call.has_succeeded = True
            call.book.due = min(FULL, call.book.due + 1)
        else:
            self._failed(call, step, told)
        if step.outcome == "refused":
            raise aiohttp.ClientConnectorError(cast("Any", SimpleNamespace(host="x", port=1, ssl=True)), OSError(111))
        if step.outcome == "reset":
            raise aiohttp.ServerDisconnectedError
        status, length = (200, CAP + 1) if step.outcome == "flood" else (int(step.outcome), 2)
        return Response(call.request, status, headers, b"x" * length, number, str)

    def _retry_after(self, step: Step) -> tuple[CIMultiDict[str], float | None]:
        if step.told is None:
            return CIMultiDict(), None
        form, seconds = step.told
        if form == "seconds":
            return CIMultiDict({"Retry-After": f"{seconds:g}"}), seconds
        moment = (self.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)
        seconds = (moment - self.now(UTC)).total_seconds()
        return CIMultiDict({"Retry-After": format_datetime(moment, usegmt=True)}), seconds if seconds > 0 else None

    def _failed(self, call: Call, step: Step, told: float | None) -> None:
        outcome, book = step.outcome, call.book
        is_throttled = outcome == 429 or (outcome == 503 and told is not None)
        if told is not None:
            until = self.clock() + told
            call.quiet_until = until
            if is_throttled:
                book.quiet_until = max(book.quiet_until, until)
        is_transient = outcome in AGAIN or outcome in {"refused", "reset", "silence"}
        if outcome == 409:
            is_transient = call.in_doubt and call.request.idempotency_key is not None
        cost = THROTTLED if is_throttled else TRANSIENT
        call.failures.append(Failure(is_transient, is_throttled, book.tokens - cost >= call.least_left))
        call.in_doubt |= outcome in {500, 502, "reset", "silence", "flood"} and call.request.method != "GET"

    def check_end(self, call: Call, result: Response | RetabError) -> None:
        """Check what has come of a call, in the moment in which it is over."""
        assert self.clock() <= call.ends + LATE, "over after its deadline"
        assert isinstance(result, Response | RequestError)
        if isinstance(result, Response):
            assert call.has_succeeded
            assert result.attempts == (1 if call.is_patient else call.sends)
            return
        assert not call.has_succeeded
        assert result.in_doubt == call.in_doubt
        is_too_late = isinstance(result, APITimeoutError) and not result.transient
        if call.is_patient:
            assert not is_too_late
            assert result.attempts == 1
            assert not call.failures[-1].is_throttled
            return
        assert result.attempts == call.sends
        if is_too_late:
            assert not call.pace.is_unthrottled or self.clock() >= call.ends - SHORTEST - EXACT
            return
        self._check_reason(call, result)

    def _check_reason(self, call: Call, result: RequestError) -> None:
        last = call.failures[-1]
        assert isinstance(result, ResponseError) or last.is_transient or isinstance(result, APIError)
        quiet_until = max(call.quiet_until, call.book.quiet_until)
        assert (
            not last.is_transient
            or call.sends == call.policy.attempts
            or not last.could_be_paid
            or max(self.clock(), quiet_until) + SHORTEST > call.ends - EXACT
        ), "gave up without a reason"
