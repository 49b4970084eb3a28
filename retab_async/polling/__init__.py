"""Waiting for runs to finish, alone or batched with all other waits on the same kind, without a background task."""

from retab_async.polling.source import RawPage, RunSource, Snapshot
from retab_async.polling.waiter import StatusCallback, Waiter, WaitIterator

__all__ = ["RawPage", "RunSource", "Snapshot", "StatusCallback", "WaitIterator", "Waiter"]
