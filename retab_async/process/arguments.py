"""Keyword arguments of `process_many`, apart from their validation, which is slow to load."""

from collections.abc import Callable
from os import PathLike
from typing import TypedDict


class ProcessingOptions(TypedDict, total=False):
    """Options of `process_many` beside the arguments of `create`, with the defaults of `ProcessOptions`."""

    # The classes that extend it name TypedDict again: documentation tools find inherited keys only so.

    concurrency: int
    journal: str | PathLike[str] | None
    include_settled: bool | Callable[[str], bool]
    wait_timeout: float
    outage_timeout: float
