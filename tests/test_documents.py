"""Documents of every supported type, and the request body that each becomes."""

import asyncio
import base64
import builtins
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from clients import client_for
from hypothesis import given, settings
from hypothesis import strategies as st

from retab_async.documents import Document, DocumentField, build_create_body, transfer_seconds
from retab_async.documents.body import JSONBody
from retab_async.documents.sources import PIECE_SIZE
from retab_async.errors import InvalidDocumentError, InvalidRequestError
from retab_async.models import MIMEData
from retab_async.protocol import BytesBody
from retab_async.transport import Transport

PDF = b"%PDF-1.7\n%%EOF\n"
FIELDS = {"subdocuments": [{"name": "invoice"}], "background": True}


@pytest.fixture
def transport() -> Transport:
    # Sends nothing in these tests.
    client = client_for("http://127.0.0.1:9")
    client._pool.closed = True
    return client.splits._api.transport


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


async def document_in_body(transport: Transport, document: Any) -> Any:
    """Return the document's JSON object in the body of its create."""
    async with build_create_body(transport, {"document": DocumentField(document), **FIELDS}) as body:
        sent = b"".join([piece async for piece in body.pieces()])

    assert body.media_type == "application/json"
    assert body.length == len(sent)
    value = json.loads(sent)
    assert {**value, "document": None} == {"document": None, **FIELDS}
    return value["document"]


async def received(transport: Transport, document: Any) -> tuple[str, str, bytes]:
    """Return the filename, the media type and the bytes of a document that is sent in the body."""
    sent = await document_in_body(transport, document)
    head, _, payload = sent["url"].partition(",")
    return sent["filename"], head.removeprefix("data:").removesuffix(";base64"), base64.b64decode(payload)


class Trickle(io.RawIOBase):
    """A stream that can be read only once, a few bytes at a time."""

    name = "/dev/trickle.bin"

    def __init__(self, content: bytes, most: int = 7) -> None:
        self._content = io.BytesIO(content)
        self._most = most

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(min(size, self._most))

    def bytes_read(self) -> int:
        return self._content.tell()


