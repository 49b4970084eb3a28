"""What a create holds of its documents: shared, closed, removed or silent ones, and the threads that read them."""

import asyncio
import gzip
import hashlib
import io
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
from threading import Semaphore, Thread
from typing import IO, Any

import pytest
from clients import client_for
from payloads import KEY
from raw_server import until

from retab_async import AsyncRetab, Subdocument
from retab_async.documents import sources, thread_pool
from retab_async.documents.open import open_document
from retab_async.documents.sources import PIECE, SharedDescriptor, Source
from retab_async.documents.thread_pool import FILE_POOL, DaemonThreadPool
from retab_async.emulator import Emulator, Fault
from retab_async.errors import InvalidDocumentError

PART = Subdocument("invoice")
CREATE = "POST /v1/splits"
CONTENT = bytes(range(256)) * (3 * PIECE // 256) + b"end"


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
def nothing_is_left_open() -> Iterator[None]:
    before, room = descriptors(), sources._ROOM._value
    yield
    deadline = time.monotonic() + 5
    while descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.01)

    assert descriptors() <= before
    assert sources._ROOM._value == room


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


async def whole(source: Source) -> bytes:
    return b"".join([await source.read(start, PIECE, bytes) for start in range(0, source.label.size, PIECE)])


def remove(path: Path) -> None:
    path.unlink()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Wrapped:
    """A file object that is none of Python's own, and goes back as far as the one in it does."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def read(self, size: int = -1, /) -> Any:
        time.sleep(0.001)
        return self.file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class Silent:
    """Something whose `read` does not come back before it is told to."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def read(self, _: int, /) -> bytes:
        self.goes_on.wait(30)
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


OPENERS = [plain, unbuffered, in_memory, wrapped, zipped, spooled, spooled_in_memory, named]


