"""Every public coroutine, cancelled at each of its suspension points, leaves client and API clean."""

import asyncio
import io
import json
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from clients import ONCE, QUICK, client_for, workers
from fault_harness import LeakCheck, tasks
from payloads import BARE_SPLIT, SPLIT_ID
from raw_server import Step, Wire, close_early, each_run, message, raw_server, reply, reset, say_and_close, until

from retab_async import AsyncRetab, CancelJob, RateLimit, RetabError, RetryPolicy, Split, Subdocument
from retab_async.emulator import Emulator, Fault
from retab_async.journal import Journal, JournalHeader
from retab_async.journal.entry import decode_line
from retab_async.testing import cancel_everywhere

# Blocks, creates and closing are made of the calls that are cancelled on both paths.
both_paths = pytest.mark.usefixtures("connection_path")

PDF = b"%PDF-1.7\n"
PART = Subdocument("invoice")
CANCEL = "POST /v1/splits/{id}/cancel"
ok = reply(BARE_SPLIT)
unavailable = reply(b"", 503)
cut = say_and_close(message(b"{", headers={"Content-Length": "500"}))


def in_pieces(*pieces: bytes) -> Step:
    """Send these bytes one piece at a time, so that the client is suspended inside the response."""

    async def step(wire: Wire) -> None:
        for piece in pieces:
            wire.writer.write(piece)
            await wire.writer.drain()
            await asyncio.sleep(0.001)

    return step


def of_run(make: Callable[[bytes], Step]) -> Step:
    """Make a step of the JSON of the run that was asked for."""

    async def step(wire: Wire) -> None:
        run_id = wire.request.target.partition("?")[0].removesuffix("/cancel").rpartition("/")[2]
        await make(json.dumps({**BARE_SPLIT, "id": run_id}).encode())(wire)

    return step


def body_in_pieces(body: bytes) -> Step:
    half = len(body) // 2
    return in_pieces(message(b"", headers={"Content-Length": str(len(body))}), body[:half], body[half:])


def headers_in_pieces(body: bytes) -> Step:
    response = message(body)
    return in_pieces(*(response[at : at + 20] for at in range(0, len(response), 20)))


def chunks_in_pieces(body: bytes) -> Step:
    return in_pieces(message(b"", headers=CHUNKED), *(b"%x\r\n%s\r\n" % (len(each), each) for each in (body, b"")))


CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked"}
alone = of_run(lambda body: say_and_close(message(body, headers={"Connection": "close"})))
split_body, split_headers, split_chunks = map(of_run, (body_in_pieces, headers_in_pieces, chunks_in_pieces))
split_error = in_pieces(message(b"", 503, {"Content-Length": "12"}), b"<html>", b"</html")


# Calls, with what the network does to them

CALLS = ("cancel", "get", "delete")
# The responses to the requests for one run, the retry policy, and the calls to test with them.
RESPONSES: dict[str, tuple[tuple[Step, ...], RetryPolicy, tuple[str, ...]]] = {
    "response": ((ok,), ONCE, CALLS),
    "response that closes the connection": ((alone,), ONCE, CALLS),
    "headers in pieces": ((split_headers,), ONCE, ("get",)),
    "body in pieces": ((split_body,), ONCE, ("cancel", "get")),
    "chunks in pieces": ((split_chunks,), ONCE, ("get",)),
    "503 in pieces, then response": ((split_error, ok), QUICK, ("cancel",)),
    "503, then response": ((unavailable, ok), QUICK, CALLS),
    "reset, then response": ((reset, ok), QUICK, CALLS),
    "truncated body, then response": ((cut, ok), QUICK, CALLS),
    "stale connection, then response": ((close_early, ok), ONCE, CALLS),
    "empty body, then get": ((reply(b""), ok), ONCE, ("cancel",)),
}


@both_paths
@pytest.mark.parametrize(
    ("method", "name"), [(method, name) for name, (_, _, methods) in RESPONSES.items() for method in methods]
)
async def test_a_call_cancelled_at_any_point_leaves_nothing_behind(method: str, name: str) -> None:
    steps, retry, _ = RESPONSES[name]
    run_numbers = count()
    async with raw_server(each_run(*steps)) as server, client_for(server.url, retry=retry) as client:

        async def keep_one_alive() -> None:
            with suppress(RetabError):
                await client.splits.cancel(SPLIT_ID)
            await client.splits.cancel(SPLIT_ID)

        await keep_one_alive()
        leaks = LeakCheck(client)

        async def check() -> None:
            await leaks.check()
            await keep_one_alive()

        def call() -> Awaitable[object]:
            return getattr(client.splits, method)(f"splt_{next(run_numbers)}")  # type: ignore[no-any-return]

        assert await cancel_everywhere(call, check=check) > 0


