"""`--output`, `--result-only` and `--quiet`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_harness import served_emulator
from kinds_words import LEAST

from retab_async.cli import run
from retab_async.cli.run_output import RunOutput
from retab_async.emulator import Emulator, Fault
from retab_async.resources import RESOURCES
from retab_async.resources.splits import Split

CREATE = ["splits", "create", "batch.pdf", "--subdocument", "invoice"]


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator whose runs finish soon, and a document in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("batch.pdf").write_bytes(b"%PDF-1.7")
    with served_emulator(monkeypatch, queued=0.05, running=0.05, poll_after=0.03) as emulator:
        emulator.seed("files/blueprints", queued=0, running=0)
        yield emulator


@pytest.mark.parametrize("kind", [kind for kind in RESOURCES if not kind.startswith("workflows.")])
def test_result_only_prints_what_the_run_produced(
    kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (done,) = emulator.seed(kind, status="completed")
    code = run([*kind.split("."), "get", done, "--result-only"])
    result = json.loads(capsys.readouterr().out)
    run([*kind.split("."), "get", done, "--json"])
    whole = json.loads(capsys.readouterr().out)

    assert (code, result) == (0, whole["json_schema" if kind == "schemas" else "output"])


def test_result_only_of_a_kind_without_a_result_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["workflows", "runs", "get", "run_1", "--result-only"]) == 2


@pytest.mark.parametrize(
    ("seeded", "reason"),
    [
        ({"status": "queued"}, "is queued: it has no result"),
        (
            {"status": "failed", "error": {"code": "bad", "message": "no pages"}},
            "is failed (no pages): it has no result",
        ),
    ],
)
def test_result_only_of_a_run_without_a_result_exits_1(
    seeded: dict[str, Any], reason: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (split,) = emulator.seed("splits", **seeded)
    code = run(["splits", "get", split, "--result-only", "--output", "result.json"])

    captured = capsys.readouterr()
    assert (code, captured.out) == (1, "")
    assert f"{split} {reason}" in captured.err
    assert not Path("result.json").exists()


def test_result_only_and_no_output_contradict_each_other(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["splits", "get", "splt_1", "--result-only", "--no-output"]) == 2
    assert not emulator.requests


@pytest.mark.parametrize("words", [[], ["--wait"]])
def test_create_output_writes_the_run_and_prints_one_line(
    words: list[str], emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run([*CREATE, *words, "--output", "run.json"])

    written = json.loads(Path("run.json").read_text())
    assert code == 0
    assert capsys.readouterr().out.startswith(f"{written['id']}\tcompleted\t")
    assert written["output"]


def test_create_output_with_result_only_writes_the_result(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run([*CREATE, "--result-only", "--output", "result.json"])

    assert code == 0
    assert json.loads(Path("result.json").read_text())[0]["name"] == "invoice"


@pytest.mark.parametrize("option", [["--output", "run.json"], ["--result-only"]])
def test_output_of_a_run_in_the_background_is_rejected_before_it_is_created(
    option: list[str], emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*CREATE, "--background", *option]) == 2

    assert "pass --wait, not --background" in capsys.readouterr().err
    assert not emulator.requests


def test_create_output_that_cannot_be_written_is_reported_before_the_run_is_created(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*CREATE, "--output", "missing/run.json"]) == 2

    assert "missing/run.json cannot be written" in capsys.readouterr().err
    assert not emulator.requests


def test_create_output_on_a_full_disk_names_the_run(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    code = run([*CREATE, "--output", "/dev/full"])

    (split,) = (served.path for served in emulator.requests)
    assert (code, split) == (1, "/v1/splits")
    assert "/dev/full cannot be written: No space left on device; the run is splt_" in capsys.readouterr().err


def test_create_without_a_result_names_the_run_once(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    failed = Fault.with_fields({"status": "failed", "error": {"code": "x", "message": "unreadable"}})
    emulator.fail("POST /v1/splits", failed)

    code = run([*CREATE, "--result-only"])

    err = capsys.readouterr().err
    assert code == 1
    assert "is failed (unreadable): it has no result" in err
    assert err.count("splt_") == 1


def test_output_may_be_a_device(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    code = run([*CREATE, "--output", "/dev/null"])

    assert (code, Path("/dev/null").is_char_device()) == (0, True)
    assert capsys.readouterr().out.startswith("splt_")


def test_a_failed_create_keeps_the_existing_file(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.json").write_text("kept")
    emulator.fail("POST /v1/splits", Fault.status(422))

    assert run([*CREATE, "--output", "run.json"]) == 1
    assert Path("run.json").read_text() == "kept"


def test_output_holds_integers_beyond_64_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    split = Split.from_dict({"id": "splt_1", "status": "completed", "output": [{"name": "a", "pages": [1 << 70]}]})
    with RunOutput(as_json=False, result_only=True, path=str(path)).opened() as output:
        output.print(split)

    assert json.loads(path.read_text())[0]["pages"] == [1 << 70]


def test_workflow_create_wait_output_writes_the_run(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["workflows", "runs", "create", *LEAST["workflows.runs"], "--wait", "--output", "run.json"])

    assert code == 0
    assert json.loads(Path("run.json").read_text())["lifecycle"]["status"] == "completed"


@pytest.mark.parametrize(
    "words",
    [
        [*CREATE, "--wait"],
        ["splits", "wait", "{}"],
        ["splits", "cancel", "{}"],
        ["splits", "cancel-matching", "--yes"],
        ["splits", "delete", "--yes", "{}"],
        ["parses", "process", "batch.pdf"],
    ],
    ids=lambda words: words[1],
)
@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}], ids=["pipe", "terminal"])
def test_quiet_prints_nothing_on_stderr(
    words: list[str],
    environment: dict[str, str],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (split,) = emulator.seed("splits")
    code = run([word.format(split) for word in words] + ["--quiet"])

    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    assert captured.out
