"""pytest plugin: its fixtures, and tests of projects that use it under pytest-asyncio, anyio and no plugin."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from retab_async import AsyncRetab, Subdocument
from retab_async.emulator import Emulator, Fault
from retab_async.integrations.pytest_plugin import (
    RetabEmulator,
    _served_in_thread,
    cancel_everywhere,
    retab_emulator,
    retab_emulator_settings,
)

PLUGIN = "retab_async.integrations.pytest_plugin"
# The entry point, if it is installed, would register the plugin a second time.
OPTIONS = ("-p", "no:retab_async", "-p", PLUGIN, "-p", "no:cacheprovider", "-W", "error")
NO_ASYNC_PLUGIN = ("-p", "no:asyncio", "-p", "no:anyio")
# The plugin itself is disabled in this project: its fixtures are those of this module.
FIXTURES = (cancel_everywhere, retab_emulator, retab_emulator_settings)

UNDER_TEST = """
from retab_async import AsyncRetab, Subdocument

async def split():
    async with AsyncRetab() as client:
        async with client.splits.running(document=b"%PDF", subdocuments=[Subdocument("invoice")]) as run:
            return await run.result(poll_interval=0.01)

async def cancel(run_id):
    async with AsyncRetab() as client:
        return await client.splits.cancel(run_id)
"""
ASYNC_TESTS = """
from app import cancel, split
from retab_async.emulator import Fault

{mark}
async def test_run_completes(retab_emulator):
    run = await split()
    assert run.status == "completed"
    assert retab_emulator.document_of(run.id).size == 4
    assert retab_emulator.active_runs() == []

{mark}
async def test_cancel_is_retried(retab_emulator):
    (run_id,) = retab_emulator.seed("splits", running=60)
    assert retab_emulator.active_runs() == [run_id]
    retab_emulator.fail("POST /v1/splits/{{id}}/cancel", Fault.status(503, retry_after=0))
    assert (await cancel(run_id)).status == "cancelled"
    assert [each.status for each in retab_emulator.requests] == [503, 200]
    assert (retab_emulator.counts[503], retab_emulator.active_runs()) == (1, [])

{mark}
async def test_block_leaves_no_run_active(retab_emulator, cancel_everywhere):
    assert await cancel_everywhere(split) > 0
    assert retab_emulator.active_runs() == []
"""


async def split() -> Any:
    parts = [Subdocument("invoice")]
    async with AsyncRetab() as client, client.splits.running(document=b"%PDF", subdocuments=parts) as run:
        return await run.result(poll_interval=0.01)


async def test_emulator_serves_a_client_with_the_environment(retab_emulator: RetabEmulator) -> None:
    run = await split()

    assert run.status == "completed"
    assert retab_emulator.document_of(run.id).size == 4
    assert (os.environ["RETAB_API_KEY"], os.environ["RETAB_API_BASE_URL"]) == ("emulator-key", retab_emulator.url)
    assert repr(retab_emulator) == f"<RetabEmulator {retab_emulator.url}>"


def test_emulator_serves_asyncio_run(retab_emulator: RetabEmulator) -> None:
    (run_id,) = retab_emulator.seed("splits", running=60)
    retab_emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(503, retry_after=0))
    assert retab_emulator.active_runs() == [run_id]

    async def cancel() -> Any:
        async with AsyncRetab() as client:
            return await client.splits.cancel(run_id)

    assert asyncio.run(cancel()).status == "cancelled"
    assert [each.status for each in retab_emulator.requests] == [503, 200]
    assert (retab_emulator.counts[503], retab_emulator.active_runs()) == (1, [])


def test_errors_of_arguments_are_raised_in_the_test(retab_emulator: RetabEmulator) -> None:
    with pytest.raises(ValueError, match="kind"):
        retab_emulator.seed("spilts")
    with pytest.raises(ValueError, match="route"):
        retab_emulator.fail("POST /v1/spilts", Fault.reset())


def test_methods_may_be_called_from_many_threads(retab_emulator: RetabEmulator) -> None:
    def seed() -> None:
        for _ in range(20):
            retab_emulator.seed("splits", running=60)

    threads = [threading.Thread(target=seed) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(retab_emulator.active_runs())) == 160


@pytest.mark.parametrize(
    ("method", "arguments"), [("seed", ("splits",)), ("fail", ("*", Fault.reset())), ("active_runs", ())]
)
def test_methods_run_in_the_thread_of_the_emulator(
    method: str, arguments: tuple[Any, ...], retab_emulator: RetabEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(Emulator, method)
    threads: list[str] = []

    def recorded(emulator: Emulator, *arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return original(emulator, *arguments)

    monkeypatch.setattr(Emulator, method, recorded)
    getattr(retab_emulator, method)(*arguments)

    assert threads == ["retab_emulator"]


async def test_cancel_everywhere_leaves_no_run_active(retab_emulator: RetabEmulator, cancel_everywhere: Any) -> None:
    assert await cancel_everywhere(split) > 10

    assert retab_emulator.active_runs() == []


def test_emulator_that_cannot_start_raises_its_error_and_leaves_no_thread() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="address"), _served_in_thread(Emulator(port=taken.getsockname()[1])):
            pass

    for thread in threading.enumerate():
        if thread.name == "retab_emulator":
            thread.join(20)
            assert not thread.is_alive()


def test_emulator_leaves_no_thread() -> None:
    before = threading.active_count()
    with _served_in_thread(Emulator()):
        assert threading.active_count() == before + 1

    assert threading.active_count() == before


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with code under test, and an environment of its own."""
    pytester.makepyfile(app=UNDER_TEST)
    monkeypatch.setenv("RETAB_API_KEY", "sk_from_before")


