"""Requests to the emulator without the client under test."""

from typing import Any

import aiohttp


async def answer(session: aiohttp.ClientSession, method: str, path: str, **extra: Any) -> tuple[int, Any]:
    """Send a request; return the status and the JSON of the response."""
    async with session.request(method, path, **extra) as response:
        return response.status, await response.json()
