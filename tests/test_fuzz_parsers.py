"""Fuzzing of every parser of foreign data besides runs and pages: each input has one of the promised outcomes.

Runs, pages and ids are in `test_fuzz`.
"""

import asyncio
import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from fuzzing import budget
from hypothesis import example, given
from hypothesis import strategies as st
from payloads import FULL_SPLIT, KEY
from payloads_kinds import FULL
from test_converter import JSON, bent
from test_fuzz import FakeClient, fake_client

from retab_async import APIError, Extraction, FileRef, JournalError, RetabError, UploadedFile
from retab_async.cli.id_file import IdFileError, IdFileParser, IdFormat
from retab_async.errors import error_class
from retab_async.journal import Journal
from retab_async.journal.entry import Entry, JournalHeader, decode_line, encode_entry, encode_header
from retab_async.protocol import run_path
from retab_async.resources import RESOURCES

pytestmark = pytest.mark.slow

PDF = b"%PDF-1.7\n"
SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}}
TEXT = st.text() | st.text("ab\x1b\0\r\n\ud800\"'`<>[]{},;:\t#|%$\\", max_size=20)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeClient]:
    with asyncio.Runner() as runner:
        yield fake_client(runner)


def is_log_safe(text: str) -> bool:
    """Return whether a text is one line without control characters or surrogates."""
    return not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text)


def nested(depth: int, opening: bytes = b'{"details":', closing: bytes = b"}") -> bytes:
    return opening * depth + b"1" + closing * depth


# Error bodies

PROBLEMS: Any = [
    {"detail": "Not Found"},
    {"detail": [{"type": "missing", "loc": ["body", "document", 0], "msg": "Field required"}]},
    {"code": "HTTP_EXCEPTION", "message": "An HTTP exception occurred.", "details": {"error": "Invalid API Key."}},
    {"title": "Unprocessable Entity", "errors": [{"location": "body.key", "message": "too short"}]},
]
error_bodies = st.one_of(
    st.binary(max_size=60),
    TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(PROBLEMS).flatmap(bent).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(["details", "detail", "error", "message", "errors", "loc", "msg", "code"]), JSON
    ).map(lambda value: json.dumps(value).encode()),
    st.integers(0, 2000).map(nested),
    st.integers(0, 2000).map(lambda depth: nested(depth, b"[", b"]")),
)


@budget(60)
@given(status=st.integers(300, 599), body=error_bodies)
@example(status=400, body=b'{"details":' + nested(983, b"[", b"]") + b"}")
@example(status=502, body=b"<html>" * 5000)
def test_any_error_body_gives_the_error_of_its_status(fake: FakeClient, status: int, body: bytes) -> None:
    if status in {429, 503}:
        # These hold back the later calls of their client.
        fake = fake_client(fake.runner)
    fake.session.respond_with(body, status)
    with pytest.raises(RetabError) as caught:
        fake.call("splits", lambda runs, run_id: runs.cancel(run_id), "splt_1")

    assert type(caught.value) is error_class(status)
    assert isinstance(caught.value, APIError)
    assert caught.value.status_code == status
    assert is_log_safe(str(caught.value))
    assert repr(caught.value)


# Streams

lines = st.lists(
    st.binary(max_size=30)
    | st.sampled_from([b"", b"data:", b"data: [DONE]", b": ping", b"event: state", b"id: 1", b"\xef\xbb\xbf", b"{}"])
    | bent(FULL["extractions"]).map(lambda value: b"data: " + json.dumps(value).encode())
    | bent(FULL["extractions"]).map(lambda value: json.dumps(value).encode()),
    max_size=6,
)


@budget(40)
@given(lines=lines, end=st.sampled_from([b"\n", b"\r\n", b"\n\n", b""]))
@example(lines=[nested(2000)], end=b"\n")
def test_any_stream_gives_runs_or_an_error(fake: FakeClient, lines: list[bytes], end: bytes) -> None:
    fake.session.respond_with(end.join([*lines, b""]))

    async def consume(runs: Any, _: str) -> list[Any]:
        async with runs.stream(document=PDF, json_schema=SCHEMA) as states:
            return [state async for state in states]

    try:
        states = fake.call("extractions", consume, "")
    except RetabError as error:
        assert is_log_safe(str(error))  # noqa: PT017 - both outcomes are right, and both are checked
    else:
        assert all(isinstance(state, Extraction) for state in states)


# Uploads and files

SESSION = {
    "fileId": "file_1",
    "uploadUrl": "https://storage.example.com/a?sig=0123456789",
    "uploadMethod": "PUT",
    "uploadHeaders": {"Content-Type": "application/pdf"},
    "mimeData": {"filename": "a.pdf", "url": "https://storage.retab.com/a.pdf"},
    "expiresAt": "2026-11-27T00:00:00Z",
    # The same body answers the completion.
    "filename": "a.pdf",
    "url": "https://storage.retab.com/a.pdf",
}
ODD_URLS = st.sampled_from(
    [
        f"https://{'a' * 64}.com/",
        "https://a..b/",
        "https://[::1]a:1/",
        "https://[::1/",
        "https://x:99999/",
        "https://x:0x1/",
        "https://user:secret@x/",
        "https:///a",
        "http://169.254.169.254/latest",
        "https://169.254.169.254/latest",
        "https://localhost/",
        "https://x/\r\nHost: y",
        "https://\ud800/",
        "file:///etc/passwd",
        "//x/",
    ]
)
sessions = bent(SESSION) | st.tuples(ODD_URLS, st.sampled_from(["uploadUrl", "url"])).map(
    lambda drawn: {**SESSION, drawn[1]: drawn[0]}
)


