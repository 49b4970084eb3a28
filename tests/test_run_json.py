"""Runs as JSON values and back, pydantic models, and what a port from the official client types."""

import json
import math
import pickle
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Self

import pytest
from clients import ONCE, client_for
from payloads_kinds import FULL, STATES, body
from raw_server import RawServer, raw_server, reply

from retab_async import (
    AsyncRetab,
    CancelledLifecycle,
    Category,
    ConfigurationError,
    Extraction,
    InvalidRequestError,
    NotFoundError,
    RetabUsage,
    RunCancelledError,
    RunFailedError,
    RunStatus,
    Split,
    Subdocument,
)
from retab_async.resources import RESOURCES

EVERY_STATE = [(kind, state) for kind, states in STATES.items() for state in states]
PDF = b"%PDF-1.7\n"


class Invoice:
    """Stand-in for a pydantic model class, which is not a dependency."""

    def __init__(self, total: float) -> None:
        self.total = total

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {"type": "object", "properties": {"total": {"type": "number"}}}

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        return cls(obj["total"])


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(reply({})) as running:
        yield running


@pytest.fixture
async def client(server: RawServer) -> AsyncIterator[AsyncRetab]:
    async with client_for(server.url, retry=ONCE) as opened:
        yield opened


def sent_json(server: RawServer) -> Any:
    return json.loads(server.requests[-1].body)


@pytest.mark.parametrize(("kind", "state"), EVERY_STATE)
def test_run_becomes_json_and_back(kind: str, state: str) -> None:
    run_type = RESOURCES[kind].run_type
    run = run_type.from_dict(body(kind, state))

    assert run.to_dict() == body(kind, state)
    assert run_type.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    assert run_type.from_dict(json.loads(run.to_json())) == run
    assert run_type.from_dict(pickle.loads(pickle.dumps(run.to_dict()))) == run  # noqa: S301 - pickled on the line


def test_run_of_odd_values_becomes_json() -> None:
    output = {"account": 1234567890123456789012, "text": "\ud800", "rate": math.nan}
    run = Extraction(id="extr_1", status="completed", created_at=datetime(2026, 11, 1, tzinfo=UTC), output=output)
    fields = json.loads(run.to_json())

    assert fields["output"] == {"account": 1234567890123456789012, "text": "\ud800", "rate": None}
    assert fields["created_at"] == "2026-11-01T00:00:00Z"


@pytest.mark.parametrize(("fields", "path"), [({}, "id: missing"), ({"id": "splt_1", "status": 5}, "status")])
def test_from_dict_of_other_fields_is_a_value_error(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ValueError, match=path):
        Split.from_dict(fields)


def test_string_as_status_is_converted() -> None:
    split = Split(id="splt_1", status="completed")

    assert split.status is RunStatus.COMPLETED
    assert split.status.is_terminal
    assert Split(id="splt_1", status="new_word").status == RunStatus("new_word")
    assert CancelledLifecycle(status="cancelled").status is RunStatus.CANCELLED


@pytest.mark.parametrize("status", [5, None, ""])
def test_value_that_is_no_status_is_rejected_by_the_constructor(status: Any) -> None:
    with pytest.raises(ValueError, match="is not a valid RunStatus"):
        Split(id="splt_1", status=status)


@pytest.mark.parametrize(("usage", "dollars"), [(RetabUsage(credits=150), 1.5), (RetabUsage(), None)])
def test_usage_in_dollars(usage: RetabUsage, dollars: float | None) -> None:
    assert usage.dollars == dollars


async def test_extraction_by_a_pydantic_model(client: AsyncRetab, server: RawServer) -> None:
    server.steps = (reply(FULL["extractions"] | {"output": {"total": 12.5}}),)
    run = await client.extractions.create(document=PDF, json_schema=Invoice)

    assert sent_json(server)["json_schema"] == Invoice.model_json_schema()
    assert run.parsed(Invoice).total == 12.5


