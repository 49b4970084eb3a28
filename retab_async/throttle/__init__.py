"""Client-side throttling: rate limits, given or learned from responses, concurrency, and the retry budget."""

from retab_async.throttle.bulk_limiter import BulkLimiter, Permit
from retab_async.throttle.file_limit import FileRateLimit
from retab_async.throttle.rate_limit import RateLimit
from retab_async.throttle.registry import ThrottleRegistry, Totals, check_rate_limit
from retab_async.throttle.slots import SETTLE_SECONDS, SharedRateLimit, SlotReply, SlotRequest, SlotStore, reserve_of
from retab_async.throttle.throttle import Priority, Stats, Throttle
from retab_async.throttle.waiters import FifoSemaphore, TurnDeadlineError

__all__ = [
    "SETTLE_SECONDS",
    "BulkLimiter",
    "FifoSemaphore",
    "FileRateLimit",
    "Permit",
    "Priority",
    "RateLimit",
    "SharedRateLimit",
    "SlotReply",
    "SlotRequest",
    "SlotStore",
    "Stats",
    "Throttle",
    "ThrottleRegistry",
    "Totals",
    "TurnDeadlineError",
    "check_rate_limit",
    "reserve_of",
]
