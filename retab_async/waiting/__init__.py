"""Waiting for runs to end, alone or with all others who wait on the same collection; no task runs in the background."""

from retab_async.waiting.reading import Reads, Rows, Sighting
from retab_async.waiting.watch import StatusCallback, Waits, Watch

__all__ = ["Reads", "Rows", "Sighting", "StatusCallback", "Waits", "Watch"]
