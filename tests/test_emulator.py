"""The emulator as a server: lifecycle, keys, routes, rate limit and idempotency."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from emulator_http import answer

import retab_async
from retab_async.emulator import Emulator, Fault, ManualClock, RateLimit, RecordedRequest

ANY = {"Api-Key": "any"}
PARTITION = {
    "document": {"filename": "a.pdf", "url": "data:application/pdf;base64,JVBERg=="},
    "key": "account",
    "instructions": "One chunk for each account.",
    "background": True,
}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(running=600) as running:
        yield running


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(emulator.url, headers=ANY) as opened:
        yield opened


@asynccontextmanager
async def opened(emulator: Emulator, headers: dict[str, str] = ANY) -> AsyncIterator[aiohttp.ClientSession]:
    async with emulator, aiohttp.ClientSession(emulator.url, headers=headers) as session:
        yield session


def address(emulator: Emulator) -> tuple[str, int]:
    host, _, port = emulator.url.removeprefix("http://").rpartition(":")
    return host, int(port)


class TestLifecycle:
    async def test_it_listens_on_loopback_while_entered(self, emulator: Emulator) -> None:
        assert emulator.url.startswith("http://127.0.0.1:")

    async def test_start_and_aclose_work_without_a_block(self) -> None:
        emulator = Emulator()
        await emulator.start()
        async with aiohttp.ClientSession(emulator.url, headers=ANY) as session:
            status, _ = await answer(session, "GET", "/v1/splits")
        await emulator.aclose()

        assert status == 200

    async def test_an_ipv6_address_is_bracketed(self) -> None:
        try:
            async with Emulator(host="::1") as emulator:
                assert emulator.url.startswith("http://[::1]:")
        except OSError:
            pytest.skip("no IPv6 loopback here")

    async def test_url_raises_before_start(self) -> None:
        with pytest.raises(RuntimeError, match="not started"):
            _ = Emulator().url

    async def test_url_raises_after_aclose(self) -> None:
        async with Emulator() as emulator:
            pass

        with pytest.raises(RuntimeError, match="not started"):
            _ = emulator.url

    async def test_a_second_start_raises(self, emulator: Emulator) -> None:
        with pytest.raises(RuntimeError, match="started already"):
            await emulator.start()

    async def test_closing_twice_does_nothing(self, emulator: Emulator) -> None:
        await emulator.aclose()
        await emulator.aclose()

        with pytest.raises(RuntimeError, match="not started"):
            _ = emulator.url

    async def test_a_port_that_is_taken_is_an_os_error(self, emulator: Emulator) -> None:
        with pytest.raises(OSError, match="address already in use"):
            await Emulator(port=address(emulator)[1]).start()

    async def test_a_failed_start_can_be_repeated(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            emulator = Emulator(port=taken.getsockname()[1])
            with pytest.raises(OSError, match="address already in use"):
                await emulator.start()
        async with emulator:
            assert emulator.url

    async def test_runs_survive_a_restart(self) -> None:
        emulator = Emulator(running=600)
        (run_id,) = emulator.seed("splits")
        async with emulator:
            pass
        async with emulator, aiohttp.ClientSession(emulator.url, headers=ANY) as session:
            status, _ = await answer(session, "GET", f"/v1/splits/{run_id}")

        assert status == 200

    async def test_aclose_leaves_no_task_behind(self) -> None:
        before = asyncio.all_tasks()
        async with Emulator(latency=60) as emulator, aiohttp.ClientSession(emulator.url, headers=ANY) as session:
            pending = asyncio.create_task(answer(session, "GET", "/v1/splits"))
            await asyncio.sleep(0.05)
            await emulator.aclose()
            await asyncio.gather(pending, return_exceptions=True)

        assert asyncio.all_tasks() == before

    async def test_aclose_does_not_wait_for_an_incomplete_request(self) -> None:
        async with Emulator() as emulator:
            reader, writer = await asyncio.open_connection(*address(emulator))
            writer.write(b"POST /v1/splits HTTP/1.1\r\nHost: localhost\r\nApi-Key: k\r\nContent-Length: 9\r\n\r\n{}")
            await writer.drain()
            await asyncio.sleep(0.05)
        rest = await reader.read()
        writer.close()

        assert rest == b""

    async def test_an_incomplete_request_is_recorded_without_status(self, emulator: Emulator) -> None:
        _, writer = await asyncio.open_connection(*address(emulator))
        writer.write(b"POST /v1/splits HTTP/1.1\r\nHost: localhost\r\nApi-Key: k\r\nContent-Length: 9\r\n\r\n{}")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(5):
            while not emulator.requests:  # noqa: ASYNC110 - the emulator has no event for it
                await asyncio.sleep(0.01)

        assert emulator.requests == [RecordedRequest("POST", "/v1/splits", None)]


class TestKeys:
    @pytest.mark.parametrize(
        "headers",
        [{"Api-Key": "emulator-key"}, {"Authorization": "Bearer emulator-key"}, {"Authorization": "bearer  other"}],
    )
    async def test_any_key_is_accepted_by_default(self, emulator: Emulator, headers: dict[str, str]) -> None:
        async with aiohttp.ClientSession(emulator.url, headers=headers) as session:
            status, _ = await answer(session, "GET", "/v1/splits")

        assert status == 200

    async def test_api_key_returns_an_accepted_key(self, emulator: Emulator) -> None:
        assert emulator.api_key == "emulator-key"

    @pytest.mark.parametrize(
        "headers", [{}, {"Api-Key": ""}, {"Authorization": "Bearer "}, {"Authorization": "Basic x"}]
    )
    async def test_a_request_without_a_key_is_401(self, emulator: Emulator, headers: dict[str, str]) -> None:
        async with aiohttp.ClientSession(emulator.url, headers=headers) as session:
            status, body = await answer(session, "GET", "/v1/splits")

        assert status == 401
        assert body == {
            "detail": {
                "code": "HTTP_EXCEPTION",
                "message": "An HTTP exception occurred.",
                "details": {"error": "Invalid API Key."},
            }
        }

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"Api-Key": "rt_test_1"}, 200),
            ({"Authorization": "Bearer rt_test_1"}, 200),
            ({"Api-Key": "rt_test_2"}, 401),
            ({}, 401),
        ],
    )
    async def test_only_the_configured_key_is_accepted(self, headers: dict[str, str], expected: int) -> None:
        emulator = Emulator(api_key="rt_test_1")
        async with opened(emulator, headers) as session:
            status, _ = await answer(session, "GET", "/v1/splits")

        assert (status, emulator.api_key) == (expected, "rt_test_1")

    def test_an_empty_key_is_rejected(self) -> None:
        with pytest.raises(ValueError, match="api_key"):
            Emulator(api_key="")


class TestRoutes:
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/v1",
            "/v1/",
            "/v1/nothing",
            "/v1/splits/",
            "/v1/splits//cancel",
            "/v1/splits/a/b",
            "/v1/nothing/a/cancel",
        ],
    )
    async def test_an_unknown_route_is_404(self, session: aiohttp.ClientSession, path: str) -> None:
        assert await answer(session, "POST", path) == (
            404,
            {"detail": f"the emulator has no route POST {path}"},
        )

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/v1/splits", "GET, POST"),
            ("POST", "/v1/splits/x", "DELETE, GET"),
            ("GET", "/v1/splits/x/cancel", "POST"),
        ],
    )
    async def test_a_wrong_method_is_405(
        self, session: aiohttp.ClientSession, method: str, path: str, allowed: str
    ) -> None:
        async with session.request(method, path) as response:
            body = await response.json()

        assert (response.status, body) == (405, {"detail": "Method Not Allowed"})
        assert response.headers["Allow"] == allowed

    async def test_an_encoded_slash_stays_inside_the_id(self, session: aiohttp.ClientSession) -> None:
        status, body = await answer(session, "POST", "/v1/splits/a%2Fcancel")

        assert (status, body) == (405, {"detail": "Method Not Allowed"})

    async def test_every_response_has_a_unique_request_id(self, session: aiohttp.ClientSession) -> None:
        ids = set()
        for path in ("/v1/splits", "/v1/splits", "/nowhere"):
            async with session.get(path) as response:
                ids.add(response.headers["x-request-id"])

        assert len(ids) == 3
        assert all(text.startswith("req_") for text in ids)

    async def test_requests_are_recorded_with_path_and_query(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        await answer(session, "GET", "/v1/splits")
        await answer(session, "GET", "/v1/splits?limit=5&filename=a%26b")

        assert emulator.requests == [
            RecordedRequest("GET", "/v1/splits", 200),
            RecordedRequest("GET", "/v1/splits", 200, query="limit=5&filename=a%26b"),
        ]

    async def test_requests_are_recorded_with_their_idempotency_key(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        await answer(session, "POST", "/v1/partitions", json=PARTITION, headers={"Idempotency-Key": "k1"})

        assert emulator.requests == [RecordedRequest("POST", "/v1/partitions", 201, idempotency_key="k1")]

    @pytest.mark.parametrize(
        ("headers", "key"), [({"Api-Key": "k1"}, "k1"), ({"Api-Key": "", "Authorization": "Bearer k2"}, "k2")]
    )
    async def test_requests_are_recorded_with_their_key(
        self, emulator: Emulator, session: aiohttp.ClientSession, headers: dict[str, str], key: str
    ) -> None:
        await answer(session, "GET", "/v1/splits", headers=headers)

        assert emulator.requests[0].api_key == key
        assert key not in repr(emulator.requests)

    async def test_statuses_are_counted(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        await answer(session, "GET", "/v1/splits")
        await answer(session, "GET", "/v1/splits")
        await answer(session, "GET", "/v1/splits/none")

        assert emulator.counts == {200: 2, 404: 1}

    async def test_a_response_is_delayed_by_the_latency(self) -> None:
        async with opened(Emulator(latency=0.01)) as session:
            status, _ = await answer(session, "GET", "/v1/splits")

        assert status == 200


class TestRateLimit:
    async def test_requests_beyond_the_limit_are_429_with_the_seconds_to_wait(self) -> None:
        clock = ManualClock()
        async with opened(Emulator(rate_limit=RateLimit(2, per=10), clock=clock)) as session:
            await answer(session, "GET", "/v1/splits")
            clock.advance(3.5)
            await answer(session, "GET", "/v1/splits")
            async with session.get("/v1/splits") as response:
                body = await response.json()

        assert (response.status, response.headers["Retry-After"]) == (429, "7")
        assert body == {"detail": "Rate limit exceeded: 2 requests per 10 s."}

    async def test_the_window_is_sliding(self) -> None:
        clock = ManualClock()
        async with opened(Emulator(rate_limit=RateLimit(1, per=10), clock=clock)) as session:
            statuses = []
            for _ in range(3):
                statuses.append((await answer(session, "GET", "/v1/splits"))[0])
                clock.advance(5)

        assert statuses == [200, 429, 200]

    async def test_retry_after_can_be_omitted(self) -> None:
        async with opened(Emulator(rate_limit=RateLimit(1, retry_after=False))) as session:
            await answer(session, "GET", "/v1/splits")
            async with session.get("/v1/splits") as response:
                pass

        assert response.status == 429
        assert "Retry-After" not in response.headers

    async def test_a_request_without_a_key_does_not_count(self) -> None:
        async with opened(Emulator(rate_limit=RateLimit(1)), headers={}) as session:
            await answer(session, "GET", "/v1/splits")
            status, _ = await answer(session, "GET", "/v1/splits", headers=ANY)

        assert status == 200

    @pytest.mark.parametrize(("limit", "per"), [(0, 60.0), (1, 0.0)])
    def test_an_invalid_limit_is_rejected(self, limit: int, per: float) -> None:
        with pytest.raises(ValueError, match="must be"):
            RateLimit(limit, per=per)


class TestIdempotency:
    async def test_the_same_key_and_body_get_the_same_response(self, session: aiohttp.ClientSession) -> None:
        key = {"Idempotency-Key": "k1"}
        first = await answer(session, "POST", "/v1/partitions", json=PARTITION, headers=key)
        again = await answer(session, "POST", "/v1/partitions", json=PARTITION, headers=key)
        _, everything = await answer(session, "GET", "/v1/partitions")

        assert first == again
        assert len(everything["data"]) == 1

    async def test_the_same_key_with_another_body_is_409(self, session: aiohttp.ClientSession) -> None:
        key = {"Idempotency-Key": "k1"}
        await answer(session, "POST", "/v1/partitions", json=PARTITION, headers=key)
        status, body = await answer(session, "POST", "/v1/partitions", json=PARTITION | {"key": "b"}, headers=key)

        assert (status, body) == (409, {"detail": "This Idempotency-Key was used for a different request."})

    async def test_the_same_key_on_another_kind_is_409(self, session: aiohttp.ClientSession) -> None:
        key = {"Idempotency-Key": "k1"}
        await answer(session, "POST", "/v1/partitions", json=PARTITION, headers=key)
        status, _ = await answer(session, "POST", "/v1/splits", json=PARTITION, headers=key)

        assert status == 409

    async def test_a_rejected_request_does_not_use_its_key(self, session: aiohttp.ClientSession) -> None:
        key = {"Idempotency-Key": "k1"}
        await answer(session, "POST", "/v1/partitions", json={}, headers=key)
        status, _ = await answer(session, "POST", "/v1/partitions", json=PARTITION, headers=key)

        assert status == 201

    async def test_a_key_expires_after_a_day(self) -> None:
        clock = ManualClock()
        key = {"Idempotency-Key": "k1"}
        async with opened(Emulator(clock=clock)) as session:
            _, first = await answer(session, "POST", "/v1/partitions", json=PARTITION, headers=key)
            clock.advance(24 * 3600)
            _, later = await answer(session, "POST", "/v1/partitions", json=PARTITION, headers=key)

        assert first["id"] != later["id"]


class TestHost:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:8080", "[::1]:8080", "10.0.0.7"])
    async def test_an_address_or_localhost_is_accepted(self, session: aiohttp.ClientSession, host: str) -> None:
        assert (await answer(session, "GET", "/v1/splits", headers={"Host": host}))[0] == 200

    @pytest.mark.parametrize(
        "host", ["attacker.example", "attacker.example:8080", "127.0.0.1.attacker.example", "a b", "[x"]
    )
    @pytest.mark.parametrize(("method", "path"), [("GET", "/v1/splits"), ("PUT", "/upload/f"), ("GET", "/nowhere")])
    async def test_a_name_is_421_against_dns_rebinding(
        self, session: aiohttp.ClientSession, host: str, method: str, path: str
    ) -> None:
        status, body = await answer(session, method, path, headers={"Host": host})

        assert (status, body["detail"]) == (
            421,
            f"Host {host!r} is not this emulator: use its IP address or localhost.",
        )

    async def test_a_name_is_accepted_by_an_emulator_on_every_address(self) -> None:
        async with opened(Emulator(host="0.0.0.0")) as session:  # noqa: S104 - what is tested
            assert (await answer(session, "GET", "/v1/splits", headers={"Host": "emulator:8080"}))[0] == 200

    async def test_an_upload_url_has_the_own_address_whatever_the_host_header(self, emulator: Emulator) -> None:
        async with aiohttp.ClientSession(emulator.url, headers=ANY) as session:
            body = {"filename": "a.pdf", "size_bytes": 1}
            _, upload = await answer(session, "POST", "/v1/files/upload", json=body, headers={"Host": "10.0.0.7:80"})

        assert upload["uploadUrl"].startswith(f"{emulator.url}/upload/")


class TestRateLimitOfTheClient:
    async def test_it_is_accepted(self) -> None:
        async with opened(Emulator(rate_limit=retab_async.RateLimit(1, per=60))) as session:
            statuses = [(await answer(session, "GET", "/v1/splits"))[0] for _ in range(2)]

        assert statuses == [200, 429]

    @pytest.mark.parametrize("limit", [300, "300/60", (300, 60), object()])
    def test_anything_else_is_a_type_error(self, limit: Any) -> None:
        with pytest.raises(TypeError, match="rate_limit has to be a RateLimit such as"):
            Emulator(rate_limit=limit)


class TestVisibilityDelay:
    @pytest.mark.parametrize("read", ["get", "cancel", "list"])
    async def test_a_created_run_is_found_only_after_the_delay(self, read: str) -> None:
        clock = ManualClock()
        async with opened(Emulator(visibility_delay=5, running=600, clock=clock)) as session:
            _, run = await answer(session, "POST", "/v1/partitions", json=PARTITION)

            async def is_found() -> bool:
                if read == "list":
                    return bool((await answer(session, "GET", "/v1/partitions"))[1]["data"])
                suffix = "/cancel" if read == "cancel" else ""
                method = "POST" if read == "cancel" else "GET"
                return (await answer(session, method, f"/v1/partitions/{run['id']}{suffix}"))[0] == 200

            clock.advance(4.9)
            before = await is_found()
            clock.advance(0.1)

            assert (before, await is_found()) == (False, True)

    async def test_a_seeded_run_is_found_at_once(self) -> None:
        emulator = Emulator(visibility_delay=5)
        (run_id,) = emulator.seed("splits")
        async with opened(emulator) as session:
            assert (await answer(session, "GET", f"/v1/splits/{run_id}"))[0] == 200


async def test_the_example_of_the_docstring_works() -> None:
    clock = ManualClock()
    async with Emulator(clock=clock, queued=5, running=60) as emulator:
        async with retab_async.AsyncRetab(emulator.api_key, base_url=emulator.url) as client:
            (run_id,) = emulator.seed("splits")
            emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(503, retry_after=0))

            await client.splits.cancel(run_id)

        assert emulator.active_runs() == []
        assert [request.status for request in emulator.requests] == [503, 200]
        assert emulator.counts[503] == 1
