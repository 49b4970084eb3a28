"""Bulk jobs and bulk cancels: a pool of workers on one iterable, with a circuit breaker and a journal."""

from retab_async.bulk.cancel_job import CancelJob
from retab_async.bulk.circuit_breaker import CircuitBreaker, CircuitState, probe_timeout
from retab_async.bulk.id_source import IdSource
from retab_async.bulk.item_source import ItemSource
from retab_async.bulk.job import BulkJob, Work
from retab_async.bulk.list_scan import RunScan, scan_queries
from retab_async.bulk.options import CancelOptions, MatchingOptions, Order, check_concurrency, check_timeout, to_path
from retab_async.bulk.outcome_queue import OutcomeQueue
from retab_async.bulk.reporter import without_tracebacks
from retab_async.bulk.results import CancelOutcome, CancelReport, Disposition, EndReason, disposition_of_error
from retab_async.bulk.runner import JobRunner
from retab_async.bulk.sender import CancelTarget, is_caller_refusal
from retab_async.bulk.worker_pool import WorkerPool

__all__ = [
    "BulkJob",
    "CancelJob",
    "CancelOptions",
    "CancelOutcome",
    "CancelReport",
    "CancelTarget",
    "CircuitBreaker",
    "CircuitState",
    "Disposition",
    "EndReason",
    "IdSource",
    "ItemSource",
    "JobRunner",
    "MatchingOptions",
    "Order",
    "OutcomeQueue",
    "RunScan",
    "Work",
    "WorkerPool",
    "check_concurrency",
    "check_timeout",
    "disposition_of_error",
    "is_caller_refusal",
    "probe_timeout",
    "scan_queries",
    "to_path",
    "without_tracebacks",
]
