"""Retries, budget, pace, places and deadlines together: whatever the server does, what is promised holds.

The one send is scripted (`scripted_server.py`) and time is made up; everything above it is real.
"""

import asyncio
import logging
from collections.abc import Callable
from math import inf
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from payloads import KEY
from scripted_server import CAP, FULL, LATE, Call, Lane, Server, Step
from virtual_time import VirtualLoop

from retab_async import RateLimit, RetryPolicy
from retab_async.errors import RetabError
from retab_async.protocol import Request, Response
from retab_async.settings import Settings
from retab_async.throttle import FifoSemaphore, Throttle
from retab_async.transport import BulkTransport, ConnectionPool, Transport, attempt, exchange

T = TypeVar("T")

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
TOLD: list[tuple[str, float] | None] = [
    None,
    None,
    None,
    *(("seconds", each) for each in (0, 0.5, 1, 3, 20, 120)),
    *(("date", each) for each in (-5, 1, 3, 20)),
]


class Order(NamedTuple):
    """So many calls, made at once and alike, and what the server does from then on."""

    kind: str
    calls: int
    policy: RetryPolicy
    timeout: float
    extra: float
    is_in_own_place: bool
    steps: tuple[Step, ...]


def a_mood(dice: Random) -> tuple[Step, ...]:
    steps = dice.choice([1, 1, 2, 3, 5])
    return tuple(
        Step(dice.choice(OUTCOMES), dice.choice(LATENCIES), dice.choice(TOLD), dice.random() < 0.1)
        for _ in range(steps)
    )


def an_order(dice: Random) -> Order:
    policy = RetryPolicy(
        attempts=dice.randint(1, 5),
        wait_initial=dice.choice([0.001, 0.25, 2.0]),
        deadline=dice.choice([0.5, 1.0, 2.0, 8.0, 30.0]),
    )
    return Order(
        kind=dice.choice(["cancel", "get", "create", "elsewhere"]),
        calls=dice.choice([1, 2, 5, 12]),
        policy=policy,
        timeout=dice.choice([0.25, 1.0, 15.0]),
        extra=dice.choice([0.0, 0.0, 2.0]),
        is_in_own_place=dice.random() < 0.2,
        steps=a_mood(dice),
    )


def evenly(make: Callable[[Random], T]) -> st.SearchStrategy[T]:
    """Draw with dice: what hypothesis draws by itself is much of the same, and takes more time than the calls do."""
    return st.integers(0, 2**20).map(lambda seed: make(Random(seed)))


MOODS = evenly(a_mood)
PASSING = st.sampled_from([0.125, 0.0, 0.25, 1.0, 3.0])


def a_request(kind: str, number: int, extra: float) -> Request:
    return {
        "cancel": Request("POST", f"/v1/splits/splt_{number}/cancel", max_response_bytes=CAP),
        "get": Request("GET", f"/v1/splits/splt_{number}", max_response_bytes=CAP),
        "create": Request(
            "POST", "/v1/splits", max_response_bytes=CAP, idempotency_key=f"key-{number}", extra_seconds=extra
        ),
        "elsewhere": Request("PUT", "/upload", max_response_bytes=CAP, external_url="https://files.example/upload"),
    }[kind]


