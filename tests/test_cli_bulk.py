"""`cancel --from-file`: ids and rows of files and pipes, what is told of them, and what goes wrong."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_cli import served

from retab_async.cli import run
from retab_async.emulator import Emulator, Fault
from retab_async.errors import JournalError
from retab_async.journal import Journal
from retab_async.resources import RESOURCES


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator whose runs go on for longer than any test, and a directory of one's own."""
    monkeypatch.chdir(tmp_path)
    with served(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


def figures(said: str) -> dict[str, str]:
    """Return the table of what became of how many, and what comes after it by its first column."""
    return dict(line.split("\t", 1) for line in said.splitlines() if "\t" in line)


def listed(ids: list[str], path: str = "ids.txt") -> str:
    """Write ids into a file and return its path."""
    Path(path).write_text("".join(f"{run_id}\n" for run_id in ids))
    return path


class TestIds:
    def test_those_of_a_file_are_cancelled_and_counted(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ids = emulator.seed("splits", 120)
        (done,) = emulator.seed("splits", queued=0, running=0)

        code = run(["splits", "cancel", "--from-file", listed([*ids, done])])

        said = capsys.readouterr()
        told = figures(said.out)
        assert (code, said.err, emulator.active_runs()) == (0, "", [])
        assert (told["cancelled"], told["finished"]) == ("120", "1")
        assert (told["requests"], told["answers 429"]) == ("121", "0")
        assert float(told["seconds"]) < 60

    def test_one_whose_cancel_is_to_wait_for_an_hour_is_told_of_at_once(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.fail("POST /v1/splits/{id}/cancel", Fault.status(429, retry_after=3600))

        code = run(["splits", "cancel", run_id])

        said = capsys.readouterr().out
        assert (code, said.startswith(f"{run_id}\tunconfirmed\t")) == (1, True)
        assert "status 429" in said
        assert "Retry-After 3600 s" in said

    def test_those_of_a_kind_with_a_longer_name_too(self, emulator: Emulator) -> None:
        ids = emulator.seed("workflows/runs", 3)

        assert run(["workflows", "runs", "cancel", "--from-file", listed(ids)]) == 0

        assert emulator.active_runs() == []

    def test_those_of_a_pipe_are_cancelled_while_it_is_open(
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

    def test_on_a_terminal_the_bar_knows_how_many_there_are(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        ids = emulator.seed("splits", 3)
        Path("ids.txt").write_text("\n".join(["# three", "", *ids]))

        run(["splits", "cancel", "--from-file", "ids.txt"])

        assert "3/3" in capsys.readouterr().err

    def test_json_is_one_object_for_each(self, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        (good,) = emulator.seed("splits")

        code = run(["splits", "cancel", "--json", "--from-file", listed([good, "splt_unknown"])])

        told = {each["id"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
        assert code == 1
        assert {key: each["disposition"] for key, each in told.items()} == {
            good: "cancelled",
            "splt_unknown": "not_found",
        }
        assert {each["kind"] for each in told.values()} == {"splits"}

    @pytest.mark.usefixtures("emulator")
    def test_what_failed_is_told_as_far_as_it_can_be_read_and_all_of_it_is_in_a_file(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        unknown = [f"splt_unknown{number}" for number in range(25)]

        code = run(["splits", "cancel", "--from-file", listed(unknown), "--failed", "failed.txt"])

        said = capsys.readouterr().out
        assert code == 1
        assert figures(said)["not found"] == "25"
        assert said.count("Split not found") == 20
        assert said.endswith("and 5 more\n")
        assert sorted(Path("failed.txt").read_text().split()) == sorted(unknown)

    @pytest.mark.usefixtures("emulator")
    def test_what_is_no_text_of_any_encoding_is_rejected_and_written_as_it_was(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("ids.txt").write_bytes(b"splt_\xff\x1b\n")

        code = run(["splits", "cancel", "--from-file", "ids.txt", "--failed", "failed.txt"])

        said = capsys.readouterr().out
        assert code == 1
        assert said.isprintable() or "\x1b" not in said
        assert "splt_\\udcff\\x1b\trejected" in said
        assert Path("failed.txt").read_bytes() == b"splt_\xff\x1b\n"

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
    def test_wrong_usage_sends_nothing_and_spoils_nothing(
        self, words: tuple[str, ...], why: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        listed(["splt_1"])
        listed(["something else"], "other.txt")

        code = run(["splits", "cancel", *words])

        assert code == 2
        assert why in capsys.readouterr().err
        assert emulator.requests == []
        assert Path("ids.txt").read_text() == "splt_1\n"

    @pytest.mark.usefixtures("emulator")
    def test_a_closed_stdin_is_wrong_usage(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stdin", None)

        assert run(["splits", "cancel", "--from-file", "-"]) == 2

        assert "stdin is closed" in capsys.readouterr().err

    def test_what_is_no_list_ends_the_job(self, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        (good,) = emulator.seed("splits")
        Path("ids.txt").write_text(f"{good}\n{'x' * 200_000}")

        code = run(["splits", "cancel", "--from-file", "ids.txt"])

        said = capsys.readouterr()
        assert (code, figures(said.out)["cancelled"]) == (1, "1")
        assert "Error: there is a line of more than 65536 letters" in said.err

    @pytest.mark.usefixtures("emulator")
    def test_a_failed_file_that_cannot_be_written_to_any_more_ends_the_job(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = run(["splits", "cancel", "--from-file", listed(["splt_unknown"]), "--failed", "/dev/full"])

        assert code == 1
        assert "Error: /dev/full cannot be written: No space left" in capsys.readouterr().err

    def test_a_rate_limit_is_kept_to_and_runs_are_followed_to_their_end(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with served(monkeypatch, queued=60, running=60) as emulator:
            ids = emulator.seed("splits", 3, cancel_delay=0.3)
            code = run(["splits", "cancel", "--from-file", listed(ids), "--rate-limit", "2/0.4", "--wait"])

        told = figures(capsys.readouterr().out)
        assert (code, told["cancelled"]) == (0, "3")
        assert float(told["seconds"]) >= 0.4

    def test_an_api_that_stays_away_is_told(self, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
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

        said = capsys.readouterr()
        assert code == 1
        assert int(figures(said.out)["unconfirmed"]) > 20
        assert "the API was away for too long: there are more runs, which were left alone" in said.err


class TestJournals:
    def test_what_is_settled_is_not_sent_again(self, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        ids = emulator.seed("splits", 3)
        line = ["splits", "cancel", "--journal", "cancel.jsonl", "--from-file"]
        run([*line, listed([*ids[:2], "splt_unknown"])])
        capsys.readouterr()

        code = run([*line, listed([*ids, "splt_unknown"])])

        told = figures(capsys.readouterr().out)
        assert (code, len(emulator.requests)) == (1, 4)
        assert (told["cancelled"], told["not found"], told["of these before"]) == ("3", "1", "3")
        assert "and 1 more" not in told

    def test_one_that_is_full_makes_exit_1_and_says_how_much_is_not_in_it(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ids = emulator.seed("splits", 3)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("retab_async.journal.journal.append", full)

        code = run(["splits", "cancel", "--from-file", listed(ids), "--journal", "cancel.jsonl"])

        said = capsys.readouterr()
        assert (code, figures(said.out)["cancelled"]) == (1, "3")
        assert "Error: journal 'cancel.jsonl' cannot be written: No space left on device\n" in said.err
        assert said.err.endswith("not in the journal: 3 of the outcomes\n")

    @pytest.mark.usefixtures("emulator")
    def test_one_that_is_held_makes_exit_2(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def held(path: str) -> Journal:
            msg = f"journal {path!r} cannot be opened: process 1 is writing it"
            raise JournalError(msg)

        monkeypatch.setattr(Journal, "open", held)

        code = run(["splits", "cancel", "--from-file", listed(["splt_1"]), "--journal", "cancel.jsonl"])

        assert code == 2
        assert capsys.readouterr().err == "Error: journal 'cancel.jsonl' cannot be opened: process 1 is writing it\n"


class TestAnyKind:
    def test_rows_of_all_kinds_are_cancelled(self, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        emulator.seed("splits", 0)
        rows = [f"{kind},{emulator.seed(kind.replace('.', '/'))[0]}" for kind in RESOURCES]

        code = run(["cancel", "--from-file", listed(rows, "runs.csv")])

        assert (code, figures(capsys.readouterr().out)["cancelled"], emulator.active_runs()) == (
            0,
            str(len(RESOURCES)),
            [],
        )

    def test_what_failed_is_told_with_its_kind_and_written_as_rows(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (good,) = emulator.seed("splits")
        rows = ["kind,id", f"splits,{good}", "prints,x_1", "partitions", 'splits,"a,b"', "splits,splt_unknown"]

        code = run(["cancel", "--from-file", listed(rows, "runs.csv"), "--failed", "failed.csv"])

        told = figures(capsys.readouterr().out)
        assert code == 1
        assert (told["cancelled"], told["rejected"], told["not found"]) == ("1", "3", "1")
        assert told["prints,x_1"] == "\trejected\t\tit names no kind of run that there is, or no id"
        assert told["splt_unknown"].startswith("splits\tnot_found\t\tSplit not found")
        assert set(Path("failed.csv").read_text().splitlines()) == {*rows[2:]}

    @pytest.mark.usefixtures("emulator")
    def test_what_failed_can_be_given_again(self, capsys: pytest.CaptureFixture[str]) -> None:
        listed(["splits,splt_unknown", "prints,x_1"], "runs.csv")
        run(["cancel", "--from-file", "runs.csv", "--failed", "failed.csv"])

        run(["cancel", "--from-file", "failed.csv", "--json"])

        told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        assert {(each["kind"], each["id"], each["disposition"]) for each in told} == {
            ("splits", "splt_unknown", "not_found"),
            (None, "prints,x_1", "rejected"),
        }

    def test_a_row_that_names_no_run_is_told_again_though_there_is_a_journal(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (good,) = emulator.seed("splits")
        line = ["cancel", "--from-file", listed([f"splits,{good}", "prints,x_1"], "runs.csv"), "--journal", "j.jsonl"]
        codes = run(line), run(line)

        first, second = capsys.readouterr().out.split("prints,x_1\t")[:2]
        assert codes == (1, 1)
        assert (figures(first)["rejected"], figures(second)["rejected"]) == ("1", "1")
        assert len(emulator.requests) == 1

    def test_a_quote_that_is_never_closed_ends_the_job(
        self, emulator: Emulator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = run(["cancel", "--from-file", listed(['splits,"splt_1', "splits,splt_2"], "runs.csv")])

        assert code == 1
        assert 'a quote is opened and never closed, from here on: splits,"splt_1' in capsys.readouterr().err
        assert emulator.requests == []

    def test_it_wants_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["cancel"]) == 2

        assert "--from-file" in capsys.readouterr().err
