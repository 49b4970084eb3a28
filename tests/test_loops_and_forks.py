"""Clients that outlive their event loop or their process, on asyncio and uvloop."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from clients import client_for
from fault_harness import LeakCheck, descriptors
from payloads import BARE_SPLIT, KEY, SPLIT_ID
from raw_server import RawServer, raw_server, raw_server_beside, reply, stall, until

import retab_async
from retab_async import AsyncRetab, ClientStateError, FileRateLimit, Split
from retab_async.emulator import Emulator
from retab_async.transport import session

ok = reply(BARE_SPLIT)

Run = Callable[[Coroutine[Any, Any, Any]], Any]


# The two connection paths and the two kinds of event loop are independent of each other: three of their four pairs.
@pytest.fixture(params=["asyncio", "uvloop", pytest.param("asyncio, session path", marks=pytest.mark.slow)])
def loop_factory(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], asyncio.AbstractEventLoop]:
    module, _, is_session_path = request.param.partition(", ")
    if is_session_path:
        monkeypatch.setenv("RETAB_NO_FAST_WIRE", "1")
    return pytest.importorskip(module).new_event_loop  # type: ignore[no-any-return]


@pytest.fixture
def run(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> Run:
    """`asyncio.run`, on each kind of event loop."""

    def on_loop(call: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(asyncio.wait_for(call, 60))

    return on_loop


@pytest.fixture
def server() -> Iterator[RawServer]:
    with raw_server_beside(ok) as opened:
        yield opened


# Loops


def test_open_client_in_a_second_event_loop_raises_and_can_be_closed(run: Run, server: RawServer) -> None:
    async def use(client: AsyncRetab) -> Split:
        return await client.splits.cancel(SPLIT_ID)

    async def use_again(client: AsyncRetab) -> None:
        with pytest.raises(ClientStateError, match=r"another event loop: make one AsyncRetab inside each asyncio.run"):
            await client.splits.cancel(SPLIT_ID)
        assert await client.aclose() == ()

    run(asyncio.sleep(0))
    before = descriptors()
    client = client_for(server.url)
    # The end of the loop drops the connections, with a warning.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert run(use(client)).status == "cancelled"
        run(use_again(client))
        assert repr(client).endswith("closed>")
        del client
        gc.collect()

    assert len(server.requests) == 1
    until_now(lambda: not server.open)
    assert descriptors() <= before


def until_now(come_true: Callable[[], bool]) -> None:
    """Wait for a condition that another thread fulfils."""
    asyncio.run(until(come_true))


def test_aclose_that_the_end_of_its_loop_cut_short_can_be_repeated(run: Run, server: RawServer, tmp_path: Path) -> None:
    closing: list[asyncio.Future[Any]] = []

    async def begin_to_close(client: AsyncRetab) -> None:
        await client.splits.cancel(SPLIT_ID)
        closing.append(asyncio.ensure_future(client.aclose()))
        await asyncio.sleep(0)

    async def close(client: AsyncRetab) -> None:
        assert await client.aclose() == ()

    client = client_for(server.url, rate_limit=FileRateLimit(tmp_path / "retab.limit", 10, per=1))
    with warnings.catch_warnings():
        # The end of the loop drops the connections, with a warning.
        warnings.simplefilter("ignore", ResourceWarning)
        run(begin_to_close(client))
        assert closing[0].cancelled()
        run(close(client))
        run(close(client))


def test_client_for_each_event_loop_leaves_nothing_behind(run: Run, server: RawServer) -> None:
    async def use() -> None:
        async with client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)

    run(use())
    until_now(lambda: not server.open)
    before = descriptors()
    for _ in range(5):
        run(use())

    until_now(lambda: not server.open)
    assert descriptors() <= before


def test_two_event_loops_in_two_threads_work_with_one_client_each(run: Run, server: RawServer) -> None:
    together = threading.Barrier(2, timeout=60)
    seen: list[str] = []

    async def use() -> None:
        async with client_for(server.url, max_connections=5) as client:
            await asyncio.to_thread(together.wait)
            runs = await asyncio.gather(*(client.splits.cancel(f"splt_{number}") for number in range(20)))
            seen.extend(run.status for run in runs)

    threads = [threading.Thread(target=lambda: run(use())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert seen == ["cancelled"] * 40


def test_client_of_another_thread_raises_and_still_works_there(run: Run, server: RawServer) -> None:
    async def elsewhere(client: AsyncRetab) -> str:
        with pytest.raises(ClientStateError, match="another event loop") as caught:
            await client.splits.cancel(SPLIT_ID)
        return str(caught.value)

    async def use() -> None:
        async with client_for(server.url) as client:
            await client.splits.cancel(SPLIT_ID)
            whole = LeakCheck(client)
            assert "another event loop" in await asyncio.to_thread(lambda: run(elsewhere(client)))
            await whole.check()
            await client.splits.cancel(SPLIT_ID)

    run(use())
    assert len(server.requests) == 2


# Closing


@pytest.mark.parametrize("places", [100, 10], ids=["all of them sent", "most of them waiting for a place"])
def test_aclose_during_a_hundred_calls_ends_each_with_a_client_state_error(places: int, run: Run) -> None:
    async def close() -> None:
        async with raw_server(stall) as server:
            client = client_for(server.url, max_connections=places)
            whole = LeakCheck(client)
            calls = [asyncio.ensure_future(client.splits.cancel(f"splt_{number}")) for number in range(100)]
            await until(lambda: len(server.requests) == places)
            await client.aclose()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)

            assert [type(outcome) for outcome in outcomes] == [ClientStateError] * 100
            assert {str(outcome).partition(":")[0] for outcome in outcomes} <= {
                "this client was closed while a call was under way",
                "this client is closed",
            }
            await whole.check()
            await until(lambda: not server.open)

    run(close())


def test_aclose_during_waits_and_blocks_ends_them_and_cancels_the_runs_of_the_blocks(run: Run) -> None:
    async def close() -> None:
        async with Emulator(queued=600) as emulator:
            client = client_for(emulator.url, api_key=emulator.api_key)

            async def block(run_id: str) -> None:
                async with client.splits.attach(run_id) as handle:
                    await handle.result()

            ids = emulator.seed("splits", 20)
            waits = [asyncio.ensure_future(client.splits.wait(each)) for each in ids[:10]]
            blocks = [asyncio.ensure_future(block(each)) for each in ids[10:]]
            await until(lambda: len(emulator.requests) > 0)
            await client.aclose()
            outcomes = await asyncio.gather(*waits, *blocks, return_exceptions=True)

            assert [type(outcome) for outcome in outcomes] == [ClientStateError] * 20
            assert await client.aclose() == ()
            assert emulator.active_runs() == ids[:10]

    run(close())


# Processes


def output_of(code: str, url: str, loop_factory: Callable[[], object]) -> tuple[int, str, str]:
    """Run code in a new interpreter; return its exit code, stdout and stderr."""
    start = f"""
        import asyncio, logging, os, sys
        logging.basicConfig()
        from {loop_factory.__module__.partition(".")[0]} import new_event_loop
        from retab_async import AsyncRetab, ClientStateError
        def run(call):
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                return runner.run(call)
        def make():
            return AsyncRetab({KEY!r}, base_url={url!r})
    """
    root = str(Path(retab_async.__file__).parent.parent)
    ended = subprocess.run(  # noqa: S603 - our own code
        [
            sys.executable,
            "-W",
            "always::ResourceWarning",
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            dedent(start) + dedent(code),
        ],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


FORK = """
    loop = new_event_loop()
    client = make()
    used = loop.run_until_complete(client.splits.cancel("splt_1")) if {opened} else None
    def outcome(call):
        try:
            return str(loop.run_until_complete(call)) if {opened} else str(run(call).status)
        except ClientStateError as error:
            return str(error)
    child = os.fork()
    if not child:
        print("child", outcome(client.splits.cancel("splt_2")), flush=True)
        if {opened}:
            print("child", outcome(client.aclose()), client, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    if not {opened}:
        sys.exit()
    print("parent", loop.run_until_complete(client.splits.cancel("splt_3")).status, flush=True)
    loop.run_until_complete(client.aclose())
    loop.close()
"""


@pytest.mark.subprocess
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_process_leaves_its_parents_sockets_alone(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], server: RawServer
) -> None:
    code, said, complaints = output_of(FORK.format(opened=True), server.url, loop_factory)

    assert said.splitlines() == [
        "child this client was opened before this process was forked: make one AsyncRetab in each process",
        f"child () <AsyncRetab {server.url} timeout=15 closed>",
        "parent cancelled",
    ]
    assert (code, complaints) == (0, "")
    # The parent's socket was neither used nor closed by the child.
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.subprocess
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_client_unused_before_a_fork_can_be_used_after_it(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], server: RawServer
) -> None:
    code, said, _ = output_of(FORK.format(opened=False), server.url, loop_factory)

    assert (code, said) == (0, "child cancelled\n")
    assert len(server.requests) == 1


@pytest.mark.usefixtures("connection_path")
async def test_forked_client_neither_uses_nor_closes_the_inherited_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(ok) as server, client_for(server.url) as client:
        await client.splits.cancel(SPLIT_ID)
        with monkeypatch.context() as forked:
            forked.setattr(session, "_forks", [None] * 100)
            with pytest.raises(ClientStateError, match="before this process was forked"):
                await client.splits.cancel(SPLIT_ID)
            assert await client.with_options(timeout=1).aclose() == ()
            assert not client._pool.closed
            assert await client.aclose() == ()

            assert client._pool.closed
        client._pool.closed = False
        await client.splits.cancel(SPLIT_ID)

        assert server.connections == 1


EXITS = {
    "after a call": """
        async def main():
            client = make()
            await client.splits.cancel("splt_1")
        run(main())
    """,
    "with a client that lives to the end": """
        client = make()
        async def main():
            await client.splits.cancel("splt_1")
        run(main())
    """,
    "from inside": """
        async def main():
            client = make()
            await client.splits.cancel("splt_1")
            sys.exit(0)
        run(main())
    """,
    "with a call in flight": """
        async def main():
            client = make()
            await client.splits.cancel("splt_1")
            call = asyncio.create_task(client.splits.cancel("splt_2"))
            await asyncio.sleep(0)
        run(main())
    """,
    "with a pending cancel": """
        async def main():
            client = make()
            async def block():
                async with client.splits.attach("splt_1"):
                    task.cancel()
                    await asyncio.sleep(1)
            task = asyncio.create_task(block())
            await asyncio.wait({task})
        run(main())
    """,
}


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize("code", EXITS.values(), ids=EXITS)
def test_interpreter_exits_without_a_traceback_if_the_client_is_not_closed(
    code: str, loop_factory: Callable[[], asyncio.AbstractEventLoop], server: RawServer
) -> None:
    ended, said, complaints = output_of(code, server.url, loop_factory)

    assert (ended, said) == (0, "")
    # But for warnings that it was not closed, and what aiohttp and the cleanup queue log.
    assert "Traceback" not in complaints
    assert "Exception ignored" not in complaints
    assert KEY not in complaints
    lost = "/v1/splits splt_1 may still be running: the client was closed before it could be cancelled"
    assert (lost in complaints) is (code == EXITS["with a pending cancel"])
