"""Pending cancels while the API is away or limits the rate: repeated until they are confirmed, rejected or too old."""

import asyncio
import gc
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from clients import client_for
from payloads import BARE_SPLIT
from raw_server import until
from virtual_time import Clock, in_virtual_time

from retab_async import (
    AsyncRetab,
    AuthenticationError,
    FileRateLimit,
    InternalServerError,
    RateLimit,
    Subdocument,
    UnconfirmedCancel,
)
from retab_async.emulator import Emulator, Fault
from retab_async.hooks import Call
from retab_async.protocol import DeliveryState, Request, Response
from retab_async.throttle import Throttle
from retab_async.transport.exchange import Exchange

CANCEL = "POST /v1/splits/{id}/cancel"
PDF = b"%PDF-1.7\n"
HOUR = 3600.0


class Answer(NamedTuple):
    """What a simulated server answers: a status, perhaps with a `Retry-After`; 0 for none."""

    status: int
    retry_after: int | None = None


class Scene:
    """A client in virtual time, and the answers of its server to cancels; the last one is repeated."""

    def __init__(self, patch: pytest.MonkeyPatch, clock: Clock, answers: Iterator[Answer], **settings: Any) -> None:
        self._clock, self._answers = clock, answers
        self.began = clock()
        self.sent_at: list[float] = []
        patch.setattr(Exchange, "run", self._run)
        patch.setattr(time, "monotonic", clock)
        patch.setattr(Throttle.__init__, "__defaults__", (clock, None, ""))
        self.client = AsyncRetab("sk_test", **settings)

    @property
    def now(self) -> float:
        return self._clock() - self.began

    async def _run(self, request: Request, number: int, timeout: float, delivery: DeliveryState) -> Response:
        self.sent_at.append(self.now)
        answer = next(self._answers)
        if not answer.status:
            delivery.is_sent = True
            await asyncio.sleep(timeout)
            raise TimeoutError
        await asyncio.sleep(0.1)
        headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
        body = json.dumps({**BARE_SPLIT, "id": request.path.split("/")[-2], "status": "cancelled"}).encode()
        return Response(request, answer.status, headers, body if answer.status == 200 else b"", number, str)

    async def leave(self, run_id: str = "splt_1") -> None:
        """Leave a block because its task is cancelled."""
        task = asyncio.current_task()
        assert task is not None
        try:
            async with self.client.splits.attach(run_id):
                task.cancel()
                await asyncio.sleep(HOUR)
        except asyncio.CancelledError:
            task.uncancel()

    async def idle(self) -> None:
        while not self.client._cleanup.is_idle:  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.05)


def play(
    patch: pytest.MonkeyPatch, answers: Iterator[Answer], scenario: Callable[[Scene], Awaitable[Any]], **settings: Any
) -> Any:
    async def played(clock: Clock) -> Any:
        scene = Scene(patch, clock, answers, **settings)
        try:
            return await scenario(scene)
        finally:
            await scene.client.aclose()

    return in_virtual_time(played)


