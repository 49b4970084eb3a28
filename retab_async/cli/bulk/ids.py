"""`retab-async splits cancel ID...`, and the same with the ids from a file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any

import click

from retab_async.cli.bulk.course import Plan, Planned
from retab_async.cli.bulk.files import ids_of, runs_in
from retab_async.cli.bulk.jobs import carry_out
from retab_async.cli.bulk.options import check_distinct, file_option, terms_options, told_options
from retab_async.cli.bulk.telling import Manner
from retab_async.client import AsyncRetab

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
            return carry_out(
                _typed(name, ids, terms), Manner(as_json=as_json, failed=failed, goes_on=goes_on, is_listed=True)
            )
        manner = Manner(as_json=as_json, failed=failed, goes_on=goes_on, is_piped=from_file == "-")
        with runs_in(
            from_file, ids_of, lambda client, named: attrgetter(name)(client).cancel_many(named, **terms)
        ) as plan:
            return carry_out(plan, manner)

    return cancel


def _typed(name: str, ids: Sequence[str], terms: dict[str, Any]) -> Plan:
    once = tuple(dict.fromkeys(ids))

    @asynccontextmanager
    async def plan(client: AsyncRetab) -> AsyncIterator[Planned]:
        yield Planned(attrgetter(name)(client).cancel_many(once, **terms, order="input"), len(once))

    return plan
