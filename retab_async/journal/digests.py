"""Ids by the million, of each no more than is needed to tell whether it was there."""

import sys
from array import array
from bisect import bisect_left
from hashlib import blake2b


class Digests:
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
