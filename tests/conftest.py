import logging
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses, core
from hypothesis import HealthCheck, settings

from retab_async import AsyncRetab
from retab_async.emulator import Emulator, ManualClock

# A shell that starts the tests beside something else has them ignore it, and with them every command they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast a machine draws examples says something about the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


class _FinishedResponse(aiohttp.ClientResponse):
    """aioresponses up to 0.7.9 does not know that aiohttp 3.14 wants the writer of the request; None is enough."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"stream_writer": _Nothing, **settings})


class _Nothing:
    output_size = 0


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Answers in the place of aiohttp's session, and the exact calls made to it."""
    monkeypatch.setattr(core, "ClientResponse", _FinishedResponse)
    with aioresponses() as mocked:
        yield mocked


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key nor a proxy of whoever runs the tests."""
    for name in ("RETAB_API_KEY", "RETAB_API_BASE_URL", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        if name.islower():
            monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """The command sets up logging for its process, which here is everybody's."""
    logger, root = logging.getLogger("retab_async"), logging.getLogger()
    before = [(each, each.level, each.handlers[:]) for each in (logger, root)]
    yield
    for each, level, handlers in before:
        each.setLevel(level)
        each.handlers[:] = handlers


@pytest.fixture
async def client() -> Any:
    """A client of the API's own address, for tests that mock the session."""
    async with AsyncRetab("sk_live_secret_0123456789") as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    """The time on an emulator, which passes where a test says so."""
    return ManualClock()


@pytest.fixture
async def emulator(clock: ManualClock) -> AsyncIterator[Emulator]:
    """An emulator on which a run is queued for a second and works for two."""
    async with Emulator(queued=1, running=2, clock=clock) as running:
        yield running


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    """A session of aiohttp's own with the emulator."""
    async with aiohttp.ClientSession(emulator.url, headers={"Api-Key": "any"}) as opened:
        yield opened


@pytest.fixture(params=["fast path", "session path"])
def connection_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on each connection path."""
    if request.param == "session path":
        monkeypatch.setenv("RETAB_NO_FAST_WIRE", "1")
