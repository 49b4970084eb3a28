"""Creates with documents, uploads and file references, against the emulator and raw sockets."""

import asyncio
import copy
import errno
import hashlib
import io
import json
import logging
import os
import pickle
import re
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
from clients import ONCE, client_for, connections_in_use
from payloads import KEY
from raw_server import RawServer, Step, raw_server, reply, reset, say_and_stall, stall, until

from retab_async import AsyncRetab
from retab_async.documents import DocumentField, build_create_body, transfer_seconds
from retab_async.documents.create_body import _MAX_BODY_BYTES
from retab_async.documents.upload import _UploadSession
from retab_async.documents.urls import is_storage_url
from retab_async.emulator import Emulator, Fault
from retab_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    InvalidDocumentError,
    PermissionDeniedError,
    RequestError,
    ResponseError,
    RetabError,
)
from retab_async.models import FileRef
from retab_async.protocol import DeliveryState, Request

FIELDS = {"subdocuments": [{"name": "invoice"}], "background": True}
PDF = b"%PDF-1.7\n%%EOF\n"
ANNOUNCE, TARGET, COMPLETE = "POST /v1/files/upload", "PUT /upload/{id}", "POST /v1/files/upload/{id}/complete"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(queued=600, api_key=KEY) as running:
        yield running


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRetab]:
    async with client_for(emulator.url) as made:
        yield made


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the body of a request to two KiB."""
    monkeypatch.setattr("retab_async.documents.create_body._MAX_BODY_BYTES", 2048)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Write a file of 40 MiB of which no two MiB are equal."""
    path = tmp_path / "large.pdf"
    with path.open("wb") as file:
        for number in range(40):
            file.write(number.to_bytes(4, "big") * (256 * 1024))
    return path


async def create(client: AsyncRetab, document: Any, trail: DeliveryState | None = None) -> Any:
    transport = client.splits._api.transport
    async with build_create_body(transport, {"document": DocumentField(document), **FIELDS}) as body:
        extra = transfer_seconds(body.length)
        request = Request("POST", "/v1/splits", body=body, idempotency_key=str(uuid.uuid4()), extra_seconds=extra)
        return json.loads((await transport.send(request, delivery=trail)).body)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


