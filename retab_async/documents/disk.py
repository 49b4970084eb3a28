"""Documents in files on disk, whoever opened them."""

import os
from collections.abc import Callable

import attrs

from retab_async.documents.keeping import Keeping
from retab_async.documents.signatures import HEAD
from retab_async.documents.sources import Form, Label
from retab_async.documents.threads import FILES
from retab_async.errors import InvalidDocumentError


@attrs.frozen(eq=False)
class Disk:
    """A document in a file from `start` on; `get` gives a descriptor of it, and `told` is what messages call it."""

    told: str
    get: Callable[[], int]
    keeping: Keeping
    start: int
    mark: tuple[int, ...]
    label: Label

    async def read(self, start: int, count: int, form: Form) -> bytes:
        """Return so many bytes in a form; `InvalidDocumentError` where the file is not the one it was."""
        return await FILES.call(self._read, self.start + start, min(count, self.label.size - start), form)

    def _read(self, start: int, count: int, form: Form) -> bytes:
        try:
            with self.keeping.descriptor(self.get) as number:
                piece = self.keeping.read(number, start, count)
                mark = _mark(os.fstat(number))
        except (OSError, ValueError) as error:
            msg = f"{self.told} cannot be read any more: {getattr(error, 'strerror', None) or error}"
            raise InvalidDocumentError(msg) from error
        if mark != self.mark or len(piece) != count:
            msg = f"{self.told} changed while it was being sent"
            raise InvalidDocumentError(msg)
        return form(piece)


def found(told: str, get: Callable[[], int], keeping: Keeping, name: str, start: int = 0) -> Disk:
    """Return the source that reads a file which has something behind `start`; raises `OSError`."""
    with keeping.descriptor(get) as number:
        state = os.fstat(number)
        label = Label.of(name, state.st_size - start, lambda: keeping.read(number, start, HEAD))
    return Disk(told, get, keeping, start, _mark(state), label)


def _mark(state: os.stat_result) -> tuple[int, ...]:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
