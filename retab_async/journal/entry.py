"""An entry of a journal and the line that it is in the file."""

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

# What is known for good; the others, "accepted" and "unconfirmed", are worth another call.
FINAL = frozenset({"cancelled", "finished", "not_found", "rejected"})

_LONGEST_TEXT = 1_000
# Six texts, each letter six bytes at most, stay far below: what is longer is no line of a journal.
LONGEST_LINE = 1 << 20
_START = b'{"collection":"'
_FORM = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


@attrs.frozen(kw_only=True, repr=False)
class Entry(SparseRepr):
    """What came of one run."""

    collection: str
    run_id: str
    disposition: str
    status: str | None = None
    reason: str = ""
    time: datetime = attrs.field(factory=partial(datetime.now, UTC))


def encode_entry(entry: Entry) -> bytes:
    """Return an entry as it stands in the file."""
    fields = {
        "collection": entry.collection[:_LONGEST_TEXT],
        "run_id": entry.run_id[:_LONGEST_TEXT],
        "disposition": entry.disposition[:_LONGEST_TEXT],
        "status": None if entry.status is None else entry.status[:_LONGEST_TEXT],
        "reason": entry.reason[:_LONGEST_TEXT],
        "time": entry.time.astimezone(UTC),
    }
    try:
        return orjson.dumps(fields, option=_FORM)
    except orjson.JSONEncodeError:
        # Half a letter (a lone surrogate) has no UTF-8: an id that was read from a file's name may hold one.
        return orjson.dumps({key: _whole(value) for key, value in fields.items()}, option=_FORM)


def _whole(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def decode_entry(line: bytes) -> tuple[str, str, str] | None:
    """Return the collection, the id and the disposition of a line, None for one that is no entry."""
    try:
        value = orjson.loads(line if line.endswith(b"\n") else b"")
        outcome = value["collection"], value["run_id"], value["disposition"]
    except (ValueError, TypeError, KeyError):
        return None
    return outcome if type(outcome[0]) is type(outcome[1]) is type(outcome[2]) is str else None


def is_torn(line: bytes, end: int, lines: IO[bytes]) -> bool:
    """Tell whether a line that is no entry is a last one that was cut short, `end` bytes after the file's start."""
    # Only the last line can be cut short. A file that never was a journal is not to be emptied, though.
    is_cut = not line.endswith(b"}\n") and not lines.read(1)
    return is_cut and (end > 0 or _START.startswith(line[: len(_START)]))


class IdDigestSet:
    """Ids, of each the 8 bytes of a digest: shelved by the first one, and each shelf in order once all are there.

    That one of 1,000,000 ids is taken for one of 1,000,000 others has a chance of 10^12 / 2^64, one in 18 millions, and
    would cost one cancel that is not sent; the ids themselves would take some 100 MB.
    """

    def __init__(self) -> None:
        self._shelves = [array("Q") for _ in range(256)]

    def add(self, collection: str, run_id: str) -> None:
        """Take an id."""
        digest = _digest(collection, run_id)
        self._shelves[digest[0]].frombytes(digest)

    def sort(self) -> None:
        """Make ready for looking up; shelf by shelf, as one sort of all would hold up other threads, and take 40 MB."""
        for shelf in self._shelves:
            shelf[:] = array("Q", sorted(shelf))

    def has(self, collection: str, run_id: str) -> bool:
        """Tell whether an id was taken, once they are sorted."""
        digest = _digest(collection, run_id)
        shelf, number = self._shelves[digest[0]], int.from_bytes(digest, sys.byteorder)
        place = bisect_left(shelf, number)
        return place < len(shelf) and shelf[place] == number


def _digest(collection: str, run_id: str) -> bytes:
    return blake2b(f"{collection}\0{run_id}".encode("utf-8", "backslashreplace"), digest_size=8).digest()
