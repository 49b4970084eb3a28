"""Benchmark server: answers every request with the same run, under the id that was asked for; prints its ports.

    python benchmarks/server.py ANSWER...

An answer is `three` or `full` (the fields of the run), `gzip` or `chunked` (three fields, in that encoding).
"""

import asyncio
import sys
import zlib
from collections.abc import Callable
from functools import partial

import uvloop

ID = b"splt_00000000"
BODIES = {
    "three": b'{"id":"splt_00000000","status":"cancelled","error":null}',
    "full": (
        b'{"id":"splt_00000000","file":{"id":"file_7c2e","filename":"batch.pdf","mime_type":"application/pdf"},'
        b'"model":"retab-small","subdocuments":['
        b'{"name":"invoice","description":"a bill","allow_multiple_instances":true},'
        b'{"name":"receipt","description":"","allow_multiple_instances":false}],"n_consensus":1,"instructions":null,'
        b'"created_at":"2026-11-02T09:30:00Z","output":[],"status":"cancelled","error":null,"consensus":null,"usage":null}'
    ),
}


def message(headers: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%b\r\n\r\n%b" % (headers, body)


def fixed(body: bytes) -> Callable[[bytes], bytes]:
    before, after = message(b"Content-Length: %d" % len(body), body).split(ID)
    return lambda run_id: before + run_id + after


def chunked(body: bytes) -> Callable[[bytes], bytes]:
    before, after = message(b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)).split(ID)
    return lambda run_id: before + run_id + after


def gzipped(body: bytes) -> Callable[[bytes], bytes]:
    # A stored block: the server must not be what the benchmark measures.
    size = len(body).to_bytes(2, "little")
    start = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01" + size + bytes(255 - byte for byte in size)
    head = message(b"Content-Encoding: gzip\r\nContent-Length: %d" % (len(start) + len(body) + 8), start)
    before, after = body.split(ID)

    def respond(run_id: bytes) -> bytes:
        content = before + run_id + after
        trailer = zlib.crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")
        return head + content + trailer

    return respond


ANSWERS = {
    "three": fixed(BODIES["three"]),
    "full": fixed(BODIES["full"]),
    "gzip": gzipped(BODIES["three"]),
    "chunked": chunked(BODIES["three"]),
}


class FixedResponse(asyncio.Protocol):
    """Responds as soon as the headers of a request are complete; the requests of the benchmark have no body."""

    def __init__(self, respond: Callable[[bytes], bytes]) -> None:
        self.respond = respond
        self.pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self.pending = (self.pending + data).split(b"\r\n\r\n")
        ids = (request[(start := request.index(b"splt_")) : start + len(ID)] for request in requests)
        self.transport.write(b"".join(map(self.respond, ids)))  # type: ignore[attr-defined]


async def main(answers: list[str]) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(partial(FixedResponse, ANSWERS[answer]), "127.0.0.1", 0) for answer in answers]
    for server in servers:
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
