"""What a server says is printed for people as text, whatever is in it, and as JSON it is JSON."""

import json
import logging
from collections.abc import Iterator

import pytest
from test_cli import served

from retab_async.cli import run
from retab_async.cli.console import escape_control_chars
from retab_async.emulator import Emulator, Fault

# Clears the screen, sets the title, draws in bold by rich's own signs, breaks the line, turns the direction.
EVIL = "x\x1b[2J\x1b]0;title\x07[bold]b[/bold]\\[/]\n\r\t\x9b\u202e\u2028y"
SHOWN = r"x\x1b[2J\x1b]0;title\x07[bold]b[/bold]\[/]\n\r\t\x9b\u202e\u2028y"
EVIL_RUN = {
    "id": EVIL,
    "status": EVIL,
    "file": {"id": EVIL, "filename": EVIL},
    "model": EVIL,
    "error": {"code": EVIL, "message": EVIL},
}
ENDED = {**EVIL_RUN, "status": "failed"}
ERROR = {"detail": {"message": EVIL, "code": EVIL}}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose answers are ordered by the tests."""
    with served(monkeypatch) as emulator:
        yield emulator


@pytest.fixture(params=["plain", "terminal"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, and with one."""
    if request.param == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "400")


def _assert_harmless(text: str) -> None:
    for sign in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e", "\u2028", "xy"):
        assert sign not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a run of 3 °, ü, 漢 and 🙂 [bold]", "a run of 3 °, ü, 漢 and 🙂 [bold]"),
        ("a\u3000b\xa0c", "a\u3000b\xa0c"),
        ("\x1b[31m\n\udcff\u200b", r"\x1b[31m\n\udcff\u200b"),
        (EVIL, SHOWN),
    ],
)
def test_what_a_terminal_would_obey_is_written_as_an_escape(text: str, shown: str) -> None:
    assert escape_control_chars(text) == shown


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize(
    ("arguments", "route"),
    [
        (["cancel", "splt_1"], "POST /v1/splits/{id}/cancel"),
        (["get", "splt_1"], "GET /v1/splits/{id}"),
        (["wait", "splt_1"], "GET /v1/splits/{id}"),
        (["create", "https://example.com/a.pdf", "--subdocument", "a"], "POST /v1/splits"),
        (["create", "https://example.com/a.pdf", "--subdocument", "a", "--background"], "POST /v1/splits"),
    ],
)
def test_a_run_is_printed_harmlessly(
    arguments: list[str], route: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail(route, *[Fault.status(200, body=ENDED)] * 2)

    run(["splits", *arguments])

    said = capsys.readouterr()
    _assert_harmless(said.out + said.err)
    assert said.out


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize(
    ("arguments", "route"),
    [
        (["cancel", "splt_1"], "POST /v1/splits/{id}/cancel"),
        (["get", "splt_1"], "GET /v1/splits/{id}"),
        (["wait", "splt_1"], "GET /v1/splits/{id}"),
        (["list"], "GET /v1/splits"),
        (["delete", "splt_1", "--yes"], "DELETE /v1/splits/{id}"),
        (["create", "https://example.com/a.pdf", "--subdocument", "a"], "POST /v1/splits"),
        (["create", "https://example.com/a.pdf", "--subdocument", "a", "--wait"], "POST /v1/splits"),
    ],
)
def test_an_error_is_printed_harmlessly(
    arguments: list[str], route: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail(route, Fault.status(403, body=ERROR, headers={"X-Request-Id": "a\x9bb"}))

    code = run(["splits", *arguments])

    said = capsys.readouterr()
    assert code == 1
    _assert_harmless(said.out + said.err)


@pytest.mark.usefixtures("where")
def test_a_row_is_printed_harmlessly(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.fail("GET /v1/splits", Fault.status(200, body={"data": [EVIL_RUN], "list_metadata": {}}))

    run(["splits", "list"])

    (line,) = capsys.readouterr().out.splitlines()
    _assert_harmless(line)
    assert line.count(SHOWN) == 3


@pytest.mark.usefixtures("where")
def test_the_changes_of_a_run_are_told_harmlessly(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.fail("POST /v1/splits", Fault.status(201, body={**EVIL_RUN, "id": "splt_1"}))
    emulator.fail("GET /v1/splits/{id}", *[Fault.status(200, body={**ENDED, "id": "splt_1"})] * 2)

    run(["splits", "create", "https://example.com/a.pdf", "--subdocument", "a", "--wait"])

    said = capsys.readouterr().err
    _assert_harmless(said)
    assert f"splt_1 {SHOWN}" in said


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("verb", ["cancel", "get", "wait", "delete"])
def test_an_id_is_printed_harmlessly(verb: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    run(["splits", verb, EVIL, *(["--yes"] if verb == "delete" else [])])

    said = capsys.readouterr()
    _assert_harmless(said.out + said.err)


def test_as_json_nothing_is_changed_and_nothing_reaches_a_terminal(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("GET /v1/splits/{id}", Fault.status(200, body=EVIL_RUN))

    run(["splits", "get", "--json", "splt_1"])
    run(["splits", "cancel", "--json", "splt_\udcff"])

    said = capsys.readouterr().out
    got, cancelled = map(json.loads, said.splitlines())
    assert said.isascii()
    assert (got["id"], got["file"]["filename"]) == (EVIL, EVIL)
    assert cancelled["id"] == "splt_\udcff"


def test_a_setting_is_printed_harmlessly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RETAB_API_KEY", "k")
    monkeypatch.setenv("RETAB_API_BASE_URL", f"ftp://{EVIL}")

    assert run(["splits", "get", "splt_1"]) == 2

    _assert_harmless(capsys.readouterr().err)


def test_the_log_is_printed_harmlessly(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    emulator.fail("GET /v1/splits/{id}", Fault.status(503, body=ERROR, retry_after=0))
    emulator.fail("GET /v1/splits", Fault.status(200, body={"data": [{**EVIL_RUN, "n_consensus": EVIL}]}))

    run(["-v", "splits", "get", "splt_1"])
    run(["-v", "splits", "list"])

    said = capsys.readouterr().err
    _assert_harmless(said)
    assert "[bold]b[/bold]" in said
