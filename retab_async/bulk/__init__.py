"""Bulk cancels: a pool of workers that pulls ids from one iterable, with a circuit breaker and a journal."""

from retab_async.bulk.id_source import IdSource
from retab_async.bulk.job import CancelJob
from retab_async.bulk.list_scan import RunScan, scan_queries
from retab_async.bulk.options import CancelOptions, MatchingOptions, Order
from retab_async.bulk.results import CancelOutcome, CancelReport, Disposition, EndReason
from retab_async.bulk.sender import CancelTarget

__all__ = [
    "CancelJob",
    "CancelOptions",
    "CancelOutcome",
    "CancelReport",
    "CancelTarget",
    "Disposition",
    "EndReason",
    "IdSource",
    "MatchingOptions",
    "Order",
    "RunScan",
    "scan_queries",
]
