"""The files of an account: upload, look-up, list and download links."""

import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from clients import ONCE, client_for
from raw_server import RawServer, raw_server, reply

from retab_async import (
    AsyncRetab,
    DownloadLink,
    File,
    FileRef,
    InvalidDocumentError,
    InvalidRequestError,
    InvalidRunIdError,
    MIMEData,
    NotFoundError,
    Page,
    PermissionDeniedError,
    ResponseError,
    ResponseTooLargeError,
    Subdocument,
    UploadedFile,
)
from retab_async.emulator import Emulator

PDF = b"%PDF-1.7\n"
SIGNED = "https://blobs.test/a.pdf?X-Sig=0123456789abcdef"
FILE: dict[str, Any] = {
    "object": "file",
    "id": "file_1",
    "filename": "a.pdf",
    "mime_type": "application/pdf",
    "created_at": "2026-10-02T07:41:09Z",
    "updated_at": "2026-10-03T07:41:09Z",
    "page_count": 3,
}
KNOWN = File(
    id="file_1",
    filename="a.pdf",
    mime_type="application/pdf",
    created_at=datetime(2026, 10, 2, 7, 41, 9, tzinfo=UTC),
    updated_at=datetime(2026, 10, 3, 7, 41, 9, tzinfo=UTC),
    page_count=3,
)
LINK: dict[str, Any] = {
    "download_url": SIGNED,
    "expires_in": "60 minutes",
    "filename": "a.pdf",
    "mime_data": {"filename": "a.pdf", "url": "https://storage.retab.com/org_1/file_1.pdf"},
}


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(reply(FILE)) as running:
        yield running


@pytest.fixture
async def client(server: RawServer) -> AsyncIterator[AsyncRetab]:
    async with client_for(server.url, retry=ONCE) as opened:
        yield opened


def sent_requests(server: RawServer) -> list[tuple[str, str]]:
    return [(request.method, request.target) for request in server.requests]


class TestUpload:
    async def test_an_uploaded_file_is_a_document_of_any_number_of_runs(self, tmp_path: Path) -> None:
        (tmp_path / "batch.pdf").write_bytes(PDF)
        async with Emulator() as emulator, client_for(emulator.url, api_key=emulator.api_key) as client:
            file = await client.files.upload(tmp_path / "batch.pdf")
            fields: dict[str, Any] = {"document": file, "subdocuments": [Subdocument("a")], "background": True}
            runs = [await client.splits.create(**fields) for _ in range(2)]

            posts = [served.path for served in emulator.requests if served.path == "/v1/splits"]
            others = len(emulator.requests) - len(posts)
            sizes = {emulator.document_of(run.id).size for run in runs}
            known = await client.files.get(file)

        assert type(file) is UploadedFile
        assert (file.filename, known.id, known.filename) == ("batch.pdf", file.id, "batch.pdf")
        assert sizes == {len(PDF)}
        assert (len(posts), others) == (2, 3)

    async def test_a_filename_can_be_given(self) -> None:
        async with Emulator() as emulator, client_for(emulator.url, api_key=emulator.api_key) as client:
            first = await client.files.upload(PDF, filename="first.pdf")
            second = await client.files.upload(("second.pdf", PDF))

        assert (first.filename, second.filename) == ("first.pdf", "second.pdf")

    @pytest.mark.parametrize(
        "document",
        [
            "https://x.test/a.pdf",
            MIMEData(filename="a.pdf", url="https://x.test/a.pdf"),
            FileRef(id="file_1"),
            KNOWN,
            UploadedFile(id="file_1", filename="a.pdf", url="https://x.test/a.pdf"),
        ],
        ids=lambda document: type(document).__name__,
    )
    async def test_uploading_a_document_that_the_api_can_fetch_is_rejected(
        self, document: Any, client: AsyncRetab, server: RawServer
    ) -> None:
        with pytest.raises(InvalidDocumentError, match="the API can fetch this document itself"):
            await client.files.upload(document)

        assert server.requests == []

    @pytest.mark.parametrize("document", [b"", "missing.pdf", "http://x.test/a.pdf", 5], ids=str)
    async def test_uploading_an_unreadable_document_is_rejected(
        self, document: Any, client: AsyncRetab, server: RawServer
    ) -> None:
        with pytest.raises(InvalidDocumentError):
            await client.files.upload(document)

        assert server.requests == []


