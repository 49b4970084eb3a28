"""Helpers for tests of shared rate limits."""

from typing import Any

from retab_async import AsyncRetab
from retab_async.throttle import SlotRequest
from retab_async.throttle.slots import Demand


def ask(count: int = 1, name: str = "a", first_id: int = 0, **rest: Any) -> SlotRequest:
    return SlotRequest(name=name, epoch="", demand=Demand(0, count, has_calls=False), first_id=first_id, **rest)


async def look(client: AsyncRetab) -> None:
    """Make one call."""
    assert [run async for run in client.splits.list()] == []
