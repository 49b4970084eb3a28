import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import fuzzing
import pytest
from aioresponses import aioresponses, core
from hypothesis import HealthCheck, settings

from retab_async import AsyncRetab
from retab_async.emulator import Emulator, ManualClock

# Without bytecode every worker, and every process that a test starts, would compile everything anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that starts the tests in the background makes them, and every command they start, ignore SIGINT; nohup does so
# with SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How fast a machine draws examples says something about the machine.
settings.register_profile("short", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("short"), max_examples=2000)
settings.load_profile(fuzzing.PROFILE)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Rewrite the assertions of all test modules once, before the workers of pytest-xdist would each do it."""
    if session.config.getoption("numprocesses", None):
        for path in Path(__file__).parent.glob("test_*.py"):
            # The workers report what cannot be imported.
            with suppress(Exception, pytest.skip.Exception):
                importlib.import_module(path.stem)


# Collection makes no garbage, only objects that stay.
gc.disable()


def pytest_collection_finish() -> None:
    """Exempt the collected tests from garbage collection: some tests collect garbage, and would traverse them all."""
    gc.enable()
    gc.collect()
    gc.freeze()


class _FinishedResponse(aiohttp.ClientResponse):
    """aioresponses up to 0.7.9 does not know that aiohttp 3.14 wants the writer of the request; None is enough."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"stream_writer": _Nothing, **settings})


class _Nothing:
    output_size = 0


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Mock aiohttp's session, and record the exact calls made to it."""
    monkeypatch.setattr(core, "ClientResponse", _FinishedResponse)
    with aioresponses() as mocked:
        yield mocked


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove keys and proxies from the environment."""
    monkeypatch.delenv("RETAB_API_ALLOW_HTTP", raising=False)
    for name in ("RETAB_API_KEY", "RETAB_API_BASE_URL", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        if name.islower():
            monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Restore logging, which the command configures for the whole process."""
    logger, root = logging.getLogger("retab_async"), logging.getLogger()
    before = [(each, each.level, each.handlers[:]) for each in (logger, root)]
    yield
    for each, level, handlers in before:
        each.setLevel(level)
        each.handlers[:] = handlers


@pytest.fixture
async def client() -> Any:
    """Make a client with the default base URL, for tests that mock the session."""
    async with AsyncRetab("sk_live_secret_0123456789") as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    """Make the clock of the emulator, advanced by the test."""
    return ManualClock()


@pytest.fixture
async def emulator(clock: ManualClock) -> AsyncIterator[Emulator]:
    """Run an emulator with runs that are queued for one second and in progress for two."""
    async with Emulator(queued=1, running=2, clock=clock) as running:
        yield running


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    """Open an aiohttp session with the emulator."""
    async with aiohttp.ClientSession(emulator.url, headers={"Api-Key": "any"}) as opened:
        yield opened


@pytest.fixture(params=["fast path", pytest.param("session path", marks=pytest.mark.slow)])
def connection_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on each connection path."""
    if request.param == "session path":
        monkeypatch.setenv("RETAB_NO_FAST_WIRE", "1")
