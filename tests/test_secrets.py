"""Secrets that a server echoes must not reach an error, a log or a traceback."""

import html
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clients import ONCE, QUICK, client_for, user_session
from fault_harness import came_of, create, keeps
from payloads import BARE_SPLIT, KEY, SPLIT_ID
from raw_server import Step, close_early, message, raw_server, reply, say_and_close, unused_port
from rich.pretty import pretty_repr

from retab_async import AsyncRetab, ConfigurationError, DownloadLink, MIMEData, RetabError, UploadedFile
from retab_async.protocol import BytesBody, Request

both_paths = pytest.mark.usefixtures("connection_path")

SIGNATURE = "signed-0123456789"
ECHO = {"Api-Key": KEY, "Authorization": f"Bearer {KEY}", "X-All": f"Api-Key={KEY}"}


ECHOES: dict[str, Step] = {
    "JSON error": reply({"detail": {"message": f"bad key {KEY}", "details": ECHO}}, 401, ECHO),
    "nested JSON error": reply({"message": json.dumps([{"loc": [KEY], "msg": KEY}])}, 422),
    "code": reply({"code": KEY, "message": "no"}, 400),
    "HTML error": reply(f"<pre>{html.escape(str(ECHO))}</pre>".encode(), 502, ECHO),
    "text error": reply(f"Api-Key: {KEY}".encode(), 403),
    "redirect": reply(b"", 307, {"Location": f"https://other.test/?key={KEY}"}),
    "escaped in JSON": reply(b'{"detail": {"message": "bad \\u0073' + KEY[1:].encode() + b'", "code": "c"}}', 401),
    "escaped in details": reply(b'{"detail": "no", "details": {"k": "\\u0073' + KEY[1:].encode() + b'"}}', 401),
    "request id": reply(b"", 500, {"X-Request-Id": KEY}),
    "retry after": reply(b"", 503, {"Retry-After": KEY}),
    "2xx garbage": reply(f"you sent {KEY}".encode(), headers=ECHO),
    "2xx of another shape": reply(BARE_SPLIT | {"created_at": KEY, "status": [KEY], "file": KEY}),
    "2xx without a status": reply({KEY: KEY, "id": KEY}),
    "bad header": say_and_close(f"HTTP/1.1 200 OK\r\nApi Key\x00: {KEY}\r\n\r\n".encode()),
    "no HTTP": say_and_close(f"you sent {KEY}\r\n\r\n".encode()),
    "half a head": say_and_close(f"HTTP/1.1 200 OK\r\nX-Echo: {KEY}\r\nX-".encode()),
    "half a body": say_and_close(message(KEY.encode(), headers={"Content-Length": "5000"} | ECHO)),
    "bad chunks": say_and_close(
        message(f"{KEY}\r\n".encode(), headers={"Content-Length": "", "Transfer-Encoding": "chunked"})
    ),
    "no gzip": reply(KEY.encode(), headers={"Content-Encoding": "gzip"}),
    "nothing": close_early,
}


@both_paths
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize(("method", "credential"), [("cancel", "api_key"), ("get", "bearer_token")])
async def test_no_echo_of_the_key_reaches_an_error_or_a_log(
    caplog: pytest.LogCaptureFixture, echo: Step, method: str, credential: str
) -> None:
    caplog.set_level(logging.DEBUG)
    async with raw_server(echo) as server, client_for(server.url, **{credential: KEY}) as client:
        with pytest.raises(RetabError) as caught:
            await getattr(client.splits, method)(SPLIT_ID)

    assert KEY in str(server.requests)
    # The frames of the parser hold the JSON of a 2xx.
    keeps(caught.value, KEY, besides={"parser.py", "converter.py"})
    assert KEY not in caplog.text


@both_paths
async def test_no_echo_of_the_key_reaches_a_journal(tmp_path: Path) -> None:
    for number, echo in enumerate(ECHOES.values()):
        journal = tmp_path / f"cancel{number}.jsonl"
        async with raw_server(echo) as server, client_for(server.url, retry=ONCE) as client:
            await client.splits.cancel_many([f"splt_{number}"], journal=journal, outage_timeout=0.001)
    written = "".join(path.read_text() for path in tmp_path.iterdir())  # noqa: ASYNC240 - a test's own

    assert written.count("\n") == 2 * len(ECHOES)
    assert "bad key ***" in written
    assert KEY not in written


@both_paths
async def test_no_echo_reaches_an_error_on_a_kept_alive_socket_or_a_users_session() -> None:
    half = ECHOES["half a head"]
    async with raw_server(reply(BARE_SPLIT), half) as server, user_session() as session:
        for settings in ({}, {"session": session}):
            async with client_for(server.url, retry=QUICK, **settings) as client:
                server.requests.clear()
                await client.splits.cancel(SPLIT_ID)
                for call in (client.splits.cancel, client.splits.get):
                    with pytest.raises(RetabError) as caught:
                        await call(SPLIT_ID)

                    keeps(caught.value, KEY)


