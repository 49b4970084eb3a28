"""What can go wrong, as one tree, and the one table from a status to its error.

RetabError
├── ConfigurationError                the client was told something it cannot work with (a ValueError)
├── InvalidRunIdError                 an id that could not be one of a run (a ValueError)
├── InvalidRequestError               arguments that the API would refuse (a ValueError)
│   └── InvalidDocumentError          a document that cannot be read or sent
├── ClientStateError                  a client that is closed, or another loop's or process's (a RuntimeError)
├── JournalError                      a journal of cancels that cannot be read or written (an OSError)
├── RunError                          a run that did not come to what was waited for
│   ├── RunFailedError                it failed
│   ├── RunCancelledError             it was cancelled
│   └── WaitTimeoutError              it was not over in time (a TimeoutError)
└── CallError                         a call that went out and failed
    ├── APIConnectionError            no answer: refused, reset, cut short, not found, not trusted
    │   └── APITimeoutError           no answer in time
    └── AnswerError                   an answer that is of no use
        ├── APIError                  an answer that is not a 2xx
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

from typing import TYPE_CHECKING, Any

import attrs

from retab_async.text import single_line

if TYPE_CHECKING:
    from retab_async.models import Run

_MESSAGE_LENGTH = 500


def _rebuild(cls: type["RetabError"], args: tuple[Any, ...], state: dict[str, Any]) -> "RetabError":
    error = cls.__new__(cls, *args)
    # What is also an OSError, as a TimeoutError is, leaves that to its __init__.
    error.args = args
    error.__dict__.update(state)
    return error


class RetabError(Exception):
    """Whatever this library raises on purpose.

    `in_doubt`: whether a call may have taken effect all the same, in one of its attempts. A create then carries the
    `idempotency_key` under which it can be repeated without being done twice.
    """

    in_doubt: bool = False
    idempotency_key: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is rebuilt from its args alone, which fails on keyword-only arguments: process pools and task
        # queues would then lose the error they carry.
        return _rebuild, (type(self), self.args, self.__dict__)


class ConfigurationError(RetabError, ValueError):
    """The client was told something that it cannot work with; the message says what to do."""


class InvalidRunIdError(RetabError, ValueError):
    """A run id that could lead to another route or another run; nothing was sent."""


class InvalidRequestError(RetabError, ValueError):
    """Arguments that the API would refuse; nothing was sent."""


class InvalidDocumentError(InvalidRequestError):
    """A document that cannot be read or sent; a part of one that changed meanwhile may have left, and is of no use."""


class ClientStateError(RetabError, RuntimeError):
    """The client is closed, or was opened in another event loop or before this process was forked."""


class JournalError(RetabError, OSError):
    """A journal that cannot be opened, read or written any more; the message says which, and why."""


@attrs.define(slots=False, kw_only=True, repr=False)
class RunError(RetabError):
    """A run that did not come to what was waited for; `run` is as it was last seen, None where it never was."""

    run: "Run | None" = None

    def __str__(self) -> str:
        return "no run was seen" if self.run is None else f"run {single_line(self.run.id)} is {_state(self.run)}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class RunFailedError(RunError):
    """The run failed; its `error` says why."""


class RunCancelledError(RunError):
    """The run was cancelled, by whomever."""


@attrs.define(slots=False, kw_only=True, repr=False)
class WaitTimeoutError(RunError, TimeoutError):
    """A run was not over in time: it goes on; what went wrong with the last look at it is the `__cause__`."""

    run_id: str
    timeout: float

    def __str__(self) -> str:
        seen = "it was never seen" if self.run is None else f"last seen {_state(self.run)}"
        return f"run {single_line(self.run_id)} was not over within {self.timeout:g} s: {seen}"


@attrs.define(slots=False, kw_only=True, repr=False)
class RequestError(RetabError):
    """A call that went out and failed: which call (`url` is the path alone), and after how many attempts."""

    message: str = attrs.field(kw_only=False)
    method: str
    url: str
    attempts: int = 1
    in_doubt: bool = False
    idempotency_key: str | None = None

    def __str__(self) -> str:
        tries = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        told = f"{self.message} ({', '.join((f'{self.method} {self.url}', *self._details(), tries))})"
        if self.in_doubt and self.idempotency_key:
            return f"{told}; it may have been done: repeat it with idempotency_key={self.idempotency_key!r}"
        return told

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def _details(self) -> tuple[str, ...]:
        return ()


@attrs.define(slots=False, kw_only=True, repr=False)
class APIConnectionError(RequestError):
    """No answer came, or not all of one.

    `transient` tells whether another try can help: a certificate that is not trusted will not be trusted the next time.
    """

    transient: bool = True


class APITimeoutError(APIConnectionError):
    """No answer came within the timeout of one attempt, or within the deadline of the call."""


@attrs.define(slots=False, kw_only=True, repr=False)
class HTTPResponseError(RequestError):
    """A call that was answered, with an answer that is of no use."""

    status_code: int
    request_id: str | None = None
    body: str = ""

    def _details(self) -> tuple[str, ...]:
        return (f"status {self.status_code}", *((f"request {self.request_id}",) if self.request_id else ()))


@attrs.define(slots=False, kw_only=True, repr=False)
class APIError(HTTPResponseError):
    """The API answered with something other than a 2xx.

    `message` is the most telling text found in the body, `code` and `details` what came with it, `retry_after` the wait
    in seconds that the server asked for, `body` the body as text (at most 64 KiB), `transient` whether another attempt
    may help.
    """

    code: str | None = None
    details: Any = None
    retry_after: float | None = None
    transient: bool = False

    def _details(self) -> tuple[str, ...]:
        asked = () if self.retry_after is None else (f"Retry-After {self.retry_after:g} s",)
        return (*super()._details(), *asked)


class AuthenticationError(APIError):
    """401: the key is missing or not valid."""


class PermissionDeniedError(APIError):
    """403: the key may not do this."""


class NotFoundError(APIError):
    """404: no such run, or not one of this key's organization."""


class ConflictError(APIError):
    """409: in conflict with what the server holds."""


class ValidationError(APIError):
    """422: the request's values were refused."""


class RateLimitError(APIError):
    """429: too many requests; `retry_after` tells how long to wait, where the server said so."""


class InternalServerError(APIError):
    """5xx: the server, or a gateway before it, failed."""


@attrs.define(slots=False, kw_only=True, repr=False)
class ResponseError(HTTPResponseError):
    """A 2xx whose body cannot be read: not JSON, of another shape, or too large.

    `path` is the place inside the JSON that does not fit (`subdocuments[2].name`), empty where there is no JSON; `body`
    is the body's start.
    """

    path: str = ""

    def _details(self) -> tuple[str, ...]:
        return (*super()._details(), f"body starts {self.body[:80]!r}")


class ResponseTooLargeError(ResponseError):
    """A 2xx that is larger than `max_response_bytes`; another attempt would not help."""


class SchemaMismatchError(ValueError):
    """JSON of another shape than its class, at `path` (`subdocuments[2].name`): what `ResponseError`s are made of."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(single_line(f"{path}: {reason}" if path else reason))
        self.path = path
        self.reason = reason


def _state(run: "Run") -> str:
    reasons = (run.error.code, run.error.message) if run.error else ()
    return ": ".join(part for part in map(_shortened, (str(run.status), *reasons)) if part)


def _shortened(text: str) -> str:
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
    """Return the class of `APIError` that stands for a status."""
    return _BY_STATUS.get(status_code, InternalServerError if status_code >= 500 else APIError)
