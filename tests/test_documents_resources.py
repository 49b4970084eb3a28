"""Descriptors and threads of documents: shared, closed, removed and silent ones."""

# ruff: noqa: ASYNC240 - files are under test

import asyncio
import base64
import gzip
import hashlib
import io
import logging
import os
import select
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Thread
from typing import IO, Any

import pytest
from clients import client_for
from payloads import KEY
from raw_server import until

from retab_async import APITimeoutError, AsyncRetab, RetryPolicy, Subdocument, thread_pool
from retab_async.documents.open import open_document
from retab_async.documents.sources import PIECE_SIZE, SharedDescriptor, Source
from retab_async.emulator import Emulator, Fault
from retab_async.errors import InvalidDocumentError
from retab_async.thread_pool import FILE_POOL, DaemonThreadPool

PART = Subdocument("invoice")
CREATE = "POST /v1/splits"
CONTENT = bytes(range(256)) * (3 * PIECE_SIZE // 256) + b"end"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(queued=600, running=600, api_key=KEY) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    async with client_for(emulator.url) as made:
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "scan.bin").write_bytes(b"skip" + CONTENT)
    return tmp_path / "scan.bin"


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    before = descriptors()
    yield
    deadline = time.monotonic() + 5
    while descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.01)

    assert descriptors() <= before


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


