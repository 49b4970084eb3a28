"""What all runs share: their state, and the leaves that every kind has."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

import attrs


class RunStatus(StrEnum):
    """Where a run stands; `running`, `awaiting_review` (a pause) and `error` are words of the workflow kinds.

    Open: a word that the server adds later becomes a member-like value of its own, equal to its text and not terminal,
    instead of an error.
    """

    PENDING = "pending"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    RUNNING = "running"
    AWAITING_REVIEW = "awaiting_review"
    COMPLETED = "completed"
    FAILED = "failed"
    ERROR = "error"
    CANCELLED = "cancelled"

    @classmethod
    def _missing_(cls, value: object) -> "RunStatus | None":
        if not isinstance(value, str) or not value:
            return None
        word = str.__new__(cls, value)
        word._name_ = value.upper()
        word._value_ = value
        return word

    @property
    def is_terminal(self) -> bool:
        """Whether the run is over: completed, failed (of a workflow: `error` too) or cancelled."""
        return self in _TERMINAL


_TERMINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.ERROR, RunStatus.CANCELLED})


class SparseRepr:
    """Shown by the fields that differ from their defaults: an answer of three fields reads as three fields."""

    __slots__ = ()

    def __repr__(self) -> str:
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(self)))
        values = ((field, getattr(self, field.name)) for field in fields)
        shown = (f"{field.name}={value!r}" for field, value in values if value != default_of(field))
        return f"{type(self).__name__}({', '.join(shown)})"


def default_of(field: "attrs.Attribute[Any]") -> Any:
    """Return what a field of a model is where it is not told, `attrs.NOTHING` where it must be told."""
    make = getattr(field.default, "factory", None)
    return field.default if make is None else make()


@attrs.frozen(kw_only=True, repr=False)
class PrimitiveError(SparseRepr):
    """Why a run failed: a `code` (an open vocabulary), a `message` for people, and sometimes `details`."""

    code: str = ""
    message: str = ""
    details: Mapping[str, Any] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True, repr=False)
class FileRef(SparseRepr):
    """The document of a run as the service stored it; what it does not tell is empty."""

    id: str
    filename: str = ""
    mime_type: str = ""


@attrs.frozen(kw_only=True, repr=False)
class MIMEData(SparseRepr):
    """A document by its `url`, which is https, or holds the document itself (`data:`)."""

    filename: str
    url: str

    def __repr__(self) -> str:
        # Behind its comma a data: URL is a whole document, and behind its question mark another one may be signed.
        head, mark, _ = str(self.url).partition("," if str(self.url)[:5].lower() == "data:" else "?")
        shown = f"{head}{mark}..." if mark else self.url
        return f"{type(self).__name__}(filename={self.filename!r}, url={shown!r:.500})"


@attrs.frozen(kw_only=True, repr=False)
class UploadedFile(MIMEData):
    """A file that was uploaded: a document for as many creates as you like, and known to the API by its `id`."""

    id: str

    def __repr__(self) -> str:
        return MIMEData.__repr__(self).replace("(", f"(id={self.id!r}, ", 1)


@attrs.frozen(kw_only=True, repr=False)
class RetabUsage(SparseRepr):
    """What a run cost, in credits (one credit is $0.01); may be fractional, and unknown for an old run."""

    credits: float | None = None


@attrs.frozen(kw_only=True, repr=False)
class Run(SparseRepr, ABC):
    """What every kind of run has, wherever its JSON keeps it."""

    id: str

    @property
    @abstractmethod
    def status(self) -> RunStatus:
        """Where the run stands."""

    @property
    @abstractmethod
    def error(self) -> PrimitiveError | None:
        """Why the run failed, None for one that did not."""

    @property
    @abstractmethod
    def created_at(self) -> datetime | None:
        """When the run was created: an aware `datetime`, None where it is not told."""


@attrs.frozen(kw_only=True, repr=False)
class Primitive(Run):
    """A run that works on documents by itself, and tells its state at the top of its JSON."""

    status: RunStatus
    error: PrimitiveError | None = None
    created_at: datetime | None = None
