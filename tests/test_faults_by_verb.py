"""The same for the ways to a server: what TLS may hold against it, and what a proxy in between may do."""

import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from clients import ONCE, client_for
from fault_harness import ALL, PROXY_WORD, VERBS, Case, LeakCheck, by_verb, came_of, no_leaks
from payloads import BARE_SPLIT
from raw_server import (
    Early,
    Step,
    close_early,
    raw_server,
    reply,
    reset,
    say_and_close,
    say_and_stall,
    stall,
    tunnel,
    unused_port,
)

from retab_async import APIConnectionError, APITimeoutError, RetryPolicy

ok = reply(BARE_SPLIT)
TWICE: dict[str, Any] = {"retry": RetryPolicy(attempts=2, wait_initial=0.001)}
HASTY: dict[str, Any] = {"timeout": 0.5, "retry": ONCE}
UNTRUSTED = Case((ok,), APIConnectionError, "the server's certificate is not trusted", 0, final=True)
NO_CONNECTION = Case((ok,), APIConnectionError, "no connection to the host", 0, 2, TWICE)


# TLS


class Authority:
    """Who is trusted, what servers show, and what clients show."""

    def __init__(self) -> None:
        self.own, self.other = trustme.CA(), trustme.CA()

    def server(self, issuer: trustme.CA, host: str = "127.0.0.1", **told: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issuer.issue_cert(host, **told).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.own.configure_trust(context)
        return context

    def good(self) -> ssl.SSLContext:
        return self.server(self.own)

    def expired(self) -> ssl.SSLContext:
        now = datetime.now(UTC)
        return self.server(self.own, not_before=now - timedelta(days=2), not_after=now - timedelta(days=1))

    def of_another_host(self) -> ssl.SSLContext:
        return self.server(self.own, "elsewhere.test")

    def signed_by_somebody(self) -> ssl.SSLContext:
        return self.server(self.other)

    def old(self) -> ssl.SSLContext:
        context = self.good()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def demanding(self) -> ssl.SSLContext:
        context = self.good()
        context.verify_mode = ssl.CERT_REQUIRED
        self.own.configure_trust(context)
        return context

    def modern_only(self) -> ssl.SSLContext:
        context = self.client()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    def introduced(self) -> ssl.SSLContext:
        context = self.client()
        self.own.issue_cert("a-client.test").configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


Context = Callable[[Authority], ssl.SSLContext]
# What the server shows, what the client trusts and shows, and what comes of it.
HANDSHAKES: dict[str, tuple[Context, Context, Case]] = {
    "trusted": (Authority.good, Authority.client, Case((ok,))),
    "expired": (Authority.expired, Authority.client, UNTRUSTED),
    "of another host": (Authority.of_another_host, Authority.client, UNTRUSTED),
    "signed by somebody": (Authority.signed_by_somebody, Authority.client, UNTRUSTED),
    "too old": (Authority.old, Authority.modern_only, NO_CONNECTION),
    "of one that knows us": (Authority.demanding, Authority.introduced, Case((ok,))),
    # With TLS 1.3 it is told only after the client's part of the handshake.
    "of one that does not know us": (Authority.demanding, Authority.client, NO_CONNECTION._replace(says="")),
    "of one that resets": (Authority.good, Authority.client, Case((reset, ok), sends=2, connections=2)),
}


@pytest.mark.parametrize("verb", ALL)
@pytest.mark.parametrize("handshake", HANDSHAKES.values(), ids=HANDSHAKES)
async def test_a_certificate_that_is(
    handshake: tuple[Context, Context, Case], verb: str, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    shown, trusted, case = handshake
    async with no_leaks(caplog), AsyncExitStack() as opened:
        server = await opened.enter_async_context(raw_server(*case.steps, ssl=shown(authority)))
        settings = {"ssl": trusted(authority), **case.settings}
        client = await opened.enter_async_context(client_for(server.url, **settings))
        whole = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await whole.check()

        # Handshakes that fail are no connections to asyncio's server.
        case._replace(connections=server.connections).check(outcome, server)


# What the server does when it is greeted.
GREETED: dict[str, Case] = {
    "stalls": Case((Early(stall, 1),), APITimeoutError, "no answer within 0.5 s", 0, settings=HASTY),
    "breaks off": NO_CONNECTION._replace(steps=(Early(close_early, 1),)),
    "resets": NO_CONNECTION._replace(steps=(Early(reset, 1),)),
    "is plain HTTP": NO_CONNECTION._replace(steps=(Early(say_and_close(b"HTTP/1.1 400 Told\r\n\r\n"), 1),)),
}


@pytest.mark.parametrize(("case", "verb"), by_verb(GREETED))
async def test_a_handshake_that(case: Case, verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with no_leaks(caplog), AsyncExitStack() as opened:
        server = await opened.enter_async_context(raw_server(*case.steps))
        address = server.url.replace("http", "https")
        client = await opened.enter_async_context(client_for(address, **case.settings))
        whole = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await whole.check()

        case.check(outcome, server)


# Proxies


def refused(step: Step) -> Case:
    return Case((step,), APIConnectionError, "the proxy refused to connect to the host", final=True)


def broken(step: Step) -> Case:
    return Case((step,), APIConnectionError, "", 2, 2, TWICE)


def late(step: Step) -> Case:
    return Case((step,), APITimeoutError, "no answer within 0.5 s", settings=HASTY)


# What the proxy does with each CONNECT; sends and connections are the proxy's.
PROXIES: dict[str, Case] = {
    "refuses": refused(reply(b"", 403)),
    "wants to know who asks": refused(reply(b"", 407, {"Proxy-Authenticate": "Basic"})),
    "cannot reach the host": refused(reply(b"", 502)),
    "redirects": refused(reply(b"", 302, {"Location": "http://127.0.0.1:9"})),
    "breaks off": broken(close_early),
    "resets": broken(reset),
    "is none": broken(say_and_close(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    "connects to nothing": broken(say_and_close(b"HTTP/1.1 200 Connected\r\n\r\n")),
    "connects and stalls": late(say_and_stall(b"HTTP/1.1 200 Connected\r\n\r\n")),
    "stalls": late(stall),
    "stalls in its answer": late(say_and_stall(b"HTTP/1.1 200 Conn")),
}


def named(url: str) -> str:
    return url.replace("http://", f"http://user:{PROXY_WORD}@")


@pytest.mark.parametrize(("case", "verb"), by_verb(PROXIES))
async def test_a_proxy_that(case: Case, verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with no_leaks(caplog), AsyncExitStack() as opened:
        proxy = await opened.enter_async_context(raw_server(*case.steps))
        settings = {"proxy": named(proxy.url), **case.settings}
        client = await opened.enter_async_context(client_for("https://retab.invalid", **settings))
        whole = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await whole.check()

        case.check(outcome, proxy)
        assert {request.method for request in proxy.requests} == {"CONNECT"}
        assert "api-key" not in str([request.headers for request in proxy.requests])


@pytest.mark.parametrize("verb", ALL)
async def test_a_proxy_that_is_not_there(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    address = named(f"http://127.0.0.1:{unused_port()}")
    async with no_leaks(caplog), client_for("https://retab.invalid", proxy=address, **TWICE) as client:
        whole = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await whole.check()

        assert "the proxy could not be reached: 127.0.0.1" in str(outcome)


# The certificate behind the tunnel, and what comes of it.
TUNNELLED: dict[str, tuple[Context, Case]] = {
    "a trusted server": (Authority.good, Case((ok,))),
    "an expired one": (Authority.expired, UNTRUSTED),
    "one that resets": (Authority.good, Case((reset, ok), None, "", 2, 2)),
}


@pytest.mark.parametrize("verb", ALL)
@pytest.mark.parametrize(("shown", "case"), TUNNELLED.values(), ids=TUNNELLED)
async def test_a_tunnel_to(
    shown: Context, case: Case, verb: str, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with no_leaks(caplog), AsyncExitStack() as opened:
        server = await opened.enter_async_context(raw_server(*case.steps, ssl=shown(authority)))
        proxy = await opened.enter_async_context(raw_server(tunnel(server)))
        settings = {"ssl": authority.client(), "proxy": named(proxy.url)}
        client = await opened.enter_async_context(client_for(server.url, **settings))
        whole = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await whole.check()

        case._replace(connections=server.connections).check(outcome, server)
        assert proxy.connections == case.connections
