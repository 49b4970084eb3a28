"""Cancel server that enforces a rate limit, scaled down to seconds; prints its port, and serves its counts at /counted.

    python benchmarks/limited_server.py LIMIT REQUESTS SECONDS [--retry-after] [--latency 0.01]

The limits: `rolling` accepts N requests within any SECONDS. `bucket` accepts a fifth of them at once, then evenly, as
nginx's `limit_req` does without delay. `fixed` accepts N in each window, the first of which begins with the first
request. `stick-table` is haproxy's `http_req_rate` with a deny rule: two counters approximate the window, and refused
requests count too.
"""

import argparse
import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop

# Returns the seconds after which to retry, 0 for an accepted request.
Limit = Callable[[float], float]


def rolling(requests: int, seconds: float) -> Limit:
    taken: deque[float] = deque()

    def take(now: float) -> float:
        while taken and taken[0] <= now - seconds:
            taken.popleft()
        if len(taken) >= requests:
            return taken[0] + seconds - now
        taken.append(now)
        return 0.0

    return take


def bucket(requests: int, seconds: float) -> Limit:
    size, rate = requests / 5, requests / seconds
    level, filled = size, 0.0

    def take(now: float) -> float:
        nonlocal level, filled
        level, filled = min(size, level + (now - filled) * rate), now
        if level < 1:
            return (1 - level) / rate
        level -= 1
        return 0.0

    return take


def fixed(requests: int, seconds: float) -> Limit:
    window_end, left = 0.0, 0

    def take(now: float) -> float:
        nonlocal window_end, left
        if now >= window_end:
            # The next windows follow the first one without a gap.
            elapsed = (now - window_end) // seconds + 1
            window_end = window_end + seconds * elapsed if window_end else now + seconds
            left = requests
        if not left:
            return window_end - now
        left -= 1
        return 0.0

    return take


def stick_table(requests: int, seconds: float) -> Limit:
    tick, current, previous = 0.0, 0, 0

    def take(now: float) -> float:
        nonlocal tick, current, previous
        if now - tick >= seconds:
            is_next = now - tick < 2 * seconds
            previous, current = current if is_next else 0, 0
            tick = tick + seconds if is_next else now
        current += 1
        rate = current + previous * (1 - (now - tick) / seconds)
        return seconds if rate > requests else 0.0

    return take


LIMITS = {"rolling": rolling, "bucket": bucket, "fixed": fixed, "stick-table": stick_table}


class Limited(asyncio.Protocol):
    """Responds after the latency; with a 429 above the limit."""

    done = 0
    refused = 0
    first = 0.0
    last = 0.0

    def __init__(self, take: Limit, latency: float, *, sends_retry_after: bool) -> None:
        self.take = take
        self.latency = latency
        self.sends_retry_after = sends_retry_after
        self.pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        *requests, self.pending = (self.pending + data).split(b"\r\n\r\n")
        for request in requests:
            if request.startswith(b"GET /counted"):
                counts = {"done": Limited.done, "refused": Limited.refused, "took": Limited.last - Limited.first}
                self.respond(200, json.dumps(counts).encode())
            else:
                self.cancel(request)

    def cancel(self, request: bytes) -> None:
        now = time.monotonic()
        Limited.first, Limited.last = Limited.first or now, now
        wait = self.take(now)
        if wait:
            Limited.refused += 1
            headers = b"Retry-After: %.3f\r\n" % wait if self.sends_retry_after else b""
            self.respond_later(429, b'{"detail":"slow down"}', headers)
            return
        Limited.done += 1
        run_id = request.split(b" ", 2)[1].split(b"/")[3]
        self.respond_later(200, b'{"id":"%s","status":"cancelled","error":null}' % run_id)

    def respond_later(self, status: int, body: bytes, headers: bytes = b"") -> None:
        asyncio.get_running_loop().call_later(self.latency, self.respond, status, body, headers)

    def respond(self, status: int, body: bytes, headers: bytes = b"") -> None:
        head = b"HTTP/1.1 %d Status\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
        self.transport.write(head % (status, len(body), headers) + body)


async def main(options: Any) -> None:
    take = LIMITS[options.limit](options.requests, options.seconds)
    loop = asyncio.get_running_loop()
    make = partial(Limited, take, options.latency, sends_retry_after=options.retry_after)
    server = await loop.create_server(make, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("limit", choices=LIMITS)
    parser.add_argument("requests", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--retry-after", action="store_true")
    parser.add_argument("--latency", type=float, default=0.01)
    uvloop.run(main(parser.parse_args()))
