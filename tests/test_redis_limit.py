"""Rate limit shared through Redis, with its script in fakeredis and a real server, and real processes."""

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from unittest.mock import AsyncMock

import pytest
from clients import client_for
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_server import until
from shared_limits import ask, look

import retab_async
from retab_async import ConfigurationError, RateLimit
from retab_async.emulator import Emulator
from retab_async.throttle import SlotReply, SlotRequest
from retab_async.throttle.slots import Demand, SlotTable

fakeredis = pytest.importorskip("fakeredis")
redis = pytest.importorskip("redis.asyncio")
pytest.importorskip("lupa")

from retab_async.integrations.redis import RedisRateLimit  # noqa: E402 - after the skips

DEMANDS = st.builds(Demand, st.integers(0, 4), st.integers(0, 4), st.booleans())


class TestRedis:
    @pytest.fixture
    async def server(self) -> Any:
        return fakeredis.FakeServer()

    @pytest.fixture
    async def client(self, server: Any) -> AsyncIterator[Any]:
        async with fakeredis.FakeAsyncRedis(server=server) as opened:
            yield opened

    @pytest.mark.slow
    @settings(max_examples=40, deadline=None)
    @given(
        requests=st.integers(1, 14),
        steps=st.lists(
            st.tuples(
                st.integers(0, 2),
                DEMANDS,
                st.integers(0, 3),
                st.sampled_from([0.0, 0.0, 30.0]),
                st.booleans(),
                st.booleans(),
            ),
            max_size=12,
        ),
    )
    def test_script_does_what_the_table_does(self, requests: int, steps: list[Any]) -> None:
        async def scenario() -> None:
            limit = RedisRateLimit(redis_client := fakeredis.FakeAsyncRedis(), requests, per=100)
            table, store, now = SlotTable(), limit.open_store("key"), 1000.0
            ids = [0, 0, 0]
            held: list[list[str]] = [[], [], []]
            epochs = ["", "", ""]
            for process, demand, finished, closed, is_emptied, is_restored in steps:
                if is_emptied:
                    table = SlotTable()
                    await redis_client.flushall()
                done, held[process] = held[process][:finished], held[process][finished:]
                request = SlotRequest(
                    name=f"p{process}",
                    epoch=epochs[process],
                    demand=demand,
                    first_id=ids[process],
                    finished=[(slot, age) for slot, age in zip(done, (0.5, 50.0, float("inf")), strict=False)],
                    held=held[process] if is_restored else (),
                    closed_seconds=closed,
                )
                expected, reply = table.exchange(limit, request, now), await store.exchange(request)
                total = demand.urgent + demand.others
                held[process] += [f"p{process}:{ids[process] + number}" for number in range(expected.granted)]
                ids[process] += total + 1
                epochs[process] = reply.epoch
                assert reply._replace(wait=0.0) == expected._replace(wait=0.0)
                assert reply.wait == pytest.approx(expected.wait, abs=1.5)
                slots = await redis_client.zrange("retab:{key}:slots", 0, -1, withscores=True)
                left = {slot.decode(): until - time.time() for slot, until in slots}
                assert left == pytest.approx({slot: until - now for slot, until in table.slots.items()}, abs=1.5)
            await redis_client.aclose()

        asyncio.run(scenario())

    async def test_names_of_the_keys_have_a_hash_of_the_credential_as_tag_and_expire(self, client: Any) -> None:
        async with Emulator() as emulator:
            limit = RedisRateLimit(client, 5, per=1, lease=2, prefix="team")
            async with client_for(emulator.url, rate_limit=limit) as opened:
                await look(opened)
                fingerprint = opened._settings.credential.fingerprint

        names = sorted(name.decode() for name in await client.keys())
        assert names == [f"team:{{{fingerprint}}}:slots", f"team:{{{fingerprint}}}:state"]
        assert {0 < await client.pttl(name) <= 3000 for name in names} == {True}

    async def test_client_made_of_a_url_is_closed_with_the_client(
        self, server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[Any] = []
        closed: list[Any] = []

        class Client(fakeredis.FakeAsyncRedis):  # type: ignore[misc, name-defined]
            async def aclose(self, **options: Any) -> None:
                closed.append(self)
                await super().aclose(**options)

        def from_url(_: str) -> Any:
            made.append(Client(server=server))
            return made[-1]

        monkeypatch.setattr(redis.Redis, "from_url", from_url)
        limit = RedisRateLimit("redis://host", 5, per=1)
        async with Emulator() as emulator, client_for(emulator.url, rate_limit=limit) as opened:
            await look(opened)
            assert opened.stats().rate_origin == "shared"

        # The first one is made when the limit is, to report a wrong URL at once.
        assert closed == made[1:]

    async def test_reserve_is_kept_for_urgent_requests_while_there_are_calls(self, client: Any) -> None:
        store = RedisRateLimit(client, 100, per=1).open_store("key")
        calls = await store.exchange(SlotRequest(name="a", epoch="", demand=Demand(0, 100, has_calls=True)))
        cancels = await store.exchange(SlotRequest(name="b", epoch="", demand=Demand(4, 0, has_calls=False)))

        assert (calls.granted, cancels.granted) == (97, 3)

    async def test_time_is_that_of_the_server_to_fractions_of_a_second(self, client: Any) -> None:
        before = time.time()
        await RedisRateLimit(client, 1, per=1, lease=5).open_store("key").exchange(ask())

        assert before - 0.001 <= await client.zscore("retab:{key}:slots", "a:0") - 5 <= time.time() + 0.001

    async def test_client_that_decodes_responses_works(self, server: Any) -> None:
        async with fakeredis.FakeAsyncRedis(server=server, decode_responses=True) as client:
            store = RedisRateLimit(client, 1, per=1).open_store("key")
            first = await store.exchange(ask())

        assert first == SlotReply(1, 0.0, "a:0", is_lost=False)

    @pytest.mark.slow
    async def test_clients_with_one_server_share_the_limit(self, server: Any, client: Any) -> None:
        limited = Emulator(rate_limit=RateLimit(10, per=1))
        async with limited as emulator, fakeredis.FakeAsyncRedis(server=server) as second:
            limits = [RedisRateLimit(each, 10, per=1) for each in (client, second)]
            async with (
                client_for(emulator.url, rate_limit=limits[0]) as one,
                client_for(emulator.url, rate_limit=limits[1]) as other,
            ):
                ids = emulator.seed("splits", 25)
                reports = await asyncio.gather(one.splits.cancel_many(ids[:12]), other.splits.cancel_many(ids[12:]))
                stats = one.stats()

        assert sum(report.counts.total() for report in reports) == 25
        assert [served.status for served in emulator.requests].count(429) == 0
        assert (stats.rate, stats.rate_origin) == (10, "shared")

    async def test_stopped_server_is_survived_and_sharing_resumes(
        self, server: Any, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("retab_async.throttle.shared_limiter._ALONE_SECONDS", 0.1)
        caplog.set_level(logging.INFO)
        async with (
            Emulator() as emulator,
            client_for(emulator.url, rate_limit=RedisRateLimit(client, 50, per=1)) as opened,
        ):
            await look(opened)
            server.connected = False
            await look(opened)
            assert opened.stats().rate_origin == "given"
            server.connected = True
            await asyncio.sleep(0.15)
            await look(opened)
            await until(lambda: opened.stats().rate_origin == "shared")

        assert [record.message for record in caplog.records if "shared rate limit" in record.message] == [
            "shared rate limit unavailable (ConnectionError): this process keeps to its own limit",
            "the shared rate limit is available again",
        ]

    async def test_client_of_the_caller_is_left_open(self, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        # A closed one would connect again.
        with monkeypatch.context() as patched:
            patched.setattr(client, "aclose", aclose := AsyncMock())
            async with (
                Emulator() as emulator,
                client_for(emulator.url, rate_limit=RedisRateLimit(client, 5, per=1)) as opened,
            ):
                await look(opened)

        aclose.assert_not_called()

    async def test_check_reaches_the_server_of_a_client_and_leaves_it_open(
        self, server: Any, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit = RedisRateLimit(client, 5, per=1)
        with monkeypatch.context() as patched:
            patched.setattr(client, "aclose", aclose := AsyncMock())
            await limit.check()

        aclose.assert_not_called()
        server.connected = False
        with pytest.raises(ConfigurationError, match=r"unavailable \(ConnectionError\)"):
            await limit.check()

    def test_repr_has_no_address(self) -> None:
        assert repr(RedisRateLimit("redis://:secret@localhost/0", 300, per=60)) == "RedisRateLimit(300, per=60)"

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (object(), "redis must be a client, such as"),
            ("http://:secret@host", "invalid Redis URL: write redis://"),
            ("redis://user:secret/1@host", "encode special characters of the password, such as %2F"),
            ("redis://user:secret#1@host", "invalid Redis URL"),
            ("redis://:secret[1@host", "invalid Redis URL"),
            ("redis://:secret@host/0?socket_timeout=soon", "invalid Redis URL"),
            ("redis://:secret@host/0?unknown=1", "invalid Redis URL"),
        ],
    )
    def test_what_is_no_redis_is_rejected(self, given: Any, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message) as caught:
            RedisRateLimit(given, 1, per=1)
        assert "secret" not in str(caught.value)

    def test_url_without_the_extra_is_rejected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis.asyncio", None)
        with pytest.raises(ConfigurationError, match="needs the extra redis: pip install"):
            RedisRateLimit("redis://localhost", 1, per=1)


REDIS_SERVER = shutil.which("redis-server")


class RedisServer:
    """A real `redis-server` on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._options = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert REDIS_SERVER is not None
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen([REDIS_SERVER, *self._options], stdout=subprocess.DEVNULL)  # noqa: S603 - ours
        latest = time.monotonic() + 10
        while not self.socket.exists():
            assert time.monotonic() < latest
            time.sleep(0.01)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.slow
class TestRealRedis:
    async def test_killed_and_restarted_server_costs_no_id_and_sharing_resumes(
        self, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("retab_async.throttle.shared_limiter._ALONE_SECONDS", 0.2)
        async with Emulator(rate_limit=RateLimit(20, per=0.5)) as emulator:
            limit = RedisRateLimit(redis_server.url, 20, per=0.5)
            async with client_for(emulator.url, rate_limit=limit) as client:
                ids = emulator.seed("splits", 120)
                origins = set()
                done = 0
                async with client.splits.cancel_many(ids) as job:
                    async for outcome in job:
                        assert outcome.run is not None
                        done += 1
                        if done == 30:
                            await asyncio.to_thread(redis_server.kill)
                        elif done == 60:
                            await asyncio.to_thread(redis_server.start)
                        origins.add(client.stats().rate_origin)
                last = client.stats().rate_origin

        assert job.report.counts.total() == 120
        assert origins >= {"shared", "given"}
        assert last == "shared"

    async def test_connection_by_url_is_closed_with_the_client(self, redis_server: RedisServer) -> None:
        async with Emulator() as emulator:
            async with client_for(emulator.url, rate_limit=RedisRateLimit(redis_server.url, 5, per=1)) as client:
                await look(client)
            async with redis.Redis.from_url(redis_server.url) as own:
                assert len(await own.client_list()) == 1


PROGRAM = """
    import asyncio, sys
    from retab_async import AsyncRetab, FileRateLimit
    from retab_async.integrations.redis import RedisRateLimit
    from retab_async.throttle import shared_limiter

    # A busy machine is no unavailable store.
    shared_limiter._EXCHANGE_TIMEOUT = 10

    async def main(place, url, ids):
        limit = (RedisRateLimit if "://" in place else FileRateLimit)(place, 40, per=0.5, lease=2)
        async with AsyncRetab("sk_live_secret_0123456789", base_url=url, rate_limit=limit) as client:
            print("ready", flush=True)
            report = await client.splits.cancel_many(ids)
            print(report.counts.total(), len(report.failures), flush=True)

    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
"""


async def start(place: str, url: str, ids: list[str]) -> asyncio.subprocess.Process:
    return await run_program(PROGRAM, place, url, *ids)


async def run_program(program: str, *arguments: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": str(Path(retab_async.__file__).parents[1])}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", dedent(program), *arguments, stdout=subprocess.PIPE, env=environment
    )


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "retab.limit") if request.param == "file" else request.getfixturevalue("redis_server").url


FORK = """
    import asyncio, os, sys
    from retab_async import AsyncRetab, ClientStateError, FileRateLimit
    from retab_async.integrations.redis import RedisRateLimit

    place, url = sys.argv[1:]
    limit = (RedisRateLimit if "://" in place else FileRateLimit)(place, 5, per=0.5)
    loop = asyncio.new_event_loop()
    client = AsyncRetab("sk_live_secret_0123456789", base_url=url, rate_limit=limit)

    async def look(used):
        await used.splits.list()

    async def use(used):
        await asyncio.gather(*(look(used) for _ in range(4)))
        return used.stats().rate_origin

    async def use_own():
        async with AsyncRetab("sk_live_secret_0123456789", base_url=url, rate_limit=limit) as own:
            return await use(own)

    print("parent", loop.run_until_complete(use(client)), flush=True)
    child = os.fork()
    if not child:
        try:
            loop.run_until_complete(use(client))
        except ClientStateError as error:
            print("child", error, flush=True)
        loop.run_until_complete(client.aclose())
        print("child", asyncio.run(use_own()), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("parent", loop.run_until_complete(use(client)), flush=True)
    loop.run_until_complete(client.aclose())
    loop.close()
"""


@pytest.mark.slow
@pytest.mark.subprocess
class TestProcesses:
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    async def test_forked_process_shares_the_limit_with_a_client_of_its_own_alone(self, place: str) -> None:
        async with Emulator(rate_limit=RateLimit(5, per=0.5)) as emulator:
            forked = await run_program(FORK, place, emulator.url)
            printed, _ = await forked.communicate()

        assert printed.decode().splitlines() == [
            "parent shared",
            "child this client was opened before this process was forked: make one AsyncRetab in each process",
            "child shared",
            "parent shared",
        ]
        assert [served.status for served in emulator.requests] == [200] * 12

    async def test_three_processes_keep_to_one_limit_together(self, place: str) -> None:
        async with Emulator(rate_limit=RateLimit(40, per=0.5)) as emulator:
            ids = emulator.seed("splits", 240)
            processes = [await start(place, emulator.url, ids[first::3]) for first in range(3)]
            printed = [(await process.communicate())[0] for process in processes]

        assert printed == [b"ready\n80 0\n"] * 3
        assert {served.status for served in emulator.requests} == {200}

    async def test_killed_process_holds_up_the_others_for_no_longer_than_its_lease(self, place: str) -> None:
        async with Emulator(rate_limit=RateLimit(40, per=0.5)) as emulator:
            ids = emulator.seed("splits", 200)
            killed, other = [await start(place, emulator.url, ids[first::2]) for first in range(2)]
            await until(lambda: len(emulator.requests) >= 60)
            killed.send_signal(signal.SIGKILL)
            printed, _ = await other.communicate()
            await killed.communicate()

        assert printed == b"ready\n100 0\n"
        assert {served.status for served in emulator.requests} <= {200, None}