class TestGet:
    @pytest.mark.parametrize("file", ["file_1", FileRef(id="file_1"), KNOWN], ids=lambda file: type(file).__name__)
    async def test_get_returns_the_metadata(self, file: Any, client: AsyncRetab, server: RawServer) -> None:
        assert await client.files.get(file) == KNOWN
        assert sent_requests(server) == [("GET", "/v1/files/file_1")]

    async def test_get_fills_missing_fields_with_defaults(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply({"id": "file_1", "filename": "a.pdf", "mime_type": None, "embeddings": [1]}),)

        assert await client.files.get("file_1") == File(id="file_1", filename="a.pdf")

    @pytest.mark.parametrize("file", ["../splits/splt_1", "", None, 5], ids=repr)
    async def test_an_invalid_id_is_rejected_before_anything_is_sent(
        self, file: Any, client: AsyncRetab, server: RawServer
    ) -> None:
        with pytest.raises(InvalidRunIdError):
            await client.files.get(file)
        with pytest.raises(InvalidRunIdError):
            await client.files.download_link(file)

        assert server.requests == []

    async def test_an_unexpected_field_has_its_default(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(FILE | {"page_count": "three"}),)
        file = await client.files.get("file_1")

        assert file.page_count is None
        assert file.filename == FILE["filename"]

    async def test_a_response_without_an_id_is_a_response_error(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(json.dumps(FILE | {"id": 5}).encode()),)
        with pytest.raises(ResponseError, match="a string was expected") as caught:
            await client.files.get("file_1")

        assert caught.value.path == "id"

    async def test_a_missing_file_raises_not_found(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply({"detail": "File not found"}, 404),)
        with pytest.raises(NotFoundError):
            await client.files.get("file_1")


