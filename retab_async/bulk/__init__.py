"""Cancelling many runs: a fixed crew that pulls ids from one iterator, and waits while the server is away."""

from retab_async.bulk.job import CancelJob
from retab_async.bulk.matching import Matching, lists_of
from retab_async.bulk.outcomes import CancelOutcome, CancelReport, Disposition
from retab_async.bulk.terms import Order, Terms
from retab_async.bulk.tickets import Kind

__all__ = [
    "CancelJob",
    "CancelOutcome",
    "CancelReport",
    "Disposition",
    "Kind",
    "Matching",
    "Order",
    "Terms",
    "lists_of",
]
