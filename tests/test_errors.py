import copy
import pickle
from typing import Any

import pytest

import retab_async
from retab_async import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    InternalServerError,
    InvalidRunIdError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    RetabError,
    UnknownRunError,
    ValidationError,
)
from retab_async.errors import error_class

CALL: dict[str, Any] = {"method": "POST", "url": "/v1/splits/splt_1/cancel"}

ERRORS: list[RetabError] = [
    ConfigurationError("no API key"),
    InvalidRunIdError("not a run id"),
    ClientStateError("closed"),
    APIConnectionError("refused", transient=False, attempts=3, **CALL),
    APITimeoutError("no answer", **CALL),
    RateLimitError(
        "slow down",
        status_code=429,
        code="quota",
        details={"limit": [300, 60]},
        retry_after=1.5,
        request_id="req_1",
        body='{"detail": "slow down"}',
        attempts=4,
        **CALL,
    ),
    UnknownRunError(kind="splits"),
    ResponseError("not JSON", status_code=200, path="output[0]", body="<html>", **CALL),
]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, APIError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, APIError),
        (409, ConflictError),
        (422, ValidationError),
        (429, RateLimitError),
        (500, InternalServerError),
        (501, InternalServerError),
        (503, InternalServerError),
        (599, InternalServerError),
        (307, APIError),
    ],
)
def test_error_class_of_each_status(status: int, kind: type[APIError]) -> None:
    assert error_class(status) is kind


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_error_survives_pickling(error: RetabError) -> None:
    revived = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled on the line itself

    assert type(revived) is type(error)
    assert str(revived) == str(error)
    assert repr(revived) == repr(error)
    assert revived.args == error.args
    assert revived.__dict__ == error.__dict__


def test_error_survives_copying() -> None:
    copied = copy.copy(ERRORS[5])

    assert copied.__dict__ == ERRORS[5].__dict__


def test_error_keeps_its_notes_when_pickled() -> None:
    error = APIConnectionError("refused", **CALL)
    error.add_note("in the night run")

    assert pickle.loads(pickle.dumps(error)).__notes__ == ["in the night run"]  # noqa: S301 - pickled on the line


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_is_a_retab_error(error: RetabError) -> None:
    with pytest.raises(RetabError):
        raise error


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(ConfigurationError, ValueError), (InvalidRunIdError, ValueError), (ClientStateError, RuntimeError)],
)
def test_misuse_errors_derive_from_builtin_errors(kind: type[RetabError], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


def test_timeout_is_a_connection_error() -> None:
    assert issubclass(APITimeoutError, APIConnectionError)


def test_api_error_names_the_call_and_the_result() -> None:
    facts = "POST /v1/splits/splt_1/cancel, status 429, request req_1, Retry-After 1.5 s, 4 attempts"
    assert str(ERRORS[5]) == f"slow down ({facts})"
    assert repr(ERRORS[5]) == f"RateLimitError({str(ERRORS[5])!r})"


def test_connection_error_names_the_number_of_attempts() -> None:
    assert str(ERRORS[3]) == "refused (POST /v1/splits/splt_1/cancel, 3 attempts)"
    assert str(ERRORS[4]) == "no answer (POST /v1/splits/splt_1/cancel, 1 attempt)"


def test_response_error_shows_the_start_of_the_body() -> None:
    error = ResponseError("not JSON", status_code=200, body="x" * 500, **CALL)

    assert f"body starts '{'x' * 80}'" in str(error)


def test_connection_error_is_transient_by_default() -> None:
    assert APIConnectionError("reset", **CALL).transient


@pytest.mark.parametrize("name", retab_async.__all__)
def test_every_name_in_all_exists(name: str) -> None:
    assert hasattr(retab_async, name)


def test_all_lists_every_error() -> None:
    def below(kind: type[RetabError]) -> set[type[RetabError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    # An integration exports its own.
    core = {kind.__name__ for kind in below(RetabError) if not kind.__module__.startswith("retab_async.integrations.")}
    unlisted = core - set(retab_async.__all__)

    assert unlisted == set()
