"""Signals: which blocks end, with which error, and what becomes of the handlers of others."""

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from retab_async import RetabError, TerminatedError, until_signal
from retab_async.emulator import Emulator
from retab_async.signals import _dispatchers, listening
from retab_async.testing import cancel_everywhere

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def harmless_signals() -> Iterator[list[int]]:
    """A handler of SIGTERM and SIGUSR1 that records them: a test that fails must not end the process."""
    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in numbers}
    yield received
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


async def wait_for_signal(*numbers: int) -> None:
    async with until_signal(*numbers):
        asyncio.get_running_loop().call_soon(send, numbers[0] if numbers else signal.SIGTERM)
        await asyncio.sleep(20)


def current_task() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None
    return task


async def test_sigterm_ends_the_block_with_terminated_error() -> None:
    with pytest.raises(TerminatedError) as caught:
        await wait_for_signal()

    error = caught.value
    assert (error.signal, error.exit_code, str(error)) == (signal.SIGTERM, 143, "the process received SIGTERM")
    assert isinstance(error, RetabError)
    assert current_task().cancelling() == 0


def test_terminated_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(TerminatedError(signal=signal.SIGTERM)))  # noqa: S301 - our own

    assert (error.signal, repr(error)) == (signal.SIGTERM, "TerminatedError('the process received SIGTERM')")


async def test_other_signals_can_be_chosen() -> None:
    with pytest.raises(TerminatedError) as caught:
        await wait_for_signal(signal.SIGUSR1, signal.SIGTERM)

    assert caught.value.signal is signal.SIGUSR1


async def test_block_without_a_signal_restores_the_handlers(harmless_signals: list[int]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]

    async with until_signal(signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM):
        assert signal.getsignal(signal.SIGTERM) is not before[0]

    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == before
    send(signal.SIGTERM)
    await asyncio.sleep(0)
    assert harmless_signals == [signal.SIGTERM]


async def test_default_handler_is_restored() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    with pytest.raises(TerminatedError):
        await wait_for_signal()

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("call_previous", [True, False])
async def test_previous_handler_is_called_unless_unwanted(*, call_previous: bool, harmless_signals: list[int]) -> None:
    async def block() -> None:
        async with until_signal(call_previous=call_previous):
            send(signal.SIGTERM)
            await asyncio.sleep(20)

    with pytest.raises(TerminatedError):
        await block()

    assert harmless_signals == ([signal.SIGTERM] if call_previous else [])


async def test_handler_of_the_loop_is_called_and_stays() -> None:
    calls: list[int] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, calls.append, 1)
    try:
        with pytest.raises(TerminatedError):
            await wait_for_signal(signal.SIGUSR1)
        send(signal.SIGUSR1)
        async with asyncio.timeout(10):
            while len(calls) < 2:  # noqa: ASYNC110 - the handler has no event
                await asyncio.sleep(0.001)
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)

    assert calls == [1, 1]