@pytest.mark.parametrize("make", OPENERS)
class TestFileObjects:
    async def test_one_that_several_creates_share_is_sent_whole_by_each(
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

    async def test_one_that_is_closed_meanwhile_is_there_still(self, path: Path, make: Callable[[Path], Any]) -> None:
        file = make(path)
        file.seek(4)
        async with open_document(file) as source:
            file.close()

            assert [await whole(source) for _ in range(2)] == [CONTENT, CONTENT]

    async def test_the_run_of_a_create_that_was_left_is_cancelled_though_the_file_is_closed(
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
    async def test_a_file_that_is_removed_or_replaced_meanwhile_is_there_still(
        self, path: Path, away: Callable[[Path], Any]
    ) -> None:
        path.with_suffix(".new").write_bytes(b"another one")
        async with open_document(path) as source:
            away(path)

            assert [await whole(source) for _ in range(2)] == [b"skip" + CONTENT] * 2

    async def test_the_run_of_a_create_that_was_left_is_cancelled_though_the_folder_is_gone(
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


class TestDescriptors:
    """No more of them are kept than the connections leave room for."""

    async def test_without_room_each_read_has_its_own(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sources, "_ROOM", Semaphore(0))
        before = descriptors()
        with path.open("rb") as file:
            file.seek(4)
            async with open_document(path) as of_path, open_document(file) as of_file:
                assert descriptors() == before + (sys.platform == "linux")
                assert await whole(of_path) == b"skip" + CONTENT
                assert await whole(of_file) == CONTENT
                remove(path)
                file.close()
                with pytest.raises(InvalidDocumentError, match="cannot be read any more: No such file"):
                    await whole(of_path)
                with pytest.raises(
                    InvalidDocumentError, match="BufferedReader cannot be read any more: I/O operation on closed file"
                ):
                    await whole(of_file)
        monkeypatch.undo()

    async def test_room_that_comes_free_is_used(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sources, "_ROOM", Semaphore(0))
        async with open_document(path) as source:
            monkeypatch.setattr(sources, "_ROOM", Semaphore(1))
            await source.read(0, PIECE, bytes)
            remove(path)

            assert await whole(source) == b"skip" + CONTENT
            assert sources._ROOM._value == 0
        assert sources._ROOM._value == 1
        monkeypatch.undo()

    def test_one_is_closed_by_the_last_thread_that_reads_from_it(self, path: Path) -> None:
        held = SharedDescriptor()
        with held.descriptor(lambda: os.open(path, os.O_RDONLY)) as first:
            with held.descriptor(lambda: -1) as second:
                held.leave()
                assert first == second
            os.fstat(first)
            # Nor is another one kept.
            with held.descriptor(lambda: -1):
                pass
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(first)
        with held.descriptor(lambda: os.open(path, os.O_RDONLY)) as late:
            os.fstat(late)
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(late)

    def test_one_that_comes_when_all_is_over_is_closed(self, path: Path) -> None:
        held = SharedDescriptor()
        held.leave()
        held.keep(number := os.open(path, os.O_RDONLY))

        with pytest.raises(OSError, match="Bad file"):
            os.fstat(number)

    async def test_without_pread_nobody_moves_about_in_the_callers_file(
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


class TestTakingOver:
    async def test_what_was_written_and_not_flushed_is_sent(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.write(b"SKIP")
            file.seek(0)
            async with open_document(file) as source:
                assert await whole(source) == b"SKIP" + CONTENT

    async def test_a_file_that_its_owner_writes_to_has_changed(self, path: Path) -> None:
        os.utime(path, (1, 1))
        with path.open("r+b") as file:
            async with open_document(file) as source:
                file.write(b"SKIP")
                file.flush()
                with pytest.raises(InvalidDocumentError, match="this BufferedRandom changed while it was being sent"):
                    await whole(source)

    async def test_a_bytes_io_is_free_to_be_written_to(self) -> None:
        file = io.BytesIO(CONTENT)
        async with open_document(file) as source:
            file.write(b"other")
            file.truncate(5)

            assert await whole(source) == CONTENT

    @pytest.mark.parametrize("mode", ["wb", "ab"])
    async def test_a_file_that_is_for_writing_alone_is_refused(self, path: Path, mode: Any) -> None:
        for buffering in (0, -1):
            with (
                path.open(mode, buffering) as file,
                pytest.raises(InvalidDocumentError, match="cannot be read: UnsupportedOperation"),
            ):
                await read(file)

    async def test_a_file_at_its_end_is_refused_with_advice(self, path: Path) -> None:
        with path.open("rb") as file:
            file.read()
            with pytest.raises(InvalidDocumentError, match=r"seek\(0\)"):
                await read(file)

    async def test_a_device_without_an_end_is_refused(self) -> None:
        with (
            plain(Path("/dev/zero")) as file,
            pytest.raises(InvalidDocumentError, match="this BufferedReader is a device, not a file"),
        ):
            await read(file)

    async def test_a_copy_that_cannot_be_written_is_told_as_such(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> Any:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("retab_async.documents.files.TemporaryFile", full)
        with pytest.raises(InvalidDocumentError, match="this Wrapped cannot be copied to a temporary file: No space"):
            await read(Wrapped(io.BytesIO(CONTENT)))

    async def test_one_that_cannot_go_back_after_all_is_sent_all_the_same(self) -> None:
        class Forward(io.BytesIO):
            def seek(self, *_: Any) -> int:
                raise OSError(29, "Illegal seek")

        async with open_document(Forward(CONTENT)) as source:
            assert await whole(source) == CONTENT

    async def test_a_pipe_that_two_want_goes_to_one_of_them(self) -> None:
        with piped() as (pipe, end):
            Thread(target=lambda: (end.write(CONTENT), end.close())).start()
            results = await asyncio.gather(*[read(pipe) for _ in range(2)], return_exceptions=True)

        assert sorted(str(result) for result in results if not isinstance(result, bytes)) == [
            "this BufferedReader has nothing to read: it is empty, or at its end already (seek(0) goes back)"
        ]
        assert CONTENT in results


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
    """The loop's own threads are all in use."""
    release = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        pool.submit(release.wait)
        try:
            yield
        finally:
            release.set()


class TestSilence:
    async def test_what_gives_nothing_holds_nobody_up(self, emulator: Emulator, path: Path) -> None:
        """Not the loop's own threads, which look up names and open other files; and not its own cancellation."""
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
            each.goes_on.set()
        await until(lambda: not reading_threads())

    async def test_a_document_needs_none_of_the_loops_own_threads(self, path: Path) -> None:
        async with crowded_pool(), asyncio.timeout(5):
            assert await read(path) == b"skip" + CONTENT
            assert await read(Wrapped(io.BytesIO(CONTENT))) == CONTENT
            assert await read("data:,abc") == b"abc"
            with path.open("rb") as file:
                assert await read(file) == b"skip" + CONTENT

    @pytest.mark.parametrize("buffering", [0, -1])
    @pytest.mark.parametrize("closes", [True, False])
    async def test_a_silent_pipe_that_is_left_can_be_closed_and_keeps_no_thread(
        self, buffering: int, *, closes: bool
    ) -> None:
        with piped(buffering) as (pipe, end):
            end.write(bytes(PIECE // 8))
            task = asyncio.create_task(read(pipe))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            if closes:
                # A thread that is reading in there would hold this up for ever.
                pipe.close()
            await until(lambda: not reading_threads())

    async def test_a_pipe_may_take_its_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retab_async.documents.files._TICK", 1)
        with piped() as (pipe, end):
            task = asyncio.create_task(read(pipe))
            for piece in (b"to", b"ld"):
                await asyncio.sleep(0.03)
                end.write(piece)
            end.close()

            assert await task == b"told"

    async def test_what_a_pipe_has_in_its_buffer_is_sent_too(self) -> None:
        with piped() as (pipe, end):
            end.write(b"skip, kept, ")
            assert pipe.read(6) == b"skip, "
            end.write(b"and more")
            end.close()

            assert await read(pipe) == b"kept, and more"

    async def test_where_nobody_can_ask_a_pipe_it_is_read_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(select, "poll", raising=False)
        with piped() as (pipe, end):
            end.write(b"told")
            end.close()

            assert await read(pipe) == b"told"

    async def test_a_socket_is_read_to_its_end(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, ours.makefile("rb") as file:
            theirs.sendall(b"told")
            theirs.shutdown(socket.SHUT_WR)

            assert await read(file) == b"told"

    @pytest.mark.parametrize("document", ["sys.stdin.buffer", "Silent()", "os.fdopen(os.pipe()[0], 'rb')"])
    def test_a_program_ends_though_something_is_silent(self, document: str) -> None:
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


class TestCrews:
    @pytest.mark.parametrize("error", [KeyError("a"), StopIteration("a"), asyncio.CancelledError("a"), SystemExit("a")])
    async def test_whatever_is_raised_is_raised_here(self, error: BaseException) -> None:
        def fail() -> None:
            raise error

        caught = None
        try:
            await FILE_POOL.call(fail)
        except BaseException as raised:  # noqa: BLE001 - this is about all of them
            caught = raised

        assert caught is error or (isinstance(error, StopIteration) and caught and caught.__cause__ is error)

    async def test_so_many_at_the_most_are_at_work_and_none_when_nothing_is_left(self) -> None:
        crew = DaemonThreadPool(3)
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

        assert await asyncio.gather(*[crew.call(work, number) for number in range(20)]) == list(range(20))
        assert 1 < most <= 3
        await until(lambda: crew._size == 0)

    async def test_what_was_given_up_before_its_turn_is_not_begun(self) -> None:
        crew = DaemonThreadPool(1)
        goes_on = threading.Event()
        begun: list[int] = []
        tasks = [asyncio.create_task(crew.call(goes_on.wait)), asyncio.create_task(crew.call(begun.append, 1))]
        await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        goes_on.set()
        await until(lambda: crew._size == 0)

        assert not begun

    def test_a_call_may_outlive_its_loop(self) -> None:
        crew = DaemonThreadPool(1)
        goes_on = threading.Event()

        async def leave() -> None:
            async with asyncio.timeout(0.01):
                await crew.call(goes_on.wait)

        with pytest.raises(TimeoutError):
            asyncio.run(leave())
        goes_on.set()
        deadline = time.monotonic() + 5
        while crew._size and time.monotonic() < deadline:
            time.sleep(0.001)

        assert crew._size == 0

    async def test_a_thread_that_cannot_be_started_is_an_error_and_takes_no_place(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Refused(Thread):
            def start(self) -> None:
                msg = "can't start new thread"
                raise RuntimeError(msg)

        crew = DaemonThreadPool(1)
        begun: list[int] = []
        with monkeypatch.context() as without:
            without.setattr(thread_pool, "Thread", Refused)
            with pytest.raises(RuntimeError, match="can't start"):
                await crew.call(begun.append, 1)

        await crew.call(begun.append, 2)
        assert begun == [2]
