"""Tables of TLS and proxy faults with their expected outcomes."""

import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from clients import ONCE, client_for
from fault_harness import ALL, PROXY_WORD, VERBS, Case, LeakCheck, by_verb, came_of, no_leaks
from payloads import BARE_SPLIT, SPLIT_ID
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
SHORT_TIMEOUT: dict[str, Any] = {"timeout": 0.5, "retry": ONCE}
UNTRUSTED = Case((ok,), APIConnectionError, "the server's certificate is not trusted", 0, final=True)
NO_CONNECTION = Case((ok,), APIConnectionError, "no connection to the host", 0, 2, TWICE)


# TLS


class Authority:
    """Certificates of servers and clients, from a trusted and an untrusted authority."""

    def __init__(self) -> None:
        self.own, self.other = trustme.CA(), trustme.CA()

    def server(self, issuer: trustme.CA, host: str = "127.0.0.1", **options: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issuer.issue_cert(host, **options).configure_cert(context)
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
        return self.server(self.own, "other.test")

    def untrusted(self) -> ssl.SSLContext:
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

    def with_certificate(self) -> ssl.SSLContext:
        context = self.client()
        self.own.issue_cert("a-client.test").configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


Context = Callable[[Authority], ssl.SSLContext]
# Server context, client context, and expected outcome.
HANDSHAKES: dict[str, tuple[Context, Context, Case]] = {
    "trusted": (Authority.good, Authority.client, Case((ok,))),
    "expired": (Authority.expired, Authority.client, UNTRUSTED),
    "of another host": (Authority.of_another_host, Authority.client, UNTRUSTED),
    "untrusted": (Authority.untrusted, Authority.client, UNTRUSTED),
    "too old": (Authority.old, Authority.modern_only, NO_CONNECTION),
    "client certificate given": (Authority.demanding, Authority.with_certificate, Case((ok,))),
    # With TLS 1.3 it is reported only after the client's part of the handshake.
    "client certificate missing": (Authority.demanding, Authority.client, NO_CONNECTION._replace(says="")),
    "reset after the handshake": (Authority.good, Authority.client, Case((reset, ok), sends=2, connections=2)),
}


@pytest.mark.parametrize("verb", ALL)
@pytest.mark.parametrize("handshake", HANDSHAKES.values(), ids=HANDSHAKES)
async def test_a_tls_handshake_ends_as_specified(
    handshake: tuple[Context, Context, Case], verb: str, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    shown, trusted, case = handshake
    async with no_leaks(caplog), AsyncExitStack() as opened:
        server = await opened.enter_async_context(raw_server(*case.steps, ssl=shown(authority)))
        settings = {"ssl": trusted(authority), **case.settings}
        client = await opened.enter_async_context(client_for(server.url, **settings))
        leaks = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await leaks.check()

        # Handshakes that fail are no connections to asyncio's server.
        case._replace(connections=server.connections).check(outcome, server)


# What the server does after the first bytes of the handshake.
HANDSHAKE_FAULTS: dict[str, Case] = {
    "stalls": Case((Early(stall, 1),), APITimeoutError, "no answer within 0.5 s", 0, settings=SHORT_TIMEOUT),
    "breaks off": NO_CONNECTION._replace(steps=(Early(close_early, 1),)),
    "resets": NO_CONNECTION._replace(steps=(Early(reset, 1),)),
    "is plain HTTP": NO_CONNECTION._replace(steps=(Early(say_and_close(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 1),)),
}


@pytest.mark.parametrize(("case", "verb"), by_verb(HANDSHAKE_FAULTS))
async def test_a_broken_handshake_ends_as_specified(case: Case, verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with no_leaks(caplog), AsyncExitStack() as opened:
        server = await opened.enter_async_context(raw_server(*case.steps))
        address = server.url.replace("http", "https")
        client = await opened.enter_async_context(client_for(address, **case.settings))
        leaks = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await leaks.check()

        case.check(outcome, server)


# Proxies


def refused(step: Step) -> Case:
    return Case((step,), APIConnectionError, "the proxy refused to connect to the host", final=True)


def broken(step: Step) -> Case:
    return Case((step,), APIConnectionError, "", 2, 2, TWICE)


def late(step: Step) -> Case:
    return Case((step,), APITimeoutError, "no answer within 0.5 s", settings=SHORT_TIMEOUT)


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
async def test_a_proxy_fault_ends_as_specified(case: Case, verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with no_leaks(caplog), AsyncExitStack() as opened:
        proxy = await opened.enter_async_context(raw_server(*case.steps))
        settings = {"proxy": named(proxy.url), **case.settings}
        client = await opened.enter_async_context(client_for("https://retab.invalid", **settings))
        leaks = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await leaks.check()

        case.check(outcome, proxy)
        assert {request.method for request in proxy.requests} == {"CONNECT"}
        assert "api-key" not in str([request.headers for request in proxy.requests])


@pytest.mark.parametrize("verb", ALL)
async def test_an_unreachable_proxy_raises_connection_error(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    address = named(f"http://127.0.0.1:{unused_port()}")
    async with no_leaks(caplog), client_for("https://retab.invalid", proxy=address, **TWICE) as client:
        leaks = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await leaks.check()

        assert "the proxy could not be reached: 127.0.0.1" in str(outcome)


# The certificate behind the tunnel, and the expected outcome.
TUNNELLED: dict[str, tuple[Context, Case]] = {
    "a trusted server": (Authority.good, Case((ok,))),
    "an expired one": (Authority.expired, UNTRUSTED),
    "one that resets": (Authority.good, Case((reset, ok), None, "", 2, 2)),
}


@pytest.mark.parametrize("verb", ALL)
@pytest.mark.parametrize(("shown", "case"), TUNNELLED.values(), ids=TUNNELLED)
async def test_a_proxy_tunnel_ends_as_specified(
    shown: Context, case: Case, verb: str, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with no_leaks(caplog), AsyncExitStack() as opened:
        server = await opened.enter_async_context(raw_server(*case.steps, ssl=shown(authority)))
        proxy = await opened.enter_async_context(raw_server(tunnel(server)))
        settings = {"ssl": authority.client(), "proxy": named(proxy.url)}
        client = await opened.enter_async_context(client_for(server.url, **settings))
        leaks = LeakCheck(client)
        outcome = await came_of(VERBS[verb](client))
        await leaks.check()

        case._replace(connections=server.connections).check(outcome, server)
        assert proxy.connections == case.connections


# Settings


async def test_ssl_false_trusts_any_certificate(authority: Authority) -> None:
    async with (
        raw_server(ok, ssl=authority.untrusted()) as server,
        client_for(server.url, ssl=False) as client,
    ):
        run = await client.splits.cancel(SPLIT_ID)

        assert run.status == "cancelled"


async def test_an_explicit_proxy_gets_the_request_to_forward() -> None:
    async with raw_server(ok) as proxy, client_for("http://127.0.0.1:9", proxy=proxy.url) as client:
        run = await client.splits.cancel(SPLIT_ID)

        assert run.status == "cancelled"
        assert proxy.requests[0].target.startswith(f"http://127.0.0.1:9/v1/splits/{SPLIT_ID}")


async def test_the_proxy_credentials_of_the_url_are_sent_to_the_proxy() -> None:
    async with raw_server(ok) as proxy:
        address = proxy.url.replace("http://", "http://user:word@")
        async with client_for("http://127.0.0.1:9", proxy=address) as client:
            await client.splits.cancel(SPLIT_ID)

        assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjp3b3Jk"


async def test_the_environments_proxy_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(reply(b"", 403)) as proxy, raw_server(ok) as later:
        monkeypatch.setenv("https_proxy", proxy.url)
        async with client_for("https://retab.invalid", proxy=None) as client:
            monkeypatch.setenv("https_proxy", later.url)
            with pytest.raises(APIConnectionError, match="the proxy refused"):
                await client.splits.cancel(SPLIT_ID)

        assert len(proxy.requests) == 1
        assert later.connections == 0


async def test_loopback_is_never_reached_by_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(ok) as server, raw_server(ok) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("all_proxy", proxy.url)
        async with client_for(server.url, proxy=None) as client:
            await client.splits.cancel(SPLIT_ID)

        assert proxy.connections == 0
