"""Cancelling many runs: a fixed crew that pulls ids from one iterator, and waits while the server is away."""

from retab_async.bulk.job import CancelJob
from retab_async.bulk.list_scan import RunScan, scan_queries
from retab_async.bulk.options import CancelOptions, Order
from retab_async.bulk.results import CancelOutcome, CancelReport, Disposition
from retab_async.bulk.sender import CancelTarget

__all__ = [
    "CancelJob",
    "CancelOptions",
    "CancelOutcome",
    "CancelReport",
    "CancelTarget",
    "Disposition",
    "Order",
    "RunScan",
    "scan_queries",
]
