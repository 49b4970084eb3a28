"""Rate limit shared through a file, and the rate limit of a client on real sockets."""

# ruff: noqa: ASYNC240 - small files of the test's own

import asyncio
import gc
import os
import sys
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cli_harness import served_emulator
from clients import client_for
from payloads import KEY
from shared_limits import ask, look

import retab_async
from retab_async import AsyncRetab, ConfigurationError, FileRateLimit, RateLimit
from retab_async.emulator import Emulator
from retab_async.throttle import SlotRequest, file_limit, shared_limiter
from retab_async.transport import session


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
            (lambda path: path.write_text("id\nsplt_1\n"), "it has other content: name a new file"),
            (lambda path: path.mkdir(), "Is a directory"),
            (os.mkfifo, "it is no regular file: name a new one"),
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
        monkeypatch.setitem(sys.modules, "fcntl", None)
        with pytest.raises(ConfigurationError, match="this system has no POSIX file locks, use RedisRateLimit"):
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
        # Otherwise a thread would wait on after each exchange.
        assert file_limit._LOCK_TIMEOUT < shared_limiter._EXCHANGE_TIMEOUT
        store = FileRateLimit(path, 1, per=1).open_store("key")
        monkeypatch.setattr(file_limit, "_LOCK_TIMEOUT", 0.05)
        with file_limit._locked_file(str(path)), pytest.raises(BlockingIOError):
            await store.exchange(ask())
        assert (await store.exchange(ask())).granted == 1

    def test_child_that_was_forked_meanwhile_does_not_keep_the_lock(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(file_limit, "_LOCK_TIMEOUT", 0.05)
        with file_limit._locked_file(str(path)) as file:
            # As a child has it, which closes it when it executes another program.
            inherited = os.dup(file)
        with file_limit._locked_file(str(path)):
            os.close(inherited)

    async def test_file_that_another_process_keeps_locked_is_no_wrong_configuration(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        FileRateLimit(path, 1, per=1)
        monkeypatch.setattr(file_limit, "_LOCK_TIMEOUT", 0.05)
        with file_limit._locked_file(str(path)):
            limit = FileRateLimit(path, 1, per=1)

        assert (await limit.open_store("key").exchange(ask())).granted == 1

    async def test_no_thread_is_left_after_an_exchange(self, path: Path) -> None:
        store = FileRateLimit(path, 1, per=1).open_store("key")
        await store.exchange(ask())
        await store.aclose()
        for _ in range(100):
            if not (left := [each for each in threading.enumerate() if each.name == "retab_async limit"]):
                break
            await asyncio.sleep(0.01)

        assert left == []


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

    def test_each_event_loop_shares_the_limit_with_a_client_of_its_own_alone(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit = FileRateLimit(path, 5, per=0.4)

        async def use(client: AsyncRetab) -> None:
            await asyncio.gather(*(look(client) for _ in range(4)))
            assert client.stats().rate_origin == "shared"

        async def use_again(client: AsyncRetab) -> None:
            with pytest.raises(retab_async.ClientStateError, match="another event loop"):
                await look(client)
            assert await client.aclose() == ()

        async def use_own() -> None:
            async with client_for(emulator.url, rate_limit=limit) as own:
                await use(own)

        with served_emulator(monkeypatch, rate_limit=RateLimit(5, per=0.4)) as emulator:
            client = client_for(emulator.url, rate_limit=limit)
            with warnings.catch_warnings():
                # The end of the loop drops the connections.
                warnings.simplefilter("ignore", ResourceWarning)
                asyncio.run(use(client))
                asyncio.run(use_again(client))
                del client
                gc.collect()
            with ThreadPoolExecutor(2) as threads:
                for future in [threads.submit(asyncio.run, use_own()) for _ in range(2)]:
                    future.result()

        assert [served.status for served in emulator.requests] == [200] * 12

    async def test_forked_process_does_not_use_the_connection_of_its_parent(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with Emulator() as emulator, client_for(emulator.url, rate_limit=FileRateLimit(path, 5, per=1)) as client:
            await look(client)
            await asyncio.sleep(0.1)
            exchanges = path.stat().st_mtime_ns
            monkeypatch.setattr(session, "_forks", [None] * 100)
            with pytest.raises(retab_async.ClientStateError, match="forked"):
                await look(client)
            monkeypatch.undo()
            assert path.stat().st_mtime_ns == exchanges