class TestDownloadLink:
    @pytest.mark.parametrize("name", ["download_link", "get_download_link"])
    async def test_download_link_returns_the_signed_url(self, name: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(LINK),)
        link: DownloadLink = await getattr(client.files, name)("file_1")

        assert link.download_url == SIGNED
        assert repr(link) == "DownloadLink(filename='a.pdf', expires_in='60 minutes')"
        assert link.mime_data == MIMEData(filename="a.pdf", url="https://storage.retab.com/org_1/file_1.pdf")
        assert (link.filename, link.expires_in) == ("a.pdf", "60 minutes")
        assert sent_requests(server) == [("GET", "/v1/files/file_1/download-link")]

    @pytest.mark.parametrize(
        "answer",
        [LINK | {"expires_in": 5}, {"url": SIGNED}, [SIGNED], {"download_url": None, "other": SIGNED}],
        ids=["another shape", "no url", "no object", "null"],
    )
    async def test_an_invalid_link_is_quoted_without_its_signature(
        self, answer: Any, client: AsyncRetab, server: RawServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server.steps = (reply(answer),)
        with pytest.raises(ResponseError) as caught:
            await client.files.download_link("file_1")

        assert "X-Sig" not in f"{caught.value!r}{vars(caught.value)}{caplog.text}"

    @pytest.mark.parametrize("scheme", ["http://", "javascript:", "//", ""])
    async def test_a_link_that_is_not_https_raises(self, scheme: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(LINK | {"download_url": SIGNED.replace("https://", scheme)}),)
        with pytest.raises(ResponseError, match="download_url: expected an https:// URL") as caught:
            await client.files.download_link("file_1")

        assert "X-Sig" not in f"{caught.value!r}{vars(caught.value)}"


class TestDownload:
    async def test_download_returns_the_bytes_that_were_uploaded(self) -> None:
        content = b"%PDF-1.7 \\u0073 \x00\xff" * 1000
        async with Emulator() as emulator, AsyncRetab(emulator.api_key, base_url=emulator.url) as client:
            file = await client.files.upload(content, filename="a.pdf")

            assert await client.files.download(file) == content

    async def test_download_of_a_document_of_a_run_returns_its_bytes(self) -> None:
        async with Emulator() as emulator, AsyncRetab(emulator.api_key, base_url=emulator.url) as client:
            run = await client.parses.create(document=PDF)

            assert run.file is not None
            assert await client.files.download(run.file) == PDF

    async def test_the_storage_gets_no_credential(self, client: AsyncRetab, server: RawServer) -> None:
        url = f"{server.url}/a.pdf?X-Sig=0123456789abcdef"
        server.steps = (reply(LINK | {"download_url": url}), reply(PDF))

        assert await client.files.download("file_1") == PDF
        assert not {"api-key", "authorization"} & {name.lower() for name in server.requests[1].headers}

    async def test_an_error_does_not_quote_the_signed_url(
        self, client: AsyncRetab, server: RawServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        url = f"{server.url}/a.pdf?X-Sig=0123456789abcdef"
        server.steps = (reply(LINK | {"download_url": url}), reply(f"no: {url}".encode(), 403))
        with pytest.raises(PermissionDeniedError) as caught:
            await client.files.download("file_1")

        assert "0123456789abcdef" not in f"{caught.value!r}{vars(caught.value)}{caplog.text}"

    async def test_a_larger_file_than_max_response_bytes_raises(self) -> None:
        async with Emulator() as emulator, client_for(emulator.url, max_response_bytes=5000) as client:
            file = await client.files.upload(bytes(5001), filename="a.bin")
            with pytest.raises(ResponseTooLargeError):
                await client.files.download(file)

    async def test_a_link_to_a_private_address_is_not_followed(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(LINK | {"download_url": "https://10.0.0.7/a.pdf?X-Sig=0123456789abcdef"}),)
        with pytest.raises(ResponseError, match="download_url: expected a public address"):
            await client.files.download("file_1")

        assert len(server.requests) == 1


class TestList:
    async def test_list_yields_the_files(
        self, client: AsyncRetab, server: RawServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows = [FILE, {"id": "file_2", "page_count": "?"}, {"filename": "b.pdf"}, "?"]
        server.steps = (reply({"data": rows, "list_metadata": {"after": "file_2"}}), reply({"data": []}))
        pages = [page async for page in client.files.list().pages()]

        assert pages == [Page(items=(KNOWN, File(id="file_2")), after="file_2"), Page(items=())]
        assert sent_requests(server) == [
            ("GET", "/v1/files?limit=100&order=desc"),
            ("GET", "/v1/files?limit=100&order=desc&after=file_2"),
        ]
        assert "file_2: fields left at their defaults: page_count" in caplog.text
        assert "and 2 more rows" in caplog.text

    async def test_list_sends_its_filters(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply({"data": [FILE]}),)
        files = client.files.list(
            filename="a", mime_type="application/pdf", sort_by="updated_at", from_date=date(2026, 11, 1), limit=5
        )

        assert [file async for file in files] == [KNOWN]
        assert server.requests[0].target == (
            "/v1/files?limit=5&order=desc&filename=a&mime_type=application%2Fpdf&sort_by=updated_at"
            "&from_date=2026-11-01"
        )

    @pytest.mark.parametrize(
        "filters", [{"limit": 0}, {"mime_type": ""}, {"sort_by": "name"}, {"before": "a", "after": "b"}], ids=str
    )
    async def test_invalid_filters_are_rejected(self, filters: dict[str, Any], client: AsyncRetab) -> None:
        with pytest.raises(InvalidRequestError, match=next(reversed(filters))):
            client.files.list(**filters)

    async def test_a_listed_file_is_a_document_of_a_run(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(LINK), reply({"id": "prs_1"}, 201))
        await client.parses.create(document=KNOWN)

        assert sent_requests(server) == [("GET", "/v1/files/file_1/download-link"), ("POST", "/v1/parses")]
        assert b"https://storage.retab.com/org_1/file_1.pdf" in server.requests[1].body
