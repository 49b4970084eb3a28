"""`retab-async splits cancel ID...`, and the same with the ids from a file."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from inspect import signature
from operator import attrgetter
from typing import Any, TypeAlias

import attrs
import click

from retab_async.bulk import CancelJob, CancelOutcome
from retab_async.cli.cancel_job import OutputOptions, Plan, PlannedJob, outcome_of, run_cancel_job
from retab_async.cli.console import cli_errors, confirm, escape_control_chars, require_terminal
from retab_async.cli.inputs import is_on_disk, lines_of, opened, runs_of
from retab_async.cli.output import print_json, print_row, summary
from retab_async.cli.params import check_distinct, date_options, file_option, terms_options, told_options
from retab_async.cli.progress import JobProgress, counted, is_watched, live_progress
from retab_async.client import AsyncRetab
from retab_async.resources import RESOURCES


@attrs.frozen
class MatchPreview:
    """A search for the runs of a kind that match and are not over; both its ways end with how many there are."""

    name: str
    filters: Mapping[str, Any]
    outage_timeout: float

    def show(self, *, as_json: bool) -> None:
        """Print each run as it is found."""

        def tell(found: CancelOutcome[Any]) -> None:
            if as_json:
                print_json(outcome_of(found).as_json())
                return
            assert found.run is not None  # noqa: S101 - it was found by it
            print_row(summary(found.run))

        self._walk(tell, is_shown=False)

    def count(self) -> int:
        """Return how many there are."""
        return self._walk(lambda _: None, is_shown=True)

    def _walk(self, tell: Callable[[CancelOutcome[Any]], None], *, is_shown: bool) -> int:
        statuses: Counter[str] = Counter()
        with cli_errors():
            asyncio.run(self._find(tell, statuses, is_shown=is_shown))
        found = statuses.total()
        told = f"{found:,} {self.name.replace('.', ' ')} would be cancelled"
        click.echo(escape_control_chars(f"{told}: {counted(statuses)}" if found else told), err=True)
        return found

    async def _find(
        self, tell: Callable[[CancelOutcome[Any]], None], statuses: Counter[str], *, is_shown: bool
    ) -> None:
        async with AsyncRetab() as client:
            find = attrgetter(self.name)(client).cancel_matching
            async with find(**self.filters, outage_timeout=self.outage_timeout, dry_run=True) as found:
                board = JobProgress("listing", None, lambda: found.report, client.stats)
                with live_progress(board, is_wanted=is_shown):
                    async for outcome in found:
                        statuses[outcome_of(outcome).status] += 1
                        tell(outcome)


_MATCHING_HELP = """Cancel all {} runs that match and are not over, after asking.

A DATE is a day in UTC, 2026-11-01, or a moment, 2026-11-01T09:30:00+01:00. Exit 1 if one could not be cancelled.
Ctrl-C finishes what is in flight, and says how to go on from there."""

# Each is offered by the kinds whose `cancel_matching` has an argument of its name.
_FILTERS = (
    click.Option(["--workflow-id"], metavar="ID", help="Those of this workflow."),
    click.Option(["--status"], help="Those in this status, such as in_progress; by default all that are not over."),
    click.Option(["--filename"], metavar="START", help="Those whose filename begins so, in either case."),
    *date_options(),
)


def matching_command(name: str, kind: str) -> click.Command:
    """Return the command that cancels the runs of a kind that match."""
    arguments = signature(attrgetter("cancel_matching")(RESOURCES[name])).parameters
    filters = [option for option in _FILTERS if option.name in arguments]

    @click.command("cancel-matching", params=_matching_params(filters), help=_MATCHING_HELP.format(kind))
    def cancel_matching(*, dry_run: bool, yes: bool, failed: str | None, as_json: bool, **told: Any) -> int:
        check_distinct(None, told["journal"], failed)
        given = {option.name: told.pop(option.name) for option in filters}
        wanted = {key: value for key, value in given.items() if value is not None}
        search = MatchPreview(name, wanted, told["outage_timeout"])
        if dry_run:
            search.show(as_json=as_json)
            return 0
        total = None
        if not yes:
            require_terminal("cancel")
            total = search.count()
            if not total or not confirm(f"Cancel {'them' if total > 1 else 'it'}?"):
                click.echo("nothing was cancelled", err=True)
                return int(total > 0)
        manner = OutputOptions(as_json=as_json, failed=failed, goes_on=True)
        return run_cancel_job(_planned(name, {**wanted, **told}, total), manner)

    return cancel_matching


def _matching_params(filters: Sequence[click.Option]) -> list[click.Parameter]:
    return [
        *filters,
        click.Option(["--dry-run"], is_flag=True, help="Print what would be cancelled, and cancel nothing."),
        click.Option(["--yes"], is_flag=True, help="Do not ask."),
        *terms_options(),
        *told_options(),
    ]


def _planned(name: str, told: dict[str, Any], total: int | None) -> Plan:
    @asynccontextmanager
    async def plan(client: AsyncRetab) -> AsyncIterator[PlannedJob]:
        # What is in the journal does not match any more, and was not counted.
        yield PlannedJob(attrgetter(name)(client).cancel_matching(**told), total, is_rest=True)

    return plan


# From lines to what they name.
Read: TypeAlias = Callable[[AsyncGenerator[str, None]], AsyncGenerator[Any, None]]


async def ids_of(lines: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """Give the id of each line; blank ones and comments have none."""
    async for line in lines:
        run_id = line.strip()
        if run_id and not run_id.startswith("#"):
            yield run_id


@contextmanager
def runs_in(path: str, read: Read, make: Callable[[AsyncRetab, AsyncIterator[Any]], CancelJob[Any]]) -> Iterator[Plan]:
    """Give the plan of a job on what a file names, which `make` makes; the file is read as the job goes on."""
    with opened(path) as file:

        @asynccontextmanager
        async def plan(client: AsyncRetab) -> AsyncIterator[PlannedJob]:
            total = await _count(path, read) if path != "-" and is_on_disk(file) and is_watched() else None
            async with aclosing(lines_of(file)) as lines, aclosing(read(lines)) as named:
                yield PlannedJob(make(client, named), total)

        yield plan


async def _count(path: str, read: Read) -> int:
    with opened(path) as file:
        async with aclosing(lines_of(file)) as lines, aclosing(read(lines)) as named:
            count = 0
            async for _ in named:
                count += 1
            return count


_HELP = """Cancel {} runs: these, or those of a file.

