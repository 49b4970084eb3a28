"""Files by themselves: uploaded, looked at, listed, and where they can be had."""

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
    ResponseError,
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


def asked(server: RawServer) -> list[tuple[str, str]]:
    return [(request.method, request.target) for request in server.requests]


class TestUpload:
    async def test_gives_what_is_a_document_of_any_number_of_runs(self, tmp_path: Path) -> None:
        (tmp_path / "batch.pdf").write_bytes(PDF)
        async with Emulator() as emulator, client_for(emulator.url, api_key=emulator.api_key) as client:
            file = await client.files.upload(tmp_path / "batch.pdf")
            told: dict[str, Any] = {"document": file, "subdocuments": [Subdocument("a")], "background": True}
            runs = [await client.splits.create(**told) for _ in range(2)]

            posts = [served.path for served in emulator.requests if served.path == "/v1/splits"]
            others = len(emulator.requests) - len(posts)
            sizes = {emulator.document_of(run.id).size for run in runs}
            known = await client.files.get(file)

        assert type(file) is UploadedFile
        assert (file.filename, known.id, known.filename) == ("batch.pdf", file.id, "batch.pdf")
        assert sizes == {len(PDF)}
        assert (len(posts), others) == (2, 3)

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
    async def test_refuses_what_is_where_the_api_can_have_it(
        self, document: Any, client: AsyncRetab, server: RawServer
    ) -> None:
        with pytest.raises(InvalidDocumentError, match="give it to a create as it is"):
            await client.files.upload(document)

        assert server.requests == []

    @pytest.mark.parametrize("document", [b"", "missing.pdf", "http://x.test/a.pdf", 5], ids=str)
    async def test_refuses_what_cannot_be_read(self, document: Any, client: AsyncRetab, server: RawServer) -> None:
        with pytest.raises(InvalidDocumentError):
            await client.files.upload(document)

        assert server.requests == []


class TestGet:
    @pytest.mark.parametrize("file", ["file_1", FileRef(id="file_1"), KNOWN], ids=lambda file: type(file).__name__)
    async def test_reads_a_file(self, file: Any, client: AsyncRetab, server: RawServer) -> None:
        assert await client.files.get(file) == KNOWN
        assert asked(server) == [("GET", "/v1/files/file_1")]

    async def test_reads_a_file_of_which_little_is_known(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply({"id": "file_1", "filename": "a.pdf", "mime_type": None, "embeddings": [1]}),)

        assert await client.files.get("file_1") == File(id="file_1", filename="a.pdf")

    @pytest.mark.parametrize("file", ["../splits/splt_1", "", None, 5], ids=repr)
    async def test_of_no_id_is_not_sent(self, file: Any, client: AsyncRetab, server: RawServer) -> None:
        with pytest.raises(InvalidRunIdError):
            await client.files.get(file)
        with pytest.raises(InvalidRunIdError):
            await client.files.download_link(file)

        assert server.requests == []

    async def test_of_another_shape_names_the_place(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(FILE | {"page_count": "three"}),)
        with pytest.raises(ResponseError, match="an integer was expected") as caught:
            await client.files.get("file_1")

        assert caught.value.path == "page_count"

    async def test_of_no_such_file(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply({"detail": "File not found"}, 404),)
        with pytest.raises(NotFoundError):
            await client.files.get("file_1")


class TestDownloadLink:
    @pytest.mark.parametrize("name", ["download_link", "get_download_link"])
    async def test_says_where_the_file_is(self, name: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(LINK),)
        link: DownloadLink = await getattr(client.files, name)("file_1")

        assert link.download_url == SIGNED
        assert link.mime_data == MIMEData(filename="a.pdf", url="https://storage.retab.com/org_1/file_1.pdf")
        assert (link.filename, link.expires_in) == ("a.pdf", "60 minutes")
        assert asked(server) == [("GET", "/v1/files/file_1/download-link")]

    @pytest.mark.parametrize(
        "answer",
        [LINK | {"expires_in": 5}, {"url": SIGNED}, [SIGNED], {"download_url": None, "other": SIGNED}],
        ids=["another shape", "no url", "no object", "null"],
    )
    async def test_that_cannot_be_read_is_quoted_without_its_signature(
        self, answer: Any, client: AsyncRetab, server: RawServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server.steps = (reply(answer),)
        with pytest.raises(ResponseError) as caught:
            await client.files.download_link("file_1")

        assert "X-Sig" not in f"{caught.value!r}{vars(caught.value)}{caplog.text}"

    @pytest.mark.parametrize("scheme", ["http://", "javascript:", "//", ""])
    async def test_that_is_no_https_url_is_refused(self, scheme: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(LINK | {"download_url": SIGNED.replace("https://", scheme)}),)
        with pytest.raises(ResponseError, match="download_url: expected an https:// URL") as caught:
            await client.files.download_link("file_1")

        assert "X-Sig" not in f"{caught.value!r}{vars(caught.value)}"


class TestList:
    async def test_gives_the_files(
        self, client: AsyncRetab, server: RawServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows = [FILE, {"id": "file_2", "page_count": "?"}, {"filename": "b.pdf"}, "?"]
        server.steps = (reply({"data": rows, "list_metadata": {"after": "file_2"}}), reply({"data": []}))
        pages = [page async for page in client.files.list().pages()]

        assert pages == [Page(items=(KNOWN, File(id="file_2")), after="file_2"), Page(items=())]
        assert asked(server) == [
            ("GET", "/v1/files?limit=100&order=desc"),
            ("GET", "/v1/files?limit=100&order=desc&after=file_2"),
        ]
        assert "row 2 of the list has no id" in caplog.text

    async def test_asks_by_its_own_filters(self, client: AsyncRetab, server: RawServer) -> None:
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
        "told", [{"limit": 0}, {"mime_type": ""}, {"sort_by": "name"}, {"before": "a", "after": "b"}], ids=str
    )
    async def test_refuses_what_the_api_would(self, told: dict[str, Any], client: AsyncRetab) -> None:
        with pytest.raises(InvalidRequestError, match=next(reversed(told))):
            client.files.list(**told)

    async def test_gives_what_will_do_as_a_document(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(LINK), reply({"id": "prs_1"}, 201))
        await client.parses.create(document=KNOWN)

        assert asked(server) == [("GET", "/v1/files/file_1/download-link"), ("POST", "/v1/parses")]
        assert b"https://storage.retab.com/org_1/file_1.pdf" in server.requests[1].body
