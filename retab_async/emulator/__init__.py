"""The API on loopback, from plain JSON, for tests, demonstrations and offline work.

`async with Emulator() as emulator:` serves splits and partitions at `emulator.url`. What runs find in their documents
is invented; how they live, list, fail and are cancelled is not. Nothing here is shared with the client, on purpose.
"""

from retab_async.emulator.faults import Fault
from retab_async.emulator.life import ManualClock
from retab_async.emulator.limits import RateLimit
from retab_async.emulator.server import Emulator, Served

__all__ = ["Emulator", "Fault", "ManualClock", "RateLimit", "Served"]
