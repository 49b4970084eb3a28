"""What became of each of several cancels, in the words that the command prints."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import attrs

from retab_async.converter import unstructure
from retab_async.errors import APIError, InvalidRunIdError, NotFoundError, RetabError
from retab_async.models import Run, RunStatus

_FAILURES = frozenset({"not_found", "rejected", "unconfirmed"})

Cancel = Callable[[str], Awaitable[Run]]


@attrs.frozen(kw_only=True)
class Outcome:
    """One id and what became of it.

    `disposition`: `cancelled`, `finished` (it had completed or failed before), `requested` (accepted, not over yet),
    `not_found`, `rejected` (the API refused it), `unconfirmed` (nothing is known for certain).
    """

    run_id: str
    disposition: str
    run: Run | None = None
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the run may still be going on."""
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


async def cancel_each(
    cancels: Iterable[tuple[str, Cancel]], *, concurrency: int, tell: Callable[[Outcome], None]
) -> list[Outcome]:
    """Cancel runs by a crew that pulls from one iterator; return the outcomes in the order of the ids.

    `tell` hears of each outcome as it comes.
    """
    numbered = iter(enumerate(cancels))
    outcomes: dict[int, Outcome] = {}

    async def work() -> None:
        for number, (run_id, cancel) in numbered:
            outcomes[number] = await _cancel_one(run_id, cancel)
            tell(outcomes[number])

    async with asyncio.TaskGroup() as crew:
        for _ in range(concurrency):
            crew.create_task(work())
    return [outcomes[number] for number in sorted(outcomes)]


async def _cancel_one(run_id: str, cancel: Cancel) -> Outcome:
    try:
        run = await cancel(run_id)
    except RetabError as error:
        return Outcome(run_id=run_id, disposition=_disposition_of_error(error), reason=str(error))
    return Outcome(run_id=run_id, disposition=_disposition_of_run(run), run=run)


def _disposition_of_run(run: Run) -> str:
    if run.status is RunStatus.CANCELLED:
        return "cancelled"
    return "finished" if run.status.is_terminal else "requested"


def _disposition_of_error(error: RetabError) -> str:
    if isinstance(error, NotFoundError):
        return "not_found"
    refused = isinstance(error, InvalidRunIdError) or (isinstance(error, APIError) and 400 <= error.status_code < 500)
    return "rejected" if refused else "unconfirmed"
