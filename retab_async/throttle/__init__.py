"""Client-side throttling: rate limits, given or learned from responses, concurrency, and the retry budget."""

from retab_async.throttle.bulk_limiter import BulkLimiter, Permit
from retab_async.throttle.rate_limit import RateLimit
from retab_async.throttle.registry import ThrottleRegistry, Totals
from retab_async.throttle.throttle import Stats, Throttle
from retab_async.throttle.waiters import FifoSemaphore, TurnDeadlineError

__all__ = [
    "BulkLimiter",
    "FifoSemaphore",
    "Permit",
    "RateLimit",
    "Stats",
    "Throttle",
    "ThrottleRegistry",
    "Totals",
    "TurnDeadlineError",
]
