"""Bulk jobs and bulk cancels: a pool of workers on one iterable, with a circuit breaker and a journal."""

from typing import TYPE_CHECKING

from retab_async.lazy import lazy_names

if TYPE_CHECKING:
    from retab_async.bulk.cancel_job import (
        CancelJob as CancelJob,
    )
    from retab_async.bulk.circuit_breaker import (
        CircuitBreaker as CircuitBreaker,
        CircuitState as CircuitState,
        probe_timeout as probe_timeout,
    )
    from retab_async.bulk.id_source import (
        IdSource as IdSource,
    )
    from retab_async.bulk.item_source import (
        ItemSource as ItemSource,
    )
    from retab_async.bulk.job import (
        BulkJob as BulkJob,
        Work as Work,
    )
    from retab_async.bulk.list_scan import (
        RunScan as RunScan,
        scan_queries as scan_queries,
    )
    from retab_async.bulk.options import (
        CancelOptions as CancelOptions,
        MatchingOptions as MatchingOptions,
        Order as Order,
        check_concurrency as check_concurrency,
        check_timeout as check_timeout,
        to_path as to_path,
    )
    from retab_async.bulk.outcome_queue import (
        OutcomeQueue as OutcomeQueue,
    )
    from retab_async.bulk.reporter import (
        without_tracebacks as without_tracebacks,
    )
    from retab_async.bulk.results import (
        CancelOutcome as CancelOutcome,
        CancelReport as CancelReport,
        Disposition as Disposition,
        EndReason as EndReason,
        disposition_of_error as disposition_of_error,
    )
    from retab_async.bulk.runner import (
        JobRunner as JobRunner,
    )
    from retab_async.bulk.sender import (
        CancelTarget as CancelTarget,
        is_caller_refusal as is_caller_refusal,
    )
    from retab_async.bulk.worker_pool import (
        WorkerPool as WorkerPool,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "BulkJob": "job",
            "CancelJob": "cancel_job",
            "CancelOptions": "options",
            "CancelOutcome": "results",
            "CancelReport": "results",
            "CancelTarget": "sender",
            "CircuitBreaker": "circuit_breaker",
            "CircuitState": "circuit_breaker",
            "Disposition": "results",
            "EndReason": "results",
            "IdSource": "id_source",
            "ItemSource": "item_source",
            "JobRunner": "runner",
            "MatchingOptions": "options",
            "Order": "options",
            "OutcomeQueue": "outcome_queue",
            "RunScan": "list_scan",
            "Work": "job",
            "WorkerPool": "worker_pool",
            "check_concurrency": "options",
            "check_timeout": "options",
            "disposition_of_error": "results",
            "is_caller_refusal": "sender",
            "probe_timeout": "circuit_breaker",
            "scan_queries": "list_scan",
            "to_path": "options",
            "without_tracebacks": "reporter",
        },
    )
