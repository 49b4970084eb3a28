"""What is shown while a job goes on: its figures, on a terminal that is not there."""

import asyncio
from collections import Counter

import attrs
import pytest
from rich.console import Console

from retab_async import CancelReport, Disposition, Stats
from retab_async.cli.progress import JobProgress, Speed, eta_text, live_progress, rate_text

NOW = Stats(
    in_flight=12,
    concurrency_limit=64,
    rate=None,
    sent=40,
    throttled=0,
    retry_tokens=9,
    latency_p50=None,
    latency_p95=None,
)
REPORT = CancelReport(
    counts=Counter({Disposition.CANCELLED: 1200, Disposition.NOT_FOUND: 34}), failures=(), elapsed=1.0
)


def shown(board: JobProgress) -> list[str]:
    """Return the lines of a board as they look."""
    console = Console(width=100)
    with console.capture() as captured:
        console.print(board)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_speed_is_that_of_the_last_seconds() -> None:
    moments = iter([0.0, 0.0, 2.0, 10.0, 30.0, 31.0])
    speed = Speed(lambda: next(moments))

    assert [speed.note(done) for done in (0, 0, 20, 100, 100, 110)] == [
        0.0,
        0.0,
        10.0,
        10.0,
        0.0,
        10.0,
    ]


@pytest.mark.parametrize(
    ("ids", "speed", "text"),
    [(100, 10.0, "0:00:10 left"), (100_000, 5.0, "5:33:20 left"), (100, 0.0, ""), (0, 5.0, ""), (-3, 5.0, "")],
)
def test_the_remaining_time_is_told_where_it_can_be(ids: int, speed: float, text: str) -> None:
    assert eta_text(ids, speed) == text


def test_the_pace_is_what_is_in_flight_and_what_the_api_asked_for() -> None:
    slow = attrs.evolve(NOW, rate=5.0, throttled=3)

    assert rate_text(NOW) == "12 of 64 in flight"
    assert rate_text(slow) == "12 of 64 in flight  kept to 5.0/s  429: 3"


def test_a_board_of_a_known_number_has_a_bar() -> None:
    progress, counts, speed = shown(JobProgress("cancelling", 5000, lambda: REPORT, lambda: NOW))

    assert progress.startswith("cancelling ━━━")
    assert progress.endswith(" 1,234/5,000 0.0/s")
    assert (counts, speed) == ("cancelled 1,200  not_found 34", "12 of 64 in flight")


def test_a_board_of_an_unknown_number_has_none() -> None:
    progress, *_ = shown(JobProgress("cancelling", None, lambda: REPORT, lambda: NOW))

    assert progress.endswith(" cancelling 1,234 0.0/s")
    assert "━" not in progress


def test_a_board_of_nothing_is_one_too() -> None:
    empty = CancelReport(counts=Counter(), failures=(), elapsed=0.0)

    assert "0/0" in shown(JobProgress("cancelling", 0, lambda: empty, lambda: NOW))[0]


async def test_it_is_drawn_again_and_again_and_keeps_clear_of_what_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    asked = 0

    def report() -> CancelReport:
        nonlocal asked
        asked += 1
        return REPORT

    with live_progress(JobProgress("cancelling", 5000, report, lambda: NOW), is_wanted=True) as say:
        await asyncio.sleep(0.5)
        say("something [b]else[/b]")
    drawn = asked
    await asyncio.sleep(0.3)

    said = capsys.readouterr()
    assert said.out == ""
    assert "\x1b[2Ksomething [b]else[/b]\n" in said.err
    assert (asked, drawn > 3) == (drawn, True)


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_it_is_not_drawn_where_nobody_looks_or_it_would_be_in_the_way(
    *, is_wanted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not is_wanted:
        monkeypatch.setenv("FORCE_COLOR", "1")

    with live_progress(JobProgress("cancelling", None, lambda: REPORT, lambda: NOW), is_wanted=is_wanted) as say:
        say("something")

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "something\n")
