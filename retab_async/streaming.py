"""Runs that are watched while they come about, over the connection of their create."""

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

from retab_async.api.run_api import IN_FOREGROUND, RunApi
from retab_async.models import Run
from retab_async.protocol import LineStream, event_data
from retab_async.scope import CreateSpec

RunT = TypeVar("RunT", bound=Run)


class RunStream(Generic[RunT]):
    """The states of one run, each the latest: `async with` it, and `async for state in` it; for one walk.

    Nothing is sent before the first step. Leaving it early closes the connection: with `async with` or `aclose()` at
    once, without them when the event loop gets to it.
    """

    def __init__(self, api: RunApi[RunT], creation: CreateSpec) -> None:
        self._states = _stream_states(api, creation)

    async def aclose(self) -> None:
        """Close the connection, whatever was still to come."""
        await self._states.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunT:
        return await anext(self._states)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _stream_states(api: RunApi[RunT], creation: CreateSpec) -> AsyncGenerator[RunT, None]:
    response = await api.open_stream(creation.fields, creation.key)
    # Asked for as a stream, a 2xx has them.
    lines = cast("LineStream", response.lines)
    run_id = ""
    # The first state may take as long as a run in the foreground takes.
    patience = IN_FOREGROUND
    try:
        while (line := await lines.next(patience)) is not None:
            if told := event_data(line):
                state = api.read_state(response, told, run_id)
                run_id, patience = state.id, 0.0
                yield state
    finally:
        lines.close()