OK = Answer(200)
FAULTS = {
    "429 with Retry-After 10": [Answer(429, 10)],
    "503 with Retry-After 10": [Answer(503, 10)],
    "twelve 503s": [Answer(503)] * 12,
    "six timeouts": [Answer(0)] * 6,
    "three 429s without a hint": [Answer(429)] * 3,
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_cancel_is_repeated_until_it_is_confirmed(faults: list[Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.leave()
        await scene.idle()

        assert scene.client._cleanup.unconfirmed == ()
        assert len(scene.sent_at) == len(faults) + 1
        assert scene.sent_at[1] - scene.sent_at[0] >= (faults[0].retry_after or 0)

    play(monkeypatch, chain(faults, repeat(OK)), scenario)


def test_pauses_grow_to_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.leave()
        await asyncio.sleep(600)
        pauses = [after - before for before, after in zip(scene.sent_at, scene.sent_at[1:], strict=False)]

        assert pauses[0] < 0.5
        assert 15 <= max(pauses[10:]) <= 31
        assert len(scene.sent_at) < 60
        assert not scene.client._cleanup.is_idle

    play(monkeypatch, repeat(Answer(503)), scenario)


def test_cancel_is_given_up_after_an_hour(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(scene: Scene) -> None:
        caplog.set_level(logging.INFO, "retab_async")
        await scene.leave()
        await asyncio.sleep(HOUR - 10)
        assert not scene.client._cleanup.unconfirmed
        await asyncio.sleep(20)

        (left,) = scene.client._cleanup.unconfirmed
        assert isinstance(left.error, InternalServerError)
        assert [record.levelno for record in caplog.records] == [logging.INFO, logging.ERROR]
        assert "cancel of /v1/splits splt_1: not confirmed yet, goes on in the background: " in caplog.messages[0]

    play(monkeypatch, repeat(Answer(502)), scenario)


def test_an_absurd_retry_after_is_obeyed_for_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.leave()
        await scene.idle()

        assert 300 <= scene.now < 310
        assert scene.client._cleanup.unconfirmed == ()

    play(monkeypatch, chain([Answer(503, 86400)], repeat(OK)), scenario)


def test_rejected_cancel_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.leave()
        await scene.idle()

        (left,) = scene.client._cleanup.unconfirmed
        assert isinstance(left.error, AuthenticationError)
        assert scene.now < 10

    play(monkeypatch, chain([Answer(503)] * 4, repeat(Answer(401))), scenario)


def test_block_left_normally_waits_five_seconds_and_leaves_the_cancel_to_the_queue(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(scene: Scene) -> None:
        async with scene.client.splits.attach("splt_1"):
            pass
        assert scene.now == pytest.approx(5, abs=0.1)
        (warning,) = caplog.messages
        assert warning == ("cancel of /v1/splits splt_1: not confirmed within 5 s, goes on in the background")
        await scene.idle()
        assert scene.client._cleanup.unconfirmed == ()

    caplog.set_level(logging.WARNING, "retab_async")
    play(monkeypatch, chain([Answer(503)] * 12, repeat(OK)), scenario)


def test_cancels_that_wait_to_be_repeated_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        for number in range(40):
            await scene.leave(f"splt_{number}")
        await asyncio.sleep(60)
        assert len(scene.client._cleanup._tasks) == 40
        began = len(scene.sent_at)
        await scene.leave("splt_last")
        await asyncio.sleep(0.05)

        assert len(scene.sent_at) > began

    play(monkeypatch, repeat(Answer(503)), scenario, max_connections=2)


def test_closing_the_client_sends_cancels_in_a_long_pause_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.leave()
        while len(scene.sent_at) < 12:  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.5)
        closing = scene.now

        assert await scene.client.aclose() == ()
        assert scene.now - closing < 5

    play(monkeypatch, chain([Answer(503)] * 13, repeat(OK)), scenario)


@pytest.mark.parametrize(("settings", "seconds"), [({}, 11), ({"rate_limit": RateLimit(9, per=40)}, 45)])
def test_closing_waits_for_the_period_of_a_given_rate_limit(
    settings: dict[str, Any], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.leave()
        began = scene.now

        (left,) = await scene.client.aclose()
        assert left.error is not None
        assert scene.now - began == pytest.approx(seconds, abs=1)

    play(monkeypatch, repeat(Answer(503)), scenario, **settings)


@pytest.mark.parametrize("per", [HOUR, 60])
def test_closing_is_bounded_however_long_the_period_is(per: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.leave()
        began = scene.now
        await scene.client.aclose()
        assert scene.now - began == pytest.approx(65, abs=1)

    play(monkeypatch, repeat(Answer(503)), scenario, rate_limit=RateLimit(9, per=per))


tenant: ContextVar[str] = ContextVar("tenant", default="none")


class Recorder:
    """A hook that records unconfirmed cancels, each with the tenant whose context it is called in."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str]] = []

    def __call__(self, _: Call) -> AbstractContextManager[None]:
        return nullcontext()

    def on_unconfirmed(self, cancel: UnconfirmedCancel) -> None:
        self.seen.append((cancel.run_id, tenant.get()))


@pytest.mark.parametrize("is_closed", [False, True])
def test_unconfirmed_cancels_are_reported_in_the_context_of_their_block(
    is_closed: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook, logged = Recorder(), list[tuple[str, str]]()

    class Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append((record.getMessage().split()[1], tenant.get()))

    async def block(scene: Scene, run_id: str) -> None:
        tenant.set(run_id)
        await scene.leave(run_id)

    async def scenario(scene: Scene) -> None:
        async with asyncio.TaskGroup() as blocks:
            for number in range(60):
                blocks.create_task(block(scene, f"splt_{number}"))
        if is_closed:
            await scene.client.aclose(timeout=3)
        await scene.idle()

    log = Log(logging.ERROR)
    logging.getLogger("retab_async").addHandler(log)
    try:
        answers = repeat(Answer(503 if is_closed else 403))
        play(monkeypatch, answers, scenario, max_connections=2, hooks=[hook])
    finally:
        logging.getLogger("retab_async").removeHandler(log)

    assert Counter(hook.seen) == {(f"splt_{number}", f"splt_{number}"): 1 for number in range(60)}
    assert sorted(logged) == sorted(hook.seen)


async def test_unconfirmed_cancels_name_the_credential_of_their_copy_of_the_client() -> None:
    async with Emulator(running=60) as emulator:
        emulator.fail(CANCEL, *[Fault.status(403)] * 3)
        client = client_for(emulator.url, api_key="sk_first_tenant")
        other = client.with_options(api_key="sk_second_tenant")
        again = client.with_options(api_key="sk_second_tenant")
        runs = dict(zip(emulator.seed("splits", 2), (client, other), strict=True))
        for run_id, each in runs.items():
            async with each.splits.attach(run_id):
                pass
        found = {cancel.run_id: cancel.credential_fingerprint for cancel in await client.aclose()}

    assert found == {run_id: each.credential_fingerprint for run_id, each in runs.items()}
    assert again.credential_fingerprint == other.credential_fingerprint != client.credential_fingerprint
    assert not any("tenant" in each for each in found.values())


@pytest.mark.parametrize("kind", ["local", "file"])
async def test_cancels_wait_for_a_rate_limit_that_is_used_up(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("retab_async.cleanup._TURN_TIMEOUT", 0.1)
    limit = RateLimit(10, per=1.0) if kind == "local" else FileRateLimit(tmp_path / "limit", 10, per=1.0)
    async with (
        Emulator(queued=0, running=60, rate_limit=RateLimit(10, per=1.0)) as emulator,
        client_for(emulator.url, api_key=emulator.api_key, rate_limit=limit) as client,
    ):

        async def block() -> None:
            async with client.splits.running(document=PDF, subdocuments=[Subdocument("invoice")]):
                await asyncio.sleep(HOUR)

        blocks = [asyncio.create_task(block()) for _ in range(9)]
        await until(lambda: len(emulator.active_runs()) == 9)
        await asyncio.sleep(0.1)
        for each in blocks:
            each.cancel()
        await asyncio.wait(blocks)

        await until(lambda: not emulator.active_runs())
        assert await client.aclose() == ()
        assert emulator.counts[429] == 0


async def test_cancel_that_is_repeated_leaves_no_task_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retab_async.scope._EXIT_TIMEOUT", 0.05)
    async with Emulator(queued=0, running=60) as emulator:
        emulator.fail(CANCEL, *[Fault.status(503)] * 100)
        (run_id,) = emulator.seed("splits")
        client = client_for(emulator.url, api_key=emulator.api_key)
        async with client.splits.attach(run_id):
            pass
        assert [task.get_name() for task in asyncio.all_tasks()].count("retab_async cleanup") == 1

        assert len(await client.aclose(timeout=0.05)) == 1
        gc.collect()
        assert "retab_async cleanup" not in [task.get_name() for task in asyncio.all_tasks()]