@both_paths
async def test_a_call_cancelled_while_it_waits_for_a_connection_leaves_nothing_behind() -> None:
    async with raw_server(ok) as server, client_for(server.url, max_connections=1) as client:
        leaks, slots = LeakCheck(client), client._pool.slots

        async def call() -> None:
            assert slots.try_acquire()
            asyncio.get_running_loop().call_later(0.001, slots.release)
            await client.splits.cancel("splt_1")

        async def check() -> None:
            await asyncio.sleep(0.002)
            await leaks.check()

        assert await cancel_everywhere(call, check=check) > 1


# Runs, on the emulator


class Scene:
    """Client, emulator, and a clock that makes runs terminal as soon as they were polled."""

    def __init__(self, tmp_path: Path) -> None:
        self.now = 1000.0
        self.path = tmp_path / "a.pdf"
        self.path.write_bytes(PDF * 1000)
        self.journal = tmp_path / "cancel.jsonl"
        self.is_streamed = False
        self.throttled: AsyncRetab | None = None
        self.taken = 0
        self.emulator = Emulator(queued=60, running=60, clock=lambda: self.now)
        self.client: AsyncRetab = client_for("http://127.0.0.1:9")

    def seed(self, number: int = 1) -> list[str]:
        return self.emulator.seed("splits", number)

    def seen(self, _: Split) -> None:
        self.now += 200

    def walk(self) -> Awaitable[object]:
        async def step_by_step() -> None:
            async for _ in self.client.splits.list(limit=2):
                pass

        return step_by_step()

    def wait(self) -> Awaitable[object]:
        return self.client.splits.wait(*self.seed(), poll_interval=0.005, on_status=self.seen)

    def wait_many(self) -> Awaitable[object]:
        async def step_by_step() -> None:
            waits = self.client.splits.wait_many(self.seed(12), poll_interval=0.005, on_status=self.seen)
            async for _ in waits:
                pass

        return step_by_step()

    def seed_many(self, number: int = 5) -> list[str]:
        """Create active runs, the only ones: those of earlier runs of the test are terminal."""
        self.now += 200
        return self.seed(number)

    def yielded_ids(self) -> Iterator[str]:
        """Yield the ids of such runs, and count those that were taken."""
        self.taken = 0
        for run_id in self.seed_many():
            self.taken += 1
            yield run_id

    def cancel_many(self, **options: Any) -> Awaitable[object]:
        return self.consume(self.client.splits.cancel_many(self.yielded_ids(), concurrency=2, **options))

    def cancel_many_of_several_kinds(self) -> Awaitable[object]:
        runs = [("splits", run_id) for run_id in self.seed_many()]
        return self.consume(self.client.cancel_many(runs, concurrency=2, order="input"))

    def cancel_many_with_a_journal(self) -> Awaitable[object]:
        return self.cancel_many(journal=self.journal)

    def cancel_many_that_fails(self) -> Awaitable[object]:
        # With a new throttle, which no earlier 429 has slowed down.
        self.throttled = self.client.with_options(bearer_token=self.emulator.api_key)
        self.emulator._faults._pending.clear()
        self.emulator.fail(CANCEL, Fault.status(500), Fault.status(503, retry_after=0.01))
        limit = RateLimit(2, per=0.002)
        return self.consume(self.throttled.splits.cancel_many(self.yielded_ids(), concurrency=2, rate_limit=limit))

    def cancel_matching(self, **options: Any) -> Awaitable[object]:
        self.seed_many()
        return self.consume(self.client.splits.cancel_matching(concurrency=2, **options))

    def cancel_matching_with_a_journal(self) -> Awaitable[object]:
        return self.cancel_matching(journal=self.journal)

    async def consume(self, job: CancelJob[Any]) -> None:
        if self.is_streamed:
            async with job as outcomes:
                async for outcome in outcomes:
                    assert outcome.disposition in {"cancelled", "finished"}
        else:
            await job

    def create(self, document: Callable[["Scene"], Any]) -> Awaitable[object]:
        return self.client.splits.create(document=document(self), subdocuments=[PART], background=True)

    def stream(self) -> Awaitable[object]:
        async def step_by_step() -> None:
            schema = {"type": "object", "properties": {"total": {"type": "number"}}}
            async with self.client.extractions.stream(document=PDF, json_schema=schema) as states:
                async for _ in states:
                    pass

        return step_by_step()

    def upload(self) -> Awaitable[object]:
        return self.client.files.upload(self.path)

    def run(self, document: Callable[["Scene"], Any]) -> Awaitable[object]:
        async def block() -> None:
            async with self.client.splits.running(document=document(self), subdocuments=[PART]) as run:
                await asyncio.sleep(0)
                await run.result(poll_interval=0.005, on_status=self.seen)

        return block()

    def leave(self) -> Awaitable[object]:
        async def block() -> None:
            async with self.client.splits.running(document=PDF, subdocuments=[PART]) as run:
                await run.get()

        return block()

    def attach(self) -> Awaitable[object]:
        async def block() -> None:
            async with self.client.splits.attach(*self.seed()) as run:
                await run.get()

        return block()

    def cancel_in_a_block(self) -> Awaitable[object]:
        async def block() -> None:
            async with self.client.splits.attach(*self.seed()) as run:
                await run.cancel()

        return block()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    await made.client.aclose()
    async with made.emulator as emulator, client_for(emulator.url, api_key=emulator.api_key) as made.client:
        yield made