@both_paths
async def test_an_invalid_field_with_the_key_is_logged_without_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    garbled = reply(BARE_SPLIT | {"created_at": KEY, "file": {"id": KEY}})
    async with raw_server(garbled) as server, client_for(server.url) as client:
        await client.splits.cancel(SPLIT_ID)

    assert "left at their defaults" in caplog.text
    assert KEY not in caplog.text


async def test_the_response_of_a_proxy_does_not_expose_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        raw_server(reply(ECHO, 407, ECHO)) as proxy,
        client_for("https://retab.invalid", proxy=proxy.url) as client,
    ):
        with pytest.raises(RetabError) as caught:
            await client.splits.cancel(SPLIT_ID)

    keeps(caught.value, KEY)
    assert KEY not in caplog.text


async def test_a_proxys_password_reaches_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = f"http://user:{KEY}@127.0.0.1:{unused_port()}"
    async with client_for("https://retab.invalid", api_key="another-key", proxy=proxy) as client:
        with pytest.raises(RetabError) as caught:
            await client.splits.cancel(SPLIT_ID)

    keeps(caught.value, KEY)
    assert KEY not in caplog.text


@both_paths
async def test_a_successful_call_logs_no_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with raw_server(reply(BARE_SPLIT)) as server, client_for(server.url) as client:
        await client.splits.cancel(SPLIT_ID)

    assert "attempt 1: 200" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": KEY + "\n"},
        {"bearer_token": f"Bearer {KEY}"},
        {"api_key": KEY, "bearer_token": KEY},
        {"api_key": KEY, "base_url": f"https://{KEY}@api.retab.com"},
        {"api_key": KEY, "base_url": f"https://a:{KEY}@api.retab.com:port"},
        {"api_key": KEY, "proxy": f"socks5://a:{KEY}@proxy.test"},
        {"api_key": KEY, "timeout": 0},
    ],
    ids=["line break", "blank", "both", "user", "bad port", "proxy", "timeout"],
)
def test_errors_of_settings_do_not_show_the_key(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AsyncRetab(**settings)

    keeps(caught.value, KEY)


@pytest.mark.parametrize("settings", [{"api_key": KEY, "bearer_token": KEY}, {"api_key": f"{KEY} "}, {"timeout": 0}])
async def test_errors_of_with_options_do_not_show_the_key(settings: dict[str, Any]) -> None:
    async with AsyncRetab(KEY) as client:
        with pytest.raises(ConfigurationError) as caught:
            client.with_options(**settings)

    keeps(caught.value, KEY)


@pytest.mark.parametrize("name", ["RETAB_API_KEY", "HTTPS_PROXY"])
def test_errors_of_environment_variables_do_not_show_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAB_API_KEY", KEY)
    monkeypatch.setenv(name, f"socks5://a:{KEY}@proxy.test ")
    with pytest.raises(ConfigurationError) as caught:
        AsyncRetab(base_url="https://api.retab.com")

    keeps(caught.value, KEY)


async def test_the_signature_of_an_upload_reaches_no_error_and_no_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.documents.create_body._MAX_BODY_BYTES", 100)
    caplog.set_level(logging.DEBUG, "retab_async")
    async with raw_server(close_early) as store:
        session = {
            "fileId": "file_1",
            "uploadUrl": f"{store.url}/put?X-Signature={SIGNATURE}",
            "uploadHeaders": {"X-Token": SIGNATURE},
        }
        async with raw_server(reply(session)) as server, client_for(server.url) as client:
            error = await came_of(create(client, bytes(5000)))

    assert isinstance(error, RetabError)
    assert SIGNATURE in str(store.requests)
    keeps(error, SIGNATURE, KEY)
    assert SIGNATURE not in caplog.text


async def test_no_repr_of_a_client_shows_the_key() -> None:
    client = AsyncRetab(KEY)
    await client.aclose()

    for shown in (client, client.with_options(bearer_token=KEY), client._settings, client.splits):
        assert KEY not in repr(shown)
        assert KEY not in str(shown)


SIGNED = f"https://storage.test/file?signature={SIGNATURE}"


@pytest.mark.parametrize(
    "holder",
    [
        Request("PUT", "/file", SIGNATURE, None, BytesBody(SIGNATURE.encode())),
        Request("PUT", "/file", external_url=SIGNED, headers=(("x-goog-key", SIGNATURE),), secrets=(SIGNATURE,)),
        MIMEData(filename="file", url=SIGNED),
        UploadedFile(id="file_1", filename="file", url=SIGNED),
        DownloadLink(download_url=SIGNED),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_neither_a_repr_nor_the_shown_fields_of_an_object_hold_a_signature(holder: object) -> None:
    assert SIGNATURE not in repr(holder)
    # Written from the fields of attrs classes, in the tracebacks of rich too.
    assert SIGNATURE not in pretty_repr(holder)


@pytest.mark.parametrize("part", [lambda client: client, lambda client: client.splits, lambda client: client._settings])
async def test_no_part_of_a_client_can_be_pickled(part: Callable[[AsyncRetab], object]) -> None:
    async with AsyncRetab(KEY) as client:
        with pytest.raises(TypeError, match="make one in each process"):
            pickle.dumps(part(client))
