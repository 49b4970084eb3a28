"""`retab-async splits cancel-matching`: cancels all runs that match filters, after a confirmation."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any

import attrs
import click

from retab_async.bulk import CancelOutcome
from retab_async.cli.cancel_job import JobPlan, OutputOptions, PlannedJob, run_cancel_job
from retab_async.cli.console import cli_errors, confirm, escape_control_chars, require_terminal
from retab_async.cli.credentials import open_client
from retab_async.cli.output import Outcome, print_json, print_run_summary
from retab_async.cli.params import (
    DATE_HELP,
    bulk_options,
    check_distinct,
    filter_options,
    pop_shared_limit,
    report_options,
)
from retab_async.cli.progress import JobFigures, format_counts, job_progress
from retab_async.client import AsyncRetab
from retab_async.resources import RESOURCES
from retab_async.throttle import SharedRateLimit

_HELP = """Cancel all active {} runs that match every filter, after a confirmation.

{} Exits with 1 if a run could not be cancelled. Ctrl-C finishes the requests in flight and prints how to resume."""


def matching_command(kind: str, label: str) -> click.Command:
    """Return the command that cancels the runs of a kind that match filters."""
    filters = filter_options(attrgetter("cancel_matching")(RESOURCES[kind]))

    @click.command(
        "cancel-matching",
        params=_params(filters),
        help=_HELP.format(label, DATE_HELP),
        short_help=f"Cancel all active {label} runs that match.",
    )
    def cancel_matching(*, dry_run: bool, yes: bool, failed: str | None, as_json: bool, **options: Any) -> int:
        check_distinct(None, options["journal"], failed)
        shared = pop_shared_limit(options)
        given = {option.name: options.pop(option.name) for option in filters}
        chosen = {name: value for name, value in given.items() if value is not None}
        preview = MatchPreview(kind, chosen, options["outage_timeout"], shared)
        if dry_run:
            preview.print_runs(as_json=as_json)
            return 0
        total = None
        if not yes:
            require_terminal("cancel")
            total = preview.count()
            if not total or not confirm(f"Cancel {'them' if total > 1 else 'it'}?"):
                click.echo("nothing was cancelled", err=True)
                return int(total > 0)
        output = OutputOptions(
            as_json=as_json,
            failed=failed,
            journal=options["journal"],
            is_resumable=True,
            has_own_limit=options["rate_limit"] is not None,
        )
        return run_cancel_job(_plan(kind, {**chosen, **options}, total), output, shared)

    return cancel_matching


def _params(filters: Sequence[click.Option]) -> list[click.Parameter]:
    return [
        *filters,
        click.Option(["--dry-run"], is_flag=True, help="Print the runs that would be cancelled, and cancel none."),
        click.Option(["--yes"], is_flag=True, help="Skip the confirmation."),
        *bulk_options(),
        *report_options(),
    ]


def _plan(kind: str, options: dict[str, Any], total: int | None) -> JobPlan:
    @asynccontextmanager
    async def plan(client: AsyncRetab) -> AsyncIterator[PlannedJob]:
        yield PlannedJob(attrgetter(kind)(client).cancel_matching(**options), total)

    return plan


@attrs.frozen
class MatchPreview:
    """Dry run: finds the active runs of a kind that match, and prints how many there are.

    Attributes:
        kind: The kind of the runs.
        filters: The arguments of `cancel_matching` that select runs.
        outage_timeout: Seconds to tolerate an unavailable API.
        shared: A rate limit shared with other processes.
    """

    kind: str
    filters: Mapping[str, Any]
    outage_timeout: float
    shared: SharedRateLimit | None

    def print_runs(self, *, as_json: bool) -> None:
        """Print each matching run as it is found."""

        def print_found(found: CancelOutcome[Any]) -> None:
            if found.run and not as_json:
                print_run_summary(found.run, as_json=False)
            else:
                print_json(Outcome.from_cancel(found).as_json())

        self._scan(print_found, shows_progress=False)

    def count(self) -> int:
        """Return the number of matching runs."""
        return self._scan(lambda _: None, shows_progress=True)

    def _scan(self, on_found: Callable[[CancelOutcome[Any]], None], *, shows_progress: bool) -> int:
        with cli_errors():
            statuses = asyncio.run(self._find(on_found, shows_progress=shows_progress))
        found = statuses.total()
        line = f"{found:,} {self.kind.replace('.', ' ')} would be cancelled"
        click.echo(escape_control_chars(f"{line}: {format_counts(statuses)}" if found else line), err=True)
        return found

    async def _find(self, on_found: Callable[[CancelOutcome[Any]], None], *, shows_progress: bool) -> Counter[str]:
        statuses: Counter[str] = Counter()
        async with open_client(rate_limit=self.shared) as client:
            cancel_matching = attrgetter(self.kind)(client).cancel_matching
            async with cancel_matching(**self.filters, outage_timeout=self.outage_timeout, dry_run=True) as job:
                figures = JobFigures("listing", None, lambda: job.report, client.stats)
                with job_progress(figures, is_wanted=shows_progress):
                    async for outcome in job:
                        statuses[Outcome.from_cancel(outcome).status] += 1
                        on_found(outcome)
        return statuses
