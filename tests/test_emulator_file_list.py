"""The emulator's list of files."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from retab_async.emulator import Emulator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as running:
        yield running


@pytest.fixture
async def ids(session: aiohttp.ClientSession) -> list[str]:
    """The files of three runs, oldest first."""
    made = []
    for name in ("a.pdf", "Bill.png", "bill.pdf"):
        body = {"document": {"filename": name, "url": "https://files.example.com/1"}}
        async with session.post("/v1/parses", json=body) as response:
            made.append((await response.json())["file"]["id"])
    return made


async def listed(session: aiohttp.ClientSession, **query: str | int) -> Any:
    async with session.get("/v1/files", params=query) as response:
        body = await response.json()
        assert response.status == 200, body
        return body


def ids_of(page: Any) -> list[str]:
    return [file["id"] for file in page["data"]]


class TestPages:
    async def test_the_newest_files_come_first(self, session: aiohttp.ClientSession, ids: list[str]) -> None:
        page = await listed(session)
        async with session.get(f"/v1/files/{ids[2]}") as response:
            read = await response.json()

        assert ids_of(page) == ids[::-1]
        assert page["data"][0] == read

    async def test_cursors_lead_to_the_next_page(self, session: aiohttp.ClientSession, ids: list[str]) -> None:
        first = await listed(session, limit=2)
        second = await listed(session, limit=2, after=first["list_metadata"]["after"])

        assert ids_of(first) + ids_of(second) == ids[::-1]
        assert second["list_metadata"] == {"before": ids[0], "after": None}

    async def test_a_reused_file_is_listed_once(self, session: aiohttp.ClientSession, ids: list[str]) -> None:
        async with session.get(f"/v1/files/{ids[0]}/download-link") as response:
            document = (await response.json())["mime_data"]
        async with session.post("/v1/parses", json={"document": document}):
            pass

        assert ids_of(await listed(session, order="asc")) == ids

    async def test_an_unknown_cursor_is_ignored(self, session: aiohttp.ClientSession, ids: list[str]) -> None:
        assert ids_of(await listed(session, after="file_0")) == ids[::-1]


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"filename": "BILL"}, [2, 1]),
            ({"mime_type": "application/pdf"}, [2, 0]),
            ({"filename": "bill", "mime_type": "image/png"}, [1]),
            ({"sort_by": "updated_at", "order": "asc", "include_embeddings": "false"}, [0, 1, 2]),
            ({"from_date": "2020-01-01", "to_date": "2999-01-01"}, [2, 1, 0]),
            ({"from_date": "2999-01-01", "to_date": "2020-01-01"}, []),
        ],
    )
    async def test_files_can_be_filtered(
        self, session: aiohttp.ClientSession, ids: list[str], query: dict[str, str], found: list[int]
    ) -> None:
        assert ids_of(await listed(session, **query)) == [ids[place] for place in found]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"limit": "0"}, 422),
            ({"limit": "100000"}, 422),
            ({"order": "up"}, 422),
            ({"sort_by": "size"}, 422),
            ({"from_date": "soon"}, 400),
            ({"before": "a", "after": "b"}, 400),
        ],
    )
    async def test_an_invalid_parameter_is_rejected(
        self, session: aiohttp.ClientSession, query: dict[str, str], expected: int
    ) -> None:
        async with session.get("/v1/files", params=query) as response:
            assert response.status == expected
