"""The API on loopback, from plain JSON, for tests, demonstrations and offline work.

`async with Emulator() as emulator:` serves every kind of run, files and uploads at `emulator.url`. What runs find in
their documents is invented; how they live, list, fail and are cancelled is not. Nothing here is shared with the client,
on purpose.
"""

from retab_async.emulator.auth import RateLimit
from retab_async.emulator.clocks import ManualClock
from retab_async.emulator.connection import RecordedRequest
from retab_async.emulator.documents import ReceivedDocument
from retab_async.emulator.faults import Fault
from retab_async.emulator.server import Emulator

__all__ = ["Emulator", "Fault", "ManualClock", "RateLimit", "ReceivedDocument", "RecordedRequest"]
