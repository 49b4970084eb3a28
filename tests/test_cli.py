"""The command line as a whole: exit codes, formats, logging, and the verbs that every kind has."""

import json
import re
import runpy
import sys
from collections.abc import Coroutine, Iterator
from typing import cast

import click
import pytest
from cli_harness import KEY, restored_logging, served_emulator

import retab_async
from retab_async.__main__ import main
from retab_async.cli import run
from retab_async.cli.groups import kind_commands
from retab_async.emulator import Emulator, Fault
from retab_async.resources import RESOURCES
from retab_async.resources.base import RunResource
from retab_async.resources.splits import Split


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose runs last longer than any test."""
    with served_emulator(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Restore logging after tests that serve no emulator, too."""
    with restored_logging():
        yield


def test_cancel_prints_a_line_for_each_distinct_id_and_exits_0(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = emulator.seed("splits", 2)

    code = run(["splits", "cancel", one, two, one])

    assert code == 0
    assert capsys.readouterr().out == f"{one}\tcancelled\tcancelled\t\n{two}\tcancelled\tcancelled\t\n"


def test_cancel_of_a_completed_run_is_finished_and_exits_0(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (done,) = emulator.seed("splits", queued=0, running=0)

    code = run(["splits", "cancel", done])

    assert code == 0
    assert capsys.readouterr().out == f"{done}\tfinished\tcompleted\t\n"


def test_cancel_reports_each_failure_and_exits_1(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (good,) = emulator.seed("splits")

    code = run(["splits", "cancel", "splt_unknown", "a/b", good])

    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 1
    assert [(line[0], line[1]) for line in lines] == [
        ("splt_unknown", "not_found"),
        ("a/b", "invalid"),
        (good, "cancelled"),
    ]


def test_cancel_json_prints_one_object_per_line_with_the_run(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (good,) = emulator.seed("splits")

    code = run(["splits", "cancel", "--json", good, "splt_unknown"])

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert code == 1
    assert (first["id"], first["disposition"], first["run"]["status"]) == (good, "cancelled", "cancelled")
    assert first["run"]["created_at"].endswith("Z")
    assert (second["disposition"], second["run"]) == ("not_found", None)
    assert "Split not found" in second["reason"]


def test_cancel_on_a_terminal_prints_a_table_and_progress(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    (good,) = emulator.seed("splits")

    run(["splits", "cancel", good, "no[t]here"])

    captured = capsys.readouterr()
    assert good in captured.out
    assert "no[t]here" in captured.out
    assert "disposition" in captured.out
    assert "2/2" in captured.err
    assert "cancelled 1" in captured.err


def test_get_prints_the_fields_that_are_set(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (split,) = emulator.seed("splits", queued=0, running=0)

    code = run(["splits", "get", split])

    fields = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert code == 0
    assert (fields["id"], fields["status"]) == (split, "completed")
    assert json.loads(fields["output"])[0]["pages"][0] == 1
    assert "error" not in fields


def test_get_no_output_leaves_the_output_out(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (split,) = emulator.seed("splits", queued=0, running=0)

    run(["splits", "get", "--no-output", "--json", split])

    answer = json.loads(capsys.readouterr().out)
    assert (answer["id"], answer["status"], answer["output"]) == (split, "completed", [])


@pytest.mark.parametrize(("run_id", "code"), [("splt_unknown", 1), ("a/b", 2)])
def test_get_prints_the_reason_of_a_failure(
    run_id: str, code: int, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["splits", "get", run_id]) == code

    assert "Split not found" in (err := capsys.readouterr().err) or "not a run id" in err


@pytest.mark.parametrize("verb", ["cancel", "get"])
def test_missing_key_exits_2_and_prints_the_export_line(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RETAB_API_KEY", raising=False)

    code = run(["splits", verb, "splt_1"])

    assert code == 2
    assert "export RETAB_API_KEY=" in capsys.readouterr().err


def test_invalid_base_url_exits_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RETAB_API_KEY", KEY)
    monkeypatch.setenv("RETAB_API_BASE_URL", "http://example.com")

    code = run(["splits", "cancel", "splt_1"])

    err = capsys.readouterr().err
    assert code == 2
    assert "must use https" in err
    assert "export" not in err


@pytest.mark.parametrize("kind", RESOURCES)
def test_kind_group_has_a_command_for_each_verb_of_the_kind(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = ("cancel", "cancel_matching", "create", "delete", "get", "list", "process_many", "wait")

    run([*kind.split("."), "--help"])

    commands = re.findall(r"(?m)^  ([a-z-]+)  ", capsys.readouterr().out.partition("Commands:")[2])
    names = (verb.removesuffix("_many").replace("_", "-") for verb in verbs if hasattr(RESOURCES[kind], verb))
    assert commands == [*names]


def test_kind_commands_leave_out_verbs_the_kind_lacks() -> None:
    class Parses:
        run_type = Split
        get = RunResource.get

    group = kind_commands("parses", cast("type[RunResource[Split]]", Parses))

    assert group.list_commands(click.Context(group)) == ["get"]


def test_missing_argument_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "cancel"]) == 2

    assert "Missing argument" in capsys.readouterr().err


def test_keyboard_interrupt_exits_130(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(coroutine: Coroutine[None, None, None]) -> None:
        coroutine.close()
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncio.run", interrupt)

    assert run(["splits", "cancel", "splt_1"]) == 130

    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "level"), [("-v", "WARNING"), ("-vv", "DEBUG")])
def test_verbose_logs_at_the_chosen_level_without_the_key(
    flag: str, level: str, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    (split,) = emulator.seed("splits")
    emulator.fail("GET /v1/splits/{id}", Fault.status(503, retry_after=0))

    run([flag, "splits", "get", split])

    levels = {record.levelname for record in caplog.records if record.name == "retab_async"}
    assert levels == ({"WARNING"} if level == "WARNING" else {"WARNING", "DEBUG"})
    assert KEY not in caplog.text


def test_demo_cancels_all_runs_and_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["demo", "--runs", "60"])

    rows = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert code == 0
    assert int(rows["cancelled"]) + int(rows["finished before"]) == 60
    assert (rows["failed"], rows["requests"], rows["retries"]) == ("0", "63", "3")


def test_demo_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    run(["demo", "--runs", "10", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert report["cancelled"] + report["finished_before"] == 10


def test_cancel_during_an_outage_is_unconfirmed(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.fail("POST /v1/splits/{id}/cancel", *[Fault.status(500)] * 50)

    code = run(["splits", "cancel", "splt_1", "--outage-timeout", "0.5"])

    assert code == 1
    assert capsys.readouterr().out.startswith("splt_1\tunconfirmed\t\tInternal Server Error")


def test_main_exits_with_the_code_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["retab-async", "--version"])

    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(main.__code__.co_filename, run_name="__main__")

    assert exit_info.value.code == 0
    assert capsys.readouterr().out == f"retab-async, version {retab_async.__version__}\n"


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_main_without_the_extra_prints_how_to_install_it(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _unload_the_command(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["retab-async", "demo"])
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, "rich.console", None)

    with pytest.raises(SystemExit) as exit_info:
        main()

    assert exit_info.value.code == 2
    assert 'pip install "retab_async[cli]"' in capsys.readouterr().err


def test_main_raises_for_any_other_missing_module(monkeypatch: pytest.MonkeyPatch) -> None:
    _unload_the_command(monkeypatch)
    monkeypatch.setitem(sys.modules, "retab_async.cli.groups", None)

    with pytest.raises(ModuleNotFoundError, match=r"retab_async\.cli\.groups"):
        main()


def _unload_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retab_async, "cli", retab_async.cli)
    for name in [name for name in sys.modules if f"{name}.".startswith("retab_async.cli.")]:
        monkeypatch.delitem(sys.modules, name)