async def whole(source: Source) -> bytes:
    return b"".join([await source.read(start, PIECE_SIZE, bytes) for start in range(0, source.info.size, PIECE_SIZE)])


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Wrapped:
    """A file object that is not one of Python's own."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def read(self, size: int = -1, /) -> Any:
        time.sleep(0.001)
        return self.file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class Silent:
    """A file object whose read() blocks until `resumed` is set."""

    def __init__(self) -> None:
        self.resumed = threading.Event()

    def read(self, _: int, /) -> bytes:
        self.resumed.wait(30)
        return b""


def plain(path: Path) -> Any:
    return path.open("rb")


def unbuffered(path: Path) -> Any:
    return path.open("rb", buffering=0)


def in_memory(path: Path) -> Any:
    return io.BytesIO(path.read_bytes())


def wrapped(path: Path) -> Any:
    return Wrapped(path.open("rb"))


def zipped(path: Path) -> Any:
    with gzip.open(f"{path}.gz", "wb", compresslevel=0) as packed:
        packed.write(path.read_bytes())
    return gzip.open(f"{path}.gz")


def spooled(path: Path) -> Any:
    file = tempfile.SpooledTemporaryFile(100)  # noqa: SIM115 - closed by the test
    file.write(path.read_bytes())
    return file


def spooled_in_memory(path: Path) -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - closed by the test
    file.write(path.read_bytes())
    return file


def named(path: Path) -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by the test
    file.write(path.read_bytes())
    return file


SHAREABLE = [plain, unbuffered, in_memory, spooled, spooled_in_memory, named]
OPENERS = [*SHAREABLE, wrapped, zipped]


class TestFileObjects:
    @pytest.mark.parametrize("make", SHAREABLE)
    async def test_concurrent_creates_of_one_file_each_send_it_whole(
        self, emulator: Emulator, client: AsyncRetab, path: Path, make: Callable[[Path], Any]
    ) -> None:
        with_it = make(path)
        with_it.seek(4)

        async def create(pause: float) -> str:
            await asyncio.sleep(pause)
            run = await client.splits.create(document=with_it, subdocuments=[PART], background=True)
            return emulator.document_of(run.id).sha256

        sent = await asyncio.gather(*[create(number * 0.005) for number in range(6)])

        assert set(sent) == {digest(CONTENT)}
        assert with_it.tell() == 4
        with_it.close()

    @pytest.mark.parametrize("make", OPENERS)
    async def test_a_file_object_may_be_closed_once_it_is_opened(self, path: Path, make: Callable[[Path], Any]) -> None:
        file = make(path)
        file.seek(4)
        async with open_document(file) as source:
            file.close()

            assert [await whole(source) for _ in range(2)] == [CONTENT, CONTENT]

    @pytest.mark.parametrize("make", OPENERS)
    async def test_cleanup_of_a_cancelled_create_works_though_the_file_is_closed(
        self, emulator: Emulator, client: AsyncRetab, path: Path, make: Callable[[Path], Any]
    ) -> None:
        emulator.fail(CREATE, Fault.hang_after_effect())

        async def leave() -> None:
            file = make(path)
            file.seek(0)
            try:
                async with client.splits.running(document=file, subdocuments=[PART]):
                    pass
            finally:
                file.close()

        task = asyncio.create_task(leave())
        await until(lambda: bool(emulator.active_runs()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await client.aclose() == ()
        assert emulator.active_runs() == []


class TestPaths:
    @pytest.mark.parametrize("away", [Path.unlink, lambda path: path.with_suffix(".new").replace(path)])
    async def test_a_file_may_be_removed_or_replaced_once_it_is_opened(
        self, path: Path, away: Callable[[Path], Any]
    ) -> None:
        path.with_suffix(".new").write_bytes(b"another one")
        async with open_document(path) as source:
            away(path)

            assert [await whole(source) for _ in range(2)] == [b"skip" + CONTENT] * 2

    async def test_cleanup_of_a_cancelled_create_works_though_the_folder_is_gone(
        self, emulator: Emulator, client: AsyncRetab
    ) -> None:
        emulator.fail(CREATE, Fault.hang_after_effect())

        async def leave() -> None:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "a.bin").write_bytes(CONTENT)
                async with client.splits.running(document=f"{folder}/a.bin", subdocuments=[PART]):
                    pass

        task = asyncio.create_task(leave())
        await until(lambda: bool(emulator.active_runs()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await client.aclose() == ()
        assert emulator.active_runs() == []


class TestSharedDescriptor:
    def test_the_last_reader_closes_a_released_descriptor(self, path: Path) -> None:
        shared = SharedDescriptor()
        shared.set(number := os.open(path, os.O_RDONLY))
        with shared.borrow() as first:
            with shared.borrow() as second:
                shared.release()
                assert first == second == number
            os.fstat(number)

        with pytest.raises(OSError, match="Bad file"):
            os.fstat(number)
        with pytest.raises(ValueError, match="closed"), shared.borrow():
            pass

    def test_a_descriptor_set_after_the_release_is_closed(self, path: Path) -> None:
        shared = SharedDescriptor()
        shared.release()
        shared.set(number := os.open(path, os.O_RDONLY))

        with pytest.raises(OSError, match="Bad file"):
            os.fstat(number)

    async def test_a_read_after_the_document_was_closed_raises(self, path: Path) -> None:
        async with open_document(path) as source:
            pass
        with pytest.raises(InvalidDocumentError, match="cannot be read any more: it is closed"):
            await whole(source)

    async def test_without_pread_the_position_of_the_callers_file_is_kept(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "pread", raising=False)
        with path.open("rb") as file:
            file.seek(4)
            async with open_document(path) as of_path, open_document(file) as of_file:
                assert await whole(of_path) == b"skip" + CONTENT
                file.read(1)
                assert await whole(of_file) == CONTENT
                assert file.tell() == 5


class TestOpening:
    async def test_unflushed_writes_are_sent(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.write(b"SKIP")
            file.seek(0)
            async with open_document(file) as source:
                assert await whole(source) == b"SKIP" + CONTENT

    async def test_a_change_that_restores_size_and_modification_time_raises(self, path: Path) -> None:
        os.utime(path, (1, 1))
        await asyncio.sleep(0.05)
        async with open_document(path) as source:
            path.write_bytes(b"SKIP" + CONTENT)
            os.utime(path, (1, 1))
            with pytest.raises(InvalidDocumentError, match="changed while it was being sent"):
                await whole(source)

    async def test_an_endless_stream_is_not_copied_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Endless:
            def read(self, size: int, /) -> bytes:
                return bytes(size)

        monkeypatch.setattr("retab_async.documents.files._MAX_COPY_BYTES", 4 * 1024 * 1024)
        with pytest.raises(InvalidDocumentError, match="this Endless gives more than 4 MiB: save it to a file"):
            await read(Endless())

    async def test_a_write_by_the_caller_while_the_file_is_sent_raises(self, path: Path) -> None:
        os.utime(path, (1, 1))
        with path.open("r+b") as file:
            async with open_document(file) as source:
                file.write(b"SKIP")
                file.flush()
                with pytest.raises(InvalidDocumentError, match="this BufferedRandom changed while it was being sent"):
                    await whole(source)

    async def test_a_bytes_io_may_be_written_to_once_it_is_opened(self) -> None:
        file = io.BytesIO(CONTENT)
        async with open_document(file) as source:
            file.write(b"other")
            file.truncate(5)

            assert await whole(source) == CONTENT

    @pytest.mark.parametrize("mode", ["wb", "ab"])
    async def test_a_write_only_file_is_rejected(self, path: Path, mode: Any) -> None:
        for buffering in (0, -1):
            with (
                path.open(mode, buffering) as file,
                pytest.raises(InvalidDocumentError, match="cannot be read: UnsupportedOperation"),
            ):
                await read(file)

    async def test_a_file_at_its_end_is_rejected_with_advice(self, path: Path) -> None:
        with path.open("rb") as file:
            file.read()
            with pytest.raises(InvalidDocumentError, match=r"seek\(0\)"):
                await read(file)

    async def test_a_device_without_an_end_is_rejected(self) -> None:
        with (
            plain(Path("/dev/zero")) as file,
            pytest.raises(InvalidDocumentError, match="this BufferedReader is a device, not a file"),
        ):
            await read(file)

    async def test_a_copy_that_cannot_be_written_is_reported_as_such(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any, **__: Any) -> Any:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("retab_async.documents.files.TemporaryFile", full)
        with pytest.raises(InvalidDocumentError, match="this Wrapped cannot be copied to a temporary file: No space"):
            await read(Wrapped(io.BytesIO(CONTENT)))

    async def test_a_file_whose_seek_fails_is_sent_all_the_same(self) -> None:
        class Forward(io.BytesIO):
            def seek(self, *_: Any) -> int:
                raise OSError(29, "Illegal seek")

        async with open_document(Forward(CONTENT)) as source:
            assert await whole(source) == CONTENT


async def read(document: Any) -> bytes:
    async with open_document(document) as source:
        return await whole(source)


@contextmanager
def piped(buffering: int = -1) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering) as pipe, open(writing, "wb", 0) as end:  # noqa: PTH123 - descriptors
        yield pipe, end


def reading_threads() -> int:
    return sum(thread.name == "retab_async documents" for thread in threading.enumerate())


@asynccontextmanager
async def crowded_pool() -> AsyncIterator[None]:
    """Occupy all threads of the loop's default executor."""
    release = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        executor.submit(release.wait)
        try:
            yield
        finally:
            release.set()


