"""The emulator's streams of extractions."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from retab_async.emulator import Emulator, Fault, ManualClock, RecordedRequest

STREAM = "/v1/extractions/stream"
PROPERTIES = {"number": {"type": "string"}, "total": {"type": "number"}, "paid": {"type": "boolean"}}
BODY: dict[str, Any] = {
    "document": {"filename": "a.pdf", "url": "data:application/pdf;base64,JVBERg=="},
    "json_schema": {"type": "object", "properties": PROPERTIES},
    "n_consensus": 2,
}
FIELDS: list[dict[str, Any]] = [{}, {"number": "number"}, {"number": "number", "total": 1.0}]
WHOLE = FIELDS[-1] | {"paid": True}


async def states(response: aiohttp.ClientResponse) -> list[Any]:
    return [json.loads(line) for line in (await response.read()).splitlines()]


async def recorded(emulator: Emulator) -> None:
    async with asyncio.timeout(5):
        while not emulator.requests:  # noqa: ASYNC110 - the emulator has no event for it
            await asyncio.sleep(0.005)


class TestStates:
    @pytest.mark.parametrize(("path", "fields"), [(STREAM, {}), ("/v1/extractions", {"stream": True})])
    async def test_partial_outputs_grow_to_the_complete_one(
        self, session: aiohttp.ClientSession, emulator: Emulator, path: str, fields: dict[str, Any]
    ) -> None:
        async with session.post(path, json=BODY | fields) as response:
            seen = await states(response)

        assert (response.status, response.content_type) == (200, "application/stream+json")
        assert [state["output"] for state in seen] == [*FIELDS, WHOLE]
        assert [state["status"] for state in seen] == ["in_progress"] * 3 + ["completed"]
        assert len({state["id"] for state in seen}) == 1
        assert emulator.requests == [RecordedRequest("POST", path, 200)]

    async def test_the_last_state_equals_a_later_get(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        async with session.post(STREAM, json=BODY) as response:
            last = (await states(response))[-1]
        async with session.get(f"/v1/extractions/{last['id']}") as response:
            read = await response.json()

        assert (read, emulator.active_runs()) == (last, [])
        assert last["consensus"]["choices"] == [WHOLE] * 2

    async def test_a_line_is_sent_in_two_chunks(self, session: aiohttp.ClientSession) -> None:
        async with session.post(STREAM, json=BODY) as response:
            chunks = [chunk async for chunk, _ in response.content.iter_chunks()]

        assert len(chunks) > 4
        assert any(not chunk.endswith(b"\n") for chunk in chunks)

    async def test_a_schema_without_fields_has_two_states(self, session: aiohttp.ClientSession) -> None:
        async with session.post(STREAM, json=BODY | {"json_schema": {"type": "object"}}) as response:
            seen = await states(response)

        assert [(state["status"], state["output"]) for state in seen] == [("in_progress", {}), ("completed", {})]

    async def test_the_run_is_in_progress_and_can_be_cancelled(
        self, session: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        async with session.post(STREAM, json=BODY) as response:
            first = json.loads(await response.content.readline())
            active = emulator.active_runs()
            async with session.post(f"/v1/extractions/{first['id']}/cancel") as cancelled:
                shown = await cancelled.json()
            rest = await states(response)

        assert active == [first["id"]]
        assert rest[-1] == shown
        assert (shown["status"], shown["output"]) == ("cancelled", {})

    async def test_the_same_key_streams_the_same_run_again(self, session: aiohttp.ClientSession) -> None:
        seen = []
        for _ in range(2):
            async with session.post(STREAM, json=BODY, headers={"Idempotency-Key": "k1"}) as response:
                seen.append(await states(response))

        assert seen[0] == seen[1]


class TestInvalidCreates:
    @pytest.mark.parametrize(("path", "fields"), [(STREAM, {}), ("/v1/extractions", {"stream": True})])
    async def test_a_background_run_is_not_streamed(
        self, session: aiohttp.ClientSession, emulator: Emulator, path: str, fields: dict[str, Any]
    ) -> None:
        async with session.post(path, json=BODY | fields | {"background": True}) as response:
            body = await response.json()

        assert (response.status, body["detail"][0]["loc"]) == (422, ["body", "background"])
        assert emulator.active_runs() == []

    async def test_a_deep_extraction_is_not_streamed(self, session: aiohttp.ClientSession) -> None:
        async with session.post(STREAM, json=BODY | {"deep_extraction": True}) as response:
            assert response.status == 400

    @pytest.mark.parametrize("kind", ["splits", "parses"])
    async def test_other_kinds_have_no_stream(self, session: aiohttp.ClientSession, kind: str) -> None:
        async with session.post(f"/v1/{kind}/stream", json=BODY) as response:
            assert response.status == 405


class TestDisconnects:
    @pytest.mark.parametrize("filler", ["", "x" * 1_000_000])
    async def test_the_run_of_a_disconnected_client_ends_by_itself(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock, filler: str
    ) -> None:
        async with session.post(STREAM, json=BODY | {"instructions": filler}) as response:
            run_id = json.loads(await response.content.readuntil(b"\n"))["id"] if not filler else None
            response.close()
        await recorded(emulator)
        active = emulator.active_runs()
        clock.advance(2)

        assert emulator.requests == [RecordedRequest("POST", STREAM, None)]
        assert len(active) == 1
        assert run_id in {None, *active}
        assert emulator.active_runs() == []

    async def test_aclose_interrupts_a_stream(self) -> None:
        async with (
            Emulator() as emulator,
            aiohttp.ClientSession(emulator.url, headers={"Api-Key": "any"}) as session,
            session.post(STREAM, json=BODY) as response,
        ):
            await response.content.readline()
            await emulator.aclose()
            with pytest.raises(aiohttp.ClientError):
                await response.read()

        assert emulator.requests == [RecordedRequest("POST", STREAM, None)]


class TestFaults:
    async def test_a_stream_can_be_truncated(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        emulator.fail(f"POST {STREAM}", Fault.truncate())
        async with session.post(STREAM, json=BODY) as response:
            first = json.loads(await response.content.readline())
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()

        assert first["status"] == "in_progress"

    async def test_a_stream_can_fail_and_be_repeated(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        emulator.fail(f"POST {STREAM}", Fault.status(503))
        statuses = []
        for _ in range(2):
            async with session.post(STREAM, json=BODY) as response:
                statuses.append(response.status)
                await response.read()

        assert statuses == [503, 200]