class Returns:
    """A file object whose read() returns or raises the given value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def read(self, _: int) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class TestPaths:
    @pytest.mark.parametrize("given", [str, Path, lambda path: os.fspath(path).replace("/", "//")])
    async def test_a_file_is_sent_under_its_name(
        self, transport: Transport, tmp_path: Path, given: Callable[[Path], Document]
    ) -> None:
        path = tmp_path / "Sammel Rechnung ä.pdf"
        path.write_bytes(PDF)

        assert await received(transport, given(path)) == (path.name, "application/pdf", PDF)

    async def test_a_relative_path_survives_a_chdir(
        self, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a.pdf").write_bytes(PDF)
        monkeypatch.chdir(tmp_path)
        async with build_create_body(transport, {"document": DocumentField("a.pdf"), **FIELDS}) as body:
            monkeypatch.chdir("/")

            assert b"".join([piece async for piece in body.pieces()]).startswith(b'{"document":{"filename":"a.pdf"')

    async def test_a_path_object_of_bytes_is_accepted(self, transport: Transport, tmp_path: Path) -> None:
        class BytesPath(os.PathLike[bytes]):
            def __fspath__(self) -> bytes:
                return os.fsencode(tmp_path / "a.pdf")

        (tmp_path / "a.pdf").write_bytes(PDF)

        assert await received(transport, BytesPath()) == ("a.pdf", "application/pdf", PDF)

    @pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="names are text there")
    async def test_undecodable_bytes_in_a_filename_are_replaced(self, transport: Transport, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path) + b"/bad\xff.pdf"
        Path(os.fsdecode(path)).write_bytes(PDF)  # noqa: ASYNC240 - a test's own

        assert await received(transport, os.fsdecode(path)) == ("bad?.pdf", "application/pdf", PDF)

    async def test_a_blank_filename_is_replaced_by_a_default(self, transport: Transport, tmp_path: Path) -> None:
        (tmp_path / " ").write_bytes(PDF)

        assert await received(transport, tmp_path / " ") == ("document.pdf", "application/pdf", PDF)

    async def test_an_unknown_extension_leaves_the_media_type_to_the_content(
        self, transport: Transport, tmp_path: Path
    ) -> None:
        (tmp_path / "scan.0001").write_bytes(PDF)

        assert await received(transport, tmp_path / "scan.0001") == ("scan.0001", "application/pdf", PDF)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("missing.pdf", "No such file"),
            ("folder", "is a directory"),
            ("empty.pdf", "is empty"),
            ("pipe", "device or pipe"),
            ("a\0b", "null (byte|character)"),
            ("C:\\bills\\a.pdf", "No such file"),
        ],
    )
    async def test_a_path_that_is_no_regular_nonempty_file_is_rejected(
        self, transport: Transport, tmp_path: Path, name: str, words: str
    ) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "empty.pdf").touch()
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InvalidDocumentError, match=words) as raised:
            await document_in_body(transport, str(tmp_path / name))

        assert isinstance(raised.value, InvalidRequestError)
        assert isinstance(raised.value.__cause__, OSError) == ("No such file" in words)

    async def test_an_empty_path_is_rejected_as_such(self, transport: Transport) -> None:
        with pytest.raises(InvalidDocumentError, match="the path of the document is empty"):
            await document_in_body(transport, "")

    async def test_an_unreadable_file_is_rejected(
        self, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def denied(*_: Any, **__: Any) -> Any:
            raise PermissionError(13, "Permission denied")

        (tmp_path / "a.pdf").write_bytes(PDF)
        monkeypatch.setattr(os, "open", denied)
        with pytest.raises(InvalidDocumentError, match=r"a\.pdf' cannot be read: Permission denied") as raised:
            await document_in_body(transport, tmp_path / "a.pdf")

        assert isinstance(raised.value.__cause__, PermissionError)

    @pytest.mark.parametrize(
        "change", [lambda path: path.write_bytes(b"x" * 3 * PIECE_SIZE), lambda path: os.truncate(path, PIECE_SIZE)]
    )
    async def test_a_file_that_changes_while_it_is_sent_raises(
        self, transport: Transport, tmp_path: Path, change: Callable[[Path], Any]
    ) -> None:
        path = tmp_path / "a.bin"
        path.write_bytes(bytes(2 * PIECE_SIZE))
        os.utime(path, (1, 1))
        async with build_create_body(transport, {"document": DocumentField(path), **FIELDS}) as body:
            pieces = body.pieces()
            [await anext(pieces) for _ in range(2)]
            change(path)
            with pytest.raises(InvalidDocumentError, match="changed while it was being sent"):
                await anext(pieces)

    @pytest.mark.parametrize("given", ["QUJD" * 100_000, "QUJD/" * 100_000])
    async def test_an_overlong_path_is_quoted_shortened(self, transport: Transport, given: str) -> None:
        with pytest.raises(InvalidDocumentError, match=r"too long; .* give the document itself as bytes") as raised:
            await document_in_body(transport, given)

        assert len(str(raised.value)) < 400

    @pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc elsewhere")
    async def test_a_proc_file_without_a_size_is_read_to_its_end(self, transport: Transport) -> None:
        with open("/proc/version", "rb") as file:  # noqa: ASYNC230, PTH123 - a test's own
            content = file.read()
            file.seek(6)

            assert await received(transport, "/proc/version") == ("version", "text/plain", content)
            assert await received(transport, file) == ("version", "text/plain", content[6:])

    async def test_a_filename_is_what_follows_the_last_separator_of_any_system(
        self, transport: Transport, tmp_path: Path
    ) -> None:
        (tmp_path / "C:\\bills\\a\n.pdf").write_bytes(PDF)

        assert (await document_in_body(transport, tmp_path / "C:\\bills\\a\n.pdf"))["filename"] == "a.pdf"


class TestBytes:
    @pytest.mark.parametrize(
        "given",
        [
            PDF,
            bytearray(PDF),
            memoryview(PDF),
            memoryview(PDF[::-1])[::-1],
            memoryview(PDF + b"\n").cast("H"),
        ],
    )
    async def test_bytes_like_objects_get_a_filename_from_their_media_type(
        self, transport: Transport, given: Document
    ) -> None:
        name, media_type, content = await received(transport, given)

        assert (name, media_type, content.rstrip()) == ("document.pdf", "application/pdf", PDF.rstrip())

    @pytest.mark.parametrize("given", [b"", bytearray(), memoryview(b"")])
    async def test_empty_bytes_are_rejected(self, transport: Transport, given: Document) -> None:
        with pytest.raises(InvalidDocumentError, match="is empty"):
            await document_in_body(transport, given)

    async def test_a_released_memoryview_is_rejected(self, transport: Transport) -> None:
        given = memoryview(PDF)
        given.release()
        with pytest.raises(InvalidDocumentError, match="released"):
            await document_in_body(transport, given)

    async def test_other_tasks_run_between_the_pieces_of_bytes(self, transport: Transport) -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with (
            build_create_body(transport, {"document": DocumentField(bytes(4 * PIECE_SIZE)), **FIELDS}) as body,
            asyncio.TaskGroup() as group,
        ):
            counting = group.create_task(count())
            [piece async for piece in body.pieces()]
            counting.cancel()

        assert turns >= 4


class TestFileObjects:
    async def test_an_open_file_is_read_from_its_position(self, transport: Transport, tmp_path: Path) -> None:
        (tmp_path / "scan.bin").write_bytes(b"skip" + PDF)
        with (tmp_path / "scan.bin").open("rb") as file:
            file.seek(4)

            assert await received(transport, file) == ("scan.bin", "application/pdf", PDF)

    async def test_an_unseekable_stream_is_copied_and_can_be_sent_twice(self, transport: Transport) -> None:
        async with build_create_body(transport, {"document": DocumentField(Trickle(PDF * 1000)), **FIELDS}) as body:
            first, second = [b"".join([piece async for piece in body.pieces()]) for _ in range(2)]

        assert first == second
        assert base64.b64encode(PDF * 1000) in first

    async def test_the_temporary_copy_is_closed_afterwards(self, transport: Transport) -> None:
        content = os.urandom(3 * PIECE_SIZE + 1)
        before = descriptors()
        assert (await received(transport, Trickle(content, most=PIECE_SIZE)))[2] == content

        assert descriptors() == before

    async def test_a_pipe_is_read_to_its_end(self, transport: Transport) -> None:
        command = [sys.executable, "-c", "print('%PDF-1.7 text')"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220, S603 - its pipe is under test
            assert await received(transport, process.stdout) == ("document.pdf", "application/pdf", b"%PDF-1.7 text\n")

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("/somewhere/notes.md", "notes.md"),
            ("C:\\bills\\notes.md", "notes.md"),
            ("../no\r\nt\u2028es\x7f.md", "notes.md"),
            ("<stdin>", "document.txt"),
            (3, "document.txt"),
            (None, "document.txt"),
            (" ", "document.txt"),
        ],
    )
    async def test_the_filename_of_a_file_object_is_the_basename_of_its_name(
        self, transport: Transport, name: Any, expected: str
    ) -> None:
        file = io.BytesIO(b"text")
        file.name = name

        assert (await received(transport, file))[0] == expected

    async def test_gzip_spooled_and_raw_files_are_read(self, transport: Transport, tmp_path: Path) -> None:
        with gzip.open(tmp_path / "a.gz", "wb") as packed:
            packed.write(PDF)
        with tempfile.SpooledTemporaryFile() as spooled:
            spooled.write(PDF)
            spooled.seek(0)
            with gzip.open(tmp_path / "a.gz") as unpacked, (tmp_path / "a.gz").open("rb", buffering=0) as raw:
                assert (await received(transport, unpacked))[1:] == ("application/pdf", PDF)
                assert (await received(transport, spooled))[1:] == ("application/pdf", PDF)
                assert (await received(transport, raw))[:2] == ("a.gz", "application/octet-stream")

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (io.StringIO("text"), "StringIO gives text: open the file in mode 'rb'"),
            (io.TextIOWrapper(io.BytesIO(b"text")), "TextIOWrapper gives text"),
            (io.BytesIO(), "nothing to read"),
            (Trickle(b""), "this Trickle has nothing to read"),
            (Returns("text"), "gives str where bytes are expected"),
            (Returns(None), "gives NoneType where bytes are expected"),
            (Returns(OSError(5, "Input/output error")), "cannot be read: OSError: .*Input/output error"),
            (Returns(RuntimeError("tired")), "cannot be read: RuntimeError: tired"),
        ],
    )
    async def test_a_file_object_that_gives_no_bytes_is_rejected(
        self, transport: Transport, given: Any, words: str
    ) -> None:
        with pytest.raises(InvalidDocumentError, match=words):
            await document_in_body(transport, given)

    async def test_a_closed_file_object_is_rejected_with_the_reason(self, transport: Transport) -> None:
        file = io.BytesIO(PDF)
        file.close()
        with pytest.raises(InvalidDocumentError, match="closed file") as raised:
            await document_in_body(transport, file)

        assert isinstance(raised.value.__cause__, ValueError)

    async def test_a_file_object_at_its_end_is_rejected_with_advice(self, transport: Transport) -> None:
        file = io.BytesIO(PDF)
        file.read()
        with pytest.raises(InvalidDocumentError, match=r"seek\(0\)"):
            await document_in_body(transport, file)

    async def test_a_create_cancelled_while_a_pipe_is_silent_leaks_no_descriptor(self, transport: Transport) -> None:
        reading, writing = os.pipe()
        before = descriptors()
        with open(reading, "rb", buffering=0) as pipe, open(writing, "wb", buffering=0) as end:  # noqa: ASYNC230, PTH123 - descriptors
            end.write(bytes(PIECE_SIZE // 8))
            task = asyncio.create_task(document_in_body(transport, pipe))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The thread reads on, and finds that its copy is not needed any more.
            end.write(PDF)
            end.close()
            await asyncio.sleep(0.05)

            assert descriptors() == before - (sys.platform == "linux")

    async def test_a_create_cancelled_while_a_stream_is_copied_closes_the_copy(self, transport: Transport) -> None:
        before = descriptors()
        endless = Trickle(bytes(10**9), most=PIECE_SIZE)
        task = asyncio.create_task(document_in_body(transport, endless))
        while endless.bytes_read() < 2 * PIECE_SIZE:  # noqa: ASYNC110 - a thread gives no event
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while descriptors() > before:  # noqa: ASYNC110 - a thread gives no event
            await asyncio.sleep(0.001)

        assert endless.bytes_read() < 10**9


class AsyncFile:
    """An async file object with a position, as those of aiofiles."""

    def __init__(self, content: Any) -> None:
        self._file = io.BytesIO(content) if isinstance(content, bytes) else content
        self.name = "/somewhere/async.bin"

    async def read(self, size: int, /) -> Any:
        await asyncio.sleep(0)
        return self._file.read(size)

    async def tell(self) -> int:
        position: int = self._file.tell()
        return position

    async def seek(self, position: int) -> int:
        where: int = self._file.seek(position)
        return where


class UploadFile:
    """An upload as Starlette gives it: an async read(), a `file`, a `filename`, and no tell()."""

    def __init__(self, content: bytes, filename: str) -> None:
        self.file = io.BytesIO(content)
        self.filename = filename
        self.name = "the-field-of-the-form"

    async def read(self, size: int = -1) -> bytes:
        return self.file.read(size)

    async def seek(self, offset: int) -> None:
        self.file.seek(offset)


class TestAsyncFileObjects:
    @pytest.mark.parametrize("size", [len(PDF), 3 * PIECE_SIZE + 1])
    async def test_an_async_file_is_sent_from_its_position_and_keeps_it(self, transport: Transport, size: int) -> None:
        content = PDF + bytes(size - len(PDF))
        file = AsyncFile(b"skip" + content)
        await file.seek(4)

        assert await received(transport, file) == ("async.bin", "application/pdf", content)
        assert await file.tell() == 4

    async def test_a_file_of_anyio_is_sent(self, transport: Transport, tmp_path: Path) -> None:
        (tmp_path / "any.pdf").write_bytes(PDF)
        async with await anyio.open_file(tmp_path / "any.pdf", "rb") as file:
            assert await received(transport, file) == ("any.pdf", "application/pdf", PDF)
            assert await file.tell() == 0

    async def test_an_upload_of_a_web_framework_keeps_its_filename(self, transport: Transport) -> None:
        upload = UploadFile(PDF, "C:\\fakepath\\scan.pdf")

        assert await received(transport, upload) == ("scan.pdf", "application/pdf", PDF)

    async def test_an_async_pipe_has_no_position_and_is_sent(self, transport: Transport) -> None:
        class Pipe(AsyncFile):
            async def tell(self) -> int:
                raise OSError(29, "Illegal seek")

        assert (await received(transport, Pipe(PDF)))[2] == PDF

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", r"this AsyncFile has nothing to read: .*seek\(0\)"),
            (io.StringIO("text"), "this AsyncFile gives str where bytes are expected"),
            (Returns(RuntimeError("tired")), "this AsyncFile cannot be read: .*"),
        ],
    )
    async def test_an_unreadable_async_file_is_rejected(self, transport: Transport, content: Any, words: str) -> None:
        with pytest.raises(InvalidDocumentError, match=words):
            await document_in_body(transport, AsyncFile(content))

    async def test_a_cancelled_copy_of_an_async_stream_leaks_no_descriptor(self, transport: Transport) -> None:
        class Stream:
            pieces = 0

            async def read(self, size: int, /) -> bytes:
                self.pieces += 1
                await asyncio.sleep(0 if self.pieces < 5 else 60)
                return bytes(size)

        before = descriptors()
        task = asyncio.create_task(document_in_body(transport, stream := Stream()))
        while stream.pieces < 5:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert descriptors() == before


class TestFilenames:
    @pytest.mark.parametrize(
        "make",
        [
            lambda _: PDF,
            lambda path: path,
            str,
            lambda path: path.open("rb"),
            lambda _: io.BytesIO(PDF),
            lambda _: AsyncFile(PDF),
            lambda _: Trickle(PDF),
            lambda _: "data:application/pdf;base64," + base64.b64encode(PDF).decode(),
            lambda _: MIMEData(filename="own.pdf", url="data:;base64," + base64.b64encode(PDF).decode()),
        ],
    )
    async def test_a_given_filename_replaces_that_of_any_document(
        self, transport: Transport, tmp_path: Path, make: Callable[[Path], Any]
    ) -> None:
        (tmp_path / "disk.bin").write_bytes(PDF)
        for pair in (True, False):
            document = make(tmp_path / "disk.bin")
            field = DocumentField(("Rechnung ä.pdf", document)) if pair else DocumentField(document, "Rechnung ä.pdf")
            async with build_create_body(transport, {"document": field}) as body:
                sent = json.loads(b"".join([piece async for piece in body.pieces()]))["document"]
            getattr(document, "close", bool)()

            assert sent["filename"] == "Rechnung ä.pdf"
            assert sent["url"] == "data:application/pdf;base64," + base64.b64encode(PDF).decode()

    async def test_a_given_filename_replaces_that_of_a_url(self, transport: Transport) -> None:
        url = "https://files.example.com/far.pdf"
        for document in (url, MIMEData(filename="own.pdf", url=url)):
            assert await document_in_body(transport, ("near.pdf", document)) == {"filename": "near.pdf", "url": url}

    @pytest.mark.parametrize("document", [("a.pdf",), ("a.pdf", PDF, "application/pdf"), ("a", ("b", PDF)), ()])
    async def test_a_tuple_that_is_no_pair_is_rejected(self, transport: Transport, document: Any) -> None:
        with pytest.raises(InvalidDocumentError, match=r'a tuple is a document as \("name\.pdf", content\)'):
            await document_in_body(transport, document)

    @pytest.mark.parametrize("filename", ["", " ", "\n", 5, b"a.pdf"])
    async def test_a_blank_filename_is_rejected(self, transport: Transport, filename: Any) -> None:
        with pytest.raises(InvalidDocumentError, match="filename of a document must be a text that is not blank"):
            await document_in_body(transport, (filename, PDF))

    async def test_two_filenames_are_rejected(self, transport: Transport) -> None:
        with pytest.raises(InvalidDocumentError, match="without a further filename"):
            async with build_create_body(transport, {"document": DocumentField(("a.pdf", PDF), "b.pdf")}):
                pass


class TestURLs:
    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("https://files.example.com/a/far.pdf?v=2", "far.pdf"),
            ("HTTPS://files.example.com/far%20off%C3%A4.pdf#page=2", "far offä.pdf"),
            ("https://files.example.com/folder/", "document"),
            ("https://files.example.com", "document"),
            ("https://files.example.com/%20", "document"),
            ("https://files.example.com/a%2F..%2Fb.pdf", "b.pdf"),
            ("https://files.example.com/a%5Cb%0D%0A%00.pdf", "b.pdf"),
            ("https://files.example.com/%ff.pdf", "\ufffd.pdf"),
        ],
    )
    async def test_an_https_url_is_passed_on_unchanged(self, transport: Transport, url: str, name: str) -> None:
        assert await document_in_body(transport, url) == {"filename": name, "url": url}
        assert await document_in_body(transport, MIMEData(filename="own.pdf", url=url)) == {
            "filename": "own.pdf",
            "url": url,
        }

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("http://files.example.com/a.pdf", "only over https"),
            ("Http://files.example.com/a.pdf", "only over https"),
            ("gs://bucket/a.pdf", "signed https:// URL"),
            ("s3://bucket/a.pdf", "signed https:// URL"),
            ("ftp://example.com/a.pdf", "signed https:// URL"),
            ("file:///tmp/a.pdf", "pass the path by itself"),
            ("https:///a.pdf", "no valid host"),
            ("https://[::1/a.pdf", "no valid host"),
            ("https://example.com/a\n.pdf", "characters that no URL has"),
            ("https://example.com/\udcff.pdf", "characters that no URL has"),
        ],
    )
    async def test_other_urls_are_rejected_with_advice_and_not_quoted(
        self, transport: Transport, url: str, words: str
    ) -> None:
        for document in (f"{url}?X-Sig=0123456789", MIMEData(filename="a.pdf", url=f"{url}?X-Sig=0123456789")):
            with pytest.raises(InvalidDocumentError, match=words) as raised:
                await document_in_body(transport, document)

            assert "0123456789" not in str(raised.value)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("data:application/pdf;base64,JVBERi0=", ("document.pdf", "application/pdf", b"%PDF-")),
            ("DATA:Text/CSV;charset=utf-8;BASE64,YSxi", ("document.csv", "text/csv", b"a,b")),
            ("data:text/plain,a%2Cb%20c", ("document.txt", "text/plain", b"a,b c")),
            ("data:,a,b", ("document.txt", "text/plain", b"a,b")),
            ("data:;base64,JVBERi0=", ("document.pdf", "application/pdf", b"%PDF-")),
            ("data:no type;base64,JVBERi0%3D", ("document.pdf", "application/pdf", b"%PDF-")),
            ("data:image/unheard-of;base64,YQ==", ("document", "image/unheard-of", b"a")),
        ],
    )
    async def test_the_content_of_a_data_url_is_decoded(
        self, transport: Transport, url: str, expected: tuple[str, str, bytes]
    ) -> None:
        assert await received(transport, url) == expected
        assert await received(transport, MIMEData(filename="own.bin", url=url)) == ("own.bin", *expected[1:])

    async def test_the_filename_of_mime_data_is_kept_but_put_on_one_line(self, transport: Transport) -> None:
        for url in ("https://files.example.com/a.pdf", "data:application/pdf;base64,JVBERi0="):
            assert (await document_in_body(transport, MIMEData(filename="C:\\a/b\n.pdf", url=url)))[
                "filename"
            ] == "C:\\a/b.pdf"
            nameless = await document_in_body(transport, MIMEData(filename="\0", url=url))
            assert nameless["filename"] in {"document", "document.pdf"}

    async def test_a_large_data_url_is_decoded_piece_by_piece(self, transport: Transport) -> None:
        content = os.urandom(1_000_001)
        payload = base64.b64encode(content).decode()

        assert await received(transport, f"data:;base64,{payload}") == (
            "document",
            "application/octet-stream",
            content,
        )
        with pytest.raises(InvalidDocumentError, match="padding before the end"):
            await document_in_body(transport, f"data:;base64,{payload[: 512 * 1024 - 2]}=={payload}")

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("data:application/pdf;base64", "no comma"),
            ("data:application/pdf;base64,", "no data"),
            ("data:,", "no data"),
            ("data:application/pdf;base64,JVBERi0", "cannot be decoded"),
            ("data:application/pdf;base64,JVBE Ri0=", "cannot be decoded"),
            ("data:application/pdf;base64,JVBE_-0=", "cannot be decoded"),
            ("data:application/pdf;base64,JVBERi0=JVBERi0=", "cannot be decoded"),
            ("data:application/pdf;base64,ä", "cannot be decoded"),
            ("data:,\udcff", "cannot be decoded"),
        ],
    )
    async def test_an_undecodable_data_url_is_rejected(self, transport: Transport, url: str, words: str) -> None:
        with pytest.raises(InvalidDocumentError, match=words):
            await document_in_body(transport, url)

    @pytest.mark.parametrize(
        ("filename", "url", "words"),
        [
            (" ", "data:,a", "not blank"),
            (None, "data:,a", "not blank"),
            ("a.pdf", "/tmp/a.pdf", "https:// or data: URL"),  # noqa: S108 - not opened
            ("a.pdf", "", "https:// or data: URL"),
            ("a.pdf", None, "https:// or data: URL"),
        ],
    )
    async def test_incomplete_mime_data_is_rejected(
        self, transport: Transport, filename: Any, url: Any, words: str
    ) -> None:
        with pytest.raises(InvalidDocumentError, match=words):
            await document_in_body(transport, MIMEData(filename=filename, url=url))

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("data:application/pdf;base64," + "A" * 10**6, "'data:application/pdf;base64,...'"),
            ("https://example.com/a,b.pdf", "'https://example.com/a,b.pdf'"),
            (None, "None"),
        ],
    )
    def test_the_repr_of_mime_data_omits_the_document(self, url: Any, shown: str) -> None:
        assert repr(MIMEData(filename="a.pdf", url=url)) == f"MIMEData(filename='a.pdf', url={shown})"


class TestOtherTypes:
    @pytest.mark.parametrize("given", [None, 7, {"filename": "a.pdf"}, ["a.pdf"], object()])
    async def test_an_unsupported_type_is_rejected_with_the_supported_ones(
        self, transport: Transport, given: Any
    ) -> None:
        with pytest.raises(InvalidDocumentError, match=f"a {type(given).__name__} is no document: give a path, bytes"):
            await document_in_body(transport, given)


@pytest.fixture
def threads_that_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads that open files in the temporary folder with `open`, `io.open` or `os.open`.

    An audit hook would see more, but it stays for the rest of the process and makes other tests fail: while one runs,
    no other thread can be traced for its coverage.
    """
    threads: set[int] = set()

    def watched(opener: Callable[..., Any]) -> Callable[..., Any]:
        def open_file(file: Any, *args: Any, **kwargs: Any) -> Any:
            if str(file).startswith(str(tmp_path)):
                threads.add(threading.get_ident())
            return opener(file, *args, **kwargs)

        return open_file

    for module in (builtins, io, os):
        monkeypatch.setattr(module, "open", watched(module.open))
    return threads


