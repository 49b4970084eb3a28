"""The registry, the client, the CLI, the emulator and the guide have the same kinds and methods."""

from collections.abc import Iterator
from inspect import get_annotations
from operator import attrgetter
from typing import Any

import click
import pytest
from kinds_table import GUIDE, START, written

from retab_async import AsyncRetab, cli
from retab_async.cli.groups import walk
from retab_async.emulator import Emulator
from retab_async.emulator.kinds import KINDS
from retab_async.emulator.routes import ROUTES, files, uploads
from retab_async.resources import RESOURCES
from retab_async.resources.base import RunResource
from retab_async.resources.namespace import Namespace

DECLARED = {"path", "run_type", "spec"}
# What a command line has no use for: blocks of code, and several ids, which its `wait` and `cancel` take anyway.
FOR_CODE = {"attach", "running", "wait_many", "cancel_many", "stream"}

every_kind = pytest.mark.parametrize("kind", RESOURCES)


def verbs_of(resource: type[RunResource[Any]]) -> set[str]:
    return {name for name in dir(resource) if not name.startswith("_")} - DECLARED


def published_names(resource: type[RunResource[Any]]) -> set[str]:
    """The API's names of verbs that have one of the library's own."""
    aliases = {name for name in verbs_of(resource) if attrgetter(name)(resource).__name__ != name}
    return aliases | {name for name in verbs_of(resource) if name.startswith("create_")}


def collections_of(namespace: Namespace, prefix: str = "") -> Iterator[tuple[str, type]]:
    for name in [name for cls in reversed(type(namespace).__mro__) for name in get_annotations(cls)]:
        value = getattr(namespace, name, None)
        if isinstance(value, RunResource):
            yield prefix + name, type(value)
        elif isinstance(value, Namespace):
            yield from collections_of(value, f"{prefix}{name}.")


def verbs_on_the_command_line() -> dict[str, set[str]]:
    """The names of the groups with commands, and their commands."""
    groups: dict[str, set[str]] = {}
    for words, command in walk(cli._root):
        if len(words) > 1 and not isinstance(command, click.Group):
            groups.setdefault(".".join(words[:-1]), set()).add(words[-1].replace("-", "_"))
    return groups


def rows_of_the_readme() -> dict[str, list[str]]:
    table = GUIDE.read_text().partition(START)[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {row[0].strip("`").removeprefix("client."): row for row in rows}


async def test_client_has_the_kinds_of_the_registry() -> None:
    async with AsyncRetab("sk_...") as client:
        assert dict(collections_of(client)) == dict(RESOURCES)


def test_cli_has_the_kinds_of_the_registry_and_their_methods() -> None:
    commands = verbs_on_the_command_line()

    methods = {"process": "process_many"}
    assert {kind: {methods.get(each, each) for each in commands[kind]} for kind in RESOURCES} == {
        kind: verbs_of(resource) - FOR_CODE - published_names(resource) for kind, resource in RESOURCES.items()
    }


def test_emulator_serves_the_kinds_of_the_registry() -> None:
    assert {name: f"/v1/{kind.path}" for name, kind in KINDS.items()} == {
        name.replace(".", "/"): resource.path for name, resource in RESOURCES.items()
    }


def test_emulator_has_exactly_one_route_for_each_method() -> None:
    expected = []
    for resource in RESOURCES.values():
        expected += [f"POST {resource.path}", f"GET {resource.path}/{{id}}", f"POST {resource.path}/{{id}}/cancel"]
        more = {"list": "GET {}", "delete": "DELETE {}/{{id}}", "stream": "POST {}/stream"}
        expected += [route.format(resource.path) for verb, route in more.items() if hasattr(resource, verb)]

    assert sorted(ROUTES) == sorted([*expected, *(route.name for route in (*files.ROUTES, *uploads.ROUTES))])


@every_kind
def test_emulator_seeds_every_kind(kind: str) -> None:
    emulator = Emulator()

    assert emulator.seed(kind.replace(".", "/")) == emulator.active_runs()


def test_readme_lists_the_kinds_of_the_registry_and_their_methods() -> None:
    rows = rows_of_the_readme()
    shared = set.intersection(*map(verbs_of, RESOURCES.values()))

    assert list(rows) == list(RESOURCES)
    for kind, (_, run, verbs) in rows.items():
        assert run == f"`{RESOURCES[kind].run_type.__name__}`"
        assert set(filter(None, verbs.replace("`", "").split(", "))) == verbs_of(RESOURCES[kind]) - shared


def test_readme_table_is_up_to_date() -> None:
    assert GUIDE.read_text() == written(), "python tests/kinds_table.py writes it"
