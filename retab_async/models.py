"""Models that all kinds of run share: status, error, file references."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from typing import Any, Self, cast

import attrs

from retab_async.json_codec import dumps_any
from retab_async.official_names import OfficialNames
from retab_async.text import bounded_repr

# The rate that the API documents.
DOLLARS_PER_CREDIT = 0.01


class RunStatus(StrEnum):
    """Status of a run; `running`, `awaiting_review` (a pause) and `error` belong to the workflow kinds.

    Open: a status that the server adds later becomes a member-like value of its own, equal to its text and not
    terminal, instead of an error.
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
        """Whether the run has finished: completed, failed (`error` for workflows) or cancelled."""
        return self in _TERMINAL


def to_status(status: str) -> RunStatus:
    """Return a status word as a `RunStatus`; raises `ValueError` for any other value."""
    return status if type(status) is RunStatus else RunStatus(status)


_TERMINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.ERROR, RunStatus.CANCELLED})


class SparseRepr:
    """Repr of the non-default fields only: an answer of three fields reads as three fields."""

    # Here, because instances of a class that has this beside its fields cannot change their class.
    __slots__ = ("__weakref__",)

    def __repr__(self) -> str:
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(self)))
        values = ((field, getattr(self, field.name)) for field in fields)
        shown = (f"{field.name}={bounded_repr(value)}" for field, value in values if value != default_of(field))
        return f"{type(self).__name__}({', '.join(shown)})"


def default_of(field: "attrs.Attribute[Any]") -> Any:
    """Return the default of a model's field, `attrs.NOTHING` for a required one."""
    make = getattr(field.default, "factory", None)
    return field.default if make is None else make()


def is_extra(field: "attrs.Attribute[Any]") -> bool:
    """Return whether a model's field holds what the model does not know, instead of the JSON field of its name."""
    return bool(field.metadata.get("is_extra"))


@attrs.frozen(kw_only=True, repr=False)
class PrimitiveError(SparseRepr):
    """Why a run failed.

    Attributes:
        code: Machine-readable reason, an open vocabulary.
        message: Explanation for people.
        details: More facts, if the API sent any.
    """

    code: str = ""
    message: str = ""
    details: Mapping[str, Any] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True, repr=False)
class FileRef(SparseRepr):
    """Reference to a document as the service stored it; fields that the API left out are empty."""

    id: str
    filename: str = ""
    mime_type: str = ""


@attrs.frozen(kw_only=True, repr=False)
class MIMEData(SparseRepr):
    """A document by its `url`: an https URL, or a `data:` URL with the content."""

    filename: str
    url: str = attrs.field(repr=False)

    def __repr__(self) -> str:
        # A data: URL holds a whole document after its comma, and a query may hold a signature.
        head, mark, _ = str(self.url).partition("," if str(self.url)[:5].lower() == "data:" else "?")
        shown = f"{head}{mark}..." if mark else self.url
        return f"{type(self).__name__}(filename={self.filename!r}, url={shown!r:.500})"


@attrs.frozen(kw_only=True, repr=False)
class UploadedFile(MIMEData):
    """An uploaded file: usable as the document of any number of creates, known to the API by its `id`."""

    id: str

    def __repr__(self) -> str:
        return MIMEData.__repr__(self).replace("(", f"(id={self.id!r}, ", 1)


@attrs.frozen(kw_only=True, repr=False)
class RetabUsage(SparseRepr):
    """What a run cost.

    Attributes:
        credits: Credits, possibly fractional; one credit is $0.01. None for an old run whose cost is unknown.
    """

    credits: float | None = None

    @property
    def dollars(self) -> float | None:
        """The cost in US dollars, at the documented rate."""
        return None if self.credits is None else self.credits * DOLLARS_PER_CREDIT


class _NoExtra(Mapping[str, Any]):
    """Empty mapping that all runs without extra fields share."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        # Copies and pickles are the same object.
        return "NO_EXTRA"


NO_EXTRA: Mapping[str, Any] = _NoExtra()


@attrs.frozen(kw_only=True, repr=False)
class Run(OfficialNames, SparseRepr, ABC):
    """Base of all kinds of run: id, status, error and creation time, wherever their JSON keeps them.

    Attributes:
        id: The id of the run.
        extra: Fields of its JSON that this version of the library does not know, as they came; part of `to_dict()`.
    """

    id: str
    extra: Mapping[str, Any] = attrs.field(default=NO_EXTRA, hash=False, metadata={"is_extra": True})

    @property
    @abstractmethod
    def status(self) -> RunStatus:
        """Current status."""

    @property
    @abstractmethod
    def error(self) -> PrimitiveError | None:
        """Why the run failed, None unless it did."""

    @property
    @abstractmethod
    def created_at(self) -> datetime | None:
        """Creation time as an aware `datetime`, None if the API left it out."""

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON values, in the format of the API."""
        fields: dict[str, Any] = _converter().unstructure(self)
        return fields

    def to_json(self) -> str:
        """Return the run as a JSON text; NaN and infinities in its output become null."""
        return dumps_any(self.to_dict()).decode()

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the run that `to_dict` gave, or the API, as JSON values.

        Raises:
            ValueError: The fields are not those of a run of this kind; the message names the path.
        """
        run: Self = _converter().make_structurer(cls)(dict(fields))
        return run


def _converter() -> Any:
    # By name: the converter is built from these models, and loads cattrs only when it is needed.
    return import_module("retab_async.converter")


@attrs.frozen(kw_only=True, repr=False)
class Primitive(Run):
    """A run of a document kind, whose status is at the top level of its JSON."""

    status: RunStatus = attrs.field(converter=to_status)
    error: PrimitiveError | None = None
    created_at: datetime | None = None
