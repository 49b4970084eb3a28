"""The bodies of requests that carry a document: within JSON, or by itself."""

from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import attrs
import orjson

from retab_async.documents.sources import Source
from retab_async.models import MIMEData
from retab_async.protocol import BytesBody

# Bytes of a document that are read and encoded at once: few enough to keep memory and the time for which a thread holds
# the interpreter small, enough for the way to a thread not to count, and a multiple of 3, which base64 joins up at.
PIECE = 3 * 128 * 1024


def linking_body(document: MIMEData, fields: Mapping[str, Any]) -> BytesBody:
    """Return the JSON of a request whose document the API has, or fetches, by its URL."""
    return BytesBody(orjson.dumps({"document": {"filename": document.filename, "url": document.url}, **fields}))


@attrs.frozen(eq=False)
class InlineBody:
    """The JSON of a request with its document inside."""

    source: Source
    head: bytes
    tail: bytes
    media_type: str = attrs.field(default="application/json", init=False)

    @classmethod
    def of(cls, source: Source, fields: Mapping[str, Any]) -> "InlineBody":
        """Return the body in which the document stands before these fields, of which there is at least one."""
        label = source.label
        start = orjson.dumps({"document": {"filename": label.filename, "url": f"data:{label.media_type};base64,"}})
        # Up to where the text of the URL would end, and on from there.
        return cls(source, start.removesuffix(b'"}}'), b'"},' + orjson.dumps(dict(fields))[1:])

    @property
    def length(self) -> int:
        """The Content-Length."""
        return len(self.head) + (self.source.label.size + 2) // 3 * 4 + len(self.tail)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the JSON piece by piece."""
        yield self.head
        for start in range(0, self.source.label.size, PIECE):
            yield await self.source.read(start, PIECE, b64encode)
        yield self.tail


@attrs.frozen(eq=False)
class RawBody:
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
