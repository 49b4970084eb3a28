"""Speaking to the emulator as anybody may, without the client."""

from typing import Any

import aiohttp


async def answer(session: aiohttp.ClientSession, method: str, path: str, **extra: Any) -> tuple[int, Any]:
    """Return the status and the JSON of an answer."""
    async with session.request(method, path, **extra) as response:
        return response.status, await response.json()
