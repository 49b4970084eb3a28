"""Options of a process job, validated."""

from collections.abc import Callable
from typing import Any

import attrs

from retab_async.bulk import check_concurrency, check_timeout, to_path
from retab_async.errors import ConfigurationError


def _check_include_settled(options: Any, field: Any, value: object) -> None:
    del options, field
    if not isinstance(value, bool) and not callable(value):
        msg = f"include_settled must be a bool, or a function of a run id, not {value!r:.200}"
        raise ConfigurationError(msg)


@attrs.frozen(kw_only=True)
class ProcessOptions:
    """Options of a process job.

    Attributes:
        concurrency: Maximum number of documents from their upload to the end of their run.
        journal: File that records each run and each result.
        include_settled: Whether to yield also what an earlier run of the job settled, with the run read again, one GET
            each; a function of the run id selects the runs to read. Only failures are yielded by default.
        wait_timeout: Seconds for which one run is waited for; it is cancelled after that.
        outage_timeout: Seconds without any response after which the job stops sending.

    Raises:
        ConfigurationError: An option is invalid.
    """

    concurrency: int = attrs.field(default=64, validator=check_concurrency)
    journal: str | None = attrs.field(default=None, converter=to_path)
    include_settled: bool | Callable[[str], bool] = attrs.field(default=False, validator=_check_include_settled)
    wait_timeout: float = attrs.field(default=3600.0, validator=check_timeout)
    outage_timeout: float = attrs.field(default=60.0, validator=check_timeout)

    def includes(self, run_id: str) -> bool:
        """Tell whether a run of a settled document is to be read again."""
        return self.include_settled if isinstance(self.include_settled, bool) else self.include_settled(run_id)
