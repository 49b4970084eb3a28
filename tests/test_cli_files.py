"""The files of an account on the command line: upload, list, get and download."""

import io
import json
import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import command, read_to_end, served_emulator

from retab_async.cli import run
from retab_async.emulator import Emulator, Fault

PDF = b"%PDF-1.7\n\x00\xff"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator, and two documents in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("a.pdf").write_bytes(PDF)
    Path("b.pdf").write_bytes(b"%PDF-1.7 b")
    with served_emulator(monkeypatch) as emulator:
        yield emulator


def upload(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Upload files and return their ids."""
    assert run(["files", "upload", *words]) == 0
    return [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]


def test_upload_prints_the_id_the_name_and_the_url_of_each_file(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["files", "upload", "a.pdf", "b.pdf"])

    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [row[1] for row in rows] == ["a.pdf", "b.pdf"]
    assert all(row[2] == f"https://storage.retab.com/org_emulator/{row[0]}.pdf" for row in rows)


def test_upload_json_prints_an_object_a_file(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    run(["files", "upload", "a.pdf", "--json", "--filename", "batch.pdf"])

    answer = json.loads(capsys.readouterr().out)
    assert (list(answer), answer["filename"]) == (["id", "filename", "url"], "batch.pdf")


def test_upload_reads_stdin(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PDF)))
    (file_id,) = upload(capsys, "-", "--filename", "piped.pdf")
    run(["files", "download", file_id])

    assert Path("piped.pdf").read_bytes() == PDF


@pytest.mark.subprocess
@pytest.mark.parametrize("option", [[], ["--quiet"]], ids=["", "quiet"])
def test_upload_on_a_terminal_shows_its_progress_unless_it_is_quiet(option: list[str], emulator: Emulator) -> None:
    Path("large.pdf").write_bytes(b"%PDF-1.7")
    os.truncate("large.pdf", 64_000_000)
    # The server reads the body after a while: until then a part of it was sent, since no socket buffers all of it.
    emulator.fail("PUT /upload/{id}", Fault.delay(1))
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    words = ["files", "upload", "large.pdf", "a.pdf", *option]
    with command(*words, stderr=slave, env=environment) as process:
        os.close(slave)
        shown = read_to_end(master)
        rows, _ = process.communicate(timeout=20)

    assert process.returncode == 0
    assert [row.split("\t")[1] for row in rows.splitlines()] == ["large.pdf", "a.pdf"]
    assert bool(re.search(r"uploading large\.pdf: \d+ % of 64\.0 MB", shown)) is (not option)
    assert bool(shown) is (not option)


def test_upload_rejects_one_filename_for_several_files(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["files", "upload", "a.pdf", "b.pdf", "--filename", "x.pdf"]) == 2

    assert "several were given" in capsys.readouterr().err
    assert not emulator.requests


def test_list_prints_a_line_a_file_newest_first(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = upload(capsys, "a.pdf", "b.pdf")
    code = run(["files", "list", "--mime-type", "application/pdf", "--from-date", "2020-01-01"])

    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [(row[0], row[1], row[3]) for row in rows] == [
        (ids[1], "application/pdf", "b.pdf"),
        (ids[0], "application/pdf", "a.pdf"),
    ]
    assert rows[0][2].endswith("Z")


@pytest.mark.parametrize("option", ["--ids", "--json"])
def test_list_prints_ids_or_json(option: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (file_id,) = upload(capsys, "a.pdf")
    run(["files", "list", option])

    out = capsys.readouterr().out
    assert (out.strip() if option == "--ids" else json.loads(out)["id"]) == file_id


def test_get_prints_the_fields_that_are_set(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (file_id,) = upload(capsys, "a.pdf")
    code = run(["files", "get", file_id])

    fields = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert code == 0
    assert (fields["id"], fields["filename"], "page_count" in fields) == (file_id, "a.pdf", False)


def test_get_json_prints_all_fields(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (file_id,) = upload(capsys, "a.pdf")
    run(["files", "get", file_id, "--json"])

    fields = json.loads(capsys.readouterr().out)
    assert (fields["id"], fields["filename"], fields["page_count"]) == (file_id, "a.pdf", None)


def test_download_takes_the_name_of_the_file_and_replaces_none(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (file_id,) = upload(capsys, "a.pdf")
    Path("a.pdf").unlink()
    first = run(["files", "download", file_id])
    printed = capsys.readouterr().out
    second = run(["files", "download", file_id])

    assert (first, printed, Path("a.pdf").read_bytes()) == (0, "a.pdf\n", PDF)
    assert second == 2
    assert "a.pdf exists: pass --output FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("filename", "written"),
    [("../../x.pdf", "x.pdf"), ("..\\x.pdf", "x.pdf"), (".bashrc", "bashrc"), ("a\x1bb", "a\\x1bb")],
)
def test_download_leads_to_no_other_folder_and_to_no_hidden_file(
    filename: str, written: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (file_id,) = upload(capsys, "b.pdf")
    emulator.fail("GET /v1/files/{id}", Fault.with_fields({"filename": filename}))
    run(["files", "download", file_id])

    assert capsys.readouterr().out == f"{written}\n"
    assert Path(written).read_bytes() == b"%PDF-1.7 b"


def test_download_output_replaces_the_file_only_if_it_succeeds(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (file_id,) = upload(capsys, "a.pdf")
    failed = run(["files", "download", "file_x", "--output", "b.pdf"])
    kept = Path("b.pdf").read_bytes()
    code = run(["files", "download", file_id, "--output", "b.pdf"])

    assert (failed, kept) == (1, b"%PDF-1.7 b")
    assert (code, Path("b.pdf").read_bytes()) == (0, PDF)
    assert sorted(path.name for path in Path().iterdir()) == ["a.pdf", "b.pdf"]


def test_download_to_stdout_writes_the_bytes(emulator: Emulator, capfd: pytest.CaptureFixture[str]) -> None:
    (file_id,) = upload(capfd, "b.pdf")
    code = run(["files", "download", file_id, "--output", "-"])

    assert (code, capfd.readouterr().out) == (0, "%PDF-1.7 b")


def test_download_to_a_terminal_is_rejected(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code = run(["files", "download", "file_1", "--output", "-"])

    assert code == 2
    assert "stdout is a terminal" in capsys.readouterr().err
    assert not emulator.requests