def in_memory(_: Scene) -> bytes:
    return PDF


def in_a_file(scene: Scene) -> Path:
    return scene.path


def in_a_file_object(_: Scene) -> io.BytesIO:
    return io.BytesIO(PDF * 1000)


def in_a_pipe(_: Scene) -> Any:
    class Pipe(io.RawIOBase):
        pieces = [PDF, PDF]  # noqa: RUF012 - read once

        def readable(self) -> bool:
            return True

        def read(self, _: int = -1, /) -> bytes:
            return self.pieces.pop() if self.pieces else b""

    return Pipe()


DOCUMENTS = (in_memory, in_a_file, in_a_file_object, in_a_pipe)

# Blocks that own a run, which is not active afterwards.
OWNING: dict[str, Callable[[Scene], Awaitable[object]]] = {
    **{f"running, {document.__name__}": partial(Scene.run, document=document) for document in DOCUMENTS},
    "running, left before its end": Scene.leave,
    "attach": Scene.attach,
    "cancel in a block": Scene.cancel_in_a_block,
}
# Calls that own no run.
PLAIN: dict[str, Callable[[Scene], Awaitable[object]]] = {
    "list": Scene.walk,
    "wait": Scene.wait,
    "wait_many": Scene.wait_many,
    "stream": Scene.stream,
    "upload": Scene.upload,
    **{f"create, {document.__name__}": partial(Scene.create, document=document) for document in DOCUMENTS},
}
# Bulk cancels, each both awaited and streamed.
BULK: dict[str, Callable[[Scene], Awaitable[object]]] = {
    "cancel_many": Scene.cancel_many,
    "cancel_many, several kinds": Scene.cancel_many_of_several_kinds,
    "cancel_many, with a journal": Scene.cancel_many_with_a_journal,
    "cancel_many, with failures": Scene.cancel_many_that_fails,
    "cancel_matching": Scene.cancel_matching,
    "cancel_matching, with a journal": Scene.cancel_matching_with_a_journal,
}


@both_paths
@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
async def test_a_call_on_runs_cancelled_at_any_point_leaves_nothing_behind(
    make: Callable[[Scene], Awaitable[object]], scene: Scene
) -> None:
    scene.seed(5)
    leaks = LeakCheck(scene.client)

    assert await cancel_everywhere(lambda: make(scene), check=leaks.check) > 0


