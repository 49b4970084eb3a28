"""Media types of documents, by filename and by content."""

import io
import random
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retab_async.documents.media_types import HEAD_SIZE, extension_of, type_by_content, type_by_name

OFFICE = "application/vnd.openxmlformats-officedocument."
OPEN = "application/vnd.oasis.opendocument."
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)

# Extensions that the official client accepts, and some that only the service lists.
ACCEPTED = (
    "xls xlsx ods doc docx odt ppt pptx odp pdf jpg jpeg png gif bmp tiff webp heic heif txt csv tsv md log xml json "
    "yaml yml rtf ini conf cfg nfo srt sql sh bat ps1 js jsx ts tsx py java c cpp cs rb php swift kt go rs pl r m "
    "avif scala html htm mhtml eml msg mp3 mp4 mpeg mpga m4a wav webm tif xlsm xlsb docm dotx svg"
)


def archive(*names: str, first: bytes = b"", padding: bytes = b"x" * 100) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as packed:
        if first:
            packed.writestr("mimetype", first)
        for name in names:
            packed.writestr(name, padding)
    return written.getvalue()


class TestByName:
    @pytest.mark.parametrize("extension", ACCEPTED.split())
    def test_every_extension_that_the_api_accepts_has_a_type(self, extension: str) -> None:
        assert type_by_name(f"a.b.{extension}")
        assert type_by_name(f"a.{extension.upper()}") == type_by_name(f"a.{extension}")

    @pytest.mark.parametrize("name", ["", "pdf", "a.", "a.unheard", "a.pdf.gz", "a.pdf "])
    def test_an_unknown_extension_has_no_type(self, name: str) -> None:
        assert type_by_name(name) == ""

    @pytest.mark.parametrize(
        ("media_type", "expected"),
        [
            ("application/pdf", ".pdf"),
            ("image/jpeg", ".jpg"),
            ("text/plain", ".txt"),
            (f"{OFFICE}spreadsheetml.sheet", ".xlsx"),
            ("application/octet-stream", ""),
            ("x/y", ""),
        ],
    )
    def test_a_known_type_has_an_extension(self, media_type: str, expected: str) -> None:
        assert extension_of(media_type) == expected


class TestByContent:
    @pytest.mark.parametrize(
        ("head", "expected"),
        [
            (b"%PDF-1.7\n", "application/pdf"),
            (b"\r\n\xef\xbb\xbf junk \x00%PDF-1.4", "application/pdf"),
            (b"\x89PNG\r\n\x1a\n\0\0", "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"GIF89a\x01\0", "image/gif"),
            (b"II*\0\x08\0", "image/tiff"),
            (b"MM\0*\0\0", "image/tiff"),
            (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "image/bmp"),
            (b"BMW 320d, first registered", "text/plain"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
            (b"RIFF\n\n\0\0WAVEfmt ", "audio/wav"),
            (b"\0\0\0\x18ftypheic\0\0", "image/heic"),
            (b"\0\0\0\x18ftypmif1\0\0", "image/heif"),
            (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", "image/avif"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heif"),
            (b"\0\0\0\x18ftypM4A \0\0", "audio/mp4"),
            (b"\0\0\0\x18ftypisom\0\0", "video/mp4"),
            (b"ID3\x04\0\0", "audio/mpeg"),
            (b"\xff\xfb\x90\x64", "audio/mpeg"),
            (b"\x1aE\xdf\xa3\x01", "video/webm"),
            (b"{\\rtf1\\ansi", "application/rtf"),
            (archive("[Content_Types].xml", "_rels/.rels", "word/document.xml"), f"{OFFICE}wordprocessingml.document"),
            (archive("[Content_Types].xml", "docProps/app.xml", "xl/workbook.xml"), f"{OFFICE}spreadsheetml.sheet"),
            (archive("ppt/presentation.xml", "[Content_Types].xml"), f"{OFFICE}presentationml.presentation"),
            (archive("content.xml", first=f"{OPEN}text".encode()), f"{OPEN}text"),
            (archive("content.xml", first=f"{OPEN}spreadsheet".encode()), f"{OPEN}spreadsheet"),
            (archive("content.xml", first=f"{OPEN}presentation".encode()), f"{OPEN}presentation"),
            (archive("OEBPS/a.html", first=b"application/epub+zip"), "application/zip"),
            (archive("a.txt", "b.txt"), "application/zip"),
            (OLE + "WordDocument".encode("utf-16-le"), "application/msword"),
            (OLE + "Workbook".encode("utf-16-le"), "application/vnd.ms-excel"),
            (OLE + "PowerPoint Document".encode("utf-16-le"), "application/vnd.ms-powerpoint"),
            (OLE + "__substg1.0_0037001F".encode("utf-16-le"), "application/vnd.ms-outlook"),
            (OLE, "application/x-ole-storage"),
            (b"<!DOCTYPE html><p>text", "text/html"),
            (b"\n<!-- a --> <!-- b --><HTML lang=de>", "text/html"),
            (b'<?xml version="1.0"?><invoice/>', "application/xml"),
            (b'<?xml version="1.0"?><svg xmlns=""/>', "image/svg+xml"),
            (b"<svg width='1'>", "image/svg+xml"),
            (b'{"total": 1}', "application/json"),
            (b"[1, 2]", "application/json"),
            (b"\xef\xbb\xbf{}", "application/json"),
            (b"[draft] a letter", "text/plain"),
            (b"{name}, hello", "text/plain"),
            (b"7", "text/plain"),
            ("a;b\tc\r\nä€".encode(), "text/plain"),
            ("text".encode("utf-16"), "text/plain"),
            ("Gr\u00fc\u00dfe".encode("latin-1"), "application/octet-stream"),
            ("cut €".encode()[:-1], "application/octet-stream"),
            (b"a\0b", "application/octet-stream"),
            (b"\x00\x01\x02", "application/octet-stream"),
        ],
    )
    def test_the_first_bytes_determine_the_type(self, head: bytes, expected: str) -> None:
        assert type_by_content(head) == expected

    @pytest.mark.parametrize(
        ("head", "expected"),
        [
            (b'{"rows": [' + b"1," * HEAD_SIZE, "application/json"),
            (b'[{"a": 1}, ' + b" " * HEAD_SIZE, "application/json"),
            (b"[draft] " + b"a" * HEAD_SIZE, "text/plain"),
            (b"a" + "€".encode() * HEAD_SIZE, "text/plain"),
        ],
    )
    def test_the_head_of_a_longer_document_is_enough(self, head: bytes, expected: str) -> None:
        assert type_by_content(head[:HEAD_SIZE]) == expected

    @given(st.binary(max_size=300))
    def test_any_bytes_have_a_type(self, head: bytes) -> None:
        assert "/" in type_by_content(head)

    def test_endless_comments_take_linear_time(self) -> None:
        assert type_by_content(b"<!-- --> " * (HEAD_SIZE // 9) + b"<p>") == "text/plain"
        assert type_by_content(random.Random(0).randbytes(HEAD_SIZE)) == "application/octet-stream"