def run(pytester: pytest.Pytester, *options: str) -> Any:
    """Run the tests of the project in a process: the modules it loads are not those of this one."""
    return pytester.runpytest_subprocess(*OPTIONS, *(options or NO_ASYNC_PLUGIN), timeout=60)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.usefixtures("project")
def test_fixtures_work_under_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n" + ASYNC_TESTS.format(mark="@pytest.mark.asyncio"))

    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")

    run(pytester, "-p", "no:anyio").assert_outcomes(passed=3)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.usefixtures("project")
def test_fixtures_work_under_anyio(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n" + ASYNC_TESTS.format(mark="@pytest.mark.anyio"))
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'")

    run(pytester, "-p", "no:asyncio").assert_outcomes(passed=3)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.usefixtures("project")
def test_fixtures_work_without_an_event_loop(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio
        from app import cancel, split

        def test_run_completes(retab_emulator):
            assert asyncio.run(split()).status == "completed"

        def test_run_is_cancelled(retab_emulator):
            (run_id,) = retab_emulator.seed("splits", running=60)
            assert asyncio.run(cancel(run_id)).status == "cancelled"

        def test_block_leaves_no_run_active(retab_emulator, cancel_everywhere):
            assert asyncio.run(cancel_everywhere(split)) > 0
            assert retab_emulator.active_runs() == []
        """
    )

    run(pytester).assert_outcomes(passed=3)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.usefixtures("project")
def test_environment_is_set_for_the_test_and_restored(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os

        def test_set(retab_emulator):
            assert os.environ["RETAB_API_KEY"] == retab_emulator.api_key == "emulator-key"
            assert os.environ["RETAB_API_BASE_URL"] == retab_emulator.url
            assert repr(retab_emulator) == f"<RetabEmulator {retab_emulator.url}>"

        def test_restored():
            assert os.environ["RETAB_API_KEY"] == "sk_from_before"
            assert "RETAB_API_BASE_URL" not in os.environ
        """
    )

    run(pytester).assert_outcomes(passed=2)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.usefixtures("project")
def test_settings_can_be_overridden(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from retab_async.emulator import ManualClock

        @pytest.fixture
        def clock():
            return ManualClock()

        @pytest.fixture
        def retab_emulator_settings(retab_emulator_settings, clock):
            return retab_emulator_settings | {"clock": clock, "running": 60, "api_key": "sk_mine"}

        def test_run_ends_when_the_clock_is_advanced(retab_emulator, clock):
            assert retab_emulator.api_key == "sk_mine"
            (run_id,) = retab_emulator.seed("partitions")
            assert retab_emulator.active_runs() == [run_id]
            clock.advance(61)
            assert retab_emulator.active_runs() == []
        """
    )

    run(pytester).assert_outcomes(passed=1)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.usefixtures("project")
def test_each_test_has_its_own_emulator(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_is_empty(retab_emulator, number):
            assert retab_emulator.active_runs() == []
            retab_emulator.seed("splits", number, running=60)
            assert len(retab_emulator.active_runs()) == number
        """
    )

    run(pytester).assert_outcomes(passed=2)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.usefixtures("project")
def test_fixtures_are_not_used_unless_a_test_asks_for_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_asks_for_none(request):
            assert not {"cancel_everywhere", "retab_emulator", "retab_emulator_settings"} & set(request.fixturenames)
        """
    )

    run(pytester).assert_outcomes(passed=1)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.usefixtures("project")
def test_fixtures_are_listed_with_their_help(pytester: pytest.Pytester) -> None:
    lines = run(pytester, *NO_ASYNC_PLUGIN, "--fixtures").stdout.str()

    section = lines.split(f"fixtures defined from {PLUGIN}")[1].split("fixtures defined from")[0]
    names = [line.split()[0] for line in section.splitlines()[1:] if line and not line.startswith((" ", "-", "="))]
    assert sorted(names) == ["cancel_everywhere", "retab_emulator", "retab_emulator_settings"]
    assert "Run an emulator of the Retab API in a thread" in section


@pytest.mark.slow
@pytest.mark.subprocess
def test_plugin_loads_no_client_until_a_fixture_is_used() -> None:
    code = f"import sys, {PLUGIN}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)  # noqa: S603 - a constant command

    loaded = set(result.stdout.split())
    assert PLUGIN in loaded
    assert loaded & {"aiohttp", "attrs", "cattrs", "retab_async.client", "retab_async.emulator"} == set()


def test_methods_have_the_names_of_the_emulator() -> None:
    names = {name for name in vars(RetabEmulator) if not name.startswith("_")}

    assert names <= {name.lstrip("_") for name in (*vars(Emulator), *Emulator.__slots__)}
