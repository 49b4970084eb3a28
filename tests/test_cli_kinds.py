"""Every kind of run on the command line: each verb that the kind has."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_harness import served_emulator
from kinds_words import LEAST

from retab_async.cli import run
from retab_async.emulator import Emulator
from retab_async.resources import RESOURCES

FAMILY = {kind for kind in RESOURCES if kind.startswith("workflows.")}
# Kinds without a read of the status alone.
WHOLE = FAMILY | {"schemas"}

every_kind = pytest.mark.parametrize("kind", RESOURCES)
every_listed_kind = pytest.mark.parametrize("kind", [kind for kind in RESOURCES if hasattr(RESOURCES[kind], "list")])
every_deletable_kind = pytest.mark.parametrize(
    "kind", [kind for kind in RESOURCES if hasattr(RESOURCES[kind], "delete")]
)


def command(kind: str, *words: str) -> int:
    """Run the command of a kind."""
    return run([*kind.split("."), *words])


def seeded(emulator: Emulator, kind: str, count: int = 1, **life: Any) -> list[str]:
    """Start runs of a kind."""
    return emulator.seed(kind.replace(".", "/"), count, **life)


def status_in(run_json: dict[str, Any]) -> Any:
    """Return the status in the JSON of a run."""
    return run_json["lifecycle"]["status"] if "lifecycle" in run_json else run_json["status"]


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator with a file, whose runs last longer than any test, and a document in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("batch.pdf").write_bytes(b"%PDF-1.7")
    with served_emulator(monkeypatch, queued=60, running=60, poll_after=0.06) as emulator:
        emulator.seed("files/blueprints", queued=0, running=0)
        yield emulator


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """The same with runs that finish soon."""
    monkeypatch.chdir(tmp_path)
    Path("batch.pdf").write_bytes(b"%PDF-1.7")
    with served_emulator(monkeypatch, queued=0.1, running=0.1, poll_after=0.03) as emulator:
        emulator.seed("files/blueprints", queued=0, running=0)
        yield emulator


@pytest.mark.parametrize("kind", sorted(set(RESOURCES) - FAMILY))
def test_create_prints_the_finished_run(kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    code = command(kind, "create", *LEAST[kind])

    captured = capsys.readouterr()
    fields = dict(line.split("\t") for line in captured.out.splitlines())
    assert (code, captured.err) == (0, "")
    assert (fields["status"], emulator.active_runs()) == ("completed", [])


@every_kind
def test_create_in_the_background_prints_one_line_with_the_id_first(
    kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    code = command(kind, "create", *LEAST[kind], *([] if kind in FAMILY else ["--background"]))

    run_id, status, created, _ = capsys.readouterr().out.removesuffix("\n").split("\t")
    assert code == 0
    assert ([run_id], status) == (emulator.active_runs(), "pending" if kind == "workflows.runs" else "queued")
    assert created.endswith("Z")


@every_kind
def test_create_wait_prints_each_status_and_the_run(
    kind: str, brisk: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    code = command(kind, "create", *LEAST[kind], "--wait", "--json")

    captured = capsys.readouterr()
    created = json.loads(captured.out)
    assert (code, status_in(created)) == (0, "completed")
    assert captured.err.splitlines()[0].startswith(f"{created['id']} ")
    assert captured.err.splitlines()[-1] == f"{created['id']} completed"


@every_kind
def test_get_reads_a_run(kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    (done,) = seeded(emulator, kind, queued=0, running=0)

    code = command(kind, "get", done, "--json")

    answer = json.loads(capsys.readouterr().out)
    assert (code, answer["id"], status_in(answer)) == (0, done, "completed")


@every_kind
def test_get_no_output_exists_if_the_api_supports_it(
    kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    (done,) = seeded(emulator, kind, queued=0, running=0)

    code = command(kind, "get", done, "--no-output")

    assert code == (2 if kind in WHOLE else 0)
    assert [each.query for each in emulator.requests] == ([] if kind in WHOLE else ["include_output=false"])


@every_listed_kind
def test_list_prints_a_line_a_run(kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = seeded(emulator, kind, 3)

    code = command(kind, "list", "--from-date", "2020-01-01")

    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [row[0] for row in rows] == ids[::-1]
    assert {row[2][10::9] for row in rows} == {"TZ"}
    assert {row[3] for row in rows} == {"" if kind in FAMILY else "sample.pdf"}


@every_kind
def test_wait_prints_each_as_it_ends(
    kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.polling.state._FIRST_INTERVAL", 0.05)
    (late,) = seeded(emulator, kind, queued=0.4, running=0.2)
    (soon,) = seeded(emulator, kind, queued=0, running=0)

    code = command(kind, "wait", late, soon, late)

    captured = capsys.readouterr()
    assert code == 0
    assert captured.out == f"{soon}\tcompleted\t\n{late}\tcompleted\t\n"
    assert captured.err.splitlines()[-1] == f"{late} completed"


@every_kind
def test_wait_says_why_a_run_failed(kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"message": "no pages"} if kind in FAMILY else {"code": "bad", "message": "no pages"}
    (failed,) = seeded(emulator, kind, queued=0, running=0, error=error)

    code = command(kind, "wait", failed)

    status, reason = ("error", "no pages") if kind in FAMILY else ("failed", "bad: no pages")
    assert code == 1
    assert capsys.readouterr().out == f"{failed}\t{status}\t{reason}\n"


@every_kind
def test_cancel_prints_a_line_a_run(kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = seeded(emulator, kind, 2)

    code = command(kind, "cancel", *ids)

    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [row[:3] for row in rows] == [[each, "cancelled", "cancelled"] for each in ids]
    assert emulator.active_runs() == []


@every_deletable_kind
def test_delete_prints_a_line_a_run(kind: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = seeded(emulator, kind, 2)

    code = command(kind, "delete", "--yes", *ids)

    assert code == 0
    assert capsys.readouterr().out == "".join(f"{each}\tdeleted\t\t\n" for each in ids)
    assert emulator.active_runs() == []
