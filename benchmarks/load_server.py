"""Server of `load.py`, in a process of its own: fixed responses at full speed, or the emulator with active runs.

    python benchmarks/load_server.py responses LATENCY
    python benchmarks/load_server.py attack NAME SCALE
    python benchmarks/load_server.py emulator COUNT SECONDS

Prints one JSON line with its `url`, and the `ids` of the runs on the emulator. Ends with its stdin.
"""

import asyncio
import gzip
import json
import sys
from collections.abc import Callable

from retab_async.emulator import Emulator

MIB = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
WARM_UP = b"splt_warm"
RUN = b'{"id":"splt_1","status":"completed","error":null'


def response(body: bytes, *, is_gzip: bool = False, status: bytes = OK) -> bytes:
    content = gzip.compress(body, 6) if is_gzip else body
    encoding = b"Content-Encoding: gzip\r\n" if is_gzip else b""
    return status + encoding + b"Content-Length: %d\r\n\r\n" % len(content) + content


def cancelled(target: bytes) -> bytes:
    run_id = target.split(b"/")[3].partition(b"?")[0]
    return response(b'{"id":"%s","status":"cancelled","error":null}' % run_id)


# The responses of a hostile server, at full scale.
ATTACKS: dict[str, Callable[[float], bytes]] = {
    "expanded-result": lambda scale: response(
        RUN
        + b',"output":['
        + b",".join([b'{"name":"a","pages":[1,2,3],"regions":[]}'] * int(1_500_000 * scale))
        + b"]}",
        is_gzip=True,
    ),
    "expanded-page": lambda scale: response(
        b'{"data":[' + b",".join([b"{}"] * int(1_000_000 * scale)) + b'],"list_metadata":{}}', is_gzip=True
    ),
    "expanded-zeros": lambda scale: response(bytes(int(600 * MIB * scale)), is_gzip=True),
    "deep-error": lambda _: response(
        b'{"details":' + b"[" * 983 + b"]" * 983 + b"}", status=OK.replace(b"200 OK", b"400 Bad Request")
    ),
    # Followed by empty lines for as long as the client reads.
    "empty-lines": lambda _: OK.replace(b"json", b"stream+json") + b"Transfer-Encoding: chunked\r\n\r\n",
}
STREAM_HEAD_END = b"chunked\r\n\r\n"
EMPTY_LINES = b"10000\r\n" + b"\n" * 0x10000 + b"\r\n"


class FixedResponses(asyncio.Protocol):
    """Answers every request, in order, `latency` seconds after it is complete."""

    def __init__(self, respond: Callable[[bytes], bytes], latency: float, endless: bytes = b"") -> None:
        self._respond = respond
        self._latency = latency
        self._endless = endless
        self._buffer = b""
        self._can_write = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._can_write.set()

    def connection_lost(self, _: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            _, _, length = head.lower().partition(b"content-length:")
            size = end + 4 + int(length.split(b"\r\n", 1)[0] or 0)
            if len(self._buffer) < size:
                return
            self._buffer = self._buffer[size:]
            self._send(self._respond(head.split(b" ", 2)[1]))

    def _send(self, answer: bytes) -> None:
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._transport.write, answer)
        else:
            self._transport.write(answer)
        if self._endless and answer.endswith(STREAM_HEAD_END):
            self._task = asyncio.create_task(self._send_endlessly())

    async def _send_endlessly(self) -> None:
        while not self._transport.is_closing():
            await self._can_write.wait()
            self._transport.write(self._endless)
            await asyncio.sleep(0)


async def until_stdin_ends() -> None:
    await asyncio.to_thread(sys.stdin.read)


async def serve(make: Callable[[], FixedResponses]) -> None:
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "ids": []}), flush=True)
    await until_stdin_ends()
    server.close()


async def emulate(count: int, seconds: float) -> None:
    async with Emulator(queued=0, running=seconds) as emulator:
        print(json.dumps({"url": emulator.url, "ids": emulator.seed("splits", count)}), flush=True)
        await until_stdin_ends()


def main() -> None:
    match sys.argv[1:]:
        case ["responses", latency]:
            asyncio.run(serve(lambda: FixedResponses(cancelled, float(latency))))
        case ["attack", name, scale]:
            answer = ATTACKS[name](float(scale))
            endless = EMPTY_LINES if name == "empty-lines" else b""
            asyncio.run(
                serve(
                    lambda: FixedResponses(
                        lambda target: cancelled(target) if WARM_UP in target else answer, 0, endless
                    )
                )
            )
        case ["emulator", count, seconds]:
            asyncio.run(emulate(int(count), float(seconds)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
