"""Exception tree, and the table from an HTTP status to its exception.

RetabError
├── ConfigurationError                settings that cannot work (a ValueError)
├── InvalidRunIdError                 an id that cannot be a run id (a ValueError)
├── InvalidRequestError               arguments that the API would reject (a ValueError)
│   └── InvalidDocumentError          a document that cannot be read or sent
├── ClientStateError                  a client that is closed, or of another loop or process (a RuntimeError)
├── JournalError                      a journal of cancels that cannot be read or written (an OSError)
├── SettledError                      in a report: an earlier run of the job settled it as a failure
├── UnknownRunError                   in a report: a document has a run whose id is not known
├── TerminatedError                   the process was asked to terminate, e.g. by SIGTERM
├── RunError                          a run without the awaited result
│   ├── RunFailedError                it failed
│   ├── RunCancelledError             it was cancelled
│   │   └── IdempotencyReplayError    a repeated idempotency key gave it
│   └── WaitTimeoutError              it did not finish in time (a TimeoutError)
└── RequestError                      a call that was sent and failed
    ├── APIConnectionError            no response: refused, reset, cut short, not resolved, not trusted
    │   └── APITimeoutError           no response in time
    └── HTTPResponseError             a response that is an error
        ├── APIError                  a status other than 2xx
        │   ├── AuthenticationError   401
        │   ├── PermissionDeniedError 403
        │   ├── NotFoundError         404
        │   ├── ConflictError         409
        │   ├── ValidationError       422
        │   ├── RateLimitError        429
        │   └── InternalServerError   5xx
        └── ResponseError             a 2xx that cannot be read
            └── ResponseTooLargeError it is larger than `max_response_bytes`
"""

from signal import Signals
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from retab_async.official_names import OfficialNames
from retab_async.text import single_line

if TYPE_CHECKING:
    from retab_async.models import Run

RunT = TypeVar("RunT", bound="Run")

_MESSAGE_LENGTH = 500


def _rebuild(cls: type["RetabError"], args: tuple[Any, ...], state: dict[str, Any]) -> "RetabError":
    error = cls.__new__(cls, *args)
    # A subclass of OSError, such as TimeoutError, sets args only in its __init__.
    error.args = args
    error.__dict__.update(state)
    return error


class RetabError(OfficialNames, Exception):
    """Base of all exceptions of this library.

    Attributes:
        in_doubt: Whether one attempt of the failed call may have taken effect on the server.
        idempotency_key: The key of a failed create; repeating it with this key cannot create a second run.
    """

    in_doubt: bool = False
    idempotency_key: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is rebuilt from its args alone, which fails on keyword-only arguments: process pools
        # and task queues would then lose the error they carry.
        return _rebuild, (type(self), self.args, self.__dict__)


class ConfigurationError(RetabError, ValueError):
    """Settings that cannot work; the message says what to do."""


class InvalidRunIdError(RetabError, ValueError):
    """A run id that could lead to another route or another run; nothing was sent."""


class InvalidRequestError(RetabError, ValueError):
    """Arguments that the API would reject; nothing was sent."""


class InvalidDocumentError(InvalidRequestError):
    """A document that cannot be read or sent, or that changed while it was being sent; no run was created."""


class ClientStateError(RetabError, RuntimeError):
    """The client is closed, or was opened in another event loop or before this process was forked."""


class JournalError(RetabError, OSError):
    """A journal that cannot be opened, read or written; the message says which, and why."""


class SettledError(RetabError):
    """An earlier run of a bulk job settled this id as a failure; the message is the reason in its journal."""


@attrs.define(slots=False, kw_only=True, repr=False)
class UnknownRunError(RetabError):
    """A document of a process job has a run already, of which neither the journal nor the API tells the id.

    A document above 32 MiB is uploaded before its create, to another URL each time, and the API rejects the key of a
    create with another URL. Only the journal of the job that uploaded it has the URL. The document gets no second run,
    which would be paid twice.

    Attributes:
        kind: The kind of the run.
    """

    kind: str

    def __str__(self) -> str:
        return (
            "an earlier job, without this journal, uploaded this document and created a run of it: find the run with "
            f"client.{self.kind}.list(); for a second run, touch the file or change an argument"
        )


@attrs.define(slots=False, kw_only=True, repr=False)
class TerminatedError(RetabError):
    """The process was asked to terminate inside a block of `until_signal`.

    Attributes:
        signal: The signal, such as `signal.SIGTERM`.
    """

    signal: Signals = attrs.field(converter=Signals)

    @property
    def exit_code(self) -> int:
        """The exit code that shells give for the signal, 143 for SIGTERM; as in `sys.exit(error.exit_code)`."""
        return 128 + self.signal

    def __str__(self) -> str:
        return f"the process received {self.signal.name}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


@attrs.define(slots=False, kw_only=True, repr=False)
class RunError(RetabError):
    """A run without the awaited result.

    Attributes:
        run: The run as last seen, None if it never was.
    """

    run: "Run | None" = None

    def __str__(self) -> str:
        return "no run was seen" if self.run is None else f"run {single_line(self.run.id)} is {_state(self.run)}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


@attrs.define(slots=False, kw_only=True, repr=False)
class RunFailedError(RunError, Generic[RunT]):
    """The run failed; `run.error` says why."""

    run: RunT


@attrs.define(slots=False, kw_only=True, repr=False)
class RunCancelledError(RunError, Generic[RunT]):
    """The run was cancelled, by this client or another."""

    run: RunT


