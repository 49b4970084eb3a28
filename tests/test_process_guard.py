"""The outage guard of process jobs: what is repeated, what is a failure of one document, and what ends the job."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

import attrs
import pytest

from retab_async import APIConnectionError, APIError, APITimeoutError, AuthenticationError, RequestError, RetryPolicy
from retab_async.bulk import CircuitBreaker, CircuitState
from retab_async.process import guard as guard_module
from retab_async.process.guard import OutageGuard
from retab_async.protocol import DeliveryState, Request, Response

if TYPE_CHECKING:
    from retab_async.transport import Transport

CREATE = Request("POST", "/v1/splits")
RESPONSE = cast("Response", object())


class ScriptedTransport:
    """A transport whose sends end as a script says: an error, or None for a success."""

    policy = RetryPolicy(wait_initial=0.001, wait_max=0.001)
    last_latency = None

    def __init__(self, *script: RequestError | None) -> None:
        self.script = iter(script)
        self.sent: list[Request] = []

    def with_timeout(self, **_: Any) -> "ScriptedTransport":
        return self

    async def send(self, request: Request, *_: Any) -> Response:
        await asyncio.sleep(0)
        self.sent.append(request)
        error = next(self.script)
        if error is not None:
            raise error
        return RESPONSE


def status(code: int, **fields: Any) -> APIError:
    kind = AuthenticationError if code == 401 else APIError
    return kind("no", method="POST", url="/v1/splits", status_code=code, **fields)


def lost(*, transient: bool = True) -> APIConnectionError:
    return APITimeoutError("no answer", method="POST", url="/v1/splits", transient=transient)


class Rig:
    def __init__(self, *script: RequestError | None, outage_timeout: float = 10) -> None:
        self.transport = ScriptedTransport(*script)
        self.breaker = CircuitBreaker(outage_timeout, lambda low, _: low)
        self.refusals: list[RequestError] = []
        self.guard = OutageGuard(self.breaker, lambda: 1, self.refusals.append)

    async def send(self, request: Request = CREATE) -> Response:
        return await self.guard.send(cast("Transport", self.transport), request, DeliveryState())

    async def failure(self, request: Request = CREATE) -> RequestError:
        with pytest.raises(RequestError) as caught:
            await self.send(request)
        return caught.value


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retab_async.bulk.circuit_breaker._FIRST_INTERVAL", 0.001)
    monkeypatch.setattr("retab_async.bulk.circuit_breaker._MAX_INTERVAL", 0.002)


async def test_transient_failure_is_repeated() -> None:
    rig = Rig(status(500), lost(), None)

    assert await rig.send() is RESPONSE
    assert rig.breaker.state is CircuitState.CLOSED


async def test_server_that_answers_with_errors_from_the_start_keeps_the_circuit_open() -> None:
    rig = Rig(*[status(500)] * 5, None)

    assert await rig.send() is RESPONSE
    assert rig.breaker.outages == 1


async def test_open_circuit_is_closed_by_a_probe() -> None:
    rig = Rig(*[lost()] * 6, None)

    assert await rig.send() is RESPONSE
    assert rig.breaker.outages == 1


async def test_document_that_fails_while_a_known_run_can_be_read_fails_by_itself() -> None:
    error = status(500)
    rig = Rig(error, error, error, error, None, error)
    rig.guard.known_run = "/v1/splits/splt_1"

    assert await rig.failure() is error
    assert [request.method for request in rig.transport.sent] == ["POST"] * 4 + ["GET", "POST"]
    assert rig.breaker.state is CircuitState.CLOSED


async def test_known_run_that_is_gone_shows_that_the_server_is_available() -> None:
    rig = Rig(*[status(500)] * 4, status(404), None)
    rig.guard.known_run = "/v1/splits/splt_1"

    assert await rig.send() is RESPONSE


async def test_known_run_that_cannot_be_read_keeps_the_circuit_open() -> None:
    rig = Rig(*[status(500)] * 4, status(500), None)
    rig.guard.known_run = "/v1/splits/splt_1"

    assert await rig.send() is RESPONSE
    assert rig.breaker.outages == 1


async def test_failure_of_one_document_while_others_succeed_is_its_own() -> None:
    rig = Rig(status(500), status(500), status(500))
    rig.guard = OutageGuard(rig.breaker, lambda: 8, rig.refusals.append)

    assert (await rig.failure()).message == "no"
    assert len(rig.transport.sent) == 3


async def test_throttled_probe_closes_the_circuit() -> None:
    rig = Rig(*[lost()] * 3, status(429), None)

    assert await rig.send() is RESPONSE
    assert rig.breaker.state is CircuitState.CLOSED


async def test_refused_probe_is_the_failure_of_its_document() -> None:
    rig = Rig(*[lost()] * 3, status(422))

    assert cast("APIError", await rig.failure()).status_code == 422
    assert rig.breaker.state is CircuitState.CLOSED
    assert rig.refusals == []


async def test_circuit_that_gave_up_sends_nothing() -> None:
    rig = Rig()
    rig.breaker.give_up(error := lost())

    assert await rig.failure() is error
    assert rig.transport.sent == []


async def test_outage_timeout_gives_up() -> None:
    rig = Rig(*[lost()] * 1000, outage_timeout=0.02)

    assert isinstance(await rig.failure(), APITimeoutError)
    assert rig.breaker.state is CircuitState.GIVEN_UP


async def test_turn_that_does_not_come_is_waited_for_again() -> None:
    rig = Rig(*[lost(transient=False)] * 20, None)

    assert await rig.send() is RESPONSE
    assert rig.breaker.outages == 0


async def test_turn_that_does_not_come_for_five_minutes_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "_MAX_PAUSE", -1.0)
    rig = Rig(error := lost(transient=False))

    assert await rig.failure() is error
    assert rig.breaker.state is CircuitState.GIVEN_UP


async def test_pause_of_a_429_beyond_five_minutes_ends_the_job() -> None:
    rig = Rig(error := status(429, retry_after=301.0))

    assert await rig.failure() is error
    assert rig.breaker.state is CircuitState.GIVEN_UP


async def test_refusal_of_the_caller_ends_the_job() -> None:
    rig = Rig(error := status(401))

    assert await rig.failure() is error
    assert rig.refusals == [error]
    assert rig.breaker.state is CircuitState.GIVEN_UP


async def test_refusal_of_the_storage_is_that_of_its_document() -> None:
    rig = Rig(status(401))

    await rig.failure(attrs.evolve(CREATE, external_url="https://storage.example.com/x"))

    assert rig.refusals == []
    assert rig.breaker.state is CircuitState.CLOSED


async def test_failure_that_is_no_response_is_that_of_its_document() -> None:
    error = APIConnectionError("not trusted", method="POST", url="/v1/splits", transient=False)
    rig = Rig(error)

    assert await rig.failure() is error
    assert rig.refusals == []


async def test_refusal_closes_a_suspect_circuit() -> None:
    rig = Rig(lost(), status(422))

    await rig.failure()

    assert not rig.breaker.is_suspect


async def test_throttled_request_is_repeated_until_it_succeeds() -> None:
    rig = Rig(*[status(429)] * 20, None)

    assert await rig.send() is RESPONSE
    assert rig.breaker.outages == 0


async def test_document_that_waits_for_its_probe_is_sent_when_another_closes_the_circuit() -> None:
    rig = Rig(*[lost()] * 6, None, None)
    first, second = await asyncio.gather(rig.send(), rig.send())

    assert first is second is RESPONSE
    assert rig.breaker.state is CircuitState.CLOSED
