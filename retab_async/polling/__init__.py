"""Waiting for runs to end, alone or with all others who wait on the same collection; no task runs in the background."""

from retab_async.polling.state import RawPage, RunSource, Snapshot
from retab_async.polling.waiter import StatusCallback, Waiter, WaitIterator

__all__ = ["RawPage", "RunSource", "Snapshot", "StatusCallback", "WaitIterator", "Waiter"]
