"""Foreign text in output: control characters are escaped for people, JSON stays JSON."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from cli_harness import served_emulator

from retab_async.cli import run
from retab_async.cli.console import escape_control_chars
from retab_async.cli.output import print_json
from retab_async.emulator import Emulator, Fault

# Clears the screen, sets the title, uses rich's markup, breaks the line, reverses the direction.
EVIL = "x\x1b[2J\x1b]0;title\x07[bold]b[/bold]\\[/]\n\r\t\x9b\u202e\u2028y"
SHOWN = r"x\x1b[2J\x1b]0;title\x07[bold]b[/bold]\[/]\n\r\t\x9b\u202e\u2028y"
EVIL_RUN = {
    "id": EVIL,
    "status": EVIL,
    "file": {"id": EVIL, "filename": EVIL},
    "model": EVIL,
    "error": {"code": EVIL, "message": EVIL},
}
FAILED_RUN = {**EVIL_RUN, "status": "failed"}
ERROR = {"detail": {"message": EVIL, "code": EVIL}}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose responses the tests choose."""
    with served_emulator(monkeypatch) as emulator:
        yield emulator


@pytest.fixture(params=["plain", "terminal"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, and with one."""
    if request.param == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "400")


def _assert_escaped(text: str) -> None:
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
def test_escape_control_chars_escapes_all_but_printable_text(text: str, shown: str) -> None:
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
def test_output_of_a_run_is_escaped(
    arguments: list[str], route: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    # A read must be about the run that was requested.
    body = FAILED_RUN | ({"id": "splt_1"} if "{id}" in route else {})
    emulator.fail(route, *[Fault.status(200, body=body)] * 2)

    run(["splits", *arguments])

    captured = capsys.readouterr()
    _assert_escaped(captured.out + captured.err)
    assert captured.out


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
def test_error_message_of_the_api_is_escaped(
    arguments: list[str], route: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail(route, Fault.status(403, body=ERROR, headers={"X-Request-Id": "a\x9bb"}))

    code = run(["splits", *arguments])

    captured = capsys.readouterr()
    assert code == 1
    _assert_escaped(captured.out + captured.err)


@pytest.mark.usefixtures("where")
def test_list_row_is_escaped(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.fail("GET /v1/splits", Fault.status(200, body={"data": [EVIL_RUN], "list_metadata": {}}))

    run(["splits", "list"])

    (line,) = capsys.readouterr().out.splitlines()
    _assert_escaped(line)
    assert line.count(SHOWN) == 3


@pytest.mark.usefixtures("where")
def test_status_lines_are_escaped(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.fail("POST /v1/splits", Fault.status(201, body={**EVIL_RUN, "id": "splt_1"}))
    emulator.fail("GET /v1/splits/{id}", *[Fault.status(200, body={**FAILED_RUN, "id": "splt_1"})] * 2)

    run(["splits", "create", "https://example.com/a.pdf", "--subdocument", "a", "--wait"])

    captured = capsys.readouterr().err
    _assert_escaped(captured)
    assert f"splt_1 {SHOWN}" in captured


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("verb", ["cancel", "get", "wait", "delete"])
def test_id_argument_is_escaped(verb: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    run(["splits", verb, EVIL, *(["--yes"] if verb == "delete" else [])])

    captured = capsys.readouterr()
    _assert_escaped(captured.out + captured.err)


def test_json_output_is_ascii_and_keeps_the_text(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.fail("GET /v1/splits/{id}", Fault.status(200, body=EVIL_RUN | {"id": "splt_1"}))

    run(["splits", "get", "--json", "splt_1"])
    run(["splits", "cancel", "--json", "splt_\udcff"])

    captured = capsys.readouterr().out
    got, cancelled = map(json.loads, captured.splitlines())
    assert captured.isascii()
    assert (got["status"], got["file"]["filename"]) == (EVIL, EVIL)
    assert cancelled["id"] == "splt_\udcff"


def test_error_of_a_setting_is_escaped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RETAB_API_KEY", "k")
    monkeypatch.setenv("RETAB_API_BASE_URL", f"ftp://{EVIL}")

    assert run(["splits", "get", "splt_1"]) == 2

    _assert_escaped(capsys.readouterr().err)


def test_log_is_escaped(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    emulator.fail("GET /v1/splits/{id}", Fault.status(503, body=ERROR, retry_after=0))
    emulator.fail("GET /v1/splits", Fault.status(200, body={"data": [{**EVIL_RUN, "n_consensus": EVIL}]}))

    run(["-v", "splits", "get", "splt_1"])
    run(["-v", "splits", "list"])

    captured = capsys.readouterr().err
    _assert_escaped(captured)
    assert "[bold]b[/bold]" in captured


def test_json_of_any_depth_is_printed_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    depth = 50_000
    value: Any = "\x1b\u202eü"
    for _ in range(depth):
        value = [value]

    print_json(value)

    assert capsys.readouterr().out == "[" * depth + r'"\u001b\u202e\u00fc"' + "]" * depth + "\n"
    # Freed level by level: a destructor would recurse.
    while isinstance(value, list):
        value = value[0]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_deep_output_is_printed(
    options: tuple[str, ...], emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = json.loads('{"a":' * 190 + "1" + "}" * 190)
    body = {"id": "extr_1", "status": "completed", "output": deep}
    emulator.fail("GET /v1/extractions/{id}", Fault.status(200, body=body))

    code = run(["extractions", "get", "extr_1", *options])

    assert code == 0
    assert '{"a":' * 190 + "1" + "}" * 190 in capsys.readouterr().out