class TestEventLoop:
    @pytest.mark.parametrize("open_it", [lambda path: path, lambda _: Trickle(bytes(2 * PIECE_SIZE), PIECE_SIZE)])
    async def test_no_file_is_opened_on_the_loop(
        self,
        transport: Transport,
        open_it: Callable[[Path], Any],
        tmp_path: Path,
        threads_that_open: set[int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        path = tmp_path / "a.scan"
        path.write_bytes(PDF)
        threads_that_open.clear()

        await document_in_body(transport, open_it(path))

        assert threads_that_open
        assert threading.get_ident() not in threads_that_open

    async def test_no_file_object_is_used_on_the_loop(self, transport: Transport) -> None:
        threads = set()

        class Recording(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                threads.add(threading.get_ident())
                return super().read(size)

            def seek(self, offset: int, whence: int = 0, /) -> int:
                threads.add(threading.get_ident())
                return super().seek(offset, whence)

        await document_in_body(transport, Recording(PDF))

        assert threads
        assert threading.get_ident() not in threads


class TestBodies:
    @settings(max_examples=60, deadline=None)
    @given(
        content=st.binary(min_size=1, max_size=200),
        repeated=st.sampled_from([1, 1, 1, PIECE_SIZE // 50]),
        filename=st.text(st.characters(exclude_categories=("Cc", "Zl", "Zp")), min_size=1).filter(str.strip),
    )
    def test_any_content_under_any_filename_can_be_sent_twice(
        self, content: bytes, repeated: int, filename: str
    ) -> None:
        client = client_for("http://127.0.0.1:9")
        client._pool.closed = True
        transport = client.splits._api.transport
        document = MIMEData(filename=filename, url="data:;base64," + base64.b64encode(content * repeated).decode())

        async def run() -> list[bytes]:
            async with build_create_body(transport, {"document": DocumentField(document), **FIELDS}) as body:
                bodies = [b"".join([piece async for piece in body.pieces()]) for _ in range(2)]
                assert body.length == len(bodies[0])
            return bodies

        first, second = asyncio.run(run())
        sent = json.loads(first)["document"]

        assert first == second
        assert base64.b64decode(sent["url"].partition(",")[2]) == content * repeated
        assert sent["filename"] == filename.encode(errors="replace").decode()

    async def test_an_abandoned_body_starts_again_from_the_beginning(
        self, transport: Transport, tmp_path: Path
    ) -> None:
        (tmp_path / "a.bin").write_bytes(os.urandom(3 * PIECE_SIZE))
        for document in (tmp_path / "a.bin", (tmp_path / "a.bin").read_bytes(), io.BytesIO(bytes(3 * PIECE_SIZE))):
            async with build_create_body(transport, {"document": DocumentField(document), **FIELDS}) as body:
                pieces: AsyncGenerator[bytes, None] = body.pieces()
                [await anext(pieces) for _ in range(3)]
                await pieces.aclose()
                whole = b"".join([piece async for piece in body.pieces()])

                assert len(whole) == body.length
                json.loads(whole)

    async def test_integers_beyond_64_bits_are_exact_beside_documents(self, transport: Transport) -> None:
        fields = {"document": DocumentField(PDF), "number": 2**70, "other": DocumentField(b"other")}
        async with build_create_body(transport, fields) as body:
            sent = json.loads(b"".join([piece async for piece in body.pieces()]))

        assert sent["number"] == 2**70
        assert base64.b64decode(sent["document"]["url"].partition(",")[2]) == PDF
        assert base64.b64decode(sent["other"]["url"].partition(",")[2]) == b"other"

    async def test_the_pieces_of_a_body_are_bounded(self, transport: Transport) -> None:
        async with build_create_body(
            transport, {"document": DocumentField(bytes(5 * PIECE_SIZE + 1)), **FIELDS}
        ) as body:
            sizes = [len(piece) async for piece in body.pieces()]

        assert max(sizes) == PIECE_SIZE // 3 * 4
        assert isinstance(body, JSONBody)

    async def test_a_body_without_inline_documents_is_bytes(self, transport: Transport) -> None:
        async with build_create_body(
            transport, {"document": DocumentField("https://example.com/a.pdf"), **FIELDS}
        ) as body:
            assert isinstance(body, BytesBody)

    def test_transfer_seconds_grow_with_the_length(self) -> None:
        assert transfer_seconds(32 * 1024 * 1024) == 128
