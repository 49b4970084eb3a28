"""Progress of a bulk job: its figures, on a simulated terminal."""

import asyncio
from collections import Counter
from functools import partial
from io import StringIO

import attrs
import pytest
from rich.console import Console

from retab_async import CancelReport, Disposition, ProcessReport, Stats, UploadProgress
from retab_async.cli import progress
from retab_async.cli.progress import JobFigures, JobProgress, format_throttle, job_progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What the command writes to a terminal on stderr."""
    output = StringIO()
    console = Console(file=output, force_terminal=True, width=80)
    monkeypatch.setattr(progress, "stderr_console", lambda: console)
    return output


def test_live_line_shows_an_upload_until_all_of_it_was_sent(terminal: StringIO) -> None:
    with progress.status_reporter("creating") as reporter:
        assert reporter.on_upload is not None
        reporter.on_upload(UploadProgress(sent=1, total=4_000_000, filename="a\x1b.pdf"))
        with reporter.paused():
            shown = terminal.getvalue()
        reporter.on_upload(UploadProgress(sent=4, total=4))
        with reporter.paused():
            pass

    assert "uploading a\\x1b.pdf: 0 % of 4.0 MB" in shown
    assert "creating" in terminal.getvalue().removeprefix(shown)


NOW = Stats(
    in_flight=12,
    concurrency_limit=64,
    rate=None,
    rate_origin="none",
    resent=0,
    sent=40,
    throttled=0,
    retry_tokens=9,
    latency_p50=None,
    latency_p95=None,
)


def report_of(done: int) -> CancelReport:
    """Return a report with 34 runs that were not found and others that were cancelled."""
    counts = Counter({Disposition.CANCELLED: done - 34, Disposition.NOT_FOUND: 34})
    return CancelReport(counts=counts, failures=(), elapsed=1.0)


REPORT = report_of(1234)


def render(total: int | None, *moments: tuple[float, CancelReport]) -> list[str]:
    """Return the lines of a display after a redraw at each moment, with the report of that moment."""
    reports = [report for _, report in moments]
    progress = JobProgress(JobFigures("cancelling", total, lambda: reports[0], lambda: NOW), Console(width=120))
    for moment, report in moments:
        reports[0] = report
        progress.get_time = partial(float, moment)
        progress.redraw()
    console = Console(width=120)
    with console.capture() as captured:
        console.print(progress)
    return [line.strip() for line in captured.get().splitlines()]


def test_job_progress_of_a_known_total_shows_bar_counts_and_throttle() -> None:
    bar, counts, throttle = render(5000, (0, REPORT))

    assert "cancelling ━━━" in bar
    assert "1234/5000" in bar
    assert "0.0/s" in bar
    assert (counts, throttle) == ("cancelled 1,200  not_found 34", "12 of 64 in flight")


def test_job_progress_of_an_unknown_total_shows_the_count() -> None:
    assert "1234/?" in render(None, (0, REPORT))[0]


def test_job_progress_of_no_ids_is_complete() -> None:
    empty = CancelReport(counts=Counter(), failures=(), elapsed=0.0)

    assert "0/0" in render(0, (0, empty))[0]


@pytest.mark.parametrize(
    ("moments", "rate", "remaining"),
    [
        ([(0, 100)], "0.0/s", "-:--:--"),
        ([(0, 100), (5, 150), (10, 200)], "10.0/s", "0:00:10"),
        ([(0, 100), (5, 150), (10, 200), (50, 200)], "0.0/s", "-:--:--"),
    ],
)
def test_job_progress_shows_the_recent_rate_and_the_remaining_time(
    moments: list[tuple[float, int]], rate: str, remaining: str
) -> None:
    bar = render(300, *((moment, report_of(done)) for moment, done in moments))[0]

    assert rate in bar
    assert remaining in bar


def test_format_throttle_shows_the_rate_and_the_429s_in_force() -> None:
    throttled = attrs.evolve(NOW, rate=5.0, throttled=3)

    assert format_throttle(NOW) == "12 of 64 in flight"
    assert format_throttle(throttled) == "12 of 64 in flight  limited to 5.0/s  429: 3"
    assert format_throttle(NOW, has_window=False) == "12 requests in flight"


def test_figures_of_a_process_job_show_no_window_of_bulk_cancels() -> None:
    report = ProcessReport(counts=Counter(), failures=(), elapsed=0.0)

    assert JobFigures("processing", 1, lambda: report, lambda: NOW).format_throttle() == "12 requests in flight"
    assert JobFigures("cancelling", 1, lambda: REPORT, lambda: NOW).format_throttle() == "12 of 64 in flight"


async def test_job_progress_is_redrawn_and_printed_lines_stay_above_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    redraws = 0

    def report() -> CancelReport:
        nonlocal redraws
        redraws += 1
        return REPORT

    with job_progress(JobFigures("cancelling", 5000, report, lambda: NOW)) as print_line:
        await asyncio.sleep(0.5)
        print_line("something [b]else[/b]")
    at_exit = redraws
    await asyncio.sleep(0.3)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\x1b[2Ksomething [b]else[/b]\n" in captured.err
    assert (redraws, at_exit > 3) == (at_exit, True)


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_job_progress_is_not_drawn_without_a_terminal_or_if_unwanted(
    *, is_wanted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not is_wanted:
        monkeypatch.setenv("FORCE_COLOR", "1")

    figures = JobFigures("cancelling", None, lambda: REPORT, lambda: NOW)
    with job_progress(figures, is_wanted=is_wanted) as print_line:
        print_line("something")

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "something\n")


async def test_job_progress_without_a_terminal_prints_a_line_at_each_interval(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("retab_async.cli.progress._LINE_INTERVAL", 0.1)
    monkeypatch.setattr("retab_async.cli.progress._FIRST_LINE_DELAY", 0.1)

    for total in (5000, None):
        with job_progress(JobFigures("cancelling", total, lambda: REPORT, lambda: NOW)):
            await asyncio.sleep(0.25)
    await asyncio.sleep(0.2)

    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4
    assert lines[0] == "cancelling: 1,234 of 5,000  cancelled 1,200  not_found 34  12 of 64 in flight"
    assert lines[-1] == "cancelling: 1,234  cancelled 1,200  not_found 34  12 of 64 in flight"


async def test_first_line_without_a_terminal_says_what_was_settled_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("retab_async.cli.progress._FIRST_LINE_DELAY", 0)
    report = attrs.evolve(REPORT, settled=Counter({Disposition.CANCELLED: 1000}))

    with job_progress(JobFigures("cancelling", 5000, lambda: report, lambda: NOW)):
        await asyncio.sleep(0.01)

    assert capsys.readouterr().err.startswith("cancelling: 1,234 of 5,000, 1,000 settled before  cancelled 1,200")
