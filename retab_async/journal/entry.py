"""Entries of a journal: their lines in the file, and a compact set of the ids that they name."""

import sys
from array import array
from bisect import bisect_left
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import IO

import attrs
import orjson

from retab_async.models import SparseRepr

# Permanent outcomes. An id with any other one, "accepted" or "unconfirmed", is worth another call.
FINAL = frozenset({"cancelled", "finished", "not_found", "rejected"})

_MAX_TEXT = 1_000
# Far above six texts of six bytes a character: a longer line is no entry.
MAX_LINE_BYTES = 1 << 20
_LINE_START = b'{"kind":"'
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


@attrs.frozen(kw_only=True, repr=False)
class Entry(SparseRepr):
    """The outcome of one run."""

    kind: str
    run_id: str
    disposition: str
    status: str | None = None
    reason: str = ""
    time: datetime = attrs.field(factory=partial(datetime.now, UTC))


def encode_entry(entry: Entry) -> bytes:
    """Return the line of an entry."""
    fields = {
        "kind": entry.kind[:_MAX_TEXT],
        "run_id": entry.run_id[:_MAX_TEXT],
        "disposition": entry.disposition[:_MAX_TEXT],
        "status": None if entry.status is None else entry.status[:_MAX_TEXT],
        "reason": entry.reason[:_MAX_TEXT],
        "time": entry.time.astimezone(UTC),
    }
    try:
        return orjson.dumps(fields, option=_OPTIONS)
    except orjson.JSONEncodeError:
        # A lone surrogate has no UTF-8: an id that was read from a filename may contain one.
        return orjson.dumps({key: _escape_surrogates(value) for key, value in fields.items()}, option=_OPTIONS)


def _escape_surrogates(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def decode_entry(line: bytes) -> tuple[str, str, str] | None:
    """Return the kind, the id and the disposition of a line, None for a line that is no entry."""
    try:
        value = orjson.loads(line if line.endswith(b"\n") else b"")
        outcome = value["kind"], value["run_id"], value["disposition"]
    except (ValueError, TypeError, KeyError):
        return None
    return outcome if type(outcome[0]) is type(outcome[1]) is type(outcome[2]) is str else None


def is_torn(line: bytes, end: int, lines: IO[bytes]) -> bool:
    """Tell whether an invalid line, `end` bytes after the file's start, is a last one whose writing was interrupted."""
    # Only the last line can be torn. A file that never was a journal is not to be emptied, though.
    is_cut = not line.endswith(b"}\n") and not lines.read(1)
    return is_cut and (end > 0 or _LINE_START.startswith(line[: len(_LINE_START)]))


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
    return blake2b(f"{kind}\0{run_id}".encode("utf-8", "backslashreplace"), digest_size=8).digest()
