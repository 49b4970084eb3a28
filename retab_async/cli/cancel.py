"""`retab-async splits cancel ID...` and `retab-async cancel`: cancel the given runs, or those of a file."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from functools import partial
from operator import attrgetter
from typing import Any

import attrs
import click

from retab_async.cli.cancel_job import JobPlan, OutputOptions, PlannedJob, RereadRows, run_cancel_job
from retab_async.cli.id_file import IdFileParser, IdFormat, describe_unknown_kind, normalize_kind
from retab_async.cli.inputs import is_regular, open_input, read_lines, scan_lines
from retab_async.cli.params import bulk_options, check_distinct, pop_shared_limit, report_options
from retab_async.client import AsyncRetab
from retab_async.resources import RESOURCES

_INTERRUPT_HELP = "Ctrl-C finishes the requests in flight and prints how to resume."

_HELP = f"""Cancel {{}} runs: those given, or those of a file.

With - as the only ID, the ids are read from stdin. Exits with 1 if a run could not be cancelled. {_INTERRUPT_HELP}

A file has an id on each line; or a heading with a column id; or tab-separated lines as list prints them. All lines are
checked before anything is sent."""

_ANY_KIND_HELP = f"""Cancel the runs of a file, of any kind.

A line is KIND,ID, such as splits,splt_1, also with a semicolon or a tab; or the columns kind and id are named in a
heading. All lines are checked before anything is sent.

Exits with 1 if a run could not be cancelled. {_INTERRUPT_HELP}"""

_FILE_HELP = "Read the runs from FILE, or from stdin for -."


def cancel_command(kind: str, label: str) -> click.Command:
    """Return the command that cancels runs of a kind."""
    params = [
        click.Argument(["ids"], nargs=-1, metavar="[ID...]"),
        *_file_options(is_required=False),
        *bulk_options(),
        *report_options(),
    ]

    @click.command("cancel", params=params, help=_HELP.format(label))
    def cancel(
        *,
        ids: tuple[str, ...],
        from_file: str | None,
        failed: str | None,
        as_json: bool,
        **job: Any,
    ) -> int:
        path = _input_path(ids, from_file)
        file_format = _pop_format(job, path, kind)
        check_distinct(path, job["journal"], failed)
        shared = pop_shared_limit(job)
        options = OutputOptions(
            as_json=as_json,
            failed=failed,
            journal=job["journal"],
            is_resumable=job["journal"] is not None,
            lists_outcomes=path is None,
            reads_stdin=path == "-",
            has_own_limit=job["rate_limit"] is not None,
        )
        if path is None:
            return run_cancel_job(_plan_of_ids(kind, ids, job), options, shared)
        with _plan_of_file(path, file_format, job) as (plan, reread_rows):
            return run_cancel_job(plan, attrs.evolve(options, reread_rows=reread_rows), shared)

    return cancel


def any_kind_command() -> click.Command:
    """Return the command that cancels the runs of a file, of any kind."""
    params = [
        *_file_options(is_required=True),
        click.Option(["--kind"], type=_parse_kind, metavar="KIND", help="Take all runs to be of this kind."),
        *bulk_options(),
        *report_options(),
    ]

    @click.command("cancel", params=params, help=_ANY_KIND_HELP, short_help="Cancel the runs of a file, of any kind.")
    def cancel(*, from_file: str, kind: str | None, failed: str | None, as_json: bool, **job: Any) -> int:
        file_format = _pop_format(job, from_file, kind)
        check_distinct(from_file, job["journal"], failed)
        shared = pop_shared_limit(job)
        options = OutputOptions(
            as_json=as_json,
            failed=failed,
            journal=job["journal"],
            is_resumable=job["journal"] is not None,
            with_kind=True,
            reads_stdin=from_file == "-",
            has_own_limit=job["rate_limit"] is not None,
        )
        with _plan_of_file(from_file, file_format, job) as (plan, reread_rows):
            return run_cancel_job(plan, attrs.evolve(options, reread_rows=reread_rows), shared)

    return cancel


def _parse_kind(text: str) -> str:
    kind = normalize_kind(text)
    if kind not in RESOURCES:
        raise click.BadParameter(describe_unknown_kind(text))
    return kind


def _file_options(*, is_required: bool) -> list[click.Parameter]:
    return [
        click.Option(["--from-file"], required=is_required, metavar="FILE", help=_FILE_HELP),
        click.Option(["--column"], metavar="NAME", help="Read the ids from the column with this heading."),
        click.Option(
            ["--dedupe"],
            is_flag=True,
            help="Send the cancel of an id that FILE names several times once; keeps all ids in memory.",
        ),
    ]


def _input_path(ids: Sequence[str], from_file: str | None) -> str | None:
    if not ids and from_file is None:
        msg = "Missing argument 'ID...', or --from-file"
        raise click.UsageError(msg)
    if ids and from_file is not None:
        msg = "give ids or --from-file, not both"
        raise click.UsageError(msg)
    return "-" if tuple(ids) == ("-",) else from_file


def _pop_format(options: dict[str, Any], path: str | None, kind: str | None) -> IdFormat:
    source = "stdin" if path in {"-", None} else str(path)
    return IdFormat(source=source, kind=kind, column=options.pop("column"))


def _plan_of_ids(kind: str, ids: Sequence[str], options: dict[str, Any]) -> JobPlan:
    unique_ids = tuple(dict.fromkeys(ids))

    @asynccontextmanager
    async def plan(client: AsyncRetab) -> AsyncIterator[PlannedJob]:
        yield PlannedJob(attrgetter(kind)(client).cancel_many(unique_ids, **options, order="input"), len(unique_ids))

    return plan


@contextmanager
def _plan_of_file(
    path: str, file_format: IdFormat, options: dict[str, Any]
) -> Iterator[tuple[JobPlan, RereadRows | None]]:
    with open_input(path) as file:
        start = os.lseek(file, 0, os.SEEK_CUR) if is_regular(file) else None
        reread_rows = None if start is None else partial(_reread_rows, file, start, file_format)
        total = sum(1 for _ in reread_rows()) if reread_rows else None

        @asynccontextmanager
        async def plan(client: AsyncRetab) -> AsyncIterator[PlannedJob]:
            async with aclosing(read_lines(file)) as lines, aclosing(_parse_lines(lines, file_format)) as runs:
                collection = attrgetter(file_format.kind)(client) if file_format.kind else client
                # The number of distinct ids is not known in advance.
                yield PlannedJob(collection.cancel_many(runs, **options), None if options["dedupe"] else total)

        yield plan, reread_rows


def _reread_rows(file: int, start: int, file_format: IdFormat) -> Iterator[tuple[str, str]]:
    os.lseek(file, start, os.SEEK_SET)
    parse = IdFileParser(file_format).parse
    with closing(scan_lines(file)) as lines:
        yield from (run for line in lines if (run := parse(line)) is not None)


async def _parse_lines(lines: AsyncIterator[str], file_format: IdFormat) -> AsyncGenerator[Any, None]:
    parse = IdFileParser(file_format).parse
    async for line in lines:
        run = parse(line)
        if run is not None:
            yield run[1] if file_format.kind else run
