"""Emulator of the API on loopback, for tests, demonstrations and offline work.

`async with Emulator() as emulator:` serves every kind of run, files and uploads at `emulator.url`. The results of runs
are generated; their life cycle, lists, failures and cancels behave as the API's do. On purpose it shares no code with
the client.
"""

from retab_async.emulator.auth import RateLimit
from retab_async.emulator.clocks import ManualClock
from retab_async.emulator.connection import RecordedRequest
from retab_async.emulator.documents import ReceivedDocument
from retab_async.emulator.faults import Fault
from retab_async.emulator.server import Emulator

__all__ = ["Emulator", "Fault", "ManualClock", "RateLimit", "ReceivedDocument", "RecordedRequest"]