async def test_signal_ends_the_blocks_of_all_tasks() -> None:
    async with asyncio.timeout(10):
        tasks = [asyncio.create_task(wait_for_signal()) for _ in range(3)]
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in results] == [TerminatedError] * 3


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
async def test_blocks_of_several_tasks_restore_the_handler_in_any_order(order: tuple[int, ...]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    blocks = [until_signal() for _ in order]
    for block in blocks:
        await block.__aenter__()

    for number in order[:-1]:
        await blocks[number].__aexit__(None, None, None)
        assert signal.getsignal(signal.SIGTERM) is not before
    await blocks[order[-1]].__aexit__(None, None, None)

    assert signal.getsignal(signal.SIGTERM) is before


async def test_outer_of_two_nested_blocks_raises_the_error() -> None:
    outer_raised = inner_raised = False

    try:
        async with until_signal():
            try:
                await wait_for_signal()
            except TerminatedError:
                inner_raised = True
    except TerminatedError:
        outer_raised = True

    assert (outer_raised, inner_raised, current_task().cancelling()) == (True, False, 0)


async def test_second_signal_does_not_interrupt_the_cleanup() -> None:
    cleaned_up: list[bool] = []

    async def block() -> None:
        async with until_signal():
            try:
                send(signal.SIGTERM)
                await asyncio.sleep(20)
            finally:
                send(signal.SIGTERM)
                await asyncio.sleep(0.01)
                cleaned_up.append(True)

    with pytest.raises(TerminatedError):
        await block()

    assert (cleaned_up, current_task().cancelling()) == ([True], 0)


async def test_signal_after_the_block_does_not_reach_it() -> None:
    async with until_signal():
        # Its callback runs when the block has been left.
        send(signal.SIGTERM)

    await asyncio.sleep(0.01)
    assert current_task().cancelling() == 0


async def test_block_entered_after_the_signal_raises_at_once_while_another_is_open() -> None:
    entered: list[bool] = []

    async def late() -> None:
        async with until_signal():
            entered.append(True)

    with listening([signal.SIGTERM], lambda _: None):
        send(signal.SIGTERM)
        await asyncio.sleep(0)
        with pytest.raises(TerminatedError):
            await late()

    assert (entered, current_task().cancelling()) == ([], 0)
    await late()
    assert entered == [True]


async def test_block_replaces_a_handler_that_was_set_after_the_first(harmless_signals: list[int]) -> None:
    later: list[int] = []
    with listening([signal.SIGTERM], lambda _: None):
        signal.signal(signal.SIGTERM, lambda number, _: later.append(number))

        with pytest.raises(TerminatedError):
            await wait_for_signal()

    assert (later, harmless_signals) == ([signal.SIGTERM], [])
    send(signal.SIGTERM)
    assert later == [signal.SIGTERM] * 2


async def test_cancellation_of_the_task_at_the_same_time_takes_precedence() -> None:
    async def block() -> None:
        async with until_signal():
            send(signal.SIGTERM)
            asyncio.get_running_loop().call_soon(current_task().cancel)
            await asyncio.sleep(20)

    task = asyncio.create_task(block())
    await asyncio.wait({task})

    assert task.cancelled()


async def test_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    async with until_signal(signal.SIGUSR1):
        send(signal.SIGUSR1)
        await asyncio.sleep(0.01)

    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN


async def test_another_thread_raises_runtime_error() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(wait_for_signal())
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    await asyncio.to_thread(thread.join)

    assert "in the main thread only" in str(errors[0])


async def test_block_can_be_cancelled_everywhere() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def block() -> None:
        async with until_signal():
            await asyncio.sleep(0)

    assert await cancel_everywhere(block) == 2
    assert signal.getsignal(signal.SIGTERM) is before


async def test_loop_has_a_wakeup_descriptor_inside_the_block_only() -> None:
    assert wakeup_descriptor() == -1

    async with until_signal(), until_signal(signal.SIGUSR1):
        assert wakeup_descriptor() != -1

    assert wakeup_descriptor() == -1


async def test_wakeup_descriptor_of_another_library_is_kept() -> None:
    theirs, other = socket.socketpair()
    with theirs, other:
        theirs.settimeout(0)
        async with until_signal():
            signal.set_wakeup_fd(theirs.fileno())

        assert wakeup_descriptor() == theirs.fileno()
        async with until_signal():
            assert wakeup_descriptor() == theirs.fileno()
        signal.set_wakeup_fd(-1)


def wakeup_descriptor() -> int:
    present = signal.set_wakeup_fd(-1)
    if present != -1:
        signal.set_wakeup_fd(present)
    return present


def test_uvloop_ends_the_block_with_terminated_error() -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(TerminatedError):
        runner.run(wait_for_signal())


def test_sigint_under_asyncio_run_is_a_terminated_error_inside_and_keyboard_interrupt_outside() -> None:
    async def main() -> None:
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(TerminatedError):
            await wait_for_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
        send(signal.SIGINT)
        await asyncio.sleep(20)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())

    assert signal.getsignal(signal.SIGINT) is before


SCRIPT = """
import asyncio, sys
from retab_async import AsyncRetab, Subdocument, TerminatedError, until_signal

async def main():
    async with until_signal(), AsyncRetab() as client:
        async with client.splits.running(document=b"%PDF", subdocuments=[Subdocument("a")]) as run:
            await run.result()

try:
    asyncio.run(main())
except TerminatedError as error:
    sys.exit(error.exit_code)
except KeyboardInterrupt:
    sys.exit(130)
"""


@asynccontextmanager
async def script(code: str, emulator: Emulator) -> "AsyncIterator[asyncio.subprocess.Process]":
    environment = {**os.environ, "RETAB_API_KEY": emulator.api_key, "RETAB_API_BASE_URL": emulator.url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", code, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(is_true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not is_true():  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_signal_to_a_script_cancels_its_run(number: int, code: int) -> None:
    async with Emulator(queued=60, running=60) as emulator, script(SCRIPT, emulator) as process:
        await until(emulator.active_runs)
        process.send_signal(number)
        _, err = await asyncio.wait_for(process.communicate(), 20)

        assert (process.returncode, err.decode(), emulator.active_runs()) == (code, "", [])


async def test_signal_in_a_forked_process_has_its_previous_effect(harmless_signals: list[int]) -> None:
    async with until_signal():
        _dispatchers[signal.SIGTERM]._pid = 0
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.01)

    assert harmless_signals == [signal.SIGTERM]
    assert current_task().cancelling() == 0


FORK = """
import asyncio, os, signal, time
from retab_async import until_signal

async def main():
    async with until_signal():
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, b".")
            time.sleep(20)
            os._exit(0)
        os.read(read, 1)
        os.kill(child, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        await asyncio.sleep(0.1)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.subprocess
async def test_signal_to_a_forked_process_ends_that_process_alone() -> None:
    async with Emulator() as emulator, script(FORK, emulator) as process:
        out, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, out.strip(), err) == (0, b"-15", b"")
