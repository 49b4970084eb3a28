"""Hooks: context managers of the user that are entered around each call to the API."""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property, partial
from types import TracebackType
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import attrs

from retab_async.errors import ConfigurationError, HTTPResponseError, RequestError, ResponseError
from retab_async.protocol import DeliveryState, Request, Response, parse_json, request_id_of
from retab_async.text import single_line

# Route segments that follow a collection and are no ids.
_COLLECTION_VERBS = frozenset({"stream", "upload"})
_WORD = re.compile(r"[a-z]{1,32}([-_][a-z]{1,32}){0,3}")
_VERBS = {"GET": ("list", "get"), "POST": ("create", "update"), "DELETE": ("delete", "delete")}
# A larger response of a create is not parsed once more for its id.
_MAX_CREATED_BYTES = 64 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}

_logger = logging.getLogger("retab_async")


@attrs.define(kw_only=True, eq=False)
class Call:
    """One call to the API, as its hooks see it; what follows `server_port` is known when the call is over.

    Attributes:
        operation: Kind and verb, such as `splits.cancel`; never an id.
        kind: Kind of the runs, such as `splits`; for a route without runs, its first words.
        run_id: Id of the run or the file, None if the route has none; that of a create is known when it is over, if
            its response has at most 64 KiB.
        method: HTTP method.
        url_template: The route with `{id}` in the place of ids; empty for an upload to a storage service.
        server_address: Host that the call goes to.
        server_port: Port of that host.
        attempts: Attempts of the call; 0 if it was cancelled, or never sent.
        throttled: Responses that asked for fewer requests: 429, or 503 with a `Retry-After`.
        status: HTTP status of the last response, None without one.
        request_id: The server's `x-request-id`, None without one.
        seconds: Duration of the call, all attempts and waits included.
        error: The exception that the call raises, None for a success.
    """

    operation: str
    kind: str
    run_id: str | None
    method: str
    url_template: str
    server_address: str
    server_port: int
    attempts: int = 0
    throttled: int = 0
    status: int | None = None
    request_id: str | None = None
    seconds: float = 0.0
    error: BaseException | None = None

    def _record_response(self, response: Response) -> None:
        self.attempts, self.status, self.request_id = response.attempts, response.status, request_id_of(response)
        if self.run_id is None and self.operation.endswith(".create"):
            self.run_id = _created_id(response)

    def _record_error(self, error: BaseException) -> None:
        self.error = error
        if isinstance(error, RequestError):
            self.attempts = error.attempts
        if isinstance(error, HTTPResponseError):
            self.status, self.request_id = error.status_code, error.request_id


# A hook may have methods beside: `on_client`, `on_outcome`, `on_result`, `on_unconfirmed`; see `HookSet.notify`.
Hook: TypeAlias = Callable[[Call], AbstractContextManager[Any]]


