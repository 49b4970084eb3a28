"""Bodies of requests that carry documents: JSON with documents inside, or the bytes of one document."""

from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from secrets import token_hex
from typing import Any

import attrs
import orjson

from retab_async.documents.field import DocumentField
from retab_async.documents.sources import PIECE_SIZE, Source
from retab_async.json_codec import dumps
from retab_async.models import MIMEData
from retab_async.protocol import BytesBody


@attrs.frozen(eq=False)
class JSONBody:
    """JSON with documents inside: each source among the `parts` is sent as its bytes in base64."""

    parts: tuple[bytes | Source, ...]
    media_type: str = attrs.field(default="application/json", init=False)

    @property
    def length(self) -> int:
        """The Content-Length."""
        return sum(len(part) if isinstance(part, bytes) else base64_length(part) for part in self.parts)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the JSON piece by piece."""
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
                continue
            for start in range(0, part.info.size, PIECE_SIZE):
                yield await part.read(start, PIECE_SIZE, b64encode)


@attrs.frozen(eq=False)
class FileBody:
    """The bytes of one document."""

    source: Source
    media_type: str

    @property
    def length(self) -> int:
        """The Content-Length."""
        return self.source.info.size

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes piece by piece."""
        for start in range(0, self.length, PIECE_SIZE):
            yield await self.source.read(start, PIECE_SIZE, bytes)


class JSONTemplate:
    """The JSON of a request with a gap for each of its `documents`, which `fill` closes."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.documents: list[DocumentField] = []
        self._marks: list[str] = []
        # The encoder meets every field once and hands over what it does not know.
        self._json = dumps(fields, self._mark)

    def fill(self, values: list[MIMEData | Source]) -> BytesBody | JSONBody:
        """Return the body with a URL or the bytes of a source in the place of each document."""
        parts: list[bytes | Source] = []
        rest = self._json
        for mark, value in zip(self._marks, values, strict=True):
            before, _, rest = rest.partition(f'"{mark}"'.encode())
            parts += (before, *_render(value))
        parts.append(rest)
        literals = [part for part in parts if isinstance(part, bytes)]
        return BytesBody(b"".join(literals)) if len(literals) == len(parts) else JSONBody(tuple(parts))

    def _mark(self, value: Any) -> Any:
        if not isinstance(value, DocumentField):
            # A mapping that is no dict; a TypeError for anything else.
            return dict(value)
        if value in self.documents:
            # A second pass over the fields, for integers beyond 64 bits.
            return self._marks[self.documents.index(value)]
        self.documents.append(value)
        # Random: no text of the caller's can be taken for the place of a document.
        self._marks.append(token_hex())
        return self._marks[-1]


def base64_length(source: Source) -> int:
    """Return the length of a document in base64."""
    return (source.info.size + 2) // 3 * 4


def _render(value: MIMEData | Source) -> tuple[bytes | Source, ...]:
    if isinstance(value, MIMEData):
        return (orjson.dumps({"filename": value.filename, "url": value.url}),)
    info = value.info
    head = orjson.dumps({"filename": info.filename, "url": f"data:{info.media_type};base64,"})
    return head.removesuffix(b'"}'), value, b'"}'
