"""Static types of the emulator's and the test helper's public API; checked by mypy and pyright, never run."""

from typing import assert_type

from retab_async import RateLimit
from retab_async.emulator import Emulator, Fault, ManualClock, ReceivedDocument, RecordedRequest
from retab_async.emulator import RateLimit as EmulatorRateLimit
from retab_async.testing import cancel_everywhere


async def block() -> None: ...


async def emulator() -> None:
    clock = ManualClock()
    made = Emulator(
        host="127.0.0.1",
        port=0,
        api_key="key",
        queued=0.2,
        running=2.0,
        latency=0.0,
        rate_limit=RateLimit(300, per=60),
        clock=clock,
        poll_after=None,
        visibility_delay=0.0,
    )
    Emulator(rate_limit=EmulatorRateLimit(300, per=60, retry_after=False))
    Emulator(prot=8080)  # type: ignore[call-arg]  # it is called port
    Emulator(port="8080")  # type: ignore[arg-type]  # a port is a number
    Emulator(rate_limit=300)  # type: ignore[arg-type]  # not a RateLimit
    made.fail("POST /v1/splits", 429)  # type: ignore[arg-type]  # Fault.status(429)
    made.fail("POST /v1/splits", Fault.status(429, retry_after=1), Fault.truncate())
    assert_type(made.url, str)
    assert_type(made.seed("splits", 3, status="failed"), list[str])
    assert_type(made.requests, list[RecordedRequest])
    assert_type(made.active_runs(), list[str])
    assert_type(made.document_of("splt_1"), ReceivedDocument)
    assert_type(clock(), float)
    assert_type(await cancel_everywhere(block, timeout=5, total_timeout=60), int)
