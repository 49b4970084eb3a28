"""What became of each of several runs, in the words that the command prints."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import attrs

from retab_async.converter import unstructure
from retab_async.errors import APIError, InvalidRunIdError, NotFoundError, RetabError
from retab_async.models import Run, RunStatus

_FAILURES = frozenset({"not_found", "rejected", "unconfirmed"})

# Does something to the run of an id, and returns the run if there still is one.
Verb = Callable[[str], Awaitable[Run | None]]


@attrs.frozen(kw_only=True)
class Outcome:
    """One id and what became of it.

    `disposition`: `cancelled`, `finished` (it had completed or failed before), `requested` (accepted, not over yet),
    `deleted`, `not_found`, `rejected` (the API refused it), `unconfirmed` (nothing is known for certain).
    """

    run_id: str
    disposition: str
    run: Run | None = None
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether what was to be done may not have been."""
        return self.disposition in _FAILURES

    @property
    def status(self) -> str:
        """The run's status, or nothing where none is known."""
        return str(self.run.status) if self.run else ""

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object, the run inside it as the API writes it."""
        return {
            "id": self.run_id,
            "disposition": self.disposition,
            "run": unstructure(self.run) if self.run else None,
            "reason": self.reason or None,
        }


async def carry_out(
    errands: Iterable[tuple[str, Verb]], *, concurrency: int, tell: Callable[[Outcome], None]
) -> list[Outcome]:
    """Do to each run what is to be done, by a crew that pulls from one iterator; return the outcomes in their order.

    `tell` hears of each outcome as it comes.
    """
    numbered = iter(enumerate(errands))
    outcomes: dict[int, Outcome] = {}

    async def work() -> None:
        for number, (run_id, verb) in numbered:
            outcomes[number] = await _carry_out_one(run_id, verb)
            tell(outcomes[number])

    async with asyncio.TaskGroup() as crew:
        for _ in range(concurrency):
            crew.create_task(work())
    return [outcomes[number] for number in sorted(outcomes)]


async def _carry_out_one(run_id: str, verb: Verb) -> Outcome:
    try:
        run = await verb(run_id)
    except RetabError as error:
        return Outcome(run_id=run_id, disposition=_disposition_of_error(error), reason=str(error))
    return Outcome(run_id=run_id, disposition=_disposition_of_run(run), run=run)


def _disposition_of_run(run: Run | None) -> str:
    if run is None:
        return "deleted"
    if run.status is RunStatus.CANCELLED:
        return "cancelled"
    return "finished" if run.status.is_terminal else "requested"


def _disposition_of_error(error: RetabError) -> str:
    if isinstance(error, NotFoundError):
        return "not_found"
    refused = isinstance(error, InvalidRunIdError) or (isinstance(error, APIError) and 400 <= error.status_code < 500)
    return "rejected" if refused else "unconfirmed"
