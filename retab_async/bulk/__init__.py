"""Bulk cancels: a pool of workers that pulls ids from one iterable, with a circuit breaker and a journal."""

from typing import TYPE_CHECKING

from retab_async.lazy import lazy_names

if TYPE_CHECKING:
    from retab_async.bulk.id_source import IdSource as IdSource
    from retab_async.bulk.job import CancelJob as CancelJob
    from retab_async.bulk.list_scan import RunScan as RunScan, scan_queries as scan_queries
    from retab_async.bulk.options import (
        CancelOptions as CancelOptions,
        MatchingOptions as MatchingOptions,
        Order as Order,
    )
    from retab_async.bulk.results import (
        CancelOutcome as CancelOutcome,
        CancelReport as CancelReport,
        Disposition as Disposition,
        EndReason as EndReason,
    )
    from retab_async.bulk.sender import CancelTarget as CancelTarget
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "CancelJob": "job",
            "CancelOptions": "options",
            "CancelOutcome": "results",
            "CancelReport": "results",
            "CancelTarget": "sender",
            "Disposition": "results",
            "EndReason": "results",
            "IdSource": "id_source",
            "MatchingOptions": "options",
            "Order": "options",
            "RunScan": "list_scan",
            "scan_queries": "list_scan",
        },
    )
