"""Benchmark server: answers every request with the same run, under the id that was asked for; prints its port."""

import asyncio
import sys

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


class FixedResponse(asyncio.Protocol):
    """Responds as soon as the headers of a request are complete; the requests of the benchmark have no body."""

    def __init__(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.before, self.after = (head + body).split(ID)
        self.pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self.pending = (self.pending + data).split(b"\r\n\r\n")
        ids = (request[(start := request.index(b"splt_")) : start + len(ID)] for request in requests)
        self.transport.write(b"".join(self.before + run_id + self.after for run_id in ids))  # type: ignore[attr-defined]


async def main(body: bytes) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: FixedResponse(body), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(BODIES[sys.argv[1]]))
