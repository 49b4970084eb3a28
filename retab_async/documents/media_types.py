"""Media types of documents, by the extension of the filename or by the first bytes."""

import codecs
import re
from collections.abc import Callable, Iterable

import orjson

ANY_TYPE = "application/octet-stream"

# From each media type to its extensions; the first one completes default filenames. Not from `mimetypes`, which reads
# files of the system and so differs between machines. Source code and settings are plain text to Retab.
_EXTENSIONS = {
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": "dotx",
    "application/vnd.ms-word.document.macroenabled.12": "docm",
    "application/msword": "doc dot",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.template": "xltx",
    "application/vnd.ms-excel.sheet.macroenabled.12": "xlsm",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "xlsb",
    "application/vnd.ms-excel": "xls xlt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": "ppsx",
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": "pptm",
    "application/vnd.ms-powerpoint": "ppt pps",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/rtf": "rtf",
    "application/json": "json",
    "application/xml": "xml",
    "application/yaml": "yaml yml",
    "application/zip": "zip",
    "application/vnd.ms-outlook": "msg",
    "message/rfc822": "eml mhtml mht",
    "text/html": "html htm",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/markdown": "md",
    "text/plain": (
        "txt log ini conf cfg nfo srt sql sh bat ps1 js jsx ts tsx py java c cpp cs rb php swift kt go rs pl r m scala"
    ),
    "image/jpeg": "jpg jpeg",
    "image/png": "png",
    "image/gif": "gif",
    "image/bmp": "bmp",
    "image/tiff": "tiff tif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3 mpga",
    "audio/mp4": "m4a",
    "audio/wav": "wav",
    "video/mp4": "mp4",
    "video/mpeg": "mpeg",
    "video/webm": "webm",
}
_TYPES = {extension: kind for kind, extensions in _EXTENSIONS.items() for extension in extensions.split()}


def type_by_name(filename: str) -> str:
    """Return the media type of a filename's extension, "" for an unknown or missing one."""
    _, dot, extension = filename.rpartition(".")
    return _TYPES.get(extension.lower(), "") if dot else ""


def extension_of(media_type: str) -> str:
    """Return the extension for default filenames of a media type, with its dot; "" for an unknown type."""
    extensions = _EXTENSIONS.get(media_type)
    return f".{extensions.split()[0]}" if extensions else ""


# Bytes at the start of a document that are inspected.
HEAD_SIZE = 64 * 1024

# The first pattern that matches at the start wins.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (rb"%PDF-", "application/pdf"),
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"II\*\0|MM\0\*", "image/tiff"),
    # With its reserved bytes: some words begin with these two letters.
    (rb"BM.{4}\0{4}", "image/bmp"),
    (rb"RIFF.{4}WEBP", "image/webp"),
    (rb"RIFF.{4}WAVE", "audio/wav"),
    (rb".{4}ftyp(avi[fs]|m[is]f1.{4}(.{4}){0,8}?avi[fs])", "image/avif"),
    (rb".{4}ftyp(hei[cxms]|hev[cxms])", "image/heic"),
    (rb".{4}ftyp(mif1|msf1)", "image/heif"),
    (rb".{4}ftypM4[AB]", "audio/mp4"),
    (rb".{4}ftyp", "video/mp4"),
    (rb"ID3[\x02-\x04]|\xff[\xfb\xf3\xf2]", "audio/mpeg"),
    (rb"\x1a\x45\xdf\xa3", "video/webm"),
    (rb"\{\\rtf", "application/rtf"),
    # The header may be preceded by other bytes.
    (rb".{1,1019}%PDF-\d", "application/pdf"),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in _SIGNATURES)

# Every entry of an archive starts with its name; in an OpenDocument file the first entry is the media type.
_ZIP = b"PK\x03\x04"
_ENTRY = re.compile(rb"PK\x03\x04.{22}(?=(.)(.)(.)(.))", re.DOTALL)
_ENTRY_LENGTH = 30
_DECLARED = re.compile(rb"PK\x03\x04.{22}\x08\0(..)mimetype", re.DOTALL)
_OPEN_DOCUMENT = re.compile(rb"application/vnd\.oasis\.opendocument\.(text|spreadsheet|presentation)")
_OFFICE_FOLDERS = {
    b"word": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    b"xl": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    b"ppt": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

# Older Office files name their streams in UTF-16.
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_STREAMS = {
    "WordDocument": "application/msword",
    "Workbook": "application/vnd.ms-excel",
    "PowerPoint Document": "application/vnd.ms-powerpoint",
    "__substg1.0_": "application/vnd.ms-outlook",
}

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_HTML = re.compile(r"(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html|head|body)\b", re.DOTALL | re.IGNORECASE)
_XML = re.compile(r"<\?xml\b")
_SVG = re.compile(r"<svg\b")
# Bytes of an XML document within which its first element starts.
_PROLOGUE = 1024
_JSON_START = re.compile(r'\{\s*"|\[\s*[\[{"\d-]')


def type_by_content(head: bytes) -> str:
    """Return the media type of a document by its first `HEAD_SIZE` bytes, or all of them."""
    found = next((kind for pattern, kind in _PATTERNS if pattern.match(head)), "")
    return found or next((read(head) for prefix, read in _CONTAINERS if head.startswith(prefix)), "") or _text(head)


def _zipped(head: bytes) -> str:
    declared = _DECLARED.match(head)
    if declared:
        start = declared.end() + int.from_bytes(declared[1], "little")
        kind = _OPEN_DOCUMENT.match(head, start)
        return kind[0].decode() if kind else "application/zip"
    folders = (name.partition(b"/")[0] for name in _entries(head))
    return next((_OFFICE_FOLDERS[folder] for folder in folders if folder in _OFFICE_FOLDERS), "application/zip")


def _entries(head: bytes) -> Iterable[bytes]:
    for entry in _ENTRY.finditer(head):
        start = entry.start() + _ENTRY_LENGTH
        yield head[start : start + int.from_bytes(entry[1] + entry[2], "little")]


def _compound(head: bytes) -> str:
    known = (kind for name, kind in _OLE_STREAMS.items() if name.encode("utf-16-le") in head)
    return next(known, "application/x-ole-storage")


_CONTAINERS: tuple[tuple[bytes, Callable[[bytes], str]], ...] = ((_ZIP, _zipped), (_OLE, _compound))


def _text(head: bytes) -> str:
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        # A character cut at the end of the head is no error.
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=len(head) < HEAD_SIZE).lstrip()
    except UnicodeDecodeError:
        return ANY_TYPE
    if _CONTROLS.search(text):
        return ANY_TYPE
    if _HTML.match(text):
        return "text/html"
    if _SVG.match(text) or (_XML.match(text) and _SVG.search(text, 0, _PROLOGUE)):
        return "image/svg+xml"
    if _XML.match(text):
        return "application/xml"
    return "application/json" if _is_json(text, whole=len(head) < HEAD_SIZE) else "text/plain"


def _is_json(text: str, *, whole: bool) -> bool:
    # A lone number or word is JSON too, but hardly a document.
    if not text.startswith(("{", "[")):
        return False
    if not whole:
        return _JSON_START.match(text) is not None
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
