"""The bodies of requests that carry a document: within JSON, or by itself."""

from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from secrets import token_hex
from typing import Any

import attrs
import orjson

from retab_async.documents.open import Document
from retab_async.documents.sources import PIECE, Source
from retab_async.models import MIMEData
from retab_async.protocol import BytesBody


@attrs.frozen(eq=False)
class DocumentField:
    """Stands for a document among the fields of a request, wherever it is to be in the JSON."""

    document: Document


@attrs.frozen(eq=False)
class JSONBody:
    """The JSON of a request with documents inside: in `parts`, a source is its bytes in base64."""

    parts: tuple[bytes | Source, ...]
    media_type: str = attrs.field(default="application/json", init=False)

    @property
    def length(self) -> int:
        """The Content-Length."""
        return sum(len(part) if isinstance(part, bytes) else encoded_length(part) for part in self.parts)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the JSON piece by piece."""
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
                continue
            for start in range(0, part.label.size, PIECE):
                yield await part.read(start, PIECE, b64encode)


def encoded_length(source: Source) -> int:
    """Return how many bytes of JSON the bytes of a document are."""
    return (source.label.size + 2) // 3 * 4


def build_json_body(
    fields: Mapping[str, Any], places: Mapping[DocumentField, MIMEData | Source]
) -> BytesBody | JSONBody:
    """Return the JSON of a request whose documents the API has by a URL, or gets from these sources."""
    marks: dict[bytes, Source] = {}

    def written(value: Any) -> Any:
        if not isinstance(value, DocumentField):
            return value
        place = places[value]
        if isinstance(place, MIMEData):
            return {"filename": place.filename, "url": place.url}
        # Random: nothing that a caller says can be taken for the place of a document.
        mark = token_hex()
        marks[mark.encode()] = place
        return {"filename": place.label.filename, "url": f"data:{place.label.media_type};base64,{mark}"}

    text = orjson.dumps(_replaced(fields, written))
    parts: list[bytes | Source] = []
    for mark, source in marks.items():
        before, _, text = text.partition(mark)
        parts += (before, source)
    return JSONBody((*parts, text)) if marks else BytesBody(text)


def attachments(value: Any) -> Iterator[DocumentField]:
    """Give the attachments among the fields of a request, in the order of the JSON."""
    found: list[DocumentField] = []
    _replaced(value, lambda each: found.append(each) if isinstance(each, DocumentField) else each)
    return iter(found)


def _replaced(value: Any, by: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: _replaced(each, by) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(each, by) for each in value]
    return by(value)


@attrs.frozen(eq=False)
class FileBody:
    """A document as it is."""

    source: Source
    media_type: str

    @property
    def length(self) -> int:
        """The Content-Length."""
        return self.source.label.size

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes piece by piece."""
        for start in range(0, self.length, PIECE):
            yield await self.source.read(start, PIECE, bytes)
