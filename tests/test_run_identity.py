"""Responses about another run than the one that was asked for."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from clients import ONCE, client_for
from raw_server import Step, raw_server, reply

from retab_async import AsyncRetab, Disposition, ResponseError, RunStatus, Split, WaitTimeoutError

ID = "splt_A"


def run(run_id: str, status: str = "cancelled") -> Step:
    return reply(json.dumps({"id": run_id, "status": status}).encode())


VERBS: dict[str, Callable[[AsyncRetab], Awaitable[Split]]] = {
    "cancel": lambda client: client.splits.cancel(ID),
    "get": lambda client: client.splits.get(ID),
    "get without output": lambda client: client.splits.get(ID, include_output=False),
    "wait": lambda client: client.splits.wait(ID, poll_interval=0.01),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_response_about_another_run_is_settled_by_one_get(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    async with raw_server(run("splt_OTHER"), run(ID)) as server, client_for(server.url, retry=ONCE) as client:
        split = await VERBS[verb](client)

    assert (split.id, split.status) == (ID, RunStatus.CANCELLED)
    assert server.requests[1].method == "GET"
    assert server.requests[1].target.partition("?")[0] == f"/v1/splits/{ID}"
    assert "about another run, 'splt_OTHER'" in caplog.text


@pytest.mark.parametrize("verb", ["cancel", "get", "get without output"])
async def test_second_response_about_another_run_raises_a_response_error(verb: str) -> None:
    async with raw_server(run("splt_OTHER")) as server, client_for(server.url, retry=ONCE) as client:
        with pytest.raises(ResponseError, match="about another run, 'splt_OTHER'") as caught:
            await VERBS[verb](client)

        assert caught.value.path == "id"
        assert len(server.requests) == 2


async def test_wait_never_ends_with_another_run() -> None:
    async with raw_server(run("splt_OTHER", "completed")) as server, client_for(server.url, retry=ONCE) as client:
        with pytest.raises((ResponseError, WaitTimeoutError)):
            await client.splits.wait(ID, timeout=1, poll_interval=0.01)


async def test_bulk_cancel_answered_about_another_run_is_not_reported_as_cancelled() -> None:
    async with raw_server(run("splt_OTHER")) as server, client_for(server.url, retry=ONCE) as client:
        report = await client.splits.cancel_many([ID])

    assert report.counts[Disposition.CANCELLED] == 0
    (outcome,) = report.failures
    assert outcome.run_id == ID


async def test_block_whose_cancel_is_answered_about_another_run_reads_its_own() -> None:
    async with raw_server(run("splt_OTHER"), run(ID)) as server, client_for(server.url, retry=ONCE) as client:
        async with client.splits.attach(ID):
            pass

        assert await client.aclose() == ()
        assert [request.method for request in server.requests] == ["POST", "GET"]


@pytest.mark.parametrize("run_id", ["splt_\x1b[31m", "x" * 5000], ids=["escape", "long"])
async def test_id_of_another_run_is_quoted_on_one_short_line(run_id: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with raw_server(run(run_id)) as server, client_for(server.url, retry=ONCE) as client:
        with pytest.raises(ResponseError) as caught:
            await client.splits.get(ID)

    assert "\x1b" not in str(caught.value) + caplog.text
    assert len(str(caught.value)) < 1000


async def test_stream_ends_at_a_state_of_another_run() -> None:
    states: list[Any] = [{"id": "extr_1", "status": "in_progress"}, {"id": "extr_2", "status": "completed"}]
    body = b"".join(json.dumps(state).encode() + b"\n" for state in states)
    async with raw_server(reply(body)) as server, client_for(server.url, retry=ONCE) as client:
        stream = client.extractions.stream(document=b"%PDF-1.7", json_schema={"type": "object"})
        assert (await anext(stream)).id == "extr_1"
        with pytest.raises(ResponseError, match="about another run, 'extr_2'") as caught:
            await anext(stream)

        assert caught.value.in_doubt
