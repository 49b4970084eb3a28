"""Clients for tests: with a test key, short waits between retries, and no proxy."""

import asyncio
from typing import Any

import aiohttp
from payloads import KEY

from retab_async import AsyncRetab, RetryPolicy

QUICK = RetryPolicy(wait_initial=0.001, wait_max=0.002, deadline=10)
ONCE = RetryPolicy(attempts=1)


def client_for(url: str, **settings: Any) -> AsyncRetab:
    options: dict[str, Any] = {"base_url": url, "retry": QUICK, "timeout": 5, "proxy": False} | settings
    if "bearer_token" not in options:
        options.setdefault("api_key", KEY)
    return AsyncRetab(**options)


def user_session(**settings: Any) -> aiohttp.ClientSession:
    """Return a session as a user passes it: without a cookie jar."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), **settings)


def workers() -> list["asyncio.Task[Any]"]:
    """Return the worker tasks of all running bulk jobs."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "retab_async cancel_many"]


def connections_in_use(client: AsyncRetab) -> int:
    connector = client._pool.session().connector
    assert connector is not None
    wires = client._pool._wires
    return len(connector._acquired) - (0 if wires is None else wires.idle_count)