@pytest.mark.parametrize("make", OWNING.values(), ids=OWNING)
@pytest.mark.parametrize("largest", [10_000_000, 100], ids=["in one", "uploaded"])
async def test_a_block_cancelled_at_any_point_leaves_no_run_active(
    make: Callable[[Scene], Awaitable[object]], largest: int, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.documents.create_body._MAX_BODY_BYTES", largest)
    leaks = LeakCheck(scene.client)

    async def check() -> None:
        await leaks.check()
        assert scene.emulator.active_runs() == []

    assert await cancel_everywhere(lambda: make(scene), check=check) > 0
    assert await scene.client.aclose() == ()


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_create_cancelled_during_its_upload_leaves_nothing_behind(
    document: Callable[[Scene], Any], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.documents.create_body._MAX_BODY_BYTES", 100)
    leaks = LeakCheck(scene.client)

    assert await cancel_everywhere(lambda: scene.create(document), check=leaks.check) > 3


async def test_a_batched_wait_can_be_cancelled_at_any_point_and_the_others_go_on(scene: Scene) -> None:
    leaks = LeakCheck(scene.client)
    others = [asyncio.ensure_future(scene.client.splits.wait(each, poll_interval=0.01)) for each in scene.seed(9)]
    await asyncio.sleep(0.02)
    before = tasks()
    (finished,) = scene.emulator.seed("splits", queued=0, running=0)

    async def check() -> None:
        # The others go on, and one of them may be polling now.
        assert not [other for other in others if other.done()]
        await until(lambda: tasks() <= before)

    def wait() -> Awaitable[object]:
        return scene.client.splits.wait(finished, poll_interval=0.01)

    assert await cancel_everywhere(wait, check=check) > 0
    for other in others:
        other.cancel()
    await asyncio.wait(others)
    await leaks.check()


@pytest.mark.parametrize("pending", [0, 1, 3])
async def test_a_cancelled_aclose_sends_the_pending_cancels(pending: int, scene: Scene) -> None:
    emulator = scene.emulator
    clients: list[AsyncRetab] = []

    async def prepare() -> None:
        client = client_for(emulator.url, api_key=emulator.api_key)
        clients.append(client)
        await client.splits.list(limit=1).pages().__anext__()
        for run_id in scene.seed(pending):
            with anyio.CancelScope() as scope:
                async with client.splits.attach(run_id):
                    scope.cancel()
                    await asyncio.sleep(1)

    async def check() -> None:
        client = clients[-1]
        assert await client.aclose() == ()
        assert client._pool.closed
        assert emulator.active_runs() == []
        assert tasks() <= before
        await prepare()

    async def close() -> None:
        await clients[-1].aclose()

    before = tasks()
    await prepare()
    assert await cancel_everywhere(close, check=check) > 0
    await clients[-1].aclose()


# Bulk cancels


class JobLeakCheck(LeakCheck):
    """Leak check after a bulk cancel; the journal of the job included."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.client)
        self._scene = scene
        self._path = scene.journal

    async def check(self) -> None:
        """Assert that nothing of the client is in use, and that the journal is unlocked and readable."""
        await super().check()
        assert workers() == []
        if self._scene.throttled is not None:
            self._check_throttle(self._scene.throttled._throttle)
        # The thread of a journal whose opening was cancelled may be about to create the file.
        await until(lambda: not [each for each in threading.enumerate() if "journal" in each.name])
        if self._path.exists():
            assert self._path not in open_files()
            lines = self._path.read_bytes().splitlines(keepends=True)
            assert None not in map(decode_line, lines)
            # It is unlocked, and every line is a settled run.
            header = decode_line(lines[0]) if lines else JournalHeader((), "", "")
            assert isinstance(header, JournalHeader)
            journal = await Journal.open(self._path, header)
            await journal.aclose()
            assert journal.counts == {"cancelled": len(lines) - 1} or len(lines) < 2


def open_files() -> list[Path]:
    """Return the open files of the process; empty where the system does not list them."""
    found = Path("/proc/self/fd").iterdir() if sys.platform == "linux" else ()
    return [each.readlink() for each in found if each.is_symlink()]


@both_paths
@pytest.mark.parametrize("streamed", [False, True], ids=["awaited", "streamed"])
@pytest.mark.parametrize("make", BULK.values(), ids=BULK)
async def test_a_bulk_cancel_cancelled_at_any_point_leaves_nothing_behind(
    make: Callable[[Scene], Awaitable[object]], *, streamed: bool, scene: Scene
) -> None:
    scene.is_streamed = streamed
    leaks = JobLeakCheck(scene)

    assert await cancel_everywhere(lambda: make(scene), check=leaks.check) > 0


# Seconds between the moments at which a job is cancelled; 0 means every iteration of the loop.
INTERVALS = {
    "cancel_many": 0,
    "cancel_matching": 0,
    "cancel_many, with failures": 0.01,
    "cancel_many, with a journal": 0.0002,
}


@pytest.mark.parametrize("name", INTERVALS)
async def test_a_bulk_cancel_cancelled_at_any_moment_of_its_workers_leaves_nothing_behind(
    name: str, scene: Scene
) -> None:
    """`cancel_everywhere` does not see inside the worker tasks, so the job is cancelled moment by moment."""
    leaks = JobLeakCheck(scene)
    for moments in count():
        job = asyncio.ensure_future(BULK[name](scene))
        for _ in range(moments):
            await asyncio.sleep(INTERVALS[name])
        taken, is_cancelled = scene.taken, job.cancel()
        await asyncio.wait({job}, timeout=5)
        await leaks.check()
        if not is_cancelled:
            break
        assert job.cancelled()
        # In the iteration of the cancel each of the two workers may still take its next id.
        assert scene.taken <= taken + 2

    assert moments > 1
    assert await job is None
