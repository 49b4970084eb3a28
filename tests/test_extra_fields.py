"""Fields of a run that the API added after this version of the library: `run.extra`."""

import copy
import json
import pickle
from datetime import timedelta
from typing import Any

import attrs
import pytest
from clients import client_for
from payloads_kinds import FULL
from raw_server import raw_server, reply

from retab_async import Run, Split
from retab_async.emulator import Emulator, Fault
from retab_async.models import NO_EXTRA
from retab_async.resources import RESOURCES

ADDED = {"region": "eu", "labels": {"a": [1, None]}, "extra": "a field of this name"}


@pytest.mark.parametrize("kind", RESOURCES)
def test_fields_that_the_api_added_are_kept_in_every_kind(kind: str) -> None:
    cls: type[Run] = RESOURCES[kind].run_type
    plain, run = cls.from_dict(FULL[kind]), cls.from_dict(FULL[kind] | ADDED)

    assert plain.extra is NO_EXTRA
    assert dict(run.extra) == ADDED
    assert attrs.evolve(run, extra=NO_EXTRA) == plain


def test_fields_that_the_api_added_are_kept_beside_one_that_has_to_be_converted() -> None:
    # A time without an offset is read as UTC, by the converter.
    run = Split.from_dict({"id": "splt_1", "status": "queued", "created_at": "2026-11-02T09:30:00", "region": "eu"})

    assert run.created_at is not None
    assert (run.created_at.utcoffset(), dict(run.extra)) == (timedelta(0), {"region": "eu"})


@pytest.mark.parametrize("kind", RESOURCES)
def test_fields_that_the_api_added_survive_json(kind: str) -> None:
    cls: type[Run] = RESOURCES[kind].run_type
    run = cls.from_dict(FULL[kind] | ADDED)
    fields = run.to_dict()

    assert {name: fields[name] for name in ADDED} == ADDED
    assert cls.from_dict(fields) == cls.from_dict(json.loads(run.to_json())) == run
    assert "extra" not in cls.from_dict(FULL[kind]).to_dict()


@pytest.mark.parametrize("fields", [{}, ADDED])
def test_copies_and_pickles_are_equal(fields: dict[str, Any]) -> None:
    run = Split.from_dict({"id": "splt_1", "status": "queued", **fields})

    for same in (copy.copy(run), copy.deepcopy(run), pickle.loads(pickle.dumps(run)), attrs.evolve(run)):  # noqa: S301 - its own pickle
        assert (same, hash(same), repr(same), dict(same.extra)) == (run, hash(run), repr(run), fields)


def test_pickle_of_a_run_without_extra_fields_shares_the_empty_mapping() -> None:
    run = Split(id="splt_1", status="queued")

    assert pickle.loads(pickle.dumps(run)).extra is copy.deepcopy(run).extra is NO_EXTRA  # noqa: S301 - its own pickle


def test_equality_and_repr_include_extra_fields() -> None:
    plain = Split(id="splt_1", status="queued")
    run = Split.from_dict({"id": "splt_1", "status": "queued", "region": "eu"})

    assert run != plain
    assert run == Split(id="splt_1", status="queued", extra={"region": "eu"})
    assert "extra={'region': 'eu'}" in repr(run)
    assert "extra" not in repr(plain)
    assert plain == Split(id="splt_1", status="queued", extra={})


def test_extra_field_with_the_name_of_a_field_does_not_replace_it() -> None:
    run = Split(id="splt_1", status="queued", extra={"id": "another"})

    assert run.to_dict()["id"] == "splt_1"


def test_to_dict_is_a_copy_of_extra_fields() -> None:
    run = Split.from_dict({"id": "splt_1", "status": "queued", "labels": {"a": [1]}})
    run.to_dict()["labels"]["a"].append(2)

    assert run.extra == {"labels": {"a": [1]}}


def test_empty_mapping_is_a_mapping() -> None:
    assert (len(NO_EXTRA), list(NO_EXTRA), NO_EXTRA.get("a"), repr(NO_EXTRA)) == (0, [], None, "{}")
    assert {} == NO_EXTRA == {}
    with pytest.raises(KeyError, match="a"):
        NO_EXTRA["a"]


async def test_extra_fields_of_every_call_are_kept() -> None:
    async with Emulator(queued=0, running=60) as server, client_for(server.url) as client:
        (run_id,) = server.seed("splits")
        for route in ("GET /v1/splits/{id}", "POST /v1/splits/{id}/cancel", "POST /v1/splits"):
            server.fail(route, Fault.with_fields({"region": "eu"}))
        got = await client.splits.get(run_id)
        cancelled = await client.splits.cancel(run_id)
        created = await client.splits.create(document=b"%PDF", filename="a.pdf", subdocuments=[{"name": "a"}])

    assert [run.extra for run in (got, cancelled, created)] == [{"region": "eu"}] * 3


async def test_extra_fields_beside_an_unexpected_one_are_kept() -> None:
    body = {"id": "splt_1", "status": "completed", "usage": 5, "region": "eu"}
    listed = {"data": [body], "list_metadata": {}}
    async with raw_server(reply(body), reply(listed)) as server, client_for(server.url) as client:
        got = await client.splits.get("splt_1")
        (first,) = [run async for run in client.splits.list()]

    assert got == first
    assert (got.usage, got.extra) == (None, {"region": "eu"})
