"""ASGI: a block that ends when the HTTP client disconnects, and a middleware that ends requests at SIGTERM.

Servers do not cancel a handler when its client disconnects, so that a run would go on for a response that has no
reader; at SIGTERM they wait for it. For Starlette, FastAPI, Litestar and others; needs no other library.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias, runtime_checkable

from retab_async.abort import AbortScope
from retab_async.errors import RetabError, TerminatedError
from retab_async.signals import listening, until_signal

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

# nginx's status for a request whose client closed the connection; no client sees it, logs and middleware do.
_CLIENT_CLOSED_REQUEST = 499
_SERVICE_UNAVAILABLE = 503
_BODY_FIRST = "read the body of the request before until_disconnect, which would consume it"


class ClientGoneError(RetabError):
    """The HTTP client of this request has disconnected, so its response has no reader."""


@runtime_checkable
class HasReceive(Protocol):
    """A request of a framework, which has the `receive` of ASGI as its attribute."""

    @property
    def receive(self) -> Receive:
        """Receives the next message of the request."""


@asynccontextmanager
async def until_disconnect(request_or_receive: HasReceive | Receive, /) -> AsyncIterator[None]:
    """End the block with a `ClientGoneError` when the HTTP client disconnects, so that its runs are cancelled.

    A task that lives as long as the block receives the messages of the request, so read the body before it; FastAPI and
    Litestar do so for parameters of the handler. A cancellation of the task at the same time takes precedence. The
    block can also surround the `yield` of a dependency::

        async def connected(request: Request) -> AsyncIterator[None]:
            async with until_disconnect(request):
                yield

    Args:
        request_or_receive: A request of Starlette, FastAPI or Litestar, or the `receive` of an ASGI application.

    Raises:
        ClientGoneError: The client disconnected; see `client_gone` for its response.
        RuntimeError: A part of the body arrived, because it had not been read before; or it is a WebSocket.
        Exception: The server or a middleware failed to receive.
    """
    receive: Receive = request_or_receive.receive if isinstance(request_or_receive, HasReceive) else request_or_receive
    async with AbortScope() as scope:
        watcher = asyncio.create_task(_watch(receive, scope.abort), name="retab_async until_disconnect")
        try:
            # The watcher starts: a client that disconnected before has no run created.
            await asyncio.sleep(0)
            yield
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])


async def _watch(receive: Receive, abort: Callable[[Exception], None]) -> None:
    try:
        # A request without a body may have one empty message that has not been received.
        while (message := await receive())["type"] == "http.request":
            if message.get("body") or message.get("more_body"):
                abort(RuntimeError(_BODY_FIRST))
                return
    except Exception as error:  # noqa: BLE001 - raised in the block: without it the block would not end any more
        abort(error)
        return
    if message["type"] == "http.disconnect":
        abort(ClientGoneError("the client of this request has disconnected"))
    else:
        abort(RuntimeError(f"until_disconnect is for HTTP requests, and received {message['type']}"))


def client_gone(request: object, error: Exception) -> Any:  # noqa: ARG001 - the signature of an exception handler
    """Answer a `ClientGoneError` with an empty 499 instead of a 500 and a traceback in the log.

    An exception handler for Starlette, FastAPI and Litestar::

        app = FastAPI(exception_handlers={ClientGoneError: client_gone})

    Returns:
        An ASGI application that sends the response; Litestar's `to_asgi_response` is its own.
    """
    return _EmptyResponse(_CLIENT_CLOSED_REQUEST)


def terminated(request: object, error: Exception) -> Any:  # noqa: ARG001 - the signature of an exception handler
    """Answer a `TerminatedError` of `until_signal` with an empty 503, so that a proxy may try another server.

    An exception handler for Starlette, FastAPI and Litestar, as `client_gone` is::

        app = FastAPI(exception_handlers={ClientGoneError: client_gone, TerminatedError: terminated})

    Returns:
        An ASGI application that sends the response.
    """
    return _EmptyResponse(_SERVICE_UNAVAILABLE)


class TerminationMiddleware:
    """Middleware that ends each request with a 503 when the process receives SIGTERM, so that its runs are cancelled.

    It surrounds the whole request, its body included, which FastAPI reads before it runs a dependency: a request whose
    upload is under way at SIGTERM creates no run. From the start-up of the app on, a request that arrives after the
    signal is not handled. Add it to a Starlette or FastAPI app, or wrap any ASGI application in it::

        app.add_middleware(TerminationMiddleware)
        app = TerminationMiddleware(app)

    A response that has started is cut off. WebSockets are left to the server. Outside of the main thread, to which
    Python delivers signals, it does nothing: test clients run an app in another one.

    Args:
        app: The ASGI application.
        signals: The signals; by default SIGTERM.
    """

    def __init__(self, app: Application, *, signals: Iterable[int] = (signal.SIGTERM,)) -> None:
        self._app = app
        self._signals = tuple(signals)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if threading.current_thread() is threading.main_thread():
            if scope["type"] == "http":
                await self._handle_request(scope, receive, send)
                return
            if scope["type"] == "lifespan":
                # While anything listens, a signal is remembered for the requests that begin after it.
                with listening(self._signals, _ignore, call_previous=True):
                    await self._app(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _handle_request(self, scope: Any, receive: Receive, send: Send) -> None:
        has_started = False

        async def observe(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            async with until_signal(*self._signals):
                await self._app(scope, receive, observe)
        except TerminatedError:
            if has_started:
                raise
            await _EmptyResponse(_SERVICE_UNAVAILABLE)(scope, receive, send)


def _ignore(_: int) -> None:
    """Do nothing about a signal but let it be remembered."""


class _EmptyResponse:
    """Response without a body, which each framework accepts from an exception handler."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code

    async def __call__(self, scope: object, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def to_asgi_response(self, **_: Any) -> "_EmptyResponse":
        """Return this response for Litestar, which renders what an exception handler returns."""
        return self


__all__ = ["ClientGoneError", "TerminationMiddleware", "client_gone", "terminated", "until_disconnect"]
