"""Options of a process job, validated."""

from os import PathLike
from typing import TypedDict

import attrs

from retab_async.bulk import check_concurrency, check_timeout, to_path


@attrs.frozen(kw_only=True)
class ProcessOptions:
    """Options of a process job.

    Attributes:
        concurrency: Maximum number of documents from their upload to the end of their run.
        journal: File that records each run and each result.
        wait_timeout: Seconds for which one run is waited for; it is cancelled after that.
        outage_timeout: Seconds without any response after which the job stops sending.

    Raises:
        ConfigurationError: A number is invalid.
    """

    concurrency: int = attrs.field(default=64, validator=check_concurrency)
    journal: str | None = attrs.field(default=None, converter=to_path)
    wait_timeout: float = attrs.field(default=3600.0, validator=check_timeout)
    outage_timeout: float = attrs.field(default=60.0, validator=check_timeout)


class ProcessingOptions(TypedDict, total=False):
    """Options of `process_many` beside the arguments of `create`, with the defaults of `ProcessOptions`."""

    concurrency: int
    journal: str | PathLike[str] | None
    wait_timeout: float
    outage_timeout: float
