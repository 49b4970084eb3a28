"""Lines of a journal: the header and the entries, and the set of the ids that they settle."""

import sys
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple, cast

import attrs
import orjson

from retab_async.models import MIMEData, SparseRepr

_VERSION = 1
_DEFAULT_JOB = "cancel"
MAGIC = b'{"journal":"retab_async",'
# Of these, nothing but the number is of interest later; of failures, the reason as well.
_SUCCESSES = frozenset({"cancelled", "finished"})
# Outcomes that settle an id unless the entry says otherwise.
_FINAL = _SUCCESSES | {"not_found", "rejected"}
# The disposition of a document whose run is not finished.
ACTIVE = "active"
# That of a document which was uploaded, and whose create may have been sent.
UPLOADED = "uploaded"
_MAX_TEXT = 1_000
# Of an uploaded file, which is never truncated: a part of its URL names another document.
_MAX_FILE_TEXT = 10_000
# Far above the texts of an entry with six bytes a character: a longer line is no entry.
MAX_LINE_BYTES = 1 << 20
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


class JournalHeader(NamedTuple):
    """The job that a journal belongs to.

    Attributes:
        kinds: The kinds of its runs; empty for any kind.
        base_url: The base URL of the API.
        credential: A hash of the API key or token.
        job: What the job does, "cancel" or "process".
    """

    kinds: tuple[str, ...]
    base_url: str
    credential: str
    job: str = _DEFAULT_JOB

    def conflict_with(self, job: "JournalHeader") -> str | None:
        """Return why a job cannot continue this journal, None if it can."""
        if self.job != job.job:
            return f"it belongs to a {self.job} job, not to a {job.job} job"
        if self.kinds and job.kinds and self.kinds != job.kinds:
            return f"it belongs to a job on {', '.join(self.kinds)}, not on {', '.join(job.kinds)}"
        if self.base_url != job.base_url:
            return f"it belongs to a job on {self.base_url}, not on {job.base_url}"
        if self.credential != job.credential:
            return "it belongs to a job with another API key or token"
        return None


@attrs.frozen(kw_only=True, repr=False)
class Entry(SparseRepr):
    """The outcome of one id.

    Attributes:
        kind: The kind of the run.
        run_id: The id.
        disposition: The outcome.
        final: Whether the id is settled, and not sent again when the job is resumed.
        status: The run's status if it is known.
        reason: Why the run is not cancelled.
        time: When the outcome was known.
        item: The identity of the document, of a process job only.
        name: The name of the document.
        file: The file as which the document was uploaded; not recorded if its URL or name is longer than 10,000
            characters.
    """

    kind: str
    run_id: str
    disposition: str
    final: bool = attrs.field(default=attrs.Factory(lambda entry: entry.disposition in _FINAL, takes_self=True))
    status: str | None = None
    reason: str = ""
    time: datetime = attrs.field(factory=partial(datetime.now, UTC))
    item: str = ""
    name: str = ""
    file: MIMEData | None = None

    @property
    def is_success(self) -> bool:
        """Whether it is the success of its job."""
        return self.disposition == "completed" if self.item else self.disposition in _SUCCESSES


class Settled(NamedTuple):
    """How an earlier run of the job settled an id.

    Attributes:
        disposition: The outcome.
        reason: Why it is a failure; empty for a success.
        run_id: The run of a document; empty without one, and unless the journal keeps the runs.
    """

    disposition: str
    reason: str = ""
    run_id: str = ""


def encode_header(header: JournalHeader) -> bytes:
    """Return the line of a header."""
    fields = {"journal": "retab_async", "version": _VERSION, **header._asdict()}
    if header.job == _DEFAULT_JOB:
        del fields["job"]
    return orjson.dumps(fields, option=_OPTIONS)


def encode_entry(entry: Entry) -> bytes:
    """Return the line of an entry."""
    fields: dict[str, object] = {
        "kind": entry.kind[:_MAX_TEXT],
        "run_id": entry.run_id[:_MAX_TEXT],
        "disposition": entry.disposition[:_MAX_TEXT],
        "final": entry.final,
        "status": None if entry.status is None else entry.status[:_MAX_TEXT],
        "reason": entry.reason[:_MAX_TEXT],
        "time": entry.time.astimezone(UTC),
    }
    if entry.item:
        fields |= {"item": entry.item[:_MAX_TEXT], "name": entry.name[:_MAX_TEXT]}
    if entry.file and max(len(entry.file.filename), len(entry.file.url)) <= _MAX_FILE_TEXT:
        fields["file"] = {"filename": entry.file.filename, "url": entry.file.url}
    try:
        return orjson.dumps(fields, option=_OPTIONS)
    except orjson.JSONEncodeError:
        # A lone surrogate has no UTF-8: an id that was read from a filename may contain one.
        return orjson.dumps(_escape_surrogates(fields), option=_OPTIONS)


def _escape_surrogates(value: object) -> object:
    if isinstance(value, dict):
        return {key: _escape_surrogates(each) for key, each in value.items()}
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def decode_line(line: bytes) -> JournalHeader | Entry | None:
    """Return the header or the entry of a line, without its status and time, None for a line that is neither.

    Raises:
        ValueError: A header of another version of the format.
    """
    try:
        value = orjson.loads(line if line.endswith(b"\n") else b"")
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    return _decode_header(value) if line.startswith(MAGIC) else _decode_entry(value)