@budget(60)
@given(session=sessions)
@example(session={**SESSION, "uploadHeaders": {"Api-Key": "x", "Host": "y"}})
@example(session={**SESSION, "filename": "a\ud800.pdf"})
@example(session={**SESSION, "url": "https://storage.retab.com/\ud800"})
def test_any_upload_session_gives_a_file_or_an_error_and_keeps_the_key(fake: FakeClient, session: Any) -> None:
    fake.session.respond_with(json.dumps(session).encode())
    try:
        file = fake.call("files", lambda files, _: files.upload(PDF), "")
    except RetabError as error:
        assert is_log_safe(str(error))  # noqa: PT017 - both outcomes are right, and both are checked
    else:
        assert isinstance(file, UploadedFile)
        # It can be sent as the document of a run.
        assert file.filename.encode()
        assert file.url.encode()
    for method, url, headers in fake.session.sent:
        is_api = url.host == "api.retab.com"
        assert is_api or (method, url.scheme) == ("PUT", "https")
        assert is_api or KEY not in repr(headers)


@budget(32)
@given(
    link=bent(
        {
            "download_url": "https://storage.example.com/a?sig=0123456789",
            "expires_in": "60 minutes",
            "filename": "a.pdf",
            "mime_data": {"filename": "a.pdf", "url": "https://storage.retab.com/a.pdf"},
        }
    )
    | ODD_URLS.map(lambda url: {"mime_data": {"url": url}})
)
@example(link={"mime_data": {"url": "https://\ud800/"}})
def test_any_download_link_gives_a_run_or_an_error(fake: FakeClient, link: Any) -> None:
    body = {**FULL_SPLIT, **link} if isinstance(link, dict) else link
    fake.session.respond_with(json.dumps(body).encode())
    file = FileRef(id="file_1", filename="a.pdf", mime_type="application/pdf")
    try:
        run = fake.call("splits", lambda runs, _: runs.create(document=file, subdocuments=[{"name": "a"}]), "")
    except RetabError as error:
        assert is_log_safe(str(error))  # noqa: PT017 - both outcomes are right, and both are checked
    else:
        assert run.id


# Journals

HEADER = JournalHeader((), "https://api.retab.com", "0123")
entries = st.builds(Entry, kind=TEXT, run_id=TEXT, disposition=TEXT, status=st.none() | TEXT, reason=TEXT)


@budget(80)
@given(entry=entries)
def test_an_encoded_entry_is_one_line_that_decodes(entry: Entry) -> None:
    line = encode_entry(entry)
    decoded = decode_line(line)

    assert line.count(b"\n") == 1
    assert isinstance(decoded, Entry)
    assert decoded.final is entry.final


@budget(80)
@given(line=st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode() + b"\n"))
@example(line=nested(2000) + b"\n")
@example(line=b'{"kind":"a","run_id":"b","disposition":5,"final":true}\n')
@example(line=encode_header(HEADER).replace(b"[]", b"5"))
@example(line=encode_header(HEADER).replace(b'"version":1', b'"version":[[]]'))
def test_any_line_is_an_entry_a_header_or_none(line: bytes) -> None:
    try:
        decoded = decode_line(line)
    except ValueError as error:
        assert "version" in str(error)  # noqa: PT017 - both outcomes are right, and both are checked
    else:
        assert decoded is None or isinstance(decoded, (Entry, JournalHeader))


@budget(20)
@given(pieces=st.lists(st.binary(max_size=40) | st.just(encode_header(HEADER)) | entries.map(encode_entry), max_size=4))
def test_any_file_is_a_journal_or_a_journal_error_and_is_never_shortened_by_that(
    pieces: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "cancel.jsonl"
    content = b"".join(pieces)
    path.write_bytes(content)

    async def open_and_close() -> None:
        journal = await Journal.open(path, HEADER)
        await journal.aclose()

    try:
        asyncio.run(open_and_close())
    except JournalError:
        assert path.read_bytes() == content


# Id files

id_lines = st.lists(
    TEXT
    | st.sampled_from(
        ["id", "kind,id", "id;kind", "run_id\tstatus", '"id"', "#x", "", "splt_1,", '"splt_1"', "splits,splt_1"]
    )
    | JSON.map(json.dumps)
    | st.integers(0, 2000).map(lambda depth: nested(depth, b'{"id":').decode()),
    max_size=6,
)
id_formats = st.builds(
    IdFormat,
    source=st.just("ids.csv"),
    kind=st.none() | st.sampled_from(list(RESOURCES)),
    column=st.none() | st.sampled_from(["id", "run", ""]),
)


@budget(120)
@given(lines=id_lines, file_format=id_formats)
@example(lines=["\ufeffid", "splt_1"], file_format=IdFormat(source="x", kind="splits"))
@example(lines=['"' * 1000], file_format=IdFormat(source="x", kind="splits"))
def test_any_line_of_an_id_file_is_a_valid_run_or_none_or_an_error_with_its_number(
    lines: list[str], file_format: IdFormat
) -> None:
    parser = IdFileParser(file_format)
    for number, line in enumerate(lines, 1):
        try:
            run = parser.parse(line)
        except IdFileError as error:
            assert f"line {number}: " in str(error)  # noqa: PT017 - both outcomes are right, and both are checked
            assert is_log_safe(str(error))  # noqa: PT017
            return
        if run is not None:
            assert run[0] in RESOURCES
            assert run_path("", run[1]) == f"/{run[1]}"
            assert run[0] == (file_format.kind or run[0])
