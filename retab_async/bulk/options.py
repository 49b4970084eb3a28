"""What a job was told about how to go about it."""

from os import PathLike, fspath
from typing import Literal, NamedTuple, Self, TypeAlias

from retab_async.errors import ConfigurationError
from retab_async.settings import check_count, check_seconds
from retab_async.throttle import RateLimit
from retab_async.validation import reject, strict_bool

Order: TypeAlias = Literal["completion", "input"]


class CancelOptions(NamedTuple):
    """How many cancels at once, whether outcomes come in the order of the ids, whether runs are followed to their end.

    `outage_timeout`: seconds for which the server may be away. With `is_dry` nothing is sent, and nothing is taken down.
    """

    concurrency: int
    in_order: bool
    waits: bool
    outage_timeout: float
    is_dry: bool
    rate_limit: RateLimit | None
    journal: str | PathLike[str] | None

    @classmethod
    def checked(  # noqa: PLR0913 - all that a job is told
        cls,
        *,
        concurrency: int,
        order: Order,
        wait: bool,
        outage_timeout: float,
        rate_limit: RateLimit | None,
        journal: str | PathLike[str] | None,
        dry_run: bool = False,
    ) -> Self:
        """Return the terms as a caller gives them; raises `InvalidRequestError` and `ConfigurationError`."""
        if order not in {"completion", "input"}:
            reject(f"order must be 'completion' or 'input', not {order!r:.200}")
        return cls(
            concurrency=check_count("concurrency", concurrency),
            in_order=order == "input",
            waits=strict_bool("wait", wait),
            outage_timeout=check_seconds("outage_timeout", outage_timeout),
            is_dry=strict_bool("dry_run", dry_run),
            rate_limit=_checked_limit(rate_limit),
            journal=None if dry_run or journal is None else fspath(journal),
        )


def _checked_limit(rate_limit: RateLimit | None) -> RateLimit | None:
    if rate_limit is not None and not isinstance(rate_limit, RateLimit):
        msg = f"rate_limit must be a RateLimit, as RateLimit(300, per=60), not {rate_limit!r:.200}"
        raise ConfigurationError(msg)
    return rate_limit
