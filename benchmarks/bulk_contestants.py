"""Contestants of the bulk benchmark: each cancels `count` ids at a URL and returns how many were cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

KEY = "sk_benchmark_0123456789"
CONCURRENCY = 64

Contestant = Callable[[str, int], Coroutine[Any, Any, int]]


def ids(count: int) -> Iterator[str]:
    return (f"splt_{number:08d}" for number in range(count))


async def cancel_many(url: str, count: int) -> int:
    from retab_async import AsyncRetab, Disposition

    async with AsyncRetab(KEY, base_url=url) as client:
        report = await client.splits.cancel_many(ids(count), concurrency=CONCURRENCY)
        return report.counts[Disposition.CANCELLED]


async def pool_of_single_cancels(url: str, count: int) -> int:
    """Use a worker pool on `splits.cancel`."""
    from retab_async import AsyncRetab

    async with AsyncRetab(KEY, base_url=url) as client:
        return await worker_pool(ids(count), client.splits.cancel)


async def worker_pool(source: Iterator[str], cancel: Callable[[str], Awaitable[object]]) -> int:
    done = 0

    async def work() -> None:
        nonlocal done
        for run_id in source:
            await cancel(run_id)
            done += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CONCURRENCY):
            tasks.create_task(work())
    return done


async def pool_on_aiohttp(url: str, count: int) -> int:
    """Use a worker pool on aiohttp: no retry, no check, no type."""
    import aiohttp

    async with aiohttp.ClientSession(headers={"Api-Key": KEY}) as session:

        async def cancel(run_id: str) -> None:
            async with session.post(f"{url}/v1/splits/{run_id}/cancel") as response:
                await response.json()

        return await worker_pool(ids(count), cancel)


async def gather_on_aiohttp(url: str, count: int) -> int:
    """Use `asyncio.gather` over all ids on aiohttp, limited by its connector."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector, headers={"Api-Key": KEY}) as session:

        async def cancel(run_id: str) -> None:
            async with session.post(f"{url}/v1/splits/{run_id}/cancel") as response:
                await response.json()

        return len(await asyncio.gather(*map(cancel, ids(count))))


async def official(url: str, count: int) -> int:
    """Use `asyncio.gather` and a semaphore on the official client."""
    import retab

    semaphore = asyncio.Semaphore(CONCURRENCY)
    async with retab.AsyncRetab(api_key=KEY, base_url=url) as client:

        async def cancel(run_id: str) -> None:
            async with semaphore:
                await client.splits.create_split_cancel(run_id)

        return len(await asyncio.gather(*map(cancel, ids(count))))


async def pool_on_aiohttp_retry(url: str, count: int) -> int:
    """Use a worker pool on aiohttp-retry, which retries until it succeeds."""
    import aiohttp
    from aiohttp_retry import ExponentialRetry, RetryClient

    options = ExponentialRetry(attempts=1000, start_timeout=0.1, max_timeout=5, statuses={429})
    async with (
        aiohttp.ClientSession(headers={"Api-Key": KEY}) as session,
        RetryClient(client_session=session, retry_options=options) as client,
    ):

        async def cancel(run_id: str) -> None:
            async with client.post(f"{url}/v1/splits/{run_id}/cancel") as response:
                assert response.status == 200
                await response.json()

        return await worker_pool(ids(count), cancel)


CONTESTANTS: dict[str, Contestant] = {
    "cancel_many": cancel_many,
    "splits.cancel, worker pool": pool_of_single_cancels,
    "aiohttp, worker pool": pool_on_aiohttp,
    "aiohttp, gather": gather_on_aiohttp,
    "official, gather": official,
    "aiohttp-retry, worker pool": pool_on_aiohttp_retry,
}
