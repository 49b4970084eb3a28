"""An unexpected field of a response costs only that field, in every call."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from operator import attrgetter
from typing import Any

import pytest
from clients import ONCE, client_for
from payloads import FULL_SPLIT
from payloads_kinds import FULL
from raw_server import RawServer, raw_server, reply

from retab_async import AsyncRetab, Extraction, ExtractionConsensus, ResponseError, RunStatus, Split, Subdocument

# A field and its unexpected value, the path in the warning, and the attribute that keeps its default.
FIELDS: list[tuple[str, Any, str, str, Any]] = [
    ("created_at", 1793527200, "created_at", "created_at", None),
    ("created_at", "", "created_at", "created_at", None),
    ("created_at", "yesterday", "created_at", "created_at", None),
    ("usage", {"credits": "1.50"}, "usage.credits", "usage.credits", None),
    ("usage", 5, "usage", "usage", None),
    ("file", "file_1", "file", "file", None),
    ("file", {"filename": "a.pdf"}, "file.id", "file", None),
    ("n_consensus", "1", "n_consensus", "n_consensus", 1),
    ("error", "no", "error", "error", None),
    ("model", {"name": "retab-small"}, "model", "model", None),
    ("consensus", {"likelihoods": [0.9]}, "consensus.likelihoods[0]", "consensus.likelihoods", ()),
    ("output", [{"pages": [1]}], "output[0].name", "output", ()),
    ("instructions", [], "instructions", "instructions", None),
]


async def get(client: AsyncRetab) -> Split:
    return await client.splits.get(FULL_SPLIT["id"])


async def wait(client: AsyncRetab) -> Split:
    return await client.splits.wait(FULL_SPLIT["id"], poll_interval=0.001)


async def list_first(client: AsyncRetab) -> Split:
    return await anext(aiter(client.splits.list()))


async def cancel(client: AsyncRetab) -> Split:
    return await client.splits.cancel(FULL_SPLIT["id"])


async def create(client: AsyncRetab) -> Split:
    return await client.splits.create(document=b"%PDF", subdocuments=[Subdocument("invoice")])


CALLS: list[Callable[[AsyncRetab], Awaitable[Split]]] = [get, wait, list_first, cancel, create]


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(reply({})) as running:
        yield running


@pytest.fixture
async def client(server: RawServer) -> AsyncIterator[AsyncRetab]:
    async with client_for(server.url, retry=ONCE) as opened:
        yield opened


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize(("field", "value", "path", "attribute", "default"), FIELDS)
async def test_unexpected_field_has_its_default_and_one_warning(  # noqa: PLR0917 - fixtures and parameters
    call: Callable[[AsyncRetab], Awaitable[Split]],
    field: str,
    value: Any,
    path: str,
    attribute: str,
    default: Any,
    client: AsyncRetab,
    server: RawServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = FULL_SPLIT | {field: value}
    server.steps = (reply({"data": [body], "list_metadata": {}} if call is list_first else body),)
    run = await call(client)

    assert run.id == FULL_SPLIT["id"]
    assert run.status is RunStatus.COMPLETED
    assert run.subdocuments
    assert attrgetter(attribute)(run) == default
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"{path}: " in warning.getMessage()


async def test_metadata_and_consensus_of_an_extraction(client: AsyncRetab, server: RawServer) -> None:
    body = FULL["extractions"] | {"metadata": {"n": 7}, "consensus": {"likelihoods": [0.9], "choices": [{"total": 1}]}}
    server.steps = (reply(body),)
    run: Extraction = await client.extractions.get("extr_1")

    assert run.metadata is None
    assert run.consensus == ExtractionConsensus(choices=({"total": 1},))
    assert run.output == FULL["extractions"]["output"]


async def test_one_input_of_a_workflow_run_costs_only_its_field(client: AsyncRetab, server: RawServer) -> None:
    documents = {"start-1": {"id": "file_1", "filename": 5}, "start-2": {"id": "file_2", "filename": "b.pdf"}}
    server.steps = (reply(FULL["workflows.runs"] | {"inputs": {"documents": documents}}),)
    run = await client.workflows.runs.get("run_1")

    assert run.inputs.documents["start-1"].filename == ""
    assert run.inputs.documents["start-2"].filename == "b.pdf"


@pytest.mark.parametrize("body", [[], None, 5, {"id": 5, "status": "completed"}, {"id": "splt_1"}, {"status": ""}])
async def test_without_an_object_id_or_status_a_get_is_a_response_error(
    body: Any, client: AsyncRetab, server: RawServer
) -> None:
    server.steps = (reply(json.dumps(body).encode()),)
    with pytest.raises(ResponseError):
        await client.splits.get("splt_1")


async def test_polls_of_one_wait_log_one_warning(
    client: AsyncRetab, server: RawServer, caplog: pytest.LogCaptureFixture
) -> None:
    active = {"id": "splt_1", "status": "in_progress", "created_at": 5}
    finished = FULL_SPLIT | {"id": "splt_1", "created_at": 5}
    server.steps = (reply(active), reply(active), reply(active), reply(finished))
    run = await client.splits.wait("splt_1", poll_interval=0.001)

    assert run.created_at is None
    assert run.output
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


async def test_shared_waits_read_rows_with_unexpected_fields(client: AsyncRetab, server: RawServer) -> None:
    ids = [f"splt_{number}" for number in range(10)]
    rows = [{"id": run_id, "status": "in_progress", "created_at": 5} for run_id in ids]
    done = [FULL_SPLIT | {"id": run_id} for run_id in ids]
    server.steps = (reply({"data": rows, "list_metadata": {}}), reply({"data": done, "list_metadata": {}}))
    runs = [run async for run in client.splits.wait_many(ids, poll_interval=0.01)]

    assert len(runs) == 10
    assert {request.target.partition("?")[0] for request in server.requests} == {"/v1/splits"}