class IdempotencyReplayError(RunCancelledError[RunT]):
    """A create under a key of the caller was answered with a run that is already cancelled.

    The service answers a repeated key with the run of its first use, for a day; `run` is that run.
    """

    def __str__(self) -> str:
        return (
            f"idempotency_key={self.idempotency_key!r} belongs to run {single_line(self.run.id)}, which is cancelled: "
            "pass another key, or none, to start a new run"
        )


@attrs.define(slots=False, kw_only=True, repr=False)
class WaitTimeoutError(RunError, TimeoutError):
    """A run did not finish in time and goes on; `__cause__` is the error of the last poll, if it failed.

    Attributes:
        run_id: The id of the run.
        timeout: Seconds that were waited.
    """

    run_id: str
    timeout: float

    def __str__(self) -> str:
        seen = "it was never seen" if self.run is None else f"last seen {_state(self.run)}"
        return f"run {single_line(self.run_id)} did not finish within {self.timeout:g} s: {seen}"


@attrs.define(slots=False, kw_only=True, repr=False)
class RequestError(RetabError):
    """A call that was sent and failed.

    Attributes:
        message: What went wrong.
        method: HTTP method.
        url: Path of the call, without host and query.
        attempts: Number of attempts, the first included.
    """

    message: str = attrs.field(kw_only=False)
    method: str
    url: str
    attempts: int = 1
    in_doubt: bool = False
    idempotency_key: str | None = None

    def __str__(self) -> str:
        attempts = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        text = f"{self.message} ({', '.join((f'{self.method} {self.url}', *self._details(), attempts))})"
        if self.in_doubt and self.idempotency_key:
            return f"{text}; it may have taken effect: repeat it with idempotency_key={self.idempotency_key!r}"
        return text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def _details(self) -> tuple[str, ...]:
        return ()


@attrs.define(slots=False, kw_only=True, repr=False)
class APIConnectionError(RequestError):
    """No complete response arrived.

    Attributes:
        transient: Whether a retry can help; False for an untrusted certificate, for example.
    """

    transient: bool = True


class APITimeoutError(APIConnectionError):
    """No response arrived within the timeout of an attempt, or the deadline of the call."""


@attrs.define(slots=False, kw_only=True, repr=False)
class HTTPResponseError(RequestError):
    """A response that is an error.

    Attributes:
        status_code: HTTP status.
        request_id: The server's `x-request-id`, if it sent one.
        body: Text of the body, at most 64 KiB of an `APIError` and 500 characters of a `ResponseError`.
    """

    status_code: int
    request_id: str | None = None
    body: str = ""

    def _details(self) -> tuple[str, ...]:
        return (f"status {self.status_code}", *((f"request {self.request_id}",) if self.request_id else ()))


@attrs.define(slots=False, kw_only=True, repr=False)
class APIError(HTTPResponseError):
    """A response with a status other than 2xx; `message` is the most specific text found in its body.

    Attributes:
        code: The API's error code, if the body has one.
        details: Structured details of the body.
        retry_after: Seconds that the server asked to wait, None if it did not.
        transient: Whether another attempt may help.
    """

    code: str | None = None
    details: Any = None
    retry_after: float | None = None
    transient: bool = False

    def _details(self) -> tuple[str, ...]:
        wait = () if self.retry_after is None else (f"Retry-After {self.retry_after:g} s",)
        return (*super()._details(), *wait)


class AuthenticationError(APIError):
    """401: the key is missing or not valid."""


class PermissionDeniedError(APIError):
    """403: the key may not do this."""


class NotFoundError(APIError):
    """404: no such run, or not one of this key's organization."""


class ConflictError(APIError):
    """409: conflict with the state on the server."""


class ValidationError(APIError):
    """422: the API rejected the values of the request."""


class RateLimitError(APIError):
    """429: too many requests; see `retry_after`."""


class InternalServerError(APIError):
    """5xx: the server, or a gateway in front of it, failed."""


@attrs.define(slots=False, kw_only=True, repr=False)
class ResponseError(HTTPResponseError):
    """A 2xx whose body cannot be read: not JSON, of another shape, or too large.

    Attributes:
        path: Place inside the JSON that does not fit (`subdocuments[2].name`), empty if there is no JSON.
    """

    path: str = ""

    def _details(self) -> tuple[str, ...]:
        return (*super()._details(), f"body starts {self.body[:80]!r}")


class ResponseTooLargeError(ResponseError):
    """A 2xx that is larger than `max_response_bytes`; another attempt would not help."""


class SchemaMismatchError(ValueError):
    """JSON that does not fit its class, at `path` (`subdocuments[2].name`); becomes a `ResponseError`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(single_line(f"{path}: {reason}" if path else reason))
        self.path = path
        self.reason = reason


def _state(run: "Run") -> str:
    reasons = (run.error.code, run.error.message) if run.error else ()
    return ": ".join(part for part in map(_truncate, (str(run.status), *reasons)) if part)


def _truncate(text: str) -> str:
    return single_line(text)[:_MESSAGE_LENGTH]


_BY_STATUS: dict[int, type[APIError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: ValidationError,
    429: RateLimitError,
}


def error_class(status_code: int) -> type[APIError]:
    """Return the `APIError` class of an HTTP status."""
    return _BY_STATUS.get(status_code, InternalServerError if status_code >= 500 else APIError)
