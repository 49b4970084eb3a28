"""`retab-async splits cancel-matching` and `cancel-matching`: cancel the runs that match filters, and ask before."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any, NamedTuple

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
from retab_async.errors import APIError
from retab_async.resources import RESOURCES, is_list_refusal
from retab_async.throttle import SharedRateLimit

# Kinds whose runs cannot be found.
_UNLISTED = tuple(kind for kind, resource in RESOURCES.items() if not hasattr(resource, "cancel_matching"))

_HELP = """Cancel all active {}, after a confirmation.

{} Exits with 1 if a run could not be cancelled. Ctrl-C finishes the requests in flight and prints how to resume."""


def matching_command(kind: str, label: str) -> click.Command:
    """Return the command that cancels the runs of a kind that match filters."""
    help_text = _HELP.format(f"{label} runs that match every filter", DATE_HELP)
    return _command(kind, RESOURCES[kind], help_text, f"Cancel all active {label} runs that match.")


def any_kind_command() -> click.Command:
    """Return the command that cancels the runs of all kinds that match filters."""
    what = f"runs of all kinds but {' and '.join(_UNLISTED)}, which the API does not list"
    return _command(None, AsyncRetab, _HELP.format(what, DATE_HELP), "Cancel all active runs of all kinds.")


def _command(kind: str | None, owner: type, help_text: str, short_help: str) -> click.Command:
    filters = filter_options(attrgetter("cancel_matching")(owner))

    @click.command("cancel-matching", params=_params(filters), help=help_text, short_help=short_help)
    def cancel_matching(*, dry_run: bool, yes: bool, failed: str | None, as_json: bool, **options: Any) -> int:
        check_distinct(None, options["journal"], failed)
        shared = pop_shared_limit(options)
        given = {option.name: options.pop(option.name) for option in filters}
        chosen = {name: value for name, value in given.items() if value is not None}
        preview = MatchPreview(kind, chosen, options["outage_timeout"], shared)
        if dry_run:
            return int(preview.print_runs(as_json=as_json).refusal is not None)
        total = None
        if yes:
            preview.print_unlisted()
        else:
            require_terminal("cancel")
            matches = preview.count()
            total = matches.counts.total()
            if not total or not confirm(f"Cancel {'them' if total > 1 else 'it'}?"):
                click.echo("nothing was cancelled", err=True)
                return int(total > 0 or matches.refusal is not None)
        output = OutputOptions(
            as_json=as_json,
            failed=failed,
            journal=options["journal"],
            is_resumable=True,
            with_kind=kind is None,
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


def _plan(kind: str | None, options: dict[str, Any], total: int | None) -> JobPlan:
    @asynccontextmanager
    async def plan(client: AsyncRetab) -> AsyncIterator[PlannedJob]:
        yield PlannedJob(_owner(client, kind).cancel_matching(**options), total)

    return plan


def _owner(client: AsyncRetab, kind: str | None) -> Any:
    return client if kind is None else attrgetter(kind)(client)


class Matches(NamedTuple):
    """What a dry run found.

    Attributes:
        counts: Runs by kind, or by status for a single kind.
        refusal: The refusal of one list among those of all kinds, None without one.
    """

    counts: Counter[str]
    refusal: APIError | None


@attrs.frozen
class MatchPreview:
    """Dry run: finds the active runs that match, and prints how many there are.

    Attributes:
        kind: The kind of the runs, None for all kinds.
        filters: The arguments of `cancel_matching` that select runs.
        outage_timeout: Seconds to tolerate an unavailable API.
        shared: A rate limit shared with other processes.
    """

    kind: str | None
    filters: Mapping[str, Any]
    outage_timeout: float
    shared: SharedRateLimit | None

    def print_runs(self, *, as_json: bool) -> Matches:
        """Print each matching run as it is found, then how many there are."""

        def print_found(found: CancelOutcome[Any]) -> None:
            if found.run and not as_json:
                print_run_summary(found.run, as_json=False, kind=found.kind if self.kind is None else None)
            else:
                print_json(Outcome.from_cancel(found).as_json())

        return self._scan(print_found, shows_progress=False)

    def count(self) -> Matches:
        """Print how many runs match."""
        return self._scan(lambda _: None, shows_progress=True)

    def print_unlisted(self) -> None:
        """Print which kinds are not covered, if it is about all kinds."""
        if self.kind is None:
            click.echo(f"not covered, because the API does not list them: {', '.join(_UNLISTED)}", err=True)

    def _scan(self, on_found: Callable[[CancelOutcome[Any]], None], *, shows_progress: bool) -> Matches:
        with cli_errors():
            matches = asyncio.run(self._find(on_found, shows_progress=shows_progress))
        if matches.refusal is not None:
            click.echo(escape_control_chars(f"list refused: {matches.refusal}"), err=True)
        counts = matches.counts
        found = counts.total()
        line = f"{found:,} {'runs' if self.kind is None else self.kind.replace('.', ' ')} would be cancelled"
        click.echo(escape_control_chars(f"{line}: {format_counts(counts)}" if found else line), err=True)
        self.print_unlisted()
        return matches

    async def _find(self, on_found: Callable[[CancelOutcome[Any]], None], *, shows_progress: bool) -> Matches:
        # Runs by kind, or by status for a single kind.
        counts: Counter[str] = Counter()
        refusal: APIError | None = None
        options = {**self.filters, "outage_timeout": self.outage_timeout, "dry_run": True}
        async with open_client(rate_limit=self.shared) as client:
            job = _owner(client, self.kind).cancel_matching(**options)
            try:
                async with job:
                    figures = JobFigures("listing", None, lambda: job.report, client.stats)
                    with job_progress(figures, is_wanted=shows_progress):
                        async for outcome in job:
                            counts[outcome.kind if self.kind is None else Outcome.from_cancel(outcome).status] += 1
                            on_found(outcome)
            except APIError as error:
                if self.kind is not None or not is_list_refusal(error):
                    raise
                refusal = error
        return Matches(counts, refusal)
