"""Retries, budget, throttle, slots and deadlines together hold their guarantees, whatever the server does.

The HTTP exchange is scripted (`scripted_server.py`) and time is virtual; everything above is real.
"""

import asyncio
import logging
from collections.abc import Callable
from math import inf
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar
from unittest.mock import create_autospec

import pytest
from aiohttp import DummyCookieJar
from fuzzing import budget as examples
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from payloads import KEY
from scripted_server import CAP, FULL, LATE, Call, JobLimits, Server, Step
from virtual_time import VirtualLoop

from retab_async import RateLimit, RetryPolicy
from retab_async.errors import RetabError
from retab_async.protocol import Request, Response
from retab_async.settings import Settings
from retab_async.throttle import FifoSemaphore, Throttle
from retab_async.transport import BulkTransport, ConnectionPool, Transport, attempt, exchange

pytestmark = pytest.mark.slow

T = TypeVar("T")

# Made in no event loop, as it needs none.
COOKIE_JAR = create_autospec(DummyCookieJar, instance=True)
HOUR = 3600.0
LATENCIES: list[float] = [0.0, 0.125, 0.25, 1.0, 4.0]
OUTCOMES: list[int | str] = [
    200,
    200,
    429,
    429,
    503,
    503,
    500,
    502,
    400,
    404,
    409,
    "refused",
    "reset",
    "silence",
    "flood",
]
RETRY_AFTERS: list[tuple[str, float] | None] = [
    None,
    None,
    None,
    *(("seconds", each) for each in (0, 0.5, 1, 3, 20, 120)),
    *(("date", each) for each in (-5, 1, 3, 20)),
]


class Order(NamedTuple):
    """Equal calls made at once, and what the server does from then on."""

    kind: str
    calls: int
    policy: RetryPolicy
    timeout: float
    extra: float
    has_own_slots: bool
    steps: tuple[Step, ...]


def draw_steps(dice: Random) -> tuple[Step, ...]:
    steps = dice.choice([1, 1, 2, 3, 5])
    return tuple(
        Step(dice.choice(OUTCOMES), dice.choice(LATENCIES), dice.choice(RETRY_AFTERS), dice.random() < 0.1)
        for _ in range(steps)
    )


def draw_order(dice: Random) -> Order:
    policy = RetryPolicy(
        attempts=dice.randint(1, 5),
        wait_initial=dice.choice([0.001, 0.25, 2.0]),
        deadline=dice.choice([0.5, 1.0, 2.0, 8.0, 30.0]),
    )
    return Order(
        kind=dice.choice(["cancel", "get", "create", "external"]),
        calls=dice.choice([1, 2, 5, 12]),
        policy=policy,
        timeout=dice.choice([0.25, 1.0, 15.0]),
        extra=dice.choice([0.0, 0.0, 2.0]),
        has_own_slots=dice.random() < 0.2,
        steps=draw_steps(dice),
    )


def evenly(make: Callable[[Random], T]) -> st.SearchStrategy[T]:
    """Draw with `Random`: hypothesis draws less varied values and takes longer than the calls."""
    return st.integers(0, 2**20).map(lambda seed: make(Random(seed)))


STEPS = evenly(draw_steps)
PASSING = st.sampled_from([0.125, 0.0, 0.25, 1.0, 3.0])


def a_request(kind: str, number: int, extra: float) -> Request:
    return {
        "cancel": Request("POST", f"/v1/splits/splt_{number}/cancel", max_response_bytes=CAP, is_cancel=True),
        "get": Request("GET", f"/v1/splits/splt_{number}", max_response_bytes=CAP),
        "create": Request(
            "POST", "/v1/splits", max_response_bytes=CAP, idempotency_key=f"key-{number}", extra_seconds=extra
        ),
        "external": Request("PUT", "/upload", max_response_bytes=CAP, external_url="https://files.example/upload"),
    }[kind]


class TransportMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.loop = self.runner.get_loop()
        self.live: dict[asyncio.Task[Any], Call] = {}
        self.started = 0

    @initialize(
        tokens=st.sampled_from([FULL, 0, 20, 110, 120, 200]),
        slots=st.sampled_from([1, 2, 5, 100]),
        max_in_flight=st.integers(1, 10),
        rate_limit=st.none() | st.just(RateLimit(2, per=1.0)),
        steps=STEPS,
    )
    def begin(
        self, tokens: int, slots: int, max_in_flight: int, rate_limit: RateLimit | None, steps: tuple[Step, ...]
    ) -> None:
        throttle = Throttle(self.loop.time)
        self.server = Server(self.loop.time, throttle)
        self.server.turn(steps)
        for budget in self.server.budgets:
            budget.start_with(tokens)
        session: Any = SimpleNamespace(closed=False, cookie_jar=COOKIE_JAR, connector=None, request=None.__class__)
        pool = ConnectionPool(session=session, max_connections=slots, ssl=True, trace_configs=())
        self.settings = Settings.resolve(
            api_key=KEY, bearer_token=None, base_url=None, proxy=False, timeout=15.0, user_agent=None
        )
        self.transport = Transport(pool, self.settings, RetryPolicy(), throttle)
        self.own = FifoSemaphore(1)
        self.server.sizes = {pool.slots: slots, self.own: 1}
        self.server.reserves = {pool.slots: min(slots, 4)}
        self.throttle, self.pool = throttle, pool
        self.jobs: list[tuple[BulkTransport, JobLimits]] = [
            (self.transport.for_bulk(max_in_flight, rate_limit), self.limits(max_in_flight, rate_limit)),
            (self.transport.for_bulk(3), self.limits(3, None)),
        ]
        self.set_time()

    def limits(self, max_in_flight: int, limit: RateLimit | None) -> JobLimits:
        return JobLimits(max_in_flight, limit.requests if limit else None, limit.per if limit else 0.0, [])

    def set_time(self) -> None:
        clock = SimpleNamespace(monotonic=self.loop.time)
        for module in ("transport.attempt", "transport.transport", "transport.exchange", "retry"):
            self.patch.setattr(f"retab_async.{module}.time", clock)
        self.patch.setattr(attempt, "datetime", SimpleNamespace(now=self.server.now))
        make = self.server.make
        self.patch.setattr(exchange.Exchange, "run", lambda _, *args: make(*args))
        self.patch.setattr(logging.getLogger("retab_async"), "disabled", True)

    # Rules.

    @rule(steps=STEPS)
    def the_server_does(self, steps: tuple[Step, ...]) -> None:
        self.server.turn(steps)

    @rule(order=evenly(draw_order), seconds=PASSING)
    def call(self, order: Order, seconds: float) -> None:
        self.server.turn(order.steps)
        slots = self.own if order.has_own_slots else self.pool.slots
        transport = self.transport.with_timeout(timeout=order.timeout, policy=order.policy)
        if order.has_own_slots:
            settings = self.settings._replace(timeout=min(order.timeout, self.settings.timeout))
            transport = Transport(self.pool, settings, order.policy, self.throttle, slots)
        for _ in range(order.calls):
            call = self.new_call(order.kind, order.policy, order.timeout, slots, order.extra)
            self.start(call, transport, transport.deadline(call.request.extra_seconds))
        self.pass_time(seconds)

    @rule(
        index=st.integers(0, 1),
        count=st.sampled_from([1, 2, 8]),
        kind=st.sampled_from(["cancel", "get"]),
        seconds=PASSING,
    )
    def send_in_bulk(self, index: int, count: int, kind: str, seconds: float) -> None:
        transport, job = self.jobs[index]
        for _ in range(count):
            call = self.new_call(kind, RetryPolicy())
            call.job, call.deadline = job, inf
            self.start(call, transport, transport.deadline())
        self.pass_time(seconds)

    @rule(which=st.integers(0, 7), seconds=PASSING)
    def give_up(self, which: int, seconds: float) -> None:
        for task in list(self.live)[which : which + 1]:
            self.loop.call_later(seconds, task.cancel)
        self.pass_time(seconds)

    @rule(seconds=st.sampled_from([0.125, 1.0, 3.0, 20.0, 400.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    # Invariants.

    @invariant()
    def all_guarantees_hold(self) -> None:
        for task, call in list(self.live.items()):
            if task.done():
                del self.live[task]
                if not task.cancelled():
                    task.result()
            else:
                assert self.loop.time() <= call.deadline + LATE
        for budget in self.server.budgets:
            assert budget.tokens == budget.due

    def teardown(self) -> None:
        try:
            if hasattr(self, "server"):
                self.runner.run(self.end())
        finally:
            for task in self.live:
                # The first broken guarantee was raised already.
                _ = task.cancelled() or task.exception() if task.done() else task.cancel()
            self.runner.close()
            self.patch.undo()

    async def end(self) -> None:
        self.server.turn([Step()])
        if self.live:
            _, late = await asyncio.wait(self.live, timeout=HOUR)
            assert not late
        self.all_guarantees_hold()
        self.nothing_is_held()
        await asyncio.sleep(HOUR)
        for kind in ("cancel", "get", "create", "external"):
            call = self.new_call(kind, RetryPolicy())
            result = await self.start(call, self.transport, self.transport.deadline())
            assert isinstance(result, Response), result
            assert call.sends == 1
        self.nothing_is_held()

    def nothing_is_held(self) -> None:
        for throttle in (self.throttle, self.throttle.external):
            assert throttle.in_flight == 0
            assert len(throttle.queue) == 0
            assert throttle.concurrency.in_flight == 0
            assert not throttle.concurrency.waiting
        for slots, size in self.server.sizes.items():
            assert [slots.try_acquire() for _ in range(size + 1)] == [True] * size + [False]
            for _ in range(size):
                slots.release()

    def new_call(
        self,
        kind: str,
        policy: RetryPolicy,
        timeout: float = 15.0,
        slots: FifoSemaphore | None = None,
        extra: float = 0.0,
    ) -> Call:
        self.started += 1
        request = a_request(kind, self.started, extra)
        throttle = self.throttle.external if request.external_url else self.throttle
        call = Call(request, policy, min(timeout, policy.deadline), throttle, slots or self.pool.slots)
        call.deadline = self.loop.time() + policy.deadline + request.extra_seconds
        return call

    def start(self, call: Call, transport: Transport, deadline: float) -> "asyncio.Task[Any]":
        assert deadline == call.deadline
        task = self.loop.create_task(self.follow(call, transport, deadline))
        self.live[task] = self.server.calls[task] = call
        return task

    async def follow(self, call: Call, transport: Transport, deadline: float) -> Any:
        try:
            result: Any = await transport.send(call.request, deadline)
        except RetabError as error:
            result = error
        self.server.check_end(call, result)
        return result


def test_retries_budget_throttle_slots_and_deadlines_hold_together() -> None:
    # Add Phase.shrink to minimise a failing example, which takes minutes.
    few = settings(examples(50), stateful_step_count=25, phases=[Phase.generate])
    run_state_machine_as_test(TransportMachine, settings=few)
