"""Waiting for runs to finish, alone or batched with all other waits on the same kind, without a background task."""

from typing import TYPE_CHECKING

from retab_async.lazy import lazy_names

if TYPE_CHECKING:
    from retab_async.polling.source import RawPage as RawPage, RunSource as RunSource, Snapshot as Snapshot
    from retab_async.polling.waiter import (
        StatusCallback as StatusCallback,
        Waiter as Waiter,
        WaitIterator as WaitIterator,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "RawPage": "source",
            "RunSource": "source",
            "Snapshot": "source",
            "StatusCallback": "waiter",
            "WaitIterator": "waiter",
            "Waiter": "waiter",
        },
    )