def _decode_header(value: dict[str, Any]) -> JournalHeader | None:
    if value.get("version") != _VERSION:
        msg = f"its format is of another version than {_VERSION}, the one that this library reads"
        raise ValueError(msg)
    kinds, *others = (value.get(key) for key in ("kinds", "base_url", "credential"))
    texts = (*others, value.get("job", _DEFAULT_JOB))
    if isinstance(kinds, list) and all(type(text) is str for text in (*kinds, *texts)):
        return JournalHeader(tuple(kinds), *cast("tuple[str, str, str]", texts))
    return None


def _decode_entry(value: dict[str, Any]) -> Entry | None:
    kind, run_id, disposition, final = (value.get(key) for key in ("kind", "run_id", "disposition", "final"))
    reason, item = value.get("reason", ""), value.get("item", "")
    texts = (kind, run_id, disposition, reason, item)
    if all(type(text) is str for text in texts) and isinstance(final, bool):
        kind, run_id, disposition, reason, item = cast("tuple[str, str, str, str, str]", texts)
        return Entry(
            kind=kind,
            run_id=run_id,
            disposition=disposition,
            final=final,
            reason=reason,
            item=item,
            file=_decode_file(value.get("file")),
        )
    return None


def _decode_file(value: object) -> MIMEData | None:
    filename, url = (value.get("filename"), value.get("url")) if isinstance(value, dict) else (None, None)
    return MIMEData(filename=filename, url=url) if type(filename) is type(url) is str else None


class SettledIds:
    """The ids, or the documents, that earlier runs of the job settled, and how.

    Args:
        keep_runs: Whether to remember the runs of settled documents, which takes some 200 bytes each.

    Attributes:
        counts: Final entries by disposition.
        unsettled: The runs of each document that is not settled, the last one last, by the document.
        uploads: The file as which each document that is not settled was uploaded, by the document.
    """

    def __init__(self, *, keep_runs: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.unsettled: dict[str, tuple[str, ...]] = {}
        self.uploads: dict[str, MIMEData] = {}
        self._keeps_runs = keep_runs
        self._runs: dict[str, str] = {}
        self._successes: defaultdict[str, IdDigestSet] = defaultdict(IdDigestSet)
        self._failures: dict[tuple[str, str], Settled] = {}

    def add(self, entry: Entry) -> None:
        """Add an entry; one that is not final tells only that a run is active."""
        if entry.item:
            self._add_run(entry)
        if not entry.final:
            return
        self.counts[entry.disposition] += 1
        key = entry.item or entry.run_id
        if entry.is_success:
            self._successes[entry.disposition].add(entry.kind, key)
        else:
            self._failures[entry.kind, key] = Settled(entry.disposition, entry.reason)

    def _add_run(self, entry: Entry) -> None:
        if entry.final:
            self.unsettled.pop(entry.item, None)
            self.uploads.pop(entry.item, None)
            if self._keeps_runs and entry.run_id:
                self._runs[entry.item] = entry.run_id
        elif entry.disposition == ACTIVE:
            others = (run_id for run_id in self.unsettled.get(entry.item, ()) if run_id != entry.run_id)
            self.unsettled[entry.item] = (*others, entry.run_id)
        elif entry.file is not None:
            self.uploads[entry.item] = entry.file

    def sort(self) -> None:
        """Prepare for look-ups, once all are added."""
        for ids in self._successes.values():
            ids.sort()

    def get(self, kind: str, run_id: str) -> Settled | None:
        """Return how an id or a document was settled, None for one that was not."""
        run_id = str(_escape_surrogates(run_id))
        for disposition, ids in self._successes.items():
            if ids.has(kind, run_id):
                return Settled(disposition, run_id=self._runs.get(run_id, ""))
        failure = self._failures.get((kind, run_id))
        return failure and failure._replace(run_id=self._runs.get(run_id, ""))


class IdDigestSet:
    """Set of ids as digests of 8 bytes, in 256 sorted arrays by their first byte.

    With 1,000,000 ids in the set, the chance that any of 1,000,000 others is taken for one of them is 10^12 / 2^64, one
    in 18 millions, and would cost one cancel that is not sent; a set of the ids themselves would take 100 MB.
    """

    def __init__(self) -> None:
        self._shards = [array("Q") for _ in range(256)]

    def add(self, kind: str, run_id: str) -> None:
        """Add an id."""
        digest = _digest(kind, run_id)
        self._shards[digest[0]].frombytes(digest)

    def sort(self) -> None:
        """Prepare for look-ups, shard by shard: one sort of all would block other threads and take 40 MB."""
        for shard in self._shards:
            shard[:] = array("Q", sorted(shard))

    def has(self, kind: str, run_id: str) -> bool:
        """Tell whether an id was added, once they are sorted."""
        digest = _digest(kind, run_id)
        shard, number = self._shards[digest[0]], int.from_bytes(digest, sys.byteorder)
        index = bisect_left(shard, number)
        return index < len(shard) and shard[index] == number


def _digest(kind: str, run_id: str) -> bytes:
    return blake2b(f"{kind}\0{run_id}".encode(), digest_size=8).digest()