Exit 1 if one could not be cancelled. Ctrl-C finishes what is in flight, and says how to go on from there."""


def cancel_command(name: str, kind: str) -> click.Command:
    """Return the command that cancels runs of a kind."""
    ids = click.Argument(["ids"], nargs=-1, metavar="[ID...]")
    file = file_option("Read the ids from there, one a line; a line with # is a comment; - for stdin.")

    @click.command("cancel", params=[ids, file, *terms_options(), *told_options()], help=_HELP.format(kind))
    def cancel(*, ids: tuple[str, ...], from_file: str | None, failed: str | None, as_json: bool, **terms: Any) -> int:
        if not ids and from_file is None:
            msg = "Missing argument 'ID...', or --from-file"
            raise click.UsageError(msg)
        if ids and from_file is not None:
            msg = "give ids or --from-file, not both"
            raise click.UsageError(msg)
        check_distinct(from_file, terms["journal"], failed)
        goes_on = terms["journal"] is not None
        if from_file is None:
            return run_cancel_job(
                _typed(name, ids, terms), OutputOptions(as_json=as_json, failed=failed, goes_on=goes_on, is_listed=True)
            )
        manner = OutputOptions(as_json=as_json, failed=failed, goes_on=goes_on, is_piped=from_file == "-")
        with runs_in(
            from_file, ids_of, lambda client, named: attrgetter(name)(client).cancel_many(named, **terms)
        ) as plan:
            return run_cancel_job(plan, manner)

    return cancel


def _typed(name: str, ids: Sequence[str], terms: dict[str, Any]) -> Plan:
    once = tuple(dict.fromkeys(ids))

    @asynccontextmanager
    async def plan(client: AsyncRetab) -> AsyncIterator[PlannedJob]:
        yield PlannedJob(attrgetter(name)(client).cancel_many(once, **terms, order="input"), len(once))

    return plan


_ANY_KIND_HELP = """Cancel the runs of a CSV, of whatever kind they are.

The columns are KIND, such as splits or workflows.runs, and ID: the first two, or those with the headings kind and id.

Exit 1 if one could not be cancelled. Ctrl-C finishes what is in flight, and says how to go on from there."""


def _any_kind_params() -> list[click.Parameter]:
    file = file_option("Read the rows from there, - for stdin; a row with # is a comment.", is_required=True)
    return [file, *terms_options(), *told_options(has_kinds=True)]


@click.command(
    "cancel", params=_any_kind_params(), help=_ANY_KIND_HELP, short_help="Cancel the runs of a CSV, of whatever kind."
)
def cancel_any_kind(*, from_file: str, failed: str | None, as_json: bool, **terms: Any) -> int:  # noqa: D103 - its help
    check_distinct(from_file, terms["journal"], failed)
    manner = OutputOptions(
        as_json=as_json,
        failed=failed,
        goes_on=terms["journal"] is not None,
        has_kinds=True,
        is_piped=from_file == "-",
    )
    with runs_in(from_file, runs_of, lambda client, named: client.cancel_many(named, **terms)) as plan:
        return run_cancel_job(plan, manner)


__all__ = ["cancel_any_kind", "cancel_command", "matching_command"]