class HookSet:
    """The hooks of one client and its copies; what a hook raises is logged once and affects no call.

    Args:
        hooks: The hooks, the outermost first.
        collections: Returns the kind of each route with runs or files; called if there are hooks.

    Raises:
        ConfigurationError: A hook cannot be called.
    """

    def __init__(self, hooks: Iterable[Hook], collections: Callable[[], Mapping[str, str]]) -> None:
        self._hooks = _check_hooks(hooks)
        self._load_collections = collections
        self._reported: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._hooks)

    @cached_property
    def _collections(self) -> Mapping[str, str]:
        # The longest first: one route may begin with another.
        return dict(sorted(self._load_collections().items(), reverse=True))

    def listener(self, method: str, *values: object) -> Callable[[object], None] | None:
        """Return `notify` for a method, with its first values, or None if no hook has it."""
        return partial(self.notify, method, *values) if any(hasattr(hook, method) for hook in self._hooks) else None

    def notify(self, method: str, *values: object) -> None:
        """Call a method of each hook that has it.

        Args:
            method: `on_client`, once with the new client; `on_outcome`, with each `CancelOutcome` of a bulk job;
                `on_result`, with the kind and each `ProcessResult`; `on_unconfirmed`, with each `UnconfirmedCancel`.
            *values: Its arguments.
        """
        for hook in self._hooks:
            notify = getattr(hook, method, None)
            if notify is not None:
                try:
                    notify(*values)
                except Exception as error:  # noqa: BLE001 - of the user's code
                    self.report(hook, error)

    async def observe(
        self, request: Request, base_url: str, send: Callable[[], Awaitable[Response]], delivery: DeliveryState
    ) -> Response:
        """Send a request inside of all hooks.

        Args:
            request: The request.
            base_url: Address of the API.
            send: Sends it, with retries.
            delivery: The state of its delivery.
        """
        call = self.describe(request, base_url)
        throttled, start = delivery.throttled, time.monotonic()
        with ExitStack() as stack:
            for hook in self._hooks:
                stack.enter_context(_GuardedHook(self, hook, call))
            try:
                response = await send()
                call._record_response(response)  # noqa: SLF001 - of this module
            except BaseException as error:
                call._record_error(error)  # noqa: SLF001 - of this module
                raise
            finally:
                call.seconds = time.monotonic() - start
                call.throttled = delivery.throttled - throttled
        return response

    def describe(self, request: Request, base_url: str) -> Call:
        """Return the call that a request makes."""
        if request.external_url:
            operation, kind, run_id, template = "files.upload.content", "files", None, ""
        else:
            operation, kind, run_id, template = self._read_route(request)
        address, port = server_of(request.external_url or base_url)
        return Call(
            operation=operation,
            kind=kind,
            run_id=run_id,
            method=request.method,
            url_template=template,
            server_address=address,
            server_port=port,
        )

    def _read_route(self, request: Request) -> tuple[str, str, str | None, str]:
        path = request.path.rstrip("/")
        collection = next((each for each in self._collections if f"{path}/".startswith(f"{each}/")), "/v1")
        names: list[str] = []
        template = [collection]
        run_id: str | None = None
        for index, segment in enumerate(path.removeprefix(collection).split("/")[1:]):
            # Of a known collection the first segment is an id, whatever it looks like.
            is_id = collection != "/v1" and run_id is None and not (index == 0 and segment in _COLLECTION_VERBS)
            if is_id or not _WORD.fullmatch(segment):
                run_id = run_id or segment
                template.append("{id}")
            else:
                names.append(segment)
                template.append(segment)
        kind = self._collections.get(collection)
        if kind is None:
            kind = ".".join(names[: template.index("{id}") - 1 if run_id else None])
            names = names[kind.count(".") + 1 :]
        verbs = _VERBS.get(request.method, (request.method.lower(),) * 2)
        verb = ".".join(names) or verbs[run_id is not None]
        return f"{kind}.{verb}", kind, run_id, "/".join(template)

    def report(self, hook: Hook, error: Exception) -> None:
        """Log the exception of a hook, the first one of each."""
        if id(hook) not in self._reported:
            self._reported.add(id(hook))
            name = getattr(hook, "__qualname__", type(hook).__qualname__)
            _logger.error("hook %s failed, reported once; the calls are not affected", name, exc_info=error)


class _GuardedHook(AbstractContextManager[None]):
    """Context manager of one hook around one call, which neither raises nor suppresses an exception."""

    def __init__(self, hooks: HookSet, hook: Hook, call: Call) -> None:
        self._hooks = hooks
        self._hook = hook
        self._call = call
        self._stack = ExitStack()

    def __enter__(self) -> None:
        try:
            self._stack.enter_context(self._hook(self._call))
        except Exception as error:  # noqa: BLE001 - of the user's code
            self._hooks.report(self._hook, error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stack.__exit__(kind, error, trace)
        except Exception as failure:  # noqa: BLE001 - of the user's code
            if failure is not error:
                self._hooks.report(self._hook, failure)


def server_of(url: str) -> tuple[str, int]:
    """Return the host and the port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def _created_id(response: Response) -> str | None:
    if not 0 < len(response.body) <= _MAX_CREATED_BYTES:
        return None
    try:
        created = parse_json(response)
    except ResponseError:
        # The call itself raises it.
        return None
    run_id = created.get("id") if isinstance(created, dict) else None
    return single_line(run_id) if isinstance(run_id, str) else None


def _check_hooks(hooks: Any) -> tuple[Hook, ...]:
    if not isinstance(hooks, list | tuple) or not all(callable(hook) and not isinstance(hook, type) for hook in hooks):
        msg = f"hooks must be a list of callables from a Call to a context manager, not {hooks!r:.200}"
        raise ConfigurationError(msg)
    return tuple(hooks)
