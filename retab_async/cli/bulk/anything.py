"""`retab-async cancel --from-file runs.csv`: runs of any kind."""

from typing import Any

import click

from retab_async.cli.bulk.files import runs_in
from retab_async.cli.bulk.jobs import carry_out
from retab_async.cli.bulk.options import check_distinct, file_option, terms_options, told_options
from retab_async.cli.bulk.rows import runs_of
from retab_async.cli.bulk.telling import Manner

_HELP = """Cancel the runs of a CSV, of whatever kind they are.

The columns are KIND, such as splits or workflows.runs, and ID: the first two, or those with the headings kind and id.

Exit 1 if one could not be cancelled. Ctrl-C finishes what is in flight, and says how to go on from there."""


def _parameters() -> list[click.Parameter]:
    file = file_option("Read the rows from there, - for stdin; a row with # is a comment.", is_required=True)
    return [file, *terms_options(), *told_options(has_kinds=True)]


@click.command("cancel", params=_parameters(), help=_HELP, short_help="Cancel the runs of a CSV, of whatever kind.")
def cancel_anything(*, from_file: str, failed: str | None, as_json: bool, **terms: Any) -> int:  # noqa: D103 - its help
    check_distinct(from_file, terms["journal"], failed)
    manner = Manner(
        as_json=as_json,
        failed=failed,
        goes_on=terms["journal"] is not None,
        has_kinds=True,
        is_piped=from_file == "-",
    )
    with runs_in(from_file, runs_of, lambda client, named: client.cancel_many(named, **terms)) as plan:
        return carry_out(plan, manner)
