"""Source of the items of a process job: documents from any iterable, each with the arguments of its run."""

import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from hashlib import blake2b
from inspect import signature
from typing import Any, Generic, TypeVar

import attrs

from retab_async.bulk import ItemSource
from retab_async.documents import DocumentField, DocumentIdentity, identify_document
from retab_async.models import MIMEData, Run, UploadedFile
from retab_async.scope import CreateSpec, RunScope
from retab_async.validation import reject

RunT = TypeVar("RunT", bound=Run)

# Arguments of `create` that a job decides.
_RESERVED = {
    "idempotency_key": "it is derived from the document and the arguments",
    "background": "all runs of the job are in the background",
}


class ProcessItem:
    """One document of a process job, from its source to its result.

    Attributes:
        value: What the caller gave.
        arguments: The arguments of its run, the document among them.
        name: The name of the document; empty before it is prepared.
        key: Identifies the document and the arguments; empty before it is prepared.
        file: The file as which it was uploaded: another one under the same idempotency key would be a conflict.
    """

    def __init__(self, value: Any, arguments: Mapping[str, Any]) -> None:
        self.value = value
        self.arguments = arguments
        self.name: str = ""
        self.key: str = ""
        self.file: MIMEData | None = None
        self._spec = CreateSpec({}, "", None)

    async def prepare(self, running: Callable[..., RunScope[Any]], kind: str, *, max_seconds: float) -> None:
        """Validate the arguments, and derive the name and the key.

        Args:
            running: The method that checks the arguments.
            kind: The kind of the run.
            max_seconds: Seconds within which a file system must respond.

        Raises:
            InvalidRequestError: The arguments are invalid.
        """
        self._spec = _checked(running, self.arguments).spec or self._spec
        identity = DocumentIdentity("", "")
        document = self.arguments.get("document")
        if document is not None:
            filename = self.arguments.get("filename")
            identity = await identify_document(document, filename, max_seconds=max_seconds)
        self.name = identity.name
        self.key = _hash(kind, identity.digest, identity.revision, _canonical(self._spec.fields))

    def create_spec(self, generation: int, on_uploaded: Callable[[UploadedFile], Awaitable[None]]) -> CreateSpec:
        """Return the run to create: of the same key for the same document, arguments and generation.

        Args:
            generation: Number of earlier runs of the document.
            on_uploaded: Awaited once the document was uploaded, before the create is sent.
        """
        fields = dict(self._spec.fields)
        field = fields.get("document")
        if isinstance(field, DocumentField):
            file = self.file
            fields["document"] = attrs.evolve(field, on_uploaded=on_uploaded) if file is None else DocumentField(file)
        key = _hash(self.key, str(generation))
        return self._spec._replace(fields=fields, key=f"process-{key}", callers_key=None)


class DocumentSource(ItemSource[ProcessItem], Generic[RunT]):
    """Items of a process job.

    Args:
        values: Documents, pairs of a filename and a document, or mappings of the arguments that differ.
        running: The method of the kind that checks the arguments of a run.
        arguments: The arguments that all runs share.

    Raises:
        InvalidRequestError: The values are no iterable, or an argument is reserved.
        TypeError: An argument is not one of the kind's.
    """

    def __init__(
        self,
        values: Iterable[Any] | AsyncIterable[Any],
        running: Callable[..., RunScope[RunT]],
        arguments: Mapping[str, Any],
    ) -> None:
        if isinstance(values, Mapping | bytearray | memoryview):
            reject(f"items must be an iterable of several documents, not a {type(values).__name__}")
        super().__init__(values, "items must be an iterable of several documents")
        self._arguments = dict(arguments)
        _check_names(running, self._arguments)

    def _to_item(self, value: Any) -> ProcessItem:
        own = value if isinstance(value, Mapping) else {"document": value}
        return ProcessItem(value, {**self._arguments, **own})


def _check_names(running: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    for name, reason in _RESERVED.items():
        if name in arguments:
            reject(f"{name} is not an argument of a process job: {reason}")
    signature(running).bind_partial(**arguments)


def _checked(running: Callable[..., RunScope[Any]], arguments: Mapping[str, Any]) -> RunScope[Any]:
    try:
        _check_names(running, arguments)
        signature(running).bind(**arguments)
    except TypeError as error:
        reject(f"the arguments of this document are not those of a run: {error}")
    return running(**arguments)


def _canonical(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, default=_without_document)


def _without_document(value: Any) -> Any:
    return None if isinstance(value, DocumentField) else dict(value)


def _hash(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
