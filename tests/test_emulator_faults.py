"""Every fault of the emulator, seen from a client on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from emulator_http import answer

from retab_async.emulator import Emulator, Fault, RecordedRequest

CANCEL = "POST /v1/splits/{id}/cancel"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(queued=600) as running:
        yield running


async def cancel(session: aiohttp.ClientSession, run_id: str) -> int:
    return (await answer(session, "POST", f"/v1/splits/{run_id}/cancel"))[0]


async def status_of(session: aiohttp.ClientSession, run_id: str) -> Any:
    return (await answer(session, "GET", f"/v1/splits/{run_id}"))[1]["status"]


async def recorded(emulator: Emulator) -> None:
    async with asyncio.timeout(5):
        while not emulator.requests:  # noqa: ASYNC110 - the emulator has no event for it
            await asyncio.sleep(0.005)


async def disconnect_once_recorded(session: aiohttp.ClientSession, emulator: Emulator, run_id: str) -> None:
    hanging = asyncio.create_task(cancel(session, run_id))
    await recorded(emulator)
    hanging.cancel()
    await asyncio.wait({hanging})


async def gone(session: aiohttp.ClientSession, run_id: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await cancel(session, run_id)


class TestFaultQueue:
    async def test_each_fault_replaces_one_response(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.status(503), Fault.status(500))

        assert [await cancel(session, run_id) for _ in range(3)] == [503, 500, 200]

    async def test_other_routes_are_not_affected(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.status(503))

        assert (await answer(session, "GET", f"/v1/splits/{run_id}"))[0] == 200

    async def test_a_star_is_every_route_even_an_unknown_one(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        emulator.fail("*", Fault.status(503), Fault.status(502))

        assert (await answer(session, "GET", "/nowhere"))[0] == 503
        assert (await answer(session, "GET", "/v1/splits"))[0] == 502

    async def test_the_faults_of_a_route_precede_those_of_every_route(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        emulator.fail("*", Fault.status(503))
        emulator.fail(CANCEL, Fault.status(500))

        assert [await cancel(session, "any") for _ in range(3)] == [500, 503, 404]

    async def test_an_unknown_route_is_rejected_with_the_nearest_one(self, emulator: Emulator) -> None:
        message = r"no such route: 'POST /v1/splits/cancel'; did you mean 'POST /v1/splits/\{id\}/cancel'\?"
        with pytest.raises(ValueError, match=message):
            emulator.fail("POST /v1/splits/cancel", Fault.reset())

    def test_a_status_in_place_of_a_fault_is_rejected_with_the_right_call(self, emulator: Emulator) -> None:
        with pytest.raises(TypeError, match=r"not a Fault: 429: use Fault\.status\(429\)"):
            emulator.fail(CANCEL, 429)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not a Fault: 'reset'"):
            emulator.fail(CANCEL, "reset")  # type: ignore[arg-type]

    def test_a_call_without_faults_is_rejected(self, emulator: Emulator) -> None:
        with pytest.raises(TypeError, match="no fault given"):
            emulator.fail(CANCEL)

    def test_a_repr_names_the_fault(self) -> None:
        assert repr(Fault.status(503)) == "Fault(name='status 503')"


class TestStatus:
    @pytest.mark.parametrize(
        ("code", "error"), [("429", TypeError), (True, TypeError), (0, ValueError), (600, ValueError)]
    )
    def test_an_invalid_status_is_rejected(self, code: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match="a status is"):
            Fault.status(code)

    async def test_it_has_no_effect(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.status(503))
        await cancel(session, run_id)

        assert await status_of(session, run_id) == "queued"

    @pytest.mark.parametrize(("code", "detail"), [(503, "Service Unavailable"), (599, "Error")])
    async def test_its_default_body_names_the_status(
        self, emulator: Emulator, session: aiohttp.ClientSession, code: int, detail: str
    ) -> None:
        emulator.fail(CANCEL, Fault.status(code))

        assert await answer(session, "POST", "/v1/splits/a/cancel") == (code, {"detail": detail})

    @pytest.mark.parametrize(
        ("body", "sent", "type_"),
        [
            ({"error": "x"}, b'{"error": "x"}', "application/json"),
            (b"{", b"{", "application/json"),
            ("Bad Gateway", b"Bad Gateway", "text/plain; charset=utf-8"),
            ("", b"", "text/plain; charset=utf-8"),
        ],
    )
    async def test_its_body_can_be_given(
        self,
        emulator: Emulator,
        session: aiohttp.ClientSession,
        body: bytes | str | dict[str, Any],
        sent: bytes,
        type_: str,
    ) -> None:
        emulator.fail(CANCEL, Fault.status(502, body=body))
        async with session.post("/v1/splits/a/cancel") as response:
            received = await response.read()

        assert (received, response.headers["Content-Type"]) == (sent, type_)

    @pytest.mark.parametrize("given", [1, "1", "Wed, 21 Oct 2026 07:28:00 GMT"])
    async def test_it_can_have_a_retry_after(
        self, emulator: Emulator, session: aiohttp.ClientSession, given: float | str
    ) -> None:
        emulator.fail(CANCEL, Fault.status(503, retry_after=given))
        async with session.post("/v1/splits/a/cancel") as response:
            pass

        assert response.headers["Retry-After"] == str(given)

    async def test_given_headers_replace_generated_ones(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        emulator.fail(CANCEL, Fault.status(502, body="<p>", headers={"content-type": "text/html", "X-Extra": "1"}))
        async with session.post("/v1/splits/a/cancel") as response:
            pass

        assert response.headers.getall("Content-Type") == ["text/html"]
        assert response.headers["X-Extra"] == "1"
        assert response.headers["x-request-id"].startswith("req_")


class TestBrokenConnections:
    async def test_a_reset_has_no_effect(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.reset())
        with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
            await cancel(session, run_id)

        assert await status_of(session, run_id) == "queued"

    async def test_a_reset_after_effect_takes_effect(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.reset_after_effect())
        with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
            await cancel(session, run_id)

        assert await status_of(session, run_id) == "cancelled"

    async def test_a_truncated_response_has_its_headers_and_part_of_its_body(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.truncate())
        async with session.post(f"/v1/splits/{run_id}/cancel") as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()

        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"

    async def test_a_truncated_response_takes_effect(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.truncate())
        with pytest.raises(aiohttp.ClientPayloadError):
            await cancel(session, run_id)

        assert await status_of(session, run_id) == "cancelled"

    @pytest.mark.parametrize("fault", [Fault.reset(), Fault.reset_after_effect(), Fault.truncate()])
    async def test_a_broken_response_is_recorded_without_status(
        self, emulator: Emulator, session: aiohttp.ClientSession, fault: Fault
    ) -> None:
        emulator.fail(CANCEL, fault)
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await cancel(session, "a")

        assert emulator.requests == [RecordedRequest("POST", "/v1/splits/a/cancel", None)]
        assert not emulator.counts

    @pytest.mark.parametrize("fault", [Fault.reset_after_effect(), Fault.truncate()])
    async def test_the_request_of_a_disconnected_client_takes_effect(self, fault: Fault) -> None:
        async with Emulator(running=600, latency=0.4) as emulator:
            (run_id,) = emulator.seed("splits")
            emulator.fail(CANCEL, fault)
            async with aiohttp.ClientSession(emulator.url, headers={"Api-Key": "any"}) as session:
                with pytest.raises(TimeoutError):
                    # Long enough for the request to be sent, also by a busy machine.
                    async with asyncio.timeout(0.3):
                        await cancel(session, run_id)
                await recorded(emulator)
                status = await status_of(session, run_id)

        assert status == "cancelled"


class TestHang:
    async def test_it_sends_nothing_and_has_no_effect(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.hang())
        await disconnect_once_recorded(session, emulator, run_id)

        assert emulator.requests == [RecordedRequest("POST", f"/v1/splits/{run_id}/cancel", None)]
        assert await status_of(session, run_id) == "queued"

    async def test_it_ends_when_the_client_disconnects(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        before = asyncio.all_tasks()
        emulator.fail(CANCEL, Fault.hang())
        hanging = asyncio.create_task(cancel(session, "a"))
        await recorded(emulator)
        serving = asyncio.all_tasks() - before - {hanging}
        hanging.cancel()
        _, unfinished = await asyncio.wait({hanging, *serving}, timeout=5)

        assert serving
        assert not unfinished

    async def test_it_ends_when_the_emulator_closes(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.fail(CANCEL, Fault.hang())
        hanging = asyncio.create_task(cancel(session, "a"))
        await recorded(emulator)
        await emulator.aclose()

        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await hanging


class TestHangAfterEffect:
    async def test_it_sends_nothing_and_takes_effect(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.hang_after_effect())
        await disconnect_once_recorded(session, emulator, run_id)

        assert emulator.requests == [RecordedRequest("POST", f"/v1/splits/{run_id}/cancel", None)]
        assert await status_of(session, run_id) == "cancelled"

    async def test_it_ends_when_the_emulator_closes(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.fail(CANCEL, Fault.hang_after_effect())
        hanging = asyncio.create_task(cancel(session, "a"))
        await recorded(emulator)
        await emulator.aclose()

        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await hanging


class TestDelayAfterEffect:
    async def test_it_takes_effect_before_the_response(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.delay_after_effect(0.5))
        late = asyncio.create_task(cancel(session, run_id))
        await asyncio.sleep(0.1)
        status = await status_of(session, run_id)

        assert (status, late.done()) == ("cancelled", False)
        assert await late == 200

    async def test_a_disconnected_client_is_recorded_without_status(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.delay_after_effect(0.6))
        await gone(session, run_id)
        await recorded(emulator)

        assert emulator.requests == [RecordedRequest("POST", f"/v1/splits/{run_id}/cancel", None)]
        assert await status_of(session, run_id) == "cancelled"


class TestDelay:
    async def test_it_waits_and_takes_effect(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.delay(0.5))
        slow = asyncio.create_task(cancel(session, run_id))
        await asyncio.sleep(0.1)
        status = await status_of(session, run_id)

        assert (status, slow.done()) == ("queued", False)
        assert await slow == 200
        assert await status_of(session, run_id) == "cancelled"

    async def test_the_request_of_a_disconnected_client_has_no_effect(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail(CANCEL, Fault.delay(0.6))
        await gone(session, run_id)
        await recorded(emulator)

        assert emulator.requests == [RecordedRequest("POST", f"/v1/splits/{run_id}/cancel", None)]
        assert await status_of(session, run_id) == "queued"

    @pytest.mark.parametrize("fault", [Fault.delay(600), Fault.delay_after_effect(600)])
    async def test_it_ends_when_the_emulator_closes(
        self, emulator: Emulator, session: aiohttp.ClientSession, fault: Fault
    ) -> None:
        before = asyncio.all_tasks()
        emulator.fail(CANCEL, fault)
        waiting = asyncio.create_task(cancel(session, "a"))
        await asyncio.sleep(0.03)
        await emulator.aclose()
        await asyncio.gather(waiting, return_exceptions=True)

        assert asyncio.all_tasks() == before


class TestDelayedCreates:
    @pytest.mark.parametrize("fault", [Fault.delay_after_effect(0.2), Fault.hang_after_effect()])
    async def test_a_repeat_with_the_same_key_gets_the_same_run_while_the_first_is_delayed(
        self, emulator: Emulator, session: aiohttp.ClientSession, fault: Fault
    ) -> None:
        emulator.fail("POST /v1/splits", fault)
        document = {"filename": "a.pdf", "url": "data:application/pdf;base64,JVBERg=="}
        body = {"document": document, "subdocuments": [{"name": "a"}], "background": True}
        create = {"json": body, "headers": {"Idempotency-Key": "k1"}}
        held = asyncio.create_task(answer(session, "POST", "/v1/splits", **create))
        await asyncio.sleep(0.03)
        status, run = await answer(session, "POST", "/v1/splits", **create)
        held.cancel()

        assert status == 201
        assert emulator.active_runs() == [run["id"]]


class TestGateway:
    @pytest.mark.parametrize(
        ("code", "title"),
        [(502, "Bad Gateway"), (507, "Insufficient Storage"), (522, "Connection timed out"), (599, "Error")],
    )
    async def test_it_answers_with_an_html_page_and_has_no_effect(
        self, emulator: Emulator, session: aiohttp.ClientSession, code: int, title: str
    ) -> None:
        (run_id,) = emulator.seed("splits")
        fault = Fault.gateway(code)
        emulator.fail(CANCEL, fault)
        async with session.post(f"/v1/splits/{run_id}/cancel") as response:
            page = await response.text()

        assert (fault.name, response.status, response.content_type) == (f"gateway {code}", code, "text/html")
        assert f"<h1>{code} {title}</h1>" in page
        assert await status_of(session, run_id) == "queued"


class TestRetryAt:
    @pytest.mark.parametrize("skew", [0, 600, -600])
    async def test_the_retry_after_date_is_relative_to_the_date_of_a_skewed_clock(
        self, emulator: Emulator, session: aiohttp.ClientSession, skew: float
    ) -> None:
        emulator.fail(CANCEL, Fault.retry_at(3, clock_skew=skew))
        before = datetime.now(UTC).replace(microsecond=0)
        async with session.post("/v1/splits/a/cancel") as response:
            date, retry_at = (parsedate_to_datetime(response.headers[name]) for name in ("Date", "Retry-After"))

        assert response.status == 429
        assert retry_at - date == timedelta(seconds=3)
        assert timedelta(0) <= date - before - timedelta(seconds=skew) < timedelta(seconds=5)


async def test_a_status_can_have_a_retry_after_ms(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.fail(CANCEL, Fault.status(429, retry_after_ms=250))
    async with session.post("/v1/splits/a/cancel") as response:
        assert response.headers["retry-after-ms"] == "250"


class TestChangedResponses:
    async def test_fields_are_replaced_and_added(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail("GET /v1/splits/{id}", Fault.with_fields({"created_at": 1793527200, "extra": [1]}))
        _, run = await answer(session, "GET", f"/v1/splits/{run_id}")

        assert (run["id"], run["created_at"], run["extra"]) == (run_id, 1793527200, [1])

    async def test_a_response_that_is_no_object_keeps_its_body(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        emulator.fail("GET /v1/splits/{id}", Fault.with_fields({"extra": 1}))
        emulator.fail("DELETE /v1/splits/{id}", Fault.with_fields({"extra": 1}))
        (run_id,) = emulator.seed("splits")
        async with session.delete(f"/v1/splits/{run_id}") as response:
            assert (response.status, await response.read()) == (204, b"")

    @pytest.mark.parametrize("size", [9 * 1024, 70 * 1024])
    async def test_a_header_can_be_long(self, emulator: Emulator, size: int) -> None:
        emulator.fail("GET /v1/splits", Fault.long_header(size))
        limits: dict[str, Any] = {"max_line_size": 100_000, "max_field_size": 100_000}
        async with (
            aiohttp.ClientSession(emulator.url, headers={"Api-Key": "any"}, **limits) as session,
            session.get("/v1/splits") as response,
        ):
            assert len(response.headers["X-Proxy-Trace"]) == size
            assert await response.json() == {"data": [], "list_metadata": {"before": None, "after": None}}

    @pytest.mark.parametrize("size", [0, 100_000])
    async def test_a_body_can_be_slow(self, emulator: Emulator, session: aiohttp.ClientSession, size: int) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail("GET /v1/splits/{id}", Fault.slow_body(0.2, size=size))
        began = asyncio.get_running_loop().time()
        async with session.get(f"/v1/splits/{run_id}") as response:
            headers_after = asyncio.get_running_loop().time() - began
            body = await response.read()

        assert json.loads(body)["id"] == run_id
        assert len(body) == max(size, response.content_length or 0)
        assert asyncio.get_running_loop().time() - began >= 0.2
        assert headers_after < 0.2
        assert [request.status for request in emulator.requests] == [200]

    async def test_an_empty_body_can_be_slow_too(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.fail("PUT /upload/{id}", Fault.slow_body(0.01))
        async with session.put("/upload/file_1", headers={"Api-Key": ""}) as response:
            assert response.status == 400