class TestSilence:
    async def test_silent_documents_block_neither_other_calls_nor_their_own_cancellation(
        self, emulator: Emulator, path: Path
    ) -> None:
        silent = [Silent() for _ in range(40)]
        url = emulator.url.replace("127.0.0.1", "localhost")
        async with client_for(url) as client:
            tasks = [asyncio.create_task(client.splits.create(document=each, subdocuments=[PART])) for each in silent]
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            _, pending = await asyncio.wait(tasks, timeout=2)
            assert not pending

            async with asyncio.timeout(5):
                run = await client.splits.create(document=path, subdocuments=[PART], background=True)
                await client.splits.cancel(run.id)
        for each in silent:
            each.resumed.set()
        await until(lambda: not reading_threads())

    async def test_documents_need_no_thread_of_the_default_executor(self, path: Path) -> None:
        async with crowded_pool(), asyncio.timeout(5):
            assert await read(path) == b"skip" + CONTENT
            assert await read(Wrapped(io.BytesIO(CONTENT))) == CONTENT
            assert await read("data:,abc") == b"abc"
            with path.open("rb") as file:
                assert await read(file) == b"skip" + CONTENT

    @pytest.mark.parametrize("buffering", [0, -1])
    @pytest.mark.parametrize("closes", [True, False])
    async def test_a_silent_pipe_of_a_cancelled_create_can_be_closed_and_keeps_no_thread(
        self, buffering: int, *, closes: bool
    ) -> None:
        with piped(buffering) as (pipe, end):
            end.write(bytes(PIECE_SIZE // 8))
            task = asyncio.create_task(read(pipe))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            if closes:
                # A thread that is blocked in read() would block this for ever.
                pipe.close()
            await until(lambda: not reading_threads())

    async def test_a_slow_pipe_is_read_to_its_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retab_async.documents.files._POLL_INTERVAL", 1)
        with piped() as (pipe, end):
            task = asyncio.create_task(read(pipe))
            for piece in (b"te", b"xt"):
                await asyncio.sleep(0.03)
                end.write(piece)
            end.close()

            assert await task == b"text"

    async def test_buffered_bytes_of_a_pipe_are_sent_too(self) -> None:
        with piped() as (pipe, end):
            end.write(b"skip, kept, ")
            assert pipe.read(6) == b"skip, "
            end.write(b"and more")
            end.close()

            assert await read(pipe) == b"kept, and more"

    async def test_without_poll_a_pipe_is_read_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(select, "poll", raising=False)
        with piped() as (pipe, end):
            end.write(b"text")
            end.close()

            assert await read(pipe) == b"text"

    async def test_a_socket_is_read_to_its_end(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, ours.makefile("rb") as file:
            theirs.sendall(b"text")
            theirs.shutdown(socket.SHUT_WR)

            assert await read(file) == b"text"

    @pytest.mark.parametrize("document", ["sys.stdin.buffer", "Silent()", "os.fdopen(os.pipe()[0], 'rb')"])
    def test_a_program_exits_though_a_document_is_silent(self, document: str) -> None:
        script = f"""
            import asyncio, os, sys, threading
            from retab_async.documents.open import open_document

            class Silent:
                def read(self, size):
                    threading.Event().wait()

            async def main():
                try:
                    async with asyncio.timeout(0.2), open_document({document}):
                        pass
                except TimeoutError:
                    print("timed out")

            asyncio.run(main())
        """
        command = [sys.executable, "-c", textwrap.dedent(script)]
        with subprocess.Popen(  # noqa: S603 - our own script
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.wait(20) == 0
            assert process.stdout is not None
            assert process.stdout.read() == b"timed out\n"


@pytest.fixture
def one_file_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read all files in one thread."""
    pool = DaemonThreadPool(1)
    for module in ("open", "sources"):
        monkeypatch.setattr(f"retab_async.documents.{module}.FILE_POOL", pool)


@pytest.fixture
def dead_mount(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a system call after making it block for files called dead.bin."""
    released = threading.Event()
    os_open, pread = os.open, os.pread

    def blocking_open(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith("dead-open.bin"):
            released.wait(20)
        return os_open(path, *args, **kwargs)

    def blocking_pread(number: int, count: int, start: int) -> bytes:
        if Path(f"/proc/self/fd/{number}").readlink().name == "dead-read.bin" and count > 100_000:
            released.wait(20)
        return pread(number, count, start)

    monkeypatch.setattr(os, "open", blocking_open)
    monkeypatch.setattr(os, "pread", blocking_pread)
    yield "dead"
    released.set()


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors have no names elsewhere")
@pytest.mark.usefixtures("one_file_thread", "dead_mount")
class TestDeadFileSystem:
    async def test_a_path_that_cannot_be_opened_fails_by_the_deadline_and_blocks_no_other(
        self, emulator: Emulator, path: Path
    ) -> None:
        dead = path.with_name("dead-open.bin")
        async with client_for(emulator.url, retry=RetryPolicy(attempts=1, deadline=0.2)) as client:
            with pytest.raises(InvalidDocumentError, match=r"dead-open.* did not answer within 0\.2 s"):
                await client.splits.create(document=dead, subdocuments=[PART])

        assert await asyncio.wait_for(read(path), 5) == b"skip" + CONTENT

    async def test_a_file_that_cannot_be_read_fails_by_the_timeout_and_blocks_no_other(
        self, emulator: Emulator, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A large body extends the timeout.
        monkeypatch.setattr("retab_async.documents.upload._MIN_BYTES_PER_SECOND", 16 * 1024 * 1024)
        dead = path.with_name("dead-read.bin")
        dead.write_bytes(CONTENT)
        async with client_for(emulator.url, timeout=0.2, retry=RetryPolicy(attempts=1)) as client:
            with pytest.raises(APITimeoutError):
                await client.splits.create(document=dead, subdocuments=[PART], background=True)

        assert await asyncio.wait_for(read(path), 5) == b"skip" + CONTENT


class TestDebugLog:
    async def test_asyncio_in_debug_mode_logs_no_bytes_of_a_document(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        path.write_bytes(b"SECRETSECRET" * PIECE_SIZE)
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0
        try:
            async with Emulator(queued=600, api_key=KEY) as emulator, client_for(emulator.url) as client:
                for document in (path, path.read_bytes()[:PIECE_SIZE], io.BytesIO(path.read_bytes())):
                    await client.splits.create(document=document, subdocuments=[PART], background=True)
            url = "data:text/plain,SECRETSECRET"
            assert await read(url) == b"SECRETSECRET"
        finally:
            loop.set_debug(False)

        assert "Executing" in caplog.text
        assert "SECRET" not in caplog.text
        assert base64.b64encode(b"SECRETSECRET").decode()[:8] not in caplog.text


class TestDaemonThreadPool:
    @pytest.mark.parametrize("error", [KeyError("a"), StopIteration("a"), asyncio.CancelledError("a"), SystemExit("a")])
    async def test_any_exception_is_raised_in_the_caller(self, error: BaseException) -> None:
        def fail() -> None:
            raise error

        caught = None
        try:
            await FILE_POOL.call(fail)
        except BaseException as raised:  # noqa: BLE001 - all of them are under test
            caught = raised

        assert caught is error or (isinstance(error, StopIteration) and caught and caught.__cause__ is error)

    async def test_threads_are_bounded_and_exit_when_the_queue_is_empty(self) -> None:
        pool = DaemonThreadPool(3)
        at_work, most = 0, 0
        lock = threading.Lock()

        def work(number: int) -> int:
            nonlocal at_work, most
            with lock:
                at_work += 1
                most = max(most, at_work)
            time.sleep(0.01)
            with lock:
                at_work -= 1
            return number

        assert await asyncio.gather(*[pool.call(work, number) for number in range(20)]) == list(range(20))
        assert 1 < most <= 3
        await until(lambda: pool._size == 0)

    async def test_a_call_cancelled_while_queued_is_not_started(self) -> None:
        pool = DaemonThreadPool(1)
        resumed = threading.Event()
        started: list[int] = []
        tasks = [asyncio.create_task(pool.call(resumed.wait)), asyncio.create_task(pool.call(started.append, 1))]
        await asyncio.sleep(0.02)
        for task in reversed(tasks):
            task.cancel()
        await asyncio.wait(tasks)
        resumed.set()
        await until(lambda: pool._size == 0)

        assert not started

    async def test_a_thread_stuck_in_a_cancelled_call_is_replaced(self) -> None:
        pool = DaemonThreadPool(1)
        resumed, started = threading.Event(), threading.Event()

        def block() -> None:
            started.set()
            resumed.wait(10)

        stuck = asyncio.create_task(pool.call(block))
        await until(started.is_set)
        queued = asyncio.create_task(pool.call(str, 1))
        await asyncio.sleep(0)
        stuck.cancel()

        assert await asyncio.wait_for(queued, 5) == "1"
        resumed.set()
        await until(lambda: not reading_threads())
        assert pool._size == 0

    async def test_a_call_cancelled_after_its_end_is_cancelled(self) -> None:
        done = threading.Event()
        task = asyncio.create_task(DaemonThreadPool(1).call(done.set))
        await asyncio.sleep(0)
        # The loop is blocked, so that the signal of the thread comes after the cancellation.
        done.wait(5)
        time.sleep(0.05)  # noqa: ASYNC251
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def test_a_call_may_outlive_its_loop(self) -> None:
        pool = DaemonThreadPool(1)
        resumed = threading.Event()

        async def leave() -> None:
            async with asyncio.timeout(0.01):
                await pool.call(resumed.wait)

        with pytest.raises(TimeoutError):
            asyncio.run(leave())
        resumed.set()
        deadline = time.monotonic() + 5
        while pool._size and time.monotonic() < deadline:
            time.sleep(0.001)

        assert pool._size == 0

    async def test_a_thread_that_cannot_be_started_raises_and_does_not_count(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Refused(Thread):
            def start(self) -> None:
                msg = "can't start new thread"
                raise RuntimeError(msg)

        pool = DaemonThreadPool(1)
        started: list[int] = []
        with monkeypatch.context() as without:
            without.setattr(thread_pool, "Thread", Refused)
            with pytest.raises(RuntimeError, match="can't start"):
                await pool.call(started.append, 1)

        await pool.call(started.append, 2)
        assert started == [2]
