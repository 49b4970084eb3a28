"""`--from-file`: the runs that a file names, or what comes on stdin."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, TypeAlias

from retab_async.bulk import CancelJob
from retab_async.cli.bulk.board import is_watched
from retab_async.cli.bulk.course import Plan, Planned
from retab_async.cli.bulk.lines import is_on_disk, lines_of, opened
from retab_async.client import AsyncRetab

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
        async def plan(client: AsyncRetab) -> AsyncIterator[Planned]:
            total = await _count(path, read) if path != "-" and is_on_disk(file) and is_watched() else None
            async with aclosing(lines_of(file)) as lines, aclosing(read(lines)) as named:
                yield Planned(make(client, named), total)

        yield plan


async def _count(path: str, read: Read) -> int:
    with opened(path) as file:
        async with aclosing(lines_of(file)) as lines, aclosing(read(lines)) as named:
            count = 0
            async for _ in named:
                count += 1
            return count
