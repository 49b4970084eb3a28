"""Documents in files that are named by their paths."""

import os
import stat
from functools import partial
from pathlib import Path

from retab_async.documents.copies import copied
from retab_async.documents.disk import found
from retab_async.documents.keeping import Keeping
from retab_async.documents.sources import Source, last_part
from retab_async.errors import InvalidDocumentError

# On Windows a descriptor gives text unless it is told otherwise.
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_LONGEST_SHOWN = 200
# No system takes a path of more letters.
_LONGEST = 4096


def look_at(given: str | os.PathLike[str], keeping: Keeping) -> Source:
    """Return the source that reads a file; `InvalidDocumentError` for what is no file, or empty, or kept from us."""
    shown = os.fspath(given)
    told = f"{shown!r:.{_LONGEST_SHOWN}}"
    try:
        # Where the process moves to meanwhile makes no difference.
        path = Path(os.fsdecode(given)).absolute()
        source = _source(path, told, keeping)
    except InvalidDocumentError:
        raise
    except (OSError, ValueError) as error:
        msg = f"{told} cannot be read: {getattr(error, 'strerror', None) or error}"
        if len(shown) > _LONGEST:
            msg += "; a str is taken for a path: give the document itself as bytes, or as a data: URL"
        raise InvalidDocumentError(msg) from error
    if source is None:
        msg = f"{told} is empty"
        raise InvalidDocumentError(msg)
    return source


def _source(path: Path, told: str, keeping: Keeping) -> Source | None:
    # Before it is opened: to open a pipe is to wait for whoever writes to it.
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        msg = f"{told} is a {'directory' if stat.S_ISDIR(state.st_mode) else 'device or pipe'}, not a file"
        raise InvalidDocumentError(msg)
    name = last_part(path.name)
    if state.st_size:
        return found(told, partial(os.open, path, _READING), keeping, name)
    # Files of /proc tell no size.
    with path.open("rb", buffering=0) as file:
        return copied(file, told, name, keeping)
