"""Runs streamed line by line over the connection of their create."""

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar, cast

from retab_async.api.run_api import FOREGROUND_SECONDS, RunApi
from retab_async.models import Run
from retab_async.scope import CreateSpec
from retab_async.text import single_line

if TYPE_CHECKING:
    from retab_async.protocol import LineStream

RunT = TypeVar("RunT", bound=Run)


class RunStream(Generic[RunT]):
    """Async iterator over the states of one run, each newer than the last; it can be iterated once.

    The create is sent at the first step. Use `async with`, or call `aclose()`, to close the connection as soon as the
    stream is left; without them it is closed when the event loop finalizes the iterator.
    """

    def __init__(self, api: RunApi[RunT], spec: CreateSpec) -> None:
        self._path = api.path
        self._last: RunT | None = None
        self._states = self._iterate(api, spec)

    async def aclose(self) -> None:
        """Close the connection; further states are discarded."""
        await self._states.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunT:
        self._last = await anext(self._states)
        return self._last

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "no state yet" if self._last is None else f"{self._last.id or 'no id yet'} {self._last.status}"
        return f"<RunStream {self._path} {single_line(state)}>"

    @staticmethod
    async def _iterate(api: RunApi[RunT], spec: CreateSpec) -> AsyncGenerator[RunT, None]:
        response = await api.open_stream(spec.fields, spec.key, spec.on_upload)
        # A 2xx response to a streamed request has lines.
        lines = cast("LineStream", response.lines)
        run_id = ""
        # The first state may take as long as a run in the foreground.
        extra = FOREGROUND_SECONDS
        try:
            while (data := await lines.next(extra)) is not None:
                state = await api.parse_state(response, data, run_id)
                run_id, extra = state.id, 0.0
                yield state
        finally:
            lines.close()
