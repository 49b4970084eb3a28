"""Reporting of results: to the journal, the counts and the consumer of a stream."""

import os
import re
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

from retab_async.bulk import OutcomeQueue, without_tracebacks
from retab_async.errors import SettledError
from retab_async.journal import ACTIVE, UPLOADED, Entry, Journal, Settled
from retab_async.models import FileRef, MIMEData, Run
from retab_async.process.results import ProcessDisposition, ProcessResult, disposition_of
from retab_async.process.source import ProcessItem
from retab_async.throttle import FifoSemaphore

RunT = TypeVar("RunT", bound=Run)

# What a server echoes of a request: the content of a document, and the query of a URL, which may be a signature.
_CONTENT = re.compile(r"data:[^,\s]{0,200},\S*|[A-Za-z0-9+/_=-]{64,}|(?<=\w)\?\S+", re.IGNORECASE)


class ProcessReporter(Generic[RunT]):
    """Records the runs and the result of each document: in the journal, in the counts and in the queue.

    A result of a stream is in the journal once its consumer has asked for the next one: a job that is killed
    before that yields it again, from the run that exists.

    Args:
        kind: The kind of the runs.
        slots: Bounds the documents from the source to the consumer.
        queue: Hands results to the consumer of a stream; None if the job is awaited.
        journal: Records runs and results; None for none.
        on_failure: Called when the journal cannot record a line.
        on_result: Called with each new result, for hooks; None for none.

    Attributes:
        counts: Results by disposition.
        settled: Those that an earlier run of the job had settled.
        failures: Results that are failures.
        started: Runs that were created or continued.
        ended: Those of them that have a result.
        credits: What the completed runs cost.
    """

    def __init__(  # noqa: PLR0913 - the sinks of a result, most of them optional
        self,
        *,
        kind: str,
        slots: FifoSemaphore,
        queue: OutcomeQueue[ProcessResult[RunT]] | None,
        journal: Journal | None,
        on_failure: Callable[[Exception], None],
        on_result: Callable[[ProcessResult[RunT]], None] | None = None,
    ) -> None:
        self._kind = kind
        self._slots = slots
        self._queue = queue
        self._journal = journal
        self._on_failure = on_failure
        self._on_result = on_result
        self._max_failures = None if queue is None else 1000
        self.counts: Counter[ProcessDisposition] = Counter()
        self.settled: Counter[ProcessDisposition] = Counter()
        self.failures: list[ProcessResult[RunT]] = []
        self.started: int = 0
        self.ended: int = 0
        self.credits: float = 0.0

    async def reserve(self) -> None:
        """Wait for a slot for one document."""
        if not self._slots.try_acquire():
            await self._slots.acquire(None)

    def cancel_reservation(self) -> None:
        """Release a slot for which there is no document."""
        self._slots.release()

    def unsettled_runs(self, item: ProcessItem) -> tuple[str, ...]:
        """Return the runs of a document that earlier runs of the job left behind, the last one last."""
        return self._journal.unsettled_runs(item.key) if self._journal is not None else ()

    def uploaded_file(self, item: ProcessItem) -> MIMEData | None:
        """Return the file as which an earlier run of the job uploaded a document, None without one."""
        return self._journal.uploaded_file(item.key) if self._journal is not None else None

    def earlier_outcome(self, item: ProcessItem) -> Settled | None:
        """Return how an earlier run of the job settled a document, None if it did not."""
        settled = self._journal.settled(self._kind, item.key) if self._journal is not None else None
        # A later version of this library may have other dispositions.
        return settled if settled is not None and settled.disposition in list(ProcessDisposition) else None

    def skip(self, settled: Settled) -> None:
        """Count a document that an earlier run of the job completed, and whose result is not wanted again."""
        disposition = ProcessDisposition(settled.disposition)
        self.settled[disposition] += 1
        self.counts[disposition] += 1
        self.cancel_reservation()

    def report_settled(self, item: ProcessItem, settled: Settled, run: RunT | None, error: Exception | None) -> None:
        """Record the result of a document that an earlier run of the job has settled.

        Args:
            item: The document.
            settled: How it was settled.
            run: Its run, read again; None without one.
            error: Why the run of a completed document cannot be read; it stays settled in the journal.
        """
        disposition = ProcessDisposition.UNCONFIRMED
        if error is None:
            disposition = ProcessDisposition(settled.disposition)
            error = SettledError(settled.reason) if disposition.is_failure else None
            self.settled[disposition] += 1
        else:
            error = without_tracebacks(error)
        # Without a key, so that it is not written to the journal again.
        self._put(ProcessResult(item=item.value, name=item.name, disposition=disposition, run=run, error=error))

    async def record_upload(self, item: ProcessItem, file: MIMEData) -> None:
        """Record the file as which a document was uploaded, so that the create that names it can be repeated.

        It is recorded when this returns. A URL with a query is not, as it may be signed.

        Raises:
            JournalError: It cannot be recorded, so the create must not be sent.
        """
        if self._journal is None or "?" in file.url:
            return
        entry = Entry(
            kind=self._kind, run_id="", disposition=UPLOADED, final=False, item=item.key, name=item.name, file=file
        )
        try:
            self._journal.write(entry)
            await self._journal.flush()
        except Exception as failure:
            self._on_failure(failure)
            raise

    def start(self, item: ProcessItem, run_id: str) -> None:
        """Record that a document has a run."""
        self.started += 1
        self._write(item.key, item.name, run_id, ACTIVE)

    def end(self) -> None:
        """Record that the run of a document is finished, or left."""
        self.ended += 1

    def report(self, item: ProcessItem, run: RunT | None, error: Exception | None) -> None:
        """Record the result of a document."""
        result = ProcessResult(
            item=item.value,
            name=item.name,
            disposition=ProcessDisposition.COMPLETED if error is None else disposition_of(error),
            run=run,
            error=None if error is None else without_tracebacks(error),
            key=item.key,
        )
        self.credits += result.credits or 0.0
        if self._on_result is not None:
            self._on_result(result)
        self._put(result)
        if self._queue is None:
            self.acknowledge(result)

    def acknowledge(self, result: ProcessResult[RunT]) -> None:
        """Write a result, which its consumer has taken, to the journal."""
        if result.key and result.disposition is not ProcessDisposition.INVALID:
            run_id = "" if result.run is None else result.run.id
            self._write(result.key, result.name, run_id, result.disposition, result)

    def _put(self, result: ProcessResult[RunT]) -> None:
        self.counts[result.disposition] += 1
        is_kept = self._max_failures is None or len(self.failures) < self._max_failures
        if is_kept and result.disposition.is_failure:
            self.failures.append(_without_document(result))
        if self._queue is not None:
            self._queue.put(0, result)
        else:
            self.cancel_reservation()

    def _write(
        self, key: str, name: str, run_id: str, disposition: str, result: ProcessResult[RunT] | None = None
    ) -> None:
        if self._journal is None:
            return
        run, error = (result.run, result.error) if result else (None, None)
        entry = Entry(
            kind=self._kind,
            run_id=run_id,
            disposition=str(disposition),
            final=result is not None and result.disposition.is_settled,
            status=str(run.status) if run else None,
            reason="" if error is None else without_content(str(error)),
            item=key,
            name=name,
        )
        try:
            self._journal.write(entry)
        except Exception as failure:  # noqa: BLE001 - the job raises it
            self._on_failure(failure)


def _without_document(result: ProcessResult[RunT]) -> ProcessResult[RunT]:
    # Failures are kept by the thousand, documents must not be.
    is_light = isinstance(result.item, FileRef | os.PathLike) or result.item == result.name
    return result if is_light else attrs.evolve(result, item=result.name)


def without_content(text: str) -> str:
    """Return the text of an error without what may be the content of a document or the query of a URL."""
    return _CONTENT.sub("***", text)
