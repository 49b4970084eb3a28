"""What a job was told about how to go about it."""

from typing import Literal, NamedTuple, Self, TypeAlias

from retab_async.arguments import flag, refuse
from retab_async.bulk.tickets import Ledger
from retab_async.settings import check_count, check_seconds

Order: TypeAlias = Literal["completion", "input"]


class Terms(NamedTuple):
    """How many cancels at once, whether outcomes come in the order of the ids, whether runs are followed to their end.

    `patience`: seconds for which the server may be away. With `is_dry` nothing is sent.
    """

    concurrency: int
    in_order: bool
    waits: bool
    patience: float
    is_dry: bool
    ledger: Ledger | None = None

    @classmethod
    def checked(cls, *, concurrency: int, order: Order, wait: bool, patience: float, dry_run: bool = False) -> Self:
        """Return the terms as a caller gives them; raises `InvalidRequestError` and `ConfigurationError`."""
        if order not in {"completion", "input"}:
            refuse(f"order must be 'completion' or 'input', not {order!r:.200}")
        return cls(
            concurrency=check_count("concurrency", concurrency),
            in_order=order == "input",
            waits=flag("wait", wait),
            patience=check_seconds("patience", patience),
            is_dry=flag("dry_run", dry_run),
        )
