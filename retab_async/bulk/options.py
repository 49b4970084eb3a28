"""Options of a bulk cancel, validated."""

from os import PathLike, fspath
from typing import Any, Literal, TypeAlias, TypedDict

import attrs

from retab_async.errors import ConfigurationError
from retab_async.settings import check_count, check_seconds
from retab_async.throttle import RateLimit, SharedRateLimit
from retab_async.validation import reject, strict_bool

Order: TypeAlias = Literal["completion", "input"]


def check_concurrency(_: object, attribute: "attrs.Attribute[int]", value: Any) -> None:
    """Raise `ConfigurationError` for a number that is not a positive integer."""
    check_count(attribute.name, value)


def check_timeout(_: object, attribute: "attrs.Attribute[float]", value: Any) -> None:
    """Raise `ConfigurationError` for what is not a positive number of seconds."""
    check_seconds(attribute.name, value)


def _check_flag(_: object, attribute: "attrs.Attribute[bool]", value: Any) -> None:
    strict_bool(attribute.name, value)


def _check_order(_: object, attribute: "attrs.Attribute[Order]", value: Any) -> None:  # noqa: ARG001 - attrs gives it
    if value not in {"completion", "input"}:
        reject(f"order must be 'completion' or 'input', not {value!r:.200}")


def _check_rate_limit(_: object, attribute: "attrs.Attribute[RateLimit | None]", value: Any) -> None:
    if value is not None and not isinstance(value, RateLimit):
        msg = f"{attribute.name} must be a RateLimit, as RateLimit(300, per=60), not {value!r:.200}"
        if isinstance(value, SharedRateLimit):
            msg = f"a shared limit holds for all calls of a client: pass it as AsyncRetab(rate_limit={value!r})"
        raise ConfigurationError(msg)


def to_path(value: str | PathLike[str] | None) -> str | None:
    """Return a path as a string, None for None."""
    return None if value is None else fspath(value)


@attrs.frozen(kw_only=True)
class CancelOptions:
    """Options of a bulk cancel.

    Attributes:
        concurrency: Maximum number of cancels in flight, and of workers.
        order: Order of the outcomes: as they complete, or as the ids came.
        wait: Follow accepted runs until they are terminal.
        wait_timeout: Seconds for which one run is followed.
        outage_timeout: Seconds without any response after which the job stops sending.
        rate_limit: Limit to keep from the start; None learns it.
        journal: File that records each outcome.
        dedupe: Send the cancel of an id that occurs several times once.
        dry_run: Send nothing and write no journal.

    Raises:
        ConfigurationError: A number or the rate limit is invalid.
        InvalidRequestError: The order or a flag is invalid.
    """

    concurrency: int = attrs.field(default=64, validator=check_concurrency)
    order: Order = attrs.field(default="completion", validator=_check_order)
    wait: bool = attrs.field(default=False, validator=_check_flag)
    wait_timeout: float = attrs.field(default=3600.0, validator=check_timeout)
    outage_timeout: float = attrs.field(default=60.0, validator=check_timeout)
    rate_limit: RateLimit | None = attrs.field(default=None, validator=_check_rate_limit)
    journal: str | None = attrs.field(default=None, converter=to_path)
    dry_run: bool = attrs.field(default=False, validator=_check_flag)
    dedupe: bool = attrs.field(default=False, validator=_check_flag)


class MatchingOptions(TypedDict, total=False):
    """Options of `cancel_matching` beside the filters, with the meanings and defaults of `CancelOptions`."""

    concurrency: int
    rate_limit: RateLimit | None
    journal: str | PathLike[str] | None
    order: Order
    dry_run: bool
    wait: bool
    wait_timeout: float
    outage_timeout: float
