"""Stores of a shared rate limit: the file and its lock, Redis and its script, and real processes under both."""

# ruff: noqa: ASYNC240 - small files of the test's own

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from clients import client_for
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import KEY
from raw_server import until

import retab_async
from retab_async import AsyncRetab, ConfigurationError, FileRateLimit, RateLimit, SharedRateLimit
from retab_async.emulator import Emulator
from retab_async.throttle import SlotReply, SlotRequest, file_limit
from retab_async.throttle.slots import Demand, SlotTable

fakeredis = pytest.importorskip("fakeredis")
redis = pytest.importorskip("redis.asyncio")
pytest.importorskip("lupa")

from retab_async.integrations.redis import RedisRateLimit  # noqa: E402 - after the skips


def ask(count: int = 1, name: str = "a", first_id: int = 0, **rest: Any) -> SlotRequest:
    return SlotRequest(name=name, epoch="", demand=Demand(0, count, has_calls=False), first_id=first_id, **rest)


async def look(client: AsyncRetab) -> None:
    """Make one call."""
    assert [run async for run in client.splits.list()] == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "retab.limit"


class TestFile:
    async def test_slots_are_shared_by_all_stores_of_one_file(self, path: Path) -> None:
        one, other = (FileRateLimit(path, 3, per=60).open_store("key") for _ in range(2))

        assert (await one.exchange(ask(2))).granted == 2
        reply = await other.exchange(ask(2, "b"))
        assert reply.granted == 1
        assert reply.wait == pytest.approx(60)

    async def test_credentials_have_slots_of_their_own(self, path: Path) -> None:
        limit = FileRateLimit(str(path), 1, per=60)

        for fingerprint in ("one", "other"):
            assert (await limit.open_store(fingerprint).exchange(ask())).granted == 1

    async def test_file_is_private_and_holds_no_credential(self, path: Path) -> None:
        async with Emulator() as emulator, client_for(emulator.url, rate_limit=FileRateLimit(path, 5, per=1)) as client:
            await look(client)

        assert path.stat().st_mode & 0o777 == 0o600
        assert KEY.encode() not in path.read_bytes()

    async def test_relative_path_stays_where_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        limit = FileRateLimit("limit", 1, per=1)
        monkeypatch.chdir("/")
        await limit.open_store("key").exchange(ask())

        assert (tmp_path / "limit").stat().st_size > 0
        assert repr(limit) == f"FileRateLimit('{tmp_path}/limit', 1, per=1)"

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda path: path.write_text("id\nsplt_1\n"), "it has other content"),
            (lambda path: path.mkdir(), "Is a directory"),
            (os.mkfifo, "it is no regular file"),
            (lambda path: path.symlink_to(path.parent / "missing" / "file"), "No such file"),
        ],
        ids=["other file", "directory", "pipe", "no directory"],
    )
    def test_path_that_cannot_hold_a_limit_is_rejected_and_left_alone(self, make: Any, reason: str, path: Path) -> None:
        make(path)
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(ConfigurationError, match=f"cannot hold a rate limit: .*{reason}"):
            FileRateLimit(path, 1, per=1)

        assert (path.read_bytes() if path.is_file() else b"") == before

    def test_system_without_posix_locks_is_reported(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file_limit, "fcntl", None)
        with pytest.raises(ConfigurationError, match="needs POSIX file locks, which this system lacks: use Redis"):
            FileRateLimit(path, 1, per=1)

    @pytest.mark.parametrize("keep", [0, 30, -5], ids=["emptied", "cut", "torn"])
    async def test_damaged_file_is_started_afresh(self, keep: int, path: Path) -> None:
        store = FileRateLimit(path, 1, per=0.5, lease=0.5).open_store("key")
        epoch = (await store.exchange(ask())).epoch
        content = path.read_bytes()
        path.write_bytes(content[:keep])
        reply = await store.exchange(SlotRequest(name="a", epoch=epoch, first_id=1))

        assert reply.is_lost
        assert reply.epoch != epoch

    async def test_deleted_file_is_made_again(self, path: Path) -> None:
        store = FileRateLimit(path, 1, per=60).open_store("key")
        await store.exchange(ask())
        path.unlink()

        assert (await store.exchange(ask(first_id=1))).granted == 1

    async def test_file_of_before_the_last_boot_is_started_afresh(self, path: Path) -> None:
        store = FileRateLimit(path, 1, per=60).open_store("key")
        await store.exchange(ask())
        body = b'{"at":%d,"tables":{"key":{"slots":{"x":%d}}}}' % ((time.monotonic() + 1e6,) * 2)
        path.write_bytes(b"retab_async rate limit 1 %08x\n" % zlib.crc32(body) + body)

        assert (await store.exchange(ask(first_id=1))).granted == 1

    async def test_expired_tables_are_removed_from_the_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        limit = FileRateLimit(path, 1, per=0.01, lease=0.01)
        await limit.open_store("one").exchange(ask())
        later = time.monotonic() + 2
        monkeypatch.setattr(time, "monotonic", lambda: later)
        await limit.open_store("other").exchange(ask())

        assert b'"other"' in path.read_bytes()
        assert b'"one"' not in path.read_bytes()

    async def test_full_disk_is_an_error(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = FileRateLimit(path, 1, per=1).open_store("key")
        monkeypatch.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(OSError, match="No space left"):
            await store.exchange(ask())

    async def test_lock_that_another_process_keeps_is_an_error_after_a_while(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = FileRateLimit(path, 1, per=1).open_store("key")
        monkeypatch.setattr(file_limit, "_LOCK_TIMEOUT", 0.05)
        with file_limit._locked_file(str(path)), pytest.raises(BlockingIOError):
            await store.exchange(ask())
        assert (await store.exchange(ask())).granted == 1

    async def test_no_thread_is_left_after_an_exchange(self, path: Path) -> None:
        store = FileRateLimit(path, 1, per=1).open_store("key")
        await store.exchange(ask())
        await store.aclose()
        for _ in range(100):
            if not (left := [each for each in threading.enumerate() if each.name == "retab_async limit"]):
                break
            await asyncio.sleep(0.01)

        assert left == []


class _Limit(SharedRateLimit):
    """Limit whose table and clock belong to the test."""

    def open_store(self, fingerprint: str) -> Any:
        raise NotImplementedError


DEMANDS = st.builds(Demand, st.integers(0, 4), st.integers(0, 4), st.booleans())


class TestRedis:
    @pytest.fixture
    async def server(self) -> Any:
        return fakeredis.FakeServer()

    @pytest.fixture
    async def client(self, server: Any) -> AsyncIterator[Any]:
        async with fakeredis.FakeAsyncRedis(server=server) as opened:
            yield opened

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
                slots = {slot.decode() for slot in await redis_client.zrange("retab:{key}:slots", 0, -1)}
                assert slots == table.slots.keys()
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

    async def test_client_that_decodes_responses_works(self, server: Any) -> None:
        async with fakeredis.FakeAsyncRedis(server=server, decode_responses=True) as client:
            store = RedisRateLimit(client, 1, per=1).open_store("key")
            first = await store.exchange(ask())

        assert first == SlotReply(1, 0.0, "a:0", is_lost=False)

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
            await asyncio.sleep(0.05)
            assert opened.stats().rate_origin == "shared"

        assert [record.message for record in caplog.records if "shared rate limit" in record.message] == [
            "shared rate limit unavailable (ConnectionError): this process keeps to its own limit",
            "the shared rate limit is available again",
        ]

    async def test_client_of_the_caller_is_left_open(self, client: Any) -> None:
        async with (
            Emulator() as emulator,
            client_for(emulator.url, rate_limit=RedisRateLimit(client, 5, per=1)) as opened,
        ):
            await look(opened)

        assert await client.ping()

    def test_repr_has_no_address(self) -> None:
        assert repr(RedisRateLimit("redis://:secret@localhost/0", 300, per=60)) == "RedisRateLimit(300, per=60)"

    @pytest.mark.parametrize(
        ("given", "message"),
        [(object(), "redis must be a client, such as"), ("http://:secret@host", "invalid Redis URL")],
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
                async with client.splits.cancel_many(ids) as job:
                    async for outcome in job:
                        assert outcome.run is not None
                        done = job.report.counts.total()
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

    async def main(place, url, ids):
        make = RedisRateLimit if "://" in place else FileRateLimit
        async with AsyncRetab("sk_live_secret_0123456789", base_url=url, rate_limit=make(place, 40, per=0.5)) as client:
            print("ready", flush=True)
            report = await client.splits.cancel_many(ids)
            print(report.counts.total(), len(report.failures), flush=True)

    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
"""


async def start(place: str, url: str, ids: list[str]) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": str(Path(retab_async.__file__).parents[1])}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", dedent(PROGRAM), place, url, *ids, stdout=subprocess.PIPE, env=environment
    )


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, path: Path) -> str:
    return str(path) if request.param == "file" else request.getfixturevalue("redis_server").url


@pytest.mark.slow
@pytest.mark.subprocess
class TestProcesses:
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


class TestClients:
    async def test_copies_with_one_key_share_a_local_limit_and_other_keys_do_not(self) -> None:
        async with Emulator() as emulator, client_for(emulator.url, rate_limit=RateLimit(3, per=0.4)) as client:
            copies = [client, client.with_options(timeout=3), client.with_options(api_key="sk_other_0123456789")]
            started = time.monotonic()
            await asyncio.gather(*(look(copy) for copy in copies[:2] for _ in range(2)))
            assert time.monotonic() - started >= 0.4
            assert client.stats().rate_origin == "given"
            await asyncio.gather(*(look(copies[2]) for _ in range(3)))
            assert copies[2].stats().sent == 3

    async def test_limit_outlives_a_copy_with_its_own_key(self) -> None:
        async with Emulator() as emulator, client_for(emulator.url, rate_limit=RateLimit(1, per=0.4)) as client:
            started = time.monotonic()
            for _ in range(2):
                await look(client.with_options(api_key="sk_other_0123456789"))

            assert time.monotonic() - started >= 0.4

    @pytest.mark.parametrize("given", [300, "300/60", (300, 60)])
    async def test_what_is_no_rate_limit_is_rejected(self, given: Any) -> None:
        with pytest.raises(ConfigurationError, match="rate_limit must be a RateLimit, as RateLimit"):
            AsyncRetab(KEY, rate_limit=given)

    async def test_call_whose_turn_comes_after_its_deadline_fails(self) -> None:
        once = retab_async.RetryPolicy(deadline=1)
        async with (
            Emulator() as emulator,
            client_for(emulator.url, rate_limit=RateLimit(1, per=60), retry=once) as client,
        ):
            await look(client)
            with pytest.raises(retab_async.APITimeoutError, match="takes no more requests before the deadline"):
                await look(client)

    async def test_limit_of_the_client_is_kept_by_waits_and_bulk_jobs(self) -> None:
        async with (
            Emulator(queued=0, running=0.1, rate_limit=RateLimit(5, per=0.3)) as emulator,
            client_for(emulator.url, rate_limit=RateLimit(5, per=0.3)) as client,
        ):
            ids = emulator.seed("splits", 4)
            await client.splits.wait(ids[0], poll_interval=0.05)
            await client.splits.cancel_many(ids[1:])
            await asyncio.gather(*(client.splits.get(each) for each in ids))

        assert {served.status for served in emulator.requests} == {200}

    async def test_forked_process_does_not_use_the_connection_of_its_parent(self, path: Path) -> None:
        async with Emulator() as emulator, client_for(emulator.url, rate_limit=FileRateLimit(path, 5, per=1)) as client:
            await look(client)
            await asyncio.sleep(0.1)
            exchanges = path.stat().st_mtime_ns
            client._pool._process = os.getpid() + 1
            with pytest.raises(retab_async.ClientStateError, match="forked"):
                await look(client)
            client._pool._process = os.getpid()
            assert path.stat().st_mtime_ns == exchanges
