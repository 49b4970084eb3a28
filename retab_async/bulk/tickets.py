"""What a crew works on: the kinds of run that a job is about, and an id that was taken."""

from typing import Generic, NamedTuple, TypeVar

from retab_async.collection import Collection
from retab_async.errors import CallError
from retab_async.models import Run
from retab_async.waiting import Watch

RunT = TypeVar("RunT", bound=Run)


class Kind(NamedTuple, Generic[RunT]):
    """The runs of one collection, by their `name`: how they are cancelled, and how they are waited for."""

    name: str
    collection: Collection[RunT]
    watch: Watch[RunT]


class Ticket(Generic[RunT]):
    """An id that was taken, the `number`-th: it is owed one outcome.

    `attempts`: how often it was sent. `failures`: how often that failed in a way that may pass, not counting those of
    an `outages`-th outage and before. `ends`: when the last attempt must have begun, known from the first failure on.
    """

    # Most are answered at once, and have nothing of this.
    attempts = 0
    failures = 0
    outages = 0
    ends = 0.0
    error: CallError | None = None

    def __init__(self, resource: str, run_id: str, number: int, run: RunT | None = None) -> None:
        self.resource = resource
        self.run_id = run_id
        self.number = number
        self.run = run