async def test_instance_of_a_pydantic_model_is_no_schema(client: AsyncRetab, server: RawServer) -> None:
    schema: Any = Invoice(1)
    with pytest.raises(InvalidRequestError, match="json_schema must be a mapping"):
        await client.extractions.create(document=PDF, json_schema=schema)

    assert server.requests == []


async def test_subdocuments_and_categories_as_mappings(client: AsyncRetab, server: RawServer) -> None:
    server.steps = (reply(FULL["splits"]), reply(FULL["classifications"]))
    await client.splits.create(document=PDF, subdocuments=[{"name": "a", "description": "b"}, Subdocument("c")])
    assert [each["name"] for each in sent_json(server)["subdocuments"]] == ["a", "c"]

    await client.classifications.create(document=PDF, categories=[{"name": "a"}, Category("b")])
    assert [each["name"] for each in sent_json(server)["categories"]] == ["a", "b"]


@pytest.mark.parametrize("subdocument", [{"title": "a"}, {}, "a", {1: 2}])
async def test_mapping_of_other_fields_is_rejected(client: AsyncRetab, subdocument: Any) -> None:
    with pytest.raises(InvalidRequestError, match="subdocuments"):
        await client.splits.create(document=PDF, subdocuments=[subdocument])


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        ("splits", "2026-11-01", "2026-11-01"),
        ("splits", "2026-11-01T09:30:00+01:00", "2026-11-01T09%3A30%3A00%2B01%3A00"),
        ("workflows.evals.runs", "2026-11-01", "2026-11-01T00%3A00%3A00%2B00%3A00"),
    ],
)
async def test_dates_as_iso_strings(client: AsyncRetab, server: RawServer, kind: str, value: str, sent: str) -> None:
    server.steps = (reply({"data": []}),)
    assert [run async for run in attrgetter(kind)(client).list(from_date=value)] == []

    assert f"from_date={sent}" in server.requests[-1].target


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", "2026-11-01T09:30:00", ""])
async def test_other_dates_are_rejected(client: AsyncRetab, value: str) -> None:
    with pytest.raises(InvalidRequestError, match="from_date"):
        client.splits.list(from_date=value)


@pytest.mark.parametrize(
    ("options", "equivalent"),
    [({"max_retries": 3}, r"retry=RetryPolicy\(attempts="), ({"http_client": None}, "session=")],
)
def test_parameter_of_the_official_client_names_its_equivalent(options: dict[str, Any], equivalent: str) -> None:
    with pytest.raises(TypeError, match=equivalent):
        AsyncRetab("sk_live_1", **options)


async def test_close_closes_the_client() -> None:
    client = client_for("http://127.0.0.1:1")
    await client.close()

    assert "closed" in repr(client)


@pytest.mark.parametrize("call", ["cancel", "get", "wait", "delete"])
async def test_404_of_an_id_of_another_kind_has_a_hint(
    client: AsyncRetab, server: RawServer, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.polling.state._FIRST_INTERVAL", 0.01)
    server.steps = (reply({"detail": "Not found"}, 404),)
    with pytest.raises(NotFoundError, match=r"its prefix is that of client.partitions"):
        await getattr(client.splits, call)("prtn_1")
    with pytest.raises(NotFoundError) as caught:
        await getattr(client.splits, call)("splt_1")

    assert "prefix" not in str(caught.value)


@pytest.mark.parametrize(("status", "error"), [("failed", RunFailedError), ("cancelled", RunCancelledError)])
async def test_error_of_result_keeps_the_run(
    client: AsyncRetab, server: RawServer, status: str, error: type[RunFailedError[Split] | RunCancelledError[Split]]
) -> None:
    server.steps = (reply(FULL["splits"] | {"id": "splt_1", "status": status}),)
    with pytest.raises(error) as caught:
        async with client.splits.attach("splt_1") as run:
            await run.result()

    assert type(caught.value.run) is Split
    assert pickle.loads(pickle.dumps(caught.value)).run == caught.value.run  # noqa: S301 - pickled on the line


def test_wrong_settings_are_still_reported() -> None:
    with pytest.raises(ConfigurationError):
        AsyncRetab()
