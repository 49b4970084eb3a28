"""`cancel --from-file`: ids of files and pipes, outcomes, journals, and failures."""

import csv
import json
import os
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from cli_harness import figures, served_emulator, write_lines

from retab_async.cli import run
from retab_async.cli.failed_file import FailedFile
from retab_async.emulator import Emulator, Fault
from retab_async.errors import JournalError
from retab_async.journal import Journal
from retab_async.resources import RESOURCES


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator whose runs last longer than any test, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    with served_emulator(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


class TestIds:
    def test_cancel_from_file_cancels_and_counts_the_runs(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ids = emulator.seed("splits", 120)
        (done,) = emulator.seed("splits", queued=0, running=0)

        code = run(["splits", "cancel", "--from-file", write_lines([*ids, done])])

        captured = capsys.readouterr()
        counts = figures(captured.out)
        assert (code, captured.err, emulator.active_runs()) == (0, "", [])
        assert (counts["cancelled"], counts["finished"]) == ("120", "1")
        assert (counts["requests"], counts["429 responses"]) == ("121", "0")
        assert float(counts["seconds"]) < 60

    def test_cancel_reports_a_long_retry_after_at_once(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(429, retry_after=3600))

        code = run(["splits", "cancel", run_id])

        captured = capsys.readouterr().out
        assert (code, captured.startswith(f"{run_id}\tunconfirmed\t")) == (1, True)
        assert "status 429" in captured
        assert "Retry-After 3600 s" in captured

    def test_cancel_from_file_of_a_nested_kind(self, emulator: Emulator) -> None:
        ids = emulator.seed("workflows/runs", 3)

        assert run(["workflows", "runs", "cancel", "--from-file", write_lines(ids)]) == 0

        assert emulator.active_runs() == []

    def test_cancel_from_a_pipe_cancels_while_it_is_open(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = emulator.seed("splits", 2)
        out, into = os.pipe()

        def write() -> None:
            for run_id in ids:
                os.write(into, f"{run_id}\r\n".encode())
                while run_id in emulator.active_runs():
                    threading.Event().wait(0.01)
            os.close(into)

        writer = threading.Thread(target=write)
        with os.fdopen(out) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            writer.start()
            code = run(["splits", "cancel", "--from-file", "-"])
            writer.join()

        assert (code, emulator.active_runs()) == (0, [])

    def test_cancel_from_file_on_a_terminal_shows_the_total(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        ids = emulator.seed("splits", 3)
        Path("ids.txt").write_text("\n".join(["# three", "", *ids]))

        run(["splits", "cancel", "--from-file", "ids.txt"])

        assert "3/3" in capsys.readouterr().err

    def test_cancel_from_file_json_prints_an_object_for_each(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (good,) = emulator.seed("splits")

        code = run(["splits", "cancel", "--json", "--from-file", write_lines([good, "splt_unknown"])])

        printed = {each["id"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
        assert code == 1
        assert {key: each["disposition"] for key, each in printed.items()} == {
            good: "cancelled",
            "splt_unknown": "not_found",
        }
        assert {each["kind"] for each in printed.values()} == {"splits"}

    @pytest.mark.usefixtures("emulator")
    def test_cancel_prints_some_failures_and_writes_all_to_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        unknown = [f"splt_unknown{number}" for number in range(25)]

        code = run(["splits", "cancel", "--from-file", write_lines(unknown), "--failed", "failed.txt"])

        captured = capsys.readouterr().out
        assert code == 1
        assert figures(captured)["not found"] == "25"
        assert captured.count("Split not found") == 20
        assert captured.endswith("and 5 more\n")
        assert sorted(Path("failed.txt").read_text().split()) == sorted(unknown)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"splt_1\nsplt_\xff\x1b\n", r"Error: ids.txt, line 2: 'splt_\udcff\x1b' is not a run id"),
            (b"splt_1\n" + b"x" * 200_000, "a line is longer than 65536 characters: this is not a list of ids"),
            (b"splt_1\nsplits,splt_2\npartitions,prtn_1\n", "line 3: this is a run of partitions"),
        ],
    )
    def test_unclear_line_of_a_file_is_reported_before_anything_is_sent(
        self, content: bytes, reason: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("ids.txt").write_bytes(content)

        code = run(["splits", "cancel", "--from-file", "ids.txt"])

        captured = capsys.readouterr()
        assert (code in {1, 2}, captured.out, emulator.requests) == (True, "", [])
        assert reason in captured.err
        assert "\x1b" not in captured.err

    def test_unclear_line_of_a_pipe_ends_the_job(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (good,) = emulator.seed("splits")
        read, write = os.pipe()
        os.write(write, f"{good}\na b\n".encode())
        os.close(write)

        with os.fdopen(read) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            code = run(["splits", "cancel", "-"])

        captured = capsys.readouterr()
        assert (code, figures(captured.out)["cancelled"]) == (1, "1")
        assert "Error: stdin, line 2: 'a b' is not a run id: a b" in captured.err

    def test_cancel_reads_stdin_that_is_a_file(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        ids = emulator.seed("splits", 3)

        with Path(write_lines(ids)).open() as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            code = run(["splits", "cancel", "-"])

        assert (code, emulator.active_runs()) == (0, [])
        assert "3/3" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            ((), "Missing argument"),
            (("splt_1", "--from-file", "ids.txt"), "not both"),
            (("--from-file", "nowhere.txt"), "nowhere.txt cannot be read: No such file"),
            (("--from-file", "."), ". cannot be read: Is a directory"),
            (("--from-file", "ids.txt", "--failed", "./ids.txt"), "must be different files"),
            (("--from-file", "ids.txt", "--failed", "no/where"), "no/where cannot be written"),
            (("--from-file", "ids.txt", "--concurrency", "0"), "--concurrency"),
            (("--from-file", "ids.txt", "--rate-limit", "300"), "REQUESTS/SECONDS"),
            (("--from-file", "ids.txt", "--outage-timeout", "inf"), "outage_timeout"),
            (("--from-file", "ids.txt", "--journal", "no/where"), "'no/where' cannot be opened: No such file"),
            (("--from-file", "ids.txt", "--journal", "other.txt"), "it is not a journal of this library"),
        ],
    )
    def test_wrong_usage_sends_nothing_and_changes_no_file(
        self, words: tuple[str, ...], why: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_lines(["splt_1"])
        write_lines(["something else"], "other.txt")

        code = run(["splits", "cancel", *words])

        assert code == 2
        assert why in capsys.readouterr().err
        assert emulator.requests == []
        assert Path("ids.txt").read_text() == "splt_1\n"

    @pytest.mark.usefixtures("emulator")
    def test_cancel_from_a_closed_stdin_exits_2(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stdin", None)

        assert run(["splits", "cancel", "--from-file", "-"]) == 2

        assert "stdin is closed" in capsys.readouterr().err

    @pytest.mark.usefixtures("emulator")
    def test_cancel_ends_if_the_failed_file_cannot_be_written(self, capsys: pytest.CaptureFixture[str]) -> None:
        code = run(["splits", "cancel", "--from-file", write_lines(["splt_unknown"]), "--failed", "/dev/full"])

        assert code == 1
        assert "Error: /dev/full cannot be written: No space left" in capsys.readouterr().err

    def test_cancel_keeps_to_a_rate_limit_and_waits_for_terminal_runs(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with served_emulator(monkeypatch, queued=60, running=60) as emulator:
            ids = emulator.seed("splits", 3, cancel_delay=0.3)
            code = run(["splits", "cancel", "--from-file", write_lines(ids), "--rate-limit", "2/0.4", "--wait"])

        counts = figures(capsys.readouterr().out)
        assert (code, counts["cancelled"]) == (0, "3")
        assert float(counts["seconds"]) >= 0.4

    def test_cancel_reports_an_outage_that_outlasts_its_timeout(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        emulator.fail("POST /v1/splits/{id}/cancel", *[Fault.reset()] * 10_000)
        Path("endless").unlink(missing_ok=True)
        os.mkfifo("endless")

        def write() -> None:
            with Path("endless").open("w") as pipe:
                while True:
                    try:
                        pipe.write("splt_1\n")
                        pipe.flush()
                    except BrokenPipeError:
                        break
                os.dup2(os.open(os.devnull, os.O_WRONLY), pipe.fileno())

        writer = threading.Thread(target=write)
        writer.start()
        code = run(["splits", "cancel", "--from-file", "endless", "--outage-timeout", "0.5"])
        writer.join()

        captured = capsys.readouterr()
        assert code == 1
        assert int(figures(captured.out)["unconfirmed"]) > 20
        assert "API unavailable for too long; the remaining runs were not processed" in captured.err


def test_cancel_dedupe_sends_each_id_once(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = emulator.seed("splits", 2)

    code = run(["splits", "cancel", "--dedupe", "--from-file", write_lines([one, two, one])])

    report = figures(capsys.readouterr().out)
    assert (code, len(emulator.requests), report["cancelled"], report["duplicates skipped"]) == (0, 2, "2", "1")


def test_cancel_reports_what_the_runs_cost(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    ids = emulator.seed("splits", 3, status="completed")
    run(["splits", "cancel", "--from-file", write_lines(ids)])

    credits_, dollars = figures(capsys.readouterr().out)["credits"].split(" ")
    assert float(credits_) > 0
    assert dollars == f"(${float(credits_) / 100:.2f})"


async def _lines(lines: list[str]) -> AsyncGenerator[str, None]:
    for line in lines:
        yield line


class TestFailedFile:
    """The file of `--failed`."""

    def test_csv_has_the_id_kind_disposition_and_reason_of_each_failure(self, emulator: Emulator) -> None:
        (good,) = emulator.seed("splits")
        write_lines([good, "splt_unknown"])

        code = run(["splits", "cancel", "--from-file", "ids.txt", "--failed", "failed.csv"])

        rows = list(csv.reader(Path("failed.csv").read_text().splitlines()))
        assert code == 1
        assert rows[0] == ["id", "kind", "disposition", "reason"]
        assert [row[:3] for row in rows[1:]] == [["splt_unknown", "splits", "not_found"]]
        assert rows[1][3].startswith("Split not found")

    @pytest.mark.parametrize("source", ["file", "stdin"])
    def test_csv_keeps_the_columns_of_the_input_and_is_accepted_by_the_same_command(
        self, source: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (good,) = emulator.seed("splits")
        table = ["Customer;Split_ID;amount", f"a;{good};1", '"b; c";splt_x;-2.50', "d;splt_y"]
        line = ["splits", "cancel", "--column", "split_id", "--from-file"]
        write_lines(table, "runs.csv")

        if source == "file":
            run([*line, "runs.csv", "--failed", "failed.csv"])
        else:
            read, write = os.pipe()
            os.write(write, Path("runs.csv").read_bytes())
            os.close(write)
            with os.fdopen(read) as stdin:
                monkeypatch.setattr("sys.stdin", stdin)
                run([*line, "-", "--failed", "failed.csv"])
        run([*line, "failed.csv", "--failed", "again.csv"])

        rows = list(csv.reader(Path("failed.csv").read_text().splitlines()))
        assert rows[0] == ["id", "kind", "disposition", "reason", "Customer", "Split_ID", "amount"]
        assert sorted((*row[:3], *row[4:]) for row in rows[1:]) == [
            ("splt_x", "splits", "not_found", "b; c", "splt_x", "-2.50"),
            ("splt_y", "splits", "not_found", "d", "splt_y", ""),
        ]
        again = list(csv.reader(Path("again.csv").read_text().splitlines()))
        assert again[0] == rows[0]
        assert sorted(row[4:] for row in again) == sorted(row[4:] for row in rows)

    @pytest.mark.usefixtures("emulator")
    @pytest.mark.parametrize("heading", ["reason,KIND,run_id,note", "reason,KIND,ID,note"])
    def test_columns_of_the_input_with_the_names_of_its_own_are_renamed_once(self, heading: str) -> None:
        write_lines([heading, "mine,splits,splt_1,x", "mine,parses,prse_1,y,z"], "runs.csv")

        run(["cancel", "--from-file", "runs.csv", "--failed", "failed.csv"])
        run(["cancel", "--from-file", "failed.csv", "--failed", "again.csv"])

        for path in ("failed.csv", "again.csv"):
            rows = list(csv.reader(Path(path).read_text().splitlines()))
            assert rows[0] == ["id", "kind", "disposition", "reason", "input_reason", "note"]
            assert sorted((*row[:3], *row[4:]) for row in rows[1:]) == [
                ("prse_1", "parses", "not_found", "mine", "y"),
                ("splt_1", "splits", "not_found", "mine", "x"),
            ]

    @pytest.mark.usefixtures("emulator")
    def test_failures_of_earlier_parts_keep_the_columns_of_the_input(self) -> None:
        line = ["splits", "cancel", "--journal", "j.jsonl", "--failed", "failed.csv", "--from-file"]
        table = ["id,note", *(f"splt_{number},n{number}" for number in range(3))]
        run([*line, write_lines([*table, "splt_gone,n9"])])
        write_lines(table, "runs.csv")

        run([*line, "runs.csv"])

        rows = list(csv.reader(Path("failed.csv").read_text().splitlines()))
        assert rows[0] == ["id", "kind", "disposition", "reason", "note"]
        assert sorted((row[0], row[4]) for row in rows[1:]) == [
            ("splt_0", "n0"),
            ("splt_1", "n1"),
            ("splt_2", "n2"),
            ("splt_gone", ""),
        ]

    def test_failures_that_an_interrupted_part_did_not_come_to_keep_their_columns(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        line = ["splits", "cancel", "--journal", "j.jsonl", "--failed", "failed.csv", "--from-file"]
        run([*line, write_lines(["id,note", "splt_1,n1", "splt_2,n2"], "runs.csv")])
        monkeypatch.setattr("retab_async.cli.cancel.read_lines", lambda _: _lines(["id,note"]))

        run([*line, "runs.csv"])

        rows = list(csv.reader(Path("failed.csv").read_text().splitlines()))
        assert sorted((row[0], row[4]) for row in rows[1:]) == [("splt_1", "n1"), ("splt_2", "n2")]
        assert emulator.active_runs() == []

    def test_file_without_a_failure_has_the_heading_alone(self, emulator: Emulator) -> None:
        run(["splits", "cancel", *emulator.seed("splits"), "--failed", "failed.csv"])

        assert Path("failed.csv").read_text() == "id,kind,disposition,reason\n"

    def test_cells_that_a_spreadsheet_would_run_are_quoted(self, emulator: Emulator) -> None:
        error = {"detail": {"message": "=1+1", "code": "x"}}
        emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(422, body=error))

        run(["splits", "cancel", "splt_1", "=x", "--failed", "failed.csv"])

        rows = list(csv.reader(Path("failed.csv").read_text().splitlines()))
        assert [row[0] for row in rows[1:]] == ["splt_1", "'=x"]
        assert rows[1][3].startswith("'=1+1 (POST")

    @pytest.mark.usefixtures("emulator")
    @pytest.mark.parametrize("column", ["id", "=ref", "'=ref"])
    def test_cells_and_headings_of_the_input_are_quoted_once_and_found_again(
        self, column: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        heading = column.removeprefix("'")
        line = ["splits", "cancel", "--column", column, "--json", "--from-file"]
        link = '=HYPERLINK(""http://x"")'
        write_lines([f"{heading},@note,amount", f'splt_0,"{link}",-2.5', 'splt_1,\'s,"-1,50"'], "runs.csv")

        run([*line, "runs.csv", "--failed", "failed.csv"])
        run([*line, "failed.csv", "--failed", "again.csv"])
        capsys.readouterr()
        run([*line, "again.csv"])

        kept = [] if column == "id" else ["'=ref"]
        for path in ("failed.csv", "again.csv"):
            rows = list(csv.reader(Path(path).read_text().splitlines()))
            assert rows[0] == ["id", "kind", "disposition", "reason", *kept, "'@note", "amount"]
            assert sorted((row[0], *row[-2:]) for row in rows[1:]) == [
                ("splt_0", '\'=HYPERLINK("http://x")', "-2.5"),
                ("splt_1", "'s", "-1,50"),
            ]
            assert not kept or {row[0] == row[4] for row in rows[1:]} == {True}
        printed = [json.loads(row)["id"] for row in capsys.readouterr().out.splitlines()]
        assert sorted(printed) == ["splt_0", "splt_1"]

    @pytest.mark.usefixtures("emulator")
    def test_renamed_columns_do_not_take_the_name_of_another_column(self) -> None:
        write_lines(["run_id,reason,Input_Reason,Reason,kind", "splt_1,a,b,c,splits"], "runs.csv")

        run(["cancel", "--from-file", "runs.csv", "--failed", "failed.csv"])
        run(["cancel", "--from-file", "failed.csv", "--failed", "again.csv"])

        names = ["input_input_reason", "Input_Reason", "input_input_input_Reason"]
        for path in ("failed.csv", "again.csv"):
            rows = list(csv.reader(Path(path).read_text().splitlines()))
            assert (rows[0][4:], rows[1][4:]) == (names, ["a", "b", "c"])

    @pytest.mark.usefixtures("emulator")
    def test_txt_has_the_ids_alone(self) -> None:
        run(["splits", "cancel", "--from-file", write_lines(["splt_1", "splt_2"]), "--failed", "failed.TXT"])

        assert sorted(Path("failed.TXT").read_text().splitlines()) == ["splt_1", "splt_2"]

    @pytest.mark.usefixtures("emulator")
    def test_existing_file_is_replaced_at_the_end_and_keeps_its_mode(self) -> None:
        Path("failed.csv").write_text("old")
        Path("failed.csv").chmod(0o640)
        Path("link.csv").symlink_to("failed.csv")

        run(["splits", "cancel", "--from-file", write_lines(["splt_1"]), "--failed", "link.csv"])

        assert Path("link.csv").is_symlink()
        assert (Path("failed.csv").stat().st_mode & 0o777, "old" in Path("failed.csv").read_text()) == (0o640, False)
        assert sorted(each.name for each in Path().iterdir()) == ["failed.csv", "ids.txt", "link.csv"]

    @pytest.mark.usefixtures("emulator")
    def test_device_is_written_in_place(self) -> None:
        assert run(["splits", "cancel", "splt_1", "--failed", os.devnull]) == 1

        assert Path(os.devnull).is_char_device()

    @pytest.mark.parametrize("path", ["failed.csv", "failed.txt"])
    def test_resumed_job_writes_the_failures_of_its_earlier_parts(self, path: str, emulator: Emulator) -> None:
        ids = emulator.seed("splits", 4)
        unknown = [f"splt_unknown{number}" for number in range(4)]
        line = ["splits", "cancel", "--journal", "j.jsonl", "--failed", path, "--from-file"]
        emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(401))
        run([*line, write_lines(ids[:1])])
        assert ids[0] in Path(path).read_text()
        run([*line, write_lines([*ids[:2], *unknown[:2]])])

        codes = [run([*line, write_lines([*ids, *unknown])]) for _ in range(2)]
        # As if it was interrupted after its first id.
        codes.append(run([*line, write_lines(unknown[:1])]))

        written = [row.split(",")[0] for row in Path(path).read_text().splitlines()]
        assert codes == [1, 1, 1]
        assert sorted(written) == sorted([*unknown, *(["id"] if path.endswith("csv") else [])])
        assert Path(path).read_text().count("Split not found") == (0 if path.endswith("txt") else 4)

    @pytest.mark.usefixtures("emulator")
    def test_unreadable_journal_exits_1_and_keeps_the_failures_of_this_job(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        add = FailedFile.add_from_journal
        monkeypatch.setattr(FailedFile, "add_from_journal", lambda file, path, runs: add(file, f"{path}/nowhere", runs))

        code = run(["splits", "cancel", "splt_1", "--failed", "failed.csv", "--journal", "j.jsonl"])

        assert (code, "splt_1" in Path("failed.csv").read_text()) == (1, True)
        assert "Error: the failures in the journal" in capsys.readouterr().err

    @pytest.mark.usefixtures("emulator")
    def test_existing_file_is_kept_if_the_job_does_not_start(self) -> None:
        Path("failed.csv").write_text("old")
        write_lines(["something else"], "other.txt")

        code = run(
            ["splits", "cancel", "--failed", "failed.csv", "--from-file", write_lines(["a"]), "--journal", "other.txt"]
        )

        assert (code, Path("failed.csv").read_text()) == (2, "old")
        assert sorted(each.name for each in Path().iterdir()) == ["failed.csv", "ids.txt", "other.txt"]

    def test_write_protected_file_is_wrong_usage(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        Path("failed.csv").write_text("old")
        monkeypatch.setattr(Path, "open", refuse)

        assert run(["splits", "cancel", "splt_1", "--failed", "failed.csv"]) == 2

        assert "failed.csv cannot be written: Permission denied" in capsys.readouterr().err
        assert (emulator.requests, Path("failed.csv").stat().st_size) == ([], 3)

    @pytest.mark.parametrize("way", ["same", "hard link", "symlink", "/dev/stdin"])
    @pytest.mark.parametrize("option", ["--failed", "--journal"])
    def test_output_that_is_the_input_is_wrong_usage(
        self,
        way: str,
        option: str,
        emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = Path(write_lines(emulator.seed("splits", 3)))
        content = path.read_text()
        if way == "hard link":
            Path("other").hardlink_to(path)
        elif way == "symlink":
            Path("other").symlink_to(path)
        output = "other" if way in {"hard link", "symlink"} else str(path)
        with path.open() as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            source = "-" if way != "/dev/stdin" else f"/dev/fd/{stdin.fileno()}"
            code = run(["splits", "cancel", "--from-file", source, option, output])

        assert (code, emulator.requests, path.read_text()) == (2, [], content)
        assert "must be different files" in capsys.readouterr().err


def test_refusal_of_the_caller_ends_the_job_and_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with served_emulator(monkeypatch, queued=60, running=60, api_key="another key") as emulator:
        ids = emulator.seed("splits", 300)

        code = run(["splits", "cancel", "--from-file", write_lines(ids), "--failed", "failed.txt"])

    captured = capsys.readouterr()
    assert (code, len(emulator.requests) < 100) == (1, True)
    assert "Error: the API refused the caller, the remaining runs were not processed: " in captured.err
    assert "status 401" in captured.err
    assert len(Path("failed.txt").read_text().splitlines()) == int(figures(captured.out)["unconfirmed"])


class TestJournals:
    def test_settled_ids_are_not_sent_again(self, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        ids = emulator.seed("splits", 3)
        line = ["splits", "cancel", "--journal", "cancel.jsonl", "--from-file"]
        run([*line, write_lines([*ids[:2], "splt_unknown"])])
        capsys.readouterr()

        code = run([*line, write_lines([*ids, "splt_unknown"])])

        counts = figures(capsys.readouterr().out)
        assert (code, len(emulator.requests)) == (1, 4)
        assert (counts["cancelled"], counts["not found"], counts["settled before"]) == ("3", "1", "3")
        assert "and 1 more" not in counts

    def test_full_journal_exits_1_and_prints_how_much_is_missing(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ids = emulator.seed("splits", 3)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("retab_async.journal.journal.append", full)

        code = run(["splits", "cancel", "--from-file", write_lines(ids), "--journal", "cancel.jsonl"])

        captured = capsys.readouterr()
        assert (code, figures(captured.out)["cancelled"]) == (1, "3")
        assert "Error: journal 'cancel.jsonl' cannot be written: No space left on device\n" in captured.err
        assert captured.err.endswith("not in the journal: 3 outcomes\n")

    @pytest.mark.usefixtures("emulator")
    def test_locked_journal_exits_2(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        async def held(path: str, *_: object, **__: object) -> Journal:
            msg = f"journal {path!r} cannot be opened: process 1 is writing it"
            raise JournalError(msg)

        monkeypatch.setattr(Journal, "open", held)

        code = run(["splits", "cancel", "--from-file", write_lines(["splt_1"]), "--journal", "cancel.jsonl"])

        assert code == 2
        assert capsys.readouterr().err == "Error: journal 'cancel.jsonl' cannot be opened: process 1 is writing it\n"


class TestAnyKind:
    def test_rows_of_every_kind_are_cancelled(self, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        emulator.seed("splits", 0)
        rows = [f"{kind},{emulator.seed(kind.replace('.', '/'))[0]}" for kind in RESOURCES]

        code = run(["cancel", "--from-file", write_lines(rows, "runs.csv")])

        assert (code, figures(capsys.readouterr().out)["cancelled"], emulator.active_runs()) == (
            0,
            str(len(RESOURCES)),
            [],
        )

    def test_failures_are_printed_and_written_with_their_kind(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (good,) = emulator.seed("splits")
        rows = ["kind,id", f"splits,{good}", "splits,splt_unknown"]

        code = run(["cancel", "--from-file", write_lines(rows, "runs.csv"), "--failed", "failed.csv"])

        counts = figures(capsys.readouterr().out)
        assert code == 1
        assert (counts["cancelled"], counts["not found"]) == ("1", "1")
        assert counts["splt_unknown"].startswith("splits\tnot_found\t\tSplit not found")
        assert 'splt_unknown,splits,not_found,"Split not found' in Path("failed.csv").read_text()

    @pytest.mark.usefixtures("emulator")
    def test_failed_file_can_be_the_input_of_the_next_job(self, capsys: pytest.CaptureFixture[str]) -> None:
        write_lines(["splits,splt_unknown"], "runs.csv")
        run(["cancel", "--from-file", "runs.csv", "--failed", "failed.csv"])

        run(["cancel", "--from-file", "failed.csv", "--json"])

        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        assert [(each["kind"], each["id"], each["disposition"]) for each in printed] == [
            ("splits", "splt_unknown", "not_found")
        ]

    @pytest.mark.parametrize("kind", ["splits", "workflows.runs", "workflows/runs"])
    def test_kind_option_stands_for_the_kind_of_all_rows(self, kind: str, emulator: Emulator) -> None:
        ids = emulator.seed(kind.replace(".", "/"), 3)

        code = run(["cancel", "--kind", kind, "--from-file", write_lines(["id,note", *(f"{each},x" for each in ids)])])

        assert (code, emulator.active_runs()) == (0, [])

    @pytest.mark.parametrize(
        ("lines", "options", "reason"),
        [
            (["splits,splt_1", "prints,x_1"], (), "runs.csv, line 2: several columns without a heading"),
            (["splits,splt_1", 'splits,"splt_2', "splits,splt_3"], (), "runs.csv, line 2: its quotes do not match"),
            (["id", "splt_1"], (), "there is no column kind: add one, or pass --kind"),
            (["splits,splt_1"], ("--kind", "prints"), "'prints' is not a kind: the kinds are splits, partitions"),
            (["nr,id", "splt_1,x"], ("--kind", "splits", "--column", "run"), "there is no column 'run'"),
        ],
    )
    def test_unclear_row_is_reported_before_anything_is_sent(
        self,
        lines: list[str],
        options: tuple[str, ...],
        reason: str,
        emulator: Emulator,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        code = run(["cancel", "--from-file", write_lines(lines, "runs.csv"), *options])

        assert (code, emulator.requests) == (2, [])
        assert reason in " ".join(capsys.readouterr().err.split())

    def test_cancel_of_any_kind_needs_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["cancel"]) == 2

        assert "--from-file" in capsys.readouterr().err
