"""A kind of run with another wire format, under the same verbs."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs
import pytest
from clients import ONCE, client_for
from raw_server import RawServer, Step, raw_server, reply

from retab_async import NotFoundError, PrimitiveError, Run, RunStatus
from retab_async.api.kind import KindSpec
from retab_async.resources.base import RunResource


@attrs.frozen(kw_only=True, repr=False)
class Flow(Run):
    """A run with a nested status."""

    lifecycle: Mapping[str, Any]

    @property
    def status(self) -> RunStatus:
        return RunStatus(self.lifecycle["status"])

    @property
    def error(self) -> PrimitiveError | None:
        return None

    @property
    def created_at(self) -> datetime | None:
        return None


class Flows(RunResource[Flow]):
    path = "/v1/flows"
    run_type = Flow
    spec = KindSpec(
        status_path=("lifecycle", "status"),
        has_output=False,
        is_listed=False,
        cancel_body=lambda: {"command_id": "c-1"},
        cancel_envelope="run",
        cancel_404_when_finished=True,
    )


def flow(status: str) -> dict[str, Any]:
    return {"id": "flow_1", "lifecycle": {"status": status}}


async def called(verb: str, *steps: Step) -> tuple[Any, RawServer]:
    async with raw_server(*steps) as server, client_for(server.url, retry=ONCE) as client:
        flows = Flows(client.splits._api.transport, client._load_cleanup)
        return await getattr(flows, verb)("flow_1"), server


async def test_cancel_sends_its_body_and_unwraps_the_run() -> None:
    run, server = await called("cancel", reply({"run": flow("cancelled"), "cancellation_status": "cancelled"}))

    assert run.status is RunStatus.CANCELLED
    assert json.loads(server.requests[0].body) == {"command_id": "c-1"}


@pytest.mark.parametrize("body", [flow("running"), {"run": None, **flow("running")}], ids=["bare", "null"])
async def test_cancel_response_without_an_envelope_is_the_run(body: object) -> None:
    run, _ = await called("cancel", reply(body))

    assert run.status == "running"


async def test_cancel_response_that_is_no_object_is_followed_by_a_read() -> None:
    run, server = await called("cancel", reply([]), reply(flow("cancelled")))

    assert run.status is RunStatus.CANCELLED
    assert server.requests[1].target == "/v1/flows/flow_1"


async def test_cancel_404_of_a_finished_run_returns_the_run() -> None:
    run, server = await called("cancel", reply({}, 404), reply(flow("error")))

    assert run.status == "error"
    assert [request.method for request in server.requests] == ["POST", "GET"]


@pytest.mark.parametrize("then", [reply({}, 404), reply(flow("running"))], ids=["absent", "not over"])
async def test_cancel_404_of_an_active_or_absent_run_raises_not_found_error(then: Step) -> None:
    with pytest.raises(NotFoundError):
        await called("cancel", reply({}, 404), then)


async def test_wait_for_an_unlisted_kind_never_reads_the_list() -> None:
    run, server = await called("wait", reply(flow("completed")))

    assert run.status is RunStatus.COMPLETED
    assert [request.target for request in server.requests] == ["/v1/flows/flow_1"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, {"lifecycle": {"status": "pending"}}),
        ({"lifecycle": None}, {"lifecycle": {"status": "pending"}}),
        ({"lifecycle": {"status": "", "reason": "x"}}, {"lifecycle": {"status": "pending", "reason": "x"}}),
        ({"lifecycle": {"status": "running"}}, {"lifecycle": {"status": "running"}}),
    ],
)
def test_with_default_status_adds_pending_at_the_status_path(value: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Flows.spec.with_default_status(value) == expected