class TestCreates:
    @pytest.mark.parametrize("make", [lambda path: path, lambda path: path.read_bytes(), lambda path: path.open("rb")])
    async def test_a_document_arrives_byte_for_byte(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path, make: Callable[[Path], Any]
    ) -> None:
        content = PDF + os.urandom(2_000_000)
        (tmp_path / "a.pdf").write_bytes(content)
        document = make(tmp_path / "a.pdf")
        run = await create(client, document)
        getattr(document, "close", bool)()

        received = emulator.document_of(run["id"])
        assert (received.mime_type, received.size, received.sha256) == (
            "application/pdf",
            len(content),
            digest(content),
        )

    @pytest.mark.parametrize("fault", [Fault.status(503), Fault.reset(), Fault.reset_after_effect(), Fault.truncate()])
    async def test_a_retry_sends_the_whole_document_again(
        self, emulator: Emulator, client: AsyncRetab, fault: Fault
    ) -> None:
        emulator.fail("POST /v1/splits", fault)
        content = os.urandom(1_000_000)
        run = await create(client, io.BytesIO(content))

        assert emulator.document_of(run["id"]).sha256 == digest(content)
        assert emulator.active_runs() == [run["id"]]

    async def test_a_file_that_changes_while_it_is_sent_starts_no_run(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.bin"
        path.write_bytes(bytes(9_000_000))
        os.utime(path, (1, 1))
        transport, trail = client.splits._api.transport, DeliveryState()
        async with build_create_body(transport, {"document": DocumentField(path), **FIELDS}) as body:
            path.write_bytes(b"x" * 9_000_000)
            with pytest.raises(InvalidDocumentError, match="changed while"):
                await transport.send(Request("POST", "/v1/splits", body=body), delivery=trail)

        assert not trail.may_have_taken_effect
        assert emulator.active_runs() == []
        assert connections_in_use(client) == 0

    async def test_programs_that_record_requests_see_a_small_body_as_bytes(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recorded: list[Any] = []
        send = aiohttp.ClientSession._request

        async def record(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> Any:
            recorded.append(copy.deepcopy(kwargs["data"]))
            recorded.append(pickle.loads(pickle.dumps(kwargs["data"])))  # noqa: S301 - our own
            return await send(self, *args, **kwargs)

        monkeypatch.setattr(aiohttp.ClientSession, "_request", record)
        (tmp_path / "a.pdf").write_bytes(PDF)
        await create(client, tmp_path / "a.pdf")

        assert [type(body) for body in recorded] == [bytes, bytes]
        assert json.loads(recorded[0])["document"]["filename"] == "a.pdf"
        assert emulator.requests[0].path == "/v1/splits"

    async def test_a_small_file_is_closed_before_it_is_sent(self, client: AsyncRetab, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").write_bytes(PDF)
        before = descriptors()
        fields = {"document": DocumentField(tmp_path / "a.pdf"), **FIELDS}
        async with build_create_body(client.splits._api.transport, fields):
            assert descriptors() == before

    async def test_a_url_is_passed_on_to_the_api(self, emulator: Emulator, client: AsyncRetab) -> None:
        run = await create(client, "https://files.example.com/far.pdf?v=2")

        assert emulator.document_of(run["id"]).size == 0
        assert run["file"]["filename"] == "far.pdf"


class TestUploads:
    async def test_a_document_too_large_for_the_body_is_uploaded(
        self, emulator: Emulator, client: AsyncRetab, large: Path
    ) -> None:
        run = await create(client, large)

        received = emulator.document_of(run["id"])
        assert (received.filename, received.mime_type) == ("large.pdf", "application/pdf")
        assert received.sha256 == digest(large.read_bytes())  # noqa: ASYNC240 - a test's own
        assert [f"{served.method} {served.path.rpartition('/')[0]}" for served in emulator.requests] == [
            "POST /v1/files",
            "PUT /upload",
            f"POST {'/'.join(emulator.requests[2].path.split('/')[:-1])}",
            "POST /v1",
        ]

    async def test_a_body_of_exactly_the_limit_is_sent_inline(self, client: AsyncRetab) -> None:
        async with build_create_body(client.splits._api.transport, {"document": DocumentField(b"x"), **FIELDS}) as body:
            frame = body.length - 4
        fits = b"x" * ((_MAX_BODY_BYTES - frame) // 4 * 3)
        sizes = []
        for content in (fits, fits + b"x"):
            async with build_create_body(
                client.splits._api.transport, {"document": DocumentField(content), **FIELDS}
            ) as body:
                sizes.append(body.length)

        assert _MAX_BODY_BYTES - 4 < sizes[0] <= _MAX_BODY_BYTES
        assert sizes[1] < 1000

    @pytest.mark.parametrize("route", [ANNOUNCE, TARGET, COMPLETE])
    @pytest.mark.parametrize("fault", [Fault.status(503), Fault.reset(), Fault.reset_after_effect(), Fault.truncate()])
    @pytest.mark.usefixtures("small")
    async def test_each_step_of_an_upload_is_retried(
        self, emulator: Emulator, client: AsyncRetab, route: str, fault: Fault
    ) -> None:
        emulator.fail(route, fault)
        content = os.urandom(1_000_000)
        run = await create(client, io.BytesIO(content))

        assert emulator.document_of(run["id"]).sha256 == digest(content)

    @pytest.mark.parametrize("route", [ANNOUNCE, TARGET, COMPLETE])
    @pytest.mark.usefixtures("small")
    async def test_a_rejected_step_of_an_upload_raises_and_starts_no_run(
        self, emulator: Emulator, client: AsyncRetab, route: str
    ) -> None:
        emulator.fail(route, Fault.status(403))
        with pytest.raises(PermissionDeniedError, match=r"Forbidden \((POST|PUT) .*status 403") as raised:
            await create(client, bytes(5000))

        assert "X-Sig" not in f"{raised.value}{raised.value!r}{raised.value.url}"
        assert emulator.active_runs() == []

    @pytest.mark.usefixtures("small")
    async def test_an_upload_of_a_file_that_changes_is_not_completed(
        self, emulator: Emulator, client: AsyncRetab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.bin"
        path.write_bytes(bytes(2_000_000))
        os.utime(path, (1, 1))

        async def changing(request: Request, *args: Any) -> Any:
            if request.method == "PUT":
                path.write_bytes(b"x" * 2_000_000)
            return await send(request, *args)

        transport = client.splits._api.transport
        send = transport.send
        monkeypatch.setattr(transport, "send", changing)
        with pytest.raises(InvalidDocumentError, match="changed while"):
            await create(client, path)

        assert not [served for served in emulator.requests if served.path.endswith("/complete")]

    async def test_an_upload_cancelled_before_the_answer_leaks_no_descriptor(self, large: Path) -> None:
        session = SESSION | {"uploadUrl": "{url}/put?sig=0123456789"}
        for make in (lambda: large, lambda: OnceOnly(large.read_bytes())):
            before = descriptors()
            async with raw_server(announcing(session), stall) as server, client_for(server.url) as client:
                task = asyncio.create_task(create(client, make()))
                await until(lambda: len(server.requests) == 2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

                assert connections_in_use(client) == 0
            await asyncio.sleep(0.05)

            assert descriptors() == before


class TestInDoubt:
    """`in_doubt` of a create refers to its run, not to the uploads before it."""

    @pytest.mark.parametrize("route", [ANNOUNCE, TARGET, COMPLETE])
    @pytest.mark.parametrize("fault", [Fault.status(500), Fault.reset_after_effect()])
    @pytest.mark.usefixtures("small")
    async def test_a_failed_upload_is_not_in_doubt(
        self, emulator: Emulator, client: AsyncRetab, route: str, fault: Fault
    ) -> None:
        emulator.fail(route, *[fault] * 9)
        with pytest.raises(RequestError) as raised:
            await create(client, bytes(5000))

        assert not raised.value.in_doubt

    @pytest.mark.parametrize("step", [reply("", 500), reset])
    async def test_a_failed_file_look_up_is_not_in_doubt(self, step: Step) -> None:
        async with raw_server(*[step] * 9) as server, client_for(server.url) as client:
            with pytest.raises(RequestError) as raised:
                await create(client, FileRef(id="file_1"))

        assert not raised.value.in_doubt


class OnceOnly(io.RawIOBase):
    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(size)


SESSION: dict[str, Any] = {
    "fileId": "file_8812aa",
    "uploadUrl": "{url}/bucket/obj?X-Sig=secret0123456789&part=1",
    "uploadMethod": "PUT",
    "uploadHeaders": {
        "content-type": "application/x-own",
        "x-goog-a": "b",
        "Host": "evil",
        "Content-Length": "1",
    },
    "mimeData": {"filename": "big.pdf", "url": "https://storage.retab.com/org/file_8812aa.pdf"},
    "expiresAt": "2026-09-14T09:00:00Z",
}
COMPLETED = {"filename": "big.pdf", "url": "https://storage.retab.com/org/file_8812aa.pdf"}


def announcing(session: dict[str, Any]) -> Step:
    """Answer with an upload session whose `{url}` is that of the server itself."""

    async def step(wire: Any) -> None:
        host, port = wire.writer.get_extra_info("sockname")
        body = json.dumps(session).replace("{url}", f"http://{host}:{port}").replace("{port}", str(port))
        await reply(body.encode())(wire)

    return step


DEEP = "[" * 983 + "]" * 983


class TestUploadURLs:
    @pytest.mark.parametrize(
        ("url", "base_url"),
        [
            ("https://storage.googleapis.com/bucket/obj?X-Sig=1", "https://api.retab.com"),
            ("https://8.8.8.8/put", "https://api.retab.com"),
            ("https://[2001:4860:4860::8888]:8443/put", "https://api.retab.com"),
            ("https://10.0.0.7/put", "https://10.0.0.7"),
            ("http://127.0.0.1:80/put", "http://localhost:8000"),
            ("http://[::1]:80/put", "http://127.0.0.1:8000"),
            ("http://emulator:8080/put", "http://emulator:8080"),
            ("https://127.0.0.1/put", "http://127.0.0.1"),
        ],
    )
    def test_a_public_host_or_the_one_of_the_api_is_accepted(self, url: str, base_url: str) -> None:
        assert is_storage_url(url, base_url)

    @pytest.mark.parametrize(
        "url",
        [
            "http://storage.googleapis.com/put",
            "https://localhost/put",
            "https://LOCALHOST./put",
            "https://a.localhost/put",
            "https://printer.local/put",
            "https://metadata.google.internal/put",
            "https://metadata/put",
            "https://127.0.0.1/put",
            "https://127.1/put",
            "https://2130706433/put",
            "https://0x7f.0.0.1/put",
            "https://0177.0.0.1/put",
            "https://0.0.0.0/put",
            "https://10.1.2.3/put",
            "https://172.16.0.1/put",
            "https://192.168.1.1/put",
            "https://100.64.0.1/put",
            "https://169.254.169.254/put",
            "https://224.0.0.1/put",
            "https://[::1]/put",
            "https://[::]/put",
            "https://[fe80::1]/put",
            "https://[fd00::1]/put",
            "https://[::ffff:127.0.0.1]/put",
            "https://[2002:7f00:1::]/put",
            "https://999.1.1.1./put",
        ],
    )
    def test_a_local_or_private_host_is_rejected(self, url: str) -> None:
        assert is_storage_url(url, "https://api.retab.com") == url.startswith("https://999")

    def test_loopback_is_rejected_beside_another_private_api(self) -> None:
        assert not is_storage_url("http://127.0.0.1/put", "http://emulator:8080")
        assert not is_storage_url("https://10.0.0.8/put", "https://10.0.0.7")


@pytest.mark.usefixtures("small")
class TestSessions:
    async def upload(self, *steps: Step) -> tuple[RawServer, Any]:
        async with raw_server(*steps) as server, client_for(server.url) as client:
            return server, await create(client, bytes(5000))

    async def test_the_bytes_are_sent_where_the_api_says_with_its_headers_and_without_the_key(self) -> None:
        server, _ = await self.upload(announcing(SESSION), reply(), reply(COMPLETED), reply({"id": "splt_1"}))
        announced, put, completed, created = server.requests

        assert json.loads(announced.body) == {
            "filename": "document",
            "size_bytes": 5000,
            "content_type": "application/octet-stream",
        }
        assert (put.method, put.target) == ("PUT", "/bucket/obj?X-Sig=secret0123456789&part=1")
        assert put.body == bytes(5000)
        assert put.headers["content-type"] == "application/x-own"
        assert put.headers["x-goog-a"] == "b"
        assert put.headers["host"] == f"127.0.0.1:{server.port}"
        assert "idempotency-key" not in put.headers
        assert KEY not in str(put.headers)
        assert (completed.target, completed.body) == ("/v1/files/upload/file_8812aa/complete", b"{}")
        assert json.loads(created.body) == {"document": COMPLETED, **FIELDS}

    @pytest.mark.parametrize("missing", ["uploadHeaders", "uploadMethod", "mimeData", "expiresAt"])
    async def test_missing_fields_of_a_session_have_defaults(self, missing: str) -> None:
        session = {name: value for name, value in SESSION.items() if name != missing}
        server, _ = await self.upload(announcing(session), reply(), reply(COMPLETED), reply({"id": "splt_1"}))

        expected = "application/octet-stream" if missing == "uploadHeaders" else "application/x-own"
        assert server.requests[1].headers["content-type"] == expected

    async def test_localhost_counts_as_loopback(self) -> None:
        session = SESSION | {"uploadUrl": "http://localhost:{port}/put"}
        server, _ = await self.upload(announcing(session), reply(), reply(COMPLETED), reply({"id": "splt_1"}))

        assert server.requests[1].target == "/put"

    @pytest.mark.parametrize(
        ("answer", "field"),
        [
            ([], ""),
            (SESSION | {"fileId": None}, "fileId"),
            (SESSION | {"fileId": "../x"}, "fileId"),
            (SESSION | {"uploadUrl": None}, "uploadUrl"),
            (SESSION | {"uploadUrl": "http://example.com/put?X-Sig=secret0123456789"}, "uploadUrl"),
            (SESSION | {"uploadUrl": "ftp://127.0.0.1/put?X-Sig=secret0123456789"}, "uploadUrl"),
            (SESSION | {"uploadUrl": "https://user:secret0123456789@example.com/put"}, "uploadUrl"),
            (SESSION | {"uploadUrl": "https://example.com:port/put?X-Sig=secret0123456789"}, "uploadUrl"),
            (SESSION | {"uploadUrl": "https://exa mple.com/put?X-Sig=secret0123456789"}, "uploadUrl"),
            (SESSION | {"uploadUrl": "https:///put"}, "uploadUrl"),
            (SESSION | {"uploadMethod": "POST"}, "uploadMethod"),
            (SESSION | {"uploadHeaders": ["a"]}, "uploadHeaders"),
            (SESSION | {"uploadHeaders": {"a": 1}}, "uploadHeaders"),
            (SESSION | {"uploadHeaders": {"a b": "c"}}, "uploadHeaders"),
            (SESSION | {"uploadHeaders": {"a": "c\r\nApi-Key: d"}}, "uploadHeaders"),
        ],
    )
    async def test_an_invalid_upload_session_raises(self, answer: Any, field: str) -> None:
        with pytest.raises(ResponseError) as raised:
            await self.upload(announcing(answer), reply())

        assert raised.value.path == field
        assert "secret0123456789" not in f"{raised.value}{raised.value.body}".replace("user:secret0123456789", "")

    @pytest.mark.parametrize(
        "url",
        [
            f"https://{'a' * 64}.com/put",
            "https://a..b/put",
            "https://[::1]a:1/put",
            "https://example.com:0x1/put",
            "https://169.254.169.254/put",
            "https://10.0.0.5/put",
        ],
    )
    async def test_an_invalid_or_private_upload_url_is_never_contacted(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contacted: list[str | None] = []
        connect = aiohttp.TCPConnector.connect

        async def connect_to_loopback(self: aiohttp.TCPConnector, request: Any, **kwargs: Any) -> Any:
            contacted.append(request.url.host)
            assert request.url.host == "127.0.0.1"
            return await connect(self, request, **kwargs)

        monkeypatch.setattr(aiohttp.TCPConnector, "connect", connect_to_loopback)
        with pytest.raises(ResponseError) as raised:
            await self.upload(announcing(SESSION | {"uploadUrl": url}), reply())

        assert raised.value.path == "uploadUrl"
        assert contacted == ["127.0.0.1"]

    @pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1"])
    async def test_a_public_name_that_resolves_to_a_private_address_is_never_contacted(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contacted: list[Any] = []
        resolved: list[str] = []

        async def resolve(_: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
            resolved.append(host)
            return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}]

        connect = asyncio.get_running_loop().sock_connect

        async def record(sock: Any, target: Any) -> None:
            contacted.append(target[1])
            # Never for real, even if the guard fails.
            if target[1] == 443:
                raise OSError(errno.ECONNREFUSED, "refused by the test")
            await connect(sock, target)

        monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", resolve)
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", record)
        session = announcing(SESSION | {"uploadUrl": "https://storage.example.com/put"})
        async with raw_server(session) as server, client_for(server.url, retry=ONCE) as client:
            with pytest.raises(APIConnectionError, match="local or private address"):
                await create(client, bytes(5000))

        assert resolved == ["storage.example.com"]
        assert 443 not in contacted

    @pytest.mark.parametrize("field", ["fileId", "uploadUrl", "uploadMethod", "uploadHeaders", "mimeData"])
    async def test_a_deeply_nested_field_of_a_session_raises(self, field: str) -> None:
        session = json.dumps(SESSION | {field: "deep"}).replace('"deep"', DEEP)
        with pytest.raises(RetabError):
            await self.upload(reply(session.encode()), reply("", 403))

    async def test_deeply_nested_answers_raise(self) -> None:
        for answer in (DEEP, f'{{"filename": {DEEP}, "url": {DEEP}}}'):
            with pytest.raises(ResponseError):
                await self.upload(announcing(SESSION), reply(), reply(answer.encode()))
            with pytest.raises(ResponseError):
                await self.upload(reply(answer.encode()))

    async def test_a_redirect_of_the_put_is_not_followed(self) -> None:
        async with raw_server(reply()) as elsewhere:
            moved = reply(b"", 307, {"Location": f"{elsewhere.url}/put"})
            with pytest.raises(APIError, match="redirect"):
                await self.upload(announcing(SESSION), moved)

        assert elsewhere.connections == 0

    async def test_an_https_api_cannot_send_documents_to_http(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with raw_server(announcing(SESSION), reply()) as server, client_for(server.url) as client:
            transport = client.splits._api.transport
            monkeypatch.setattr(type(transport), "base_url", "https://127.0.0.1")
            with pytest.raises(ResponseError, match="uploadUrl: expected an https:// URL"):
                await create(client, bytes(5000))

        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("answer", "field"),
        [
            ([], "filename"),
            (COMPLETED | {"filename": " "}, "filename"),
            (COMPLETED | {"url": None}, "url"),
            (COMPLETED | {"url": "http://storage.retab.com/a"}, "url"),
        ],
    )
    async def test_an_invalid_answer_to_complete_raises(self, answer: Any, field: str) -> None:
        with pytest.raises(ResponseError, match=field) as raised:
            await self.upload(announcing(SESSION), reply(), reply(answer))

        assert raised.value.path == field

    @pytest.mark.parametrize(
        "echo",
        [
            "no access: X-Sig=secret0123456789&part=1",
            json.dumps({"message": "no", "details": {"signature": "secret0123456789"}}),
        ],
    )
    async def test_an_error_of_the_put_does_not_quote_the_signature(self, echo: str) -> None:
        with pytest.raises(APIError) as raised:
            await self.upload(announcing(SESSION), reply(echo.encode(), 403))

        error = raised.value
        assert "secret0123456789" not in f"{error}{error!r}{error.body}{error.args}{error.details}"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\*\*\*", error.url)

    async def test_the_signature_is_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        await self.upload(announcing(SESSION), reset, reply("", 503), reply(), reply(COMPLETED), reply({"id": "a"}))

        assert "503" in caplog.text
        assert "/bucket/obj" not in caplog.text
        assert "secret0123456789" not in caplog.text

    @pytest.mark.parametrize(
        "quote",
        [lambda text: text, lambda text: text.replace("/", "\\/"), lambda text: json.dumps({"details": [text]})],
    )
    async def test_no_token_of_a_session_reaches_an_error_or_a_log(
        self, quote: Callable[[str], str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        tokens = ("tok/in+header0123456789", "token-in-path-0123456789", "secret0123456789")
        session = SESSION | {
            "uploadUrl": f"{{url}}/{tokens[1]}/obj?X-Sig={tokens[2]}",
            "uploadHeaders": {"x-amz-security-token": f"Bearer {tokens[0]}"},
        }
        echo = quote(f"PUT /{tokens[1]}/obj?X-Sig={tokens[2]} x-amz-security-token: Bearer {tokens[0]}").encode()
        with pytest.raises(APIError) as raised:
            await self.upload(announcing(session), reply(echo, 503, {"x-request-id": tokens[1]}), reply(echo, 403))

        error = raised.value
        shown = f"{error}{error!r}{error.body}{error.details}{error.request_id}{error.url}{caplog.text}"
        assert [token for token in tokens if token in shown.replace("\\/", "/")] == []

    def test_the_repr_of_a_session_shows_neither_url_nor_headers(self) -> None:
        session = _UploadSession("file_1", "https://example.com/put?X-Sig=secret0123456789", {"Token": "secret"})

        assert repr(session) == "_UploadSession(file_1)"

    async def test_details_without_the_signature_are_kept(self) -> None:
        with pytest.raises(APIError) as raised:
            await self.upload(announcing(SESSION), reply({"message": "no", "details": {"a": 1}}, 403))

        assert raised.value.details == {"a": 1}

    @pytest.mark.parametrize(("step", "expected"), [(reset, APIConnectionError), (stall, APITimeoutError)])
    async def test_the_cause_of_a_lost_put_is_omitted(self, step: Step, expected: type[RequestError]) -> None:
        async with (
            raw_server(announcing(SESSION), step) as server,
            client_for(server.url, timeout=0.2, retry=ONCE) as client,
        ):
            with pytest.raises(expected) as raised:
                await create(client, bytes(5000))

        assert raised.value.__cause__ is None
        assert "secret0123456789" not in str(raised.value)

    async def test_a_truncated_session_is_quoted_without_signatures(self) -> None:
        body = b'{"uploadUrl": "https://example.com/put?X-Sig=secret0123456789'
        with pytest.raises(ResponseError) as raised:
            await self.upload(reply(body))

        assert raised.value.body == '{"uploadUrl": "https://example.com/put?***'


LINK: dict[str, Any] = {
    "download_url": "https://storage.googleapis.com/a.pdf?X-Sig=secret0123456789",
    "expires_in": "60 minutes",
    "filename": "link.pdf",
    "mime_data": {"filename": "link.pdf", "url": "https://storage.retab.com/org/file_1.pdf"},
}


class TestFileRefs:
    async def test_the_file_of_one_run_is_a_document_of_another(self, emulator: Emulator, client: AsyncRetab) -> None:
        first = await create(client, PDF)
        second = await create(client, FileRef(**first["file"]))

        assert second["file"]["id"] == first["file"]["id"]
        assert emulator.document_of(second["id"]) == emulator.document_of(first["id"])

    @pytest.mark.parametrize(
        ("own", "link", "expected"),
        [
            ("own.pdf", LINK, {"filename": "own.pdf", "url": LINK["mime_data"]["url"]}),
            ("bad\udcff.pdf", LINK, {"filename": "bad?.pdf", "url": LINK["mime_data"]["url"]}),
            ("", LINK, {"filename": "link.pdf", "url": LINK["mime_data"]["url"]}),
            ("", LINK | {"mime_data": None}, {"filename": "link.pdf", "url": LINK["download_url"]}),
            ("\n", LINK | {"filename": "li\nnk.pdf"}, {"filename": "link.pdf", "url": LINK["mime_data"]["url"]}),
            ("", {"download_url": "https://a.b/c"}, {"filename": "file_1", "url": "https://a.b/c"}),
        ],
    )
    async def test_a_file_ref_is_sent_as_its_url(self, own: str, link: Any, expected: Any) -> None:
        async with raw_server(reply(link), reply({"id": "splt_1"})) as server, client_for(server.url) as client:
            await create(client, FileRef(id="file_1", filename=own))

        assert server.requests[0].target == "/v1/files/file_1/download-link"
        assert json.loads(server.requests[1].body)["document"] == expected

    @pytest.mark.parametrize("link", [[], {}, {"mime_data": [], "download_url": "http://a.b/c?X-Sig=secret0123456789"}])
    async def test_a_link_without_an_https_url_raises(self, link: Any) -> None:
        async with raw_server(reply(link)) as server, client_for(server.url) as client:
            with pytest.raises(ResponseError, match="no https:// URL of the file") as raised:
                await create(client, FileRef(id="file_1"))

        assert "secret0123456789" not in f"{raised.value}{raised.value.body}"
        assert not raised.value.in_doubt

    @pytest.mark.parametrize("field", ["filename", "download_url", "mime_data"])
    async def test_a_deeply_nested_link_raises(self, field: str) -> None:
        link = json.dumps(LINK | {field: "deep"}).replace('"deep"', DEEP)
        async with raw_server(reply(link.encode())) as server, client_for(server.url) as client:
            with pytest.raises(ResponseError, match="nested deeper"):
                await create(client, FileRef(id="file_1"))

    async def test_a_given_filename_replaces_that_of_a_file(self, client: AsyncRetab) -> None:
        first = await create(client, PDF)
        second = await create(client, ("other.pdf", FileRef(**first["file"])))

        assert second["file"]["filename"] == "other.pdf"

    async def test_an_unsafe_file_id_is_rejected_before_anything_is_sent(self, client: AsyncRetab) -> None:
        for wrong in ("../splits", "a b", "x" * 1000):
            with pytest.raises(InvalidDocumentError, match="the id of this FileRef is no file's") as raised:
                await create(client, FileRef(id=wrong))

            assert len(str(raised.value)) < 300


class TestCancellation:
    async def test_a_create_cancelled_in_the_middle_of_its_body_leaks_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "a.bin"
        path.write_bytes(bytes(20_000_000))

        async def refuse_to_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await gone.wait()
            writer.close()

        gone = asyncio.Event()
        server = await asyncio.start_server(refuse_to_read, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for make in (lambda: path, path.read_bytes, lambda: io.BytesIO(path.read_bytes()), lambda: once(path)):
            gone.clear()
            before = descriptors()
            trail = DeliveryState()
            async with client_for(f"http://127.0.0.1:{port}") as client:
                task = asyncio.create_task(create(client, make(), trail))
                await asyncio.sleep(0.2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

                assert connections_in_use(client) == 0
                assert not trail.may_have_taken_effect
            gone.set()
            await asyncio.sleep(0.05)

            assert descriptors() == before
        server.close()

    @pytest.mark.parametrize("step", [stall, say_and_stall(b"HTTP/1.1 200 OK\r\nContent-")])
    @pytest.mark.usefixtures("small")
    async def test_a_create_cancelled_in_any_step_of_an_upload_leaves_the_client_usable(self, step: Step) -> None:
        answers = (announcing(SESSION), reply(), reply(COMPLETED), reply({"id": "splt_1"}))
        for number in range(4):
            async with raw_server(*answers[:number], step, *answers) as server, client_for(server.url) as client:
                task = asyncio.create_task(create(client, bytes(5000)))
                await until(lambda: len(server.requests) > number)  # noqa: B023 - awaited here
                await asyncio.sleep(0.02)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

                assert connections_in_use(client) == 0
                assert (await create(client, bytes(5000)))["id"] == "splt_1"


def once(path: Path) -> OnceOnly:
    return OnceOnly(path.read_bytes())


class TestSeveralDocuments:
    """Requests with several documents, anywhere in the JSON."""

    @staticmethod
    async def sent(client: AsyncRetab, fields: Any) -> Any:
        async with build_create_body(client.splits._api.transport, fields) as body:
            content = b"".join([piece async for piece in body.pieces()])

        assert len(content) == body.length
        return json.loads(content)

    async def test_each_document_is_in_its_place(self, client: AsyncRetab) -> None:
        body = await self.sent(
            client,
            {
                "documents": [DocumentField(b"first"), DocumentField("https://x.test/second.pdf")],
                "inputs": MappingProxyType({"block": DocumentField(b"third"), "note": "url"}),
                "after": ("kept", None, 5),
            },
        )

        assert [each["url"].partition(",")[2] for each in (body["documents"][0], body["inputs"]["block"])] == [
            "Zmlyc3Q=",
            "dGhpcmQ=",
        ]
        assert body["documents"][1] == {"filename": "second.pdf", "url": "https://x.test/second.pdf"}
        assert body["inputs"]["note"] == "url"
        assert body["after"] == ["kept", None, 5]

    @pytest.mark.usefixtures("small")
    async def test_the_largest_documents_are_uploaded_until_the_rest_fits(
        self, emulator: Emulator, client: AsyncRetab
    ) -> None:
        sizes = (500, 4000, 700, 1500)
        body = await self.sent(client, {"documents": [DocumentField(bytes(size)) for size in sizes]})

        assert [each["url"][:6] for each in body["documents"]] == ["data:a", "https:", "data:a", "https:"]
        assert sum(served.method == "PUT" for served in emulator.requests) == 2

    async def test_nothing_is_sent_if_one_document_is_invalid(self, emulator: Emulator, client: AsyncRetab) -> None:
        with pytest.raises(InvalidDocumentError):
            await self.sent(client, {"documents": [DocumentField(FileRef(id="file_1")), DocumentField("missing.pdf")]})

        assert emulator.requests == []