class Patience(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.loop = self.runner.get_loop()
        self.live: dict[asyncio.Task[Any], Call] = {}
        self.started = 0

    @initialize(
        tokens=st.sampled_from([FULL, 0, 20, 110, 120, 200]),
        places=st.sampled_from([1, 2, 5, 100]),
        at_once=st.integers(1, 10),
        rate_limit=st.none() | st.just(RateLimit(2, per=1.0)),
        steps=MOODS,
    )
    def begin(
        self, tokens: int, places: int, at_once: int, rate_limit: RateLimit | None, steps: tuple[Step, ...]
    ) -> None:
        pace = Throttle(self.loop.time)
        self.server = Server(self.loop.time, pace)
        self.server.turn(steps)
        for book in self.server.books:
            book.start_with(tokens)
        session: Any = SimpleNamespace(closed=False)
        pool = ConnectionPool(session=session, max_connections=places, ssl=True, trace_configs=())
        told = Settings.resolve(
            api_key=KEY, bearer_token=None, base_url=None, proxy=False, timeout=15.0, user_agent=None
        )
        self.transport = Transport(pool, told, RetryPolicy(), pace)
        self.own = FifoSemaphore(1)
        self.server.sizes = {pool.slots: places, self.own: 1}
        self.pace, self.pool = pace, pool
        self.crews: list[tuple[BulkTransport, Lane]] = [
            (self.transport.for_bulk(at_once, rate_limit), self.lane(at_once, rate_limit)),
            (self.transport.for_bulk(3), self.lane(3, None)),
        ]
        self.set_time()

    def lane(self, at_once: int, limit: RateLimit | None) -> Lane:
        return Lane(at_once, limit.requests if limit else None, limit.per if limit else 0.0, [])

    def set_time(self) -> None:
        clock = SimpleNamespace(monotonic=self.loop.time)
        for place in ("transport.attempt", "transport.transport", "transport.exchange", "retry"):
            self.patch.setattr(f"retab_async.{place}.time", clock)
        self.patch.setattr(attempt, "datetime", SimpleNamespace(now=self.server.now))
        make = self.server.make
        self.patch.setattr(exchange.Exchange, "run", lambda _, *told: make(*told))
        self.patch.setattr(logging.getLogger("retab_async"), "disabled", True)

    # What may happen.

    @rule(steps=MOODS)
    def the_server_does(self, steps: tuple[Step, ...]) -> None:
        self.server.turn(steps)

    @rule(order=evenly(an_order), seconds=PASSING)
    def call(self, order: Order, seconds: float) -> None:
        self.server.turn(order.steps)
        places = self.own if order.is_in_own_place else self.pool.slots
        transport = self.transport.with_timeout(timeout=order.timeout, policy=order.policy, slots=places)
        for _ in range(order.calls):
            call = self.new_call(order.kind, order.policy, order.timeout, places, order.extra)
            self.start(call, transport, transport.deadline(call.request.extra_seconds))
        self.pass_time(seconds)

    @rule(
        crew=st.integers(0, 1),
        count=st.sampled_from([1, 2, 8]),
        kind=st.sampled_from(["cancel", "get"]),
        seconds=PASSING,
    )
    def send_patiently(self, crew: int, count: int, kind: str, seconds: float) -> None:
        transport, lane = self.crews[crew]
        for _ in range(count):
            call = self.new_call(kind, RetryPolicy())
            call.lane, call.ends = lane, inf
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

    # What holds, whatever happens.

    @invariant()
    def nobody_broke_a_promise(self) -> None:
        for task, call in list(self.live.items()):
            if task.done():
                del self.live[task]
                if not task.cancelled():
                    task.result()
            else:
                assert self.loop.time() <= call.ends + LATE
        for book in self.server.books:
            assert book.tokens == book.due

    def teardown(self) -> None:
        try:
            if hasattr(self, "server"):
                self.runner.run(self.end())
        finally:
            for task in self.live:
                # Of those whose promises were broken the first has been told.
                _ = task.cancelled() or task.exception() if task.done() else task.cancel()
            self.runner.close()
            self.patch.undo()

    async def end(self) -> None:
        self.server.turn([Step()])
        if self.live:
            _, late = await asyncio.wait(self.live, timeout=HOUR)
            assert not late
        self.nobody_broke_a_promise()
        self.all_is_given_back()
        await asyncio.sleep(HOUR)
        for kind in ("cancel", "get", "create", "elsewhere"):
            call = self.new_call(kind, RetryPolicy())
            result = await self.start(call, self.transport, self.transport.deadline())
            assert isinstance(result, Response), result
            assert call.sends == 1
        self.all_is_given_back()

    def all_is_given_back(self) -> None:
        for pace in (self.pace, self.pace.external):
            assert pace.in_flight == 0
            assert len(pace.queue) == 0
            assert pace.window.in_flight == 0
            assert not pace.window.waiting
        for places, size in self.server.sizes.items():
            assert [places.try_acquire() for _ in range(size + 1)] == [True] * size + [False]
            for _ in range(size):
                places.release()

    def new_call(
        self,
        kind: str,
        policy: RetryPolicy,
        timeout: float = 15.0,
        places: FifoSemaphore | None = None,
        extra: float = 0.0,
    ) -> Call:
        self.started += 1
        request = a_request(kind, self.started, extra)
        pace = self.pace.external if request.external_url else self.pace
        call = Call(request, policy, min(timeout, policy.deadline), pace, places or self.pool.slots)
        call.ends = self.loop.time() + policy.deadline + request.extra_seconds
        return call

    def start(self, call: Call, transport: Transport, ends: float) -> "asyncio.Task[Any]":
        assert ends == call.ends
        task = self.loop.create_task(self.follow(call, transport, ends))
        self.live[task] = self.server.calls[task] = call
        return task

    async def follow(self, call: Call, transport: Transport, ends: float) -> Any:
        try:
            result: Any = await transport.send(call.request, ends)
        except RetabError as error:
            result = error
        self.server.check_end(call, result)
        return result


def test_what_is_promised_of_retries_budget_pace_places_and_deadlines_holds_together() -> None:
    # The least example that fails is found with Phase.shrink beside it, and takes minutes.
    few = settings(max_examples=120, stateful_step_count=25, deadline=None, derandomize=True, phases=[Phase.generate])
    run_state_machine_as_test(Patience, settings=few)
