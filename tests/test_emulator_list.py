"""The emulator's lists: order, pages, filters and invalid queries."""

from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from retab_async.emulator import Emulator, ManualClock

DAY = 24 * 3600


async def listed(session: aiohttp.ClientSession, **query: str | int) -> Any:
    async with session.get("/v1/splits", params=query) as response:
        body = await response.json()
        assert response.status == 200, body
        return body


async def rejected(session: aiohttp.ClientSession, **query: str) -> tuple[int, Any]:
    async with session.get("/v1/splits", params=query) as response:
        return response.status, (await response.json())["detail"]


def ids_of(page: Any) -> list[str]:
    return [run["id"] for run in page["data"]]


async def made(session: aiohttp.ClientSession, filename: str) -> Any:
    document = {"filename": filename, "url": "https://files.example.com/1"}
    async with session.post("/v1/splits", json={"document": document, "subdocuments": [{"name": "a"}]}) as response:
        return await response.json()


class TestPages:
    async def test_an_empty_list_has_no_cursors(self, session: aiohttp.ClientSession) -> None:
        assert await listed(session) == {"data": [], "list_metadata": {"before": None, "after": None}}

    async def test_the_first_page_has_the_newest_ten(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        ids = emulator.seed("splits", 12)
        page = await listed(session)

        assert ids_of(page) == ids[:1:-1]
        assert page["list_metadata"] == {"before": None, "after": ids[2]}

    async def test_each_kind_has_its_own_list(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        emulator.seed("partitions")

        assert ids_of(await listed(session)) == []

    async def test_the_oldest_come_first_in_ascending_order(
        self, session: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        ids = emulator.seed("splits", 3)

        assert ids_of(await listed(session, order="asc")) == ids

    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_following_after_sees_every_run_once(
        self, session: aiohttp.ClientSession, emulator: Emulator, order: str
    ) -> None:
        ids = emulator.seed("splits", 7)
        page = await listed(session, limit=3, order=order)
        seen = ids_of(page)
        while page["list_metadata"]["after"]:
            page = await listed(session, limit=3, order=order, after=page["list_metadata"]["after"])
            seen += ids_of(page)

        assert seen == (ids if order == "asc" else ids[::-1])

    async def test_following_before_returns_to_the_first_page(
        self, session: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        ids = emulator.seed("splits", 7)
        last = await listed(session, limit=3, order="asc", after=ids[5])
        middle = await listed(session, limit=3, order="asc", before=last["list_metadata"]["before"])
        first = await listed(session, limit=3, order="asc", before=middle["list_metadata"]["before"])

        assert [ids_of(last), ids_of(middle), ids_of(first)] == [ids[6:], ids[3:6], ids[:3]]
        assert middle["list_metadata"] == {"before": ids[3], "after": ids[5]}
        assert first["list_metadata"] == {"before": None, "after": ids[2]}

    async def test_the_last_page_has_no_after(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        ids = emulator.seed("splits", 2)
        page = await listed(session, order="asc", after=ids[1])

        assert page == {"data": [], "list_metadata": {"before": None, "after": None}}

    async def test_cursors_respect_the_filters(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        emulator.seed("splits", 2, queued=0, running=0)
        (live,) = emulator.seed("splits")
        emulator.seed("splits", 2, queued=0, running=0)
        page = await listed(session, status="queued", limit=1)

        assert ids_of(page) == [live]
        assert page["list_metadata"] == {"before": None, "after": None}

    async def test_a_cursor_stays_valid_when_its_run_no_longer_matches(
        self, session: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        ids = emulator.seed("splits", 3)
        async with session.post(f"/v1/splits/{ids[1]}/cancel"):
            pass

        assert ids_of(await listed(session, status="queued", after=ids[1])) == [ids[0]]

    @pytest.mark.parametrize("limit", [1, 100])
    async def test_the_bounds_of_limit_are_accepted(
        self, session: aiohttp.ClientSession, emulator: Emulator, limit: int
    ) -> None:
        emulator.seed("splits", 101)

        assert len(ids_of(await listed(session, limit=limit))) == limit


class TestFilters:
    async def test_filename_is_a_case_insensitive_prefix(self, session: aiohttp.ClientSession) -> None:
        wanted = await made(session, "Invoice-1.pdf")
        await made(session, "my-invoice.pdf")

        assert ids_of(await listed(session, filename="inVOICE")) == [wanted["id"]]

    @pytest.mark.parametrize(("age", "status"), [(0, "queued"), (1, "in_progress"), (3, "completed")])
    async def test_status_is_the_current_one(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock, age: float, status: str
    ) -> None:
        ids = emulator.seed("splits")
        clock.advance(age)

        assert ids_of(await listed(session, status=status)) == ids

    async def test_from_date_excludes_older_runs(self, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        await made(session, "a.pdf")
        clock.advance(DAY)
        later = await made(session, "b.pdf")

        assert ids_of(await listed(session, from_date=later["created_at"][:10])) == [later["id"]]

    async def test_a_bare_to_date_means_the_end_of_that_day(
        self, session: aiohttp.ClientSession, clock: ManualClock
    ) -> None:
        earlier = await made(session, "a.pdf")
        clock.advance(DAY)
        await made(session, "b.pdf")

        assert ids_of(await listed(session, to_date=earlier["created_at"][:10])) == [earlier["id"]]

    async def test_rfc_3339_times_are_exact(self, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        await made(session, "a.pdf")
        clock.advance(60)
        middle = await made(session, "b.pdf")
        clock.advance(60)
        await made(session, "c.pdf")
        exactly = {"from_date": middle["created_at"], "to_date": middle["created_at"]}

        assert ids_of(await listed(session, **exactly)) == [middle["id"]]

    async def test_a_time_may_have_an_offset(self, session: aiohttp.ClientSession) -> None:
        run = await made(session, "a.pdf")
        elsewhere = datetime.fromisoformat(run["created_at"]) + timedelta(hours=2, seconds=1)
        to_date = elsewhere.replace(tzinfo=None).isoformat() + "+02:00"

        assert ids_of(await listed(session, to_date=to_date)) == [run["id"]]

    async def test_an_inverted_window_is_empty(self, session: aiohttp.ClientSession) -> None:
        await made(session, "a.pdf")

        assert ids_of(await listed(session, from_date="2999-01-01", to_date="2000-01-01")) == []


class TestInvalidQueries:
    async def test_both_cursors_are_400(self, session: aiohttp.ClientSession) -> None:
        assert await rejected(session, before="a", after="b") == (400, "Give before or after, not both.")

    @pytest.mark.parametrize("name", ["before", "after"])
    async def test_an_unknown_cursor_is_422(self, session: aiohttp.ClientSession, name: str) -> None:
        assert await rejected(session, **{name: "splt_x"}) == (422, "Cursor 'splt_x' is no id of this list.")

    @pytest.mark.parametrize("limit", ["0", "-5", "101", "100000", "ten", "1.5", "", "1_0"])
    async def test_a_limit_out_of_range_is_422(self, session: aiohttp.ClientSession, limit: str) -> None:
        status, detail = await rejected(session, limit=limit)

        assert (status, detail[0]["loc"]) == (422, ["query", "limit"])

    @pytest.mark.parametrize(("name", "word"), [("order", "up"), ("order", "ASC"), ("status", "done"), ("status", "")])
    async def test_an_unknown_value_is_422(self, session: aiohttp.ClientSession, name: str, word: str) -> None:
        status, detail = await rejected(session, **{name: word})

        assert (status, detail[0]["loc"]) == (422, ["query", name])

    @pytest.mark.parametrize("name", ["from_date", "to_date"])
    @pytest.mark.parametrize(
        "text", ["", "yesterday", "2026-02-30", "20260101", "2026-01-01T10:00:00", "2026-01-01T25:00:00Z"]
    )
    async def test_a_malformed_date_is_400(self, session: aiohttp.ClientSession, name: str, text: str) -> None:
        status, detail = await rejected(session, **{name: text})

        assert status == 400
        assert detail.startswith(name)
