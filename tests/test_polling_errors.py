"""Errors about a run, as waits and scopes raise them."""

import pickle

import pytest

from retab_async.errors import RetabError, RunCancelledError, RunError, RunFailedError, WaitTimeoutError
from retab_async.models import PrimitiveError, RunStatus
from retab_async.resources.splits import Split

FAILED = Split(
    id="splt_1",
    status=RunStatus.FAILED,
    error=PrimitiveError(code="bad_document", message="It could not\nbe \x1b[31mread." + "x" * 999),
)
RUNNING = Split(id="splt_1", status=RunStatus.IN_PROGRESS)

ERRORS: list[RunError] = [
    RunError(),
    RunFailedError(run=FAILED),
    RunCancelledError(run=Split(id="splt_1", status=RunStatus.CANCELLED)),
    WaitTimeoutError(run_id="splt_1", timeout=2.5, run=RUNNING),
    WaitTimeoutError(run_id="splt_1", timeout=3600.0),
]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ERRORS[0], "no run was seen"),
        (ERRORS[1], "run splt_1 is failed: bad_document: It could not be [31mread.x"),
        (ERRORS[2], "run splt_1 is cancelled"),
        (ERRORS[3], "run splt_1 did not finish within 2.5 s: last seen in_progress"),
        (ERRORS[4], "run splt_1 did not finish within 3600 s: it was never seen"),
    ],
)
def test_message_names_the_run_and_its_state(error: RunError, words: str) -> None:
    assert str(error).startswith(words)
    assert str(error).isprintable()
    assert len(str(error)) < 600
    assert repr(error) == f"{type(error).__name__}({str(error)!r})"


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_error_survives_pickling(error: RunError) -> None:
    restored = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled on the line itself

    assert type(restored) is type(error)
    assert str(restored) == str(error)
    assert restored.args == error.args
    assert restored.__dict__ == error.__dict__


@pytest.mark.parametrize("kind", [RetabError, RunError, TimeoutError])
def test_wait_timeout_error_has_base(kind: type[Exception]) -> None:
    assert issubclass(WaitTimeoutError, kind)
