"""Hooks: what they see of each call, and that they affect none."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import pytest
from clients import ONCE, client_for, user_session

from retab_async import (
    APIConnectionError,
    AsyncRetab,
    Call,
    CancelOutcome,
    ClientStateError,
    ConfigurationError,
    Disposition,
    FileRef,
    Hook,
    NotFoundError,
    RateLimit,
    ResponseError,
    UnconfirmedCancel,
)
from retab_async.emulator import Emulator, Fault
from retab_async.hooks import HookSet
from retab_async.protocol import Request
from retab_async.resources import RESOURCES

CANCEL = "POST /v1/splits/{id}/cancel"
COLLECTIONS = {resource.path: name for name, resource in RESOURCES.items()} | {"/v1/files": "files"}


class Recorder:
    """A hook that records calls, outcomes and unconfirmed cancels."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.calls: list[Call] = []
        self.clients: list[AsyncRetab] = []
        self.outcomes: list[CancelOutcome[Any]] = []
        self.unconfirmed: list[UnconfirmedCancel] = []

    @contextmanager
    def __call__(self, call: Call) -> Iterator[None]:
        self.entered.append(call.operation)
        try:
            yield
        finally:
            self.calls.append(call)

    def on_client(self, client: AsyncRetab) -> None:
        self.clients.append(client)

    def on_outcome(self, outcome: CancelOutcome[Any]) -> None:
        self.outcomes.append(outcome)

    def on_unconfirmed(self, cancel: UnconfirmedCancel) -> None:
        self.unconfirmed.append(cancel)

    @property
    def call(self) -> Call:
        (only,) = self.calls
        return only


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with Emulator(queued=0, running=60) as running:
        yield running


# What a hook sees


async def test_successful_call_has_its_facts(server: Emulator) -> None:
    seen = Recorder()
    (run_id,) = server.seed("splits")
    server.fail(CANCEL, Fault.with_fields({}))
    async with client_for(server.url, hooks=[seen]) as client:
        await client.splits.cancel(run_id)

    call = seen.call
    assert (call.operation, call.kind, call.run_id, call.method) == ("splits.cancel", "splits", run_id, "POST")
    assert (call.attempts, call.throttled, call.status, call.error) == (1, 0, 200, None)
    assert (call.url_template, call.server_address) == ("/v1/splits/{id}/cancel", "127.0.0.1")
    assert server.url.endswith(f":{call.server_port}")
    assert call.request_id
    assert 0 < call.seconds < 10


async def test_retries_are_part_of_one_call(server: Emulator) -> None:
    seen = Recorder()
    (run_id,) = server.seed("splits")
    server.fail(CANCEL, Fault.reset(), Fault.status(503), Fault.status(429, retry_after=0))
    async with client_for(server.url, hooks=[seen]) as client:
        await client.splits.cancel(run_id)

    assert (seen.call.attempts, seen.call.throttled, seen.call.status) == (4, 1, 200)


async def test_failed_call_has_its_error(server: Emulator) -> None:
    seen = Recorder()
    async with client_for(server.url, hooks=[seen]) as client:
        with pytest.raises(NotFoundError) as raised:
            await client.splits.get("splt_unknown")

    assert seen.call.error is raised.value
    assert (seen.call.status, seen.call.attempts) == (404, 1)
    assert seen.call.request_id == raised.value.request_id


async def test_call_without_a_response_has_no_status(server: Emulator) -> None:
    seen = Recorder()
    server.fail("GET /v1/splits/{id}", Fault.reset())
    async with client_for(server.url, hooks=[seen], retry=ONCE) as client:
        with pytest.raises(APIConnectionError):
            await client.splits.get("splt_unknown")

    assert (seen.call.status, seen.call.request_id, seen.call.attempts) == (None, None, 1)


async def test_cancelled_call_has_the_cancellation_as_its_error(server: Emulator) -> None:
    seen = Recorder()
    server.fail("GET /v1/splits/{id}", Fault.hang())
    async with client_for(server.url, hooks=[seen]) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.splits.get("splt_unknown")

    assert isinstance(seen.call.error, asyncio.CancelledError)
    assert seen.call.attempts == 0
    assert 0 < seen.call.seconds < 10


async def test_call_on_a_closed_client_is_seen(server: Emulator) -> None:
    seen = Recorder()
    client = client_for(server.url, hooks=[seen])
    await client.aclose()
    with pytest.raises(ClientStateError):
        await client.splits.get("splt_unknown")

    assert isinstance(seen.call.error, ClientStateError)


async def test_all_requests_of_an_upload_are_calls(server: Emulator) -> None:
    seen = Recorder()
    async with client_for(server.url, hooks=[seen]) as client:
        file = await client.files.upload(b"%PDF-1.7", filename="a.pdf")
        await client.files.download_link(file.id)
        [each async for each in client.files.list()]

    assert [(call.operation, call.kind, call.url_template) for call in seen.calls] == [
        ("files.upload", "files", "/v1/files/upload"),
        ("files.upload.content", "files", ""),
        ("files.upload.complete", "files", "/v1/files/upload/{id}/complete"),
        ("files.download-link", "files", "/v1/files/{id}/download-link"),
        ("files.list", "files", "/v1/files"),
    ]
    assert all(file.id not in call.operation for call in seen.calls)


async def test_hook_is_entered_in_the_task_and_context_of_the_call(server: Emulator) -> None:
    current: ContextVar[str] = ContextVar("current")
    tasks: list[object] = []

    @contextmanager
    def hook(call: Call) -> Iterator[None]:
        tasks.append((asyncio.current_task(), current.get()))
        token = current.set(call.operation)
        yield
        current.reset(token)

    async with client_for(server.url, hooks=[hook]) as client:
        current.set("outside")
        [run async for run in client.splits.list()]

        assert tasks == [(asyncio.current_task(), "outside")]
        assert current.get() == "outside"


async def test_hooks_are_entered_in_order_and_left_in_reverse(server: Emulator) -> None:
    steps: list[str] = []

    def hook(name: str) -> Hook:
        @contextmanager
        def enter(_: Call) -> Iterator[None]:
            steps.append(f"+{name}")
            yield
            steps.append(f"-{name}")

        return enter

    async with client_for(server.url, hooks=[hook("a"), hook("b")]) as client:
        [run async for run in client.splits.list()]

    assert steps == ["+a", "+b", "-b", "-a"]


async def test_copies_of_a_client_have_its_hooks(server: Emulator) -> None:
    seen = Recorder()
    async with client_for(server.url, hooks=[seen]) as client:
        [run async for run in client.with_options(api_key="sk_of_another_user").splits.list()]

        assert seen.entered == ["splits.list"]
        assert seen.clients == [client]


async def test_cleanup_of_a_block_is_a_call_of_its_own(server: Emulator) -> None:
    seen = Recorder()
    (run_id,) = server.seed("splits")
    async with client_for(server.url, hooks=[seen]) as client, client.splits.attach(run_id):
        pass

    assert [(call.operation, call.run_id) for call in seen.calls] == [("splits.cancel", run_id)]


async def test_create_has_the_id_of_its_run_when_it_is_over(server: Emulator) -> None:
    seen = Recorder()
    async with client_for(server.url, hooks=[seen]) as client:
        run = await client.parses.create(document=b"%PDF-1", background=True)

    assert (seen.call.operation, seen.call.run_id) == ("parses.create", run.id)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"id": 5}', b'{"id": "' + b"x" * 65_536 + b'"}'])
async def test_create_without_a_readable_id_has_none(body: bytes, server: Emulator) -> None:
    seen = Recorder()
    server.fail("POST /v1/parses", Fault.status(201, body=body))
    async with client_for(server.url, hooks=[seen]) as client:
        with suppress(ResponseError):
            await client.parses.create(document=b"%PDF-1", background=True)

    assert seen.call.run_id is None


async def test_unconfirmed_cancel_is_reported(server: Emulator) -> None:
    seen = Recorder()
    (run_id,) = server.seed("splits")
    server.fail(CANCEL, Fault.status(403))
    async with client_for(server.url, hooks=[seen]) as client, client.splits.attach(run_id):
        pass

    assert [each.run_id for each in seen.unconfirmed] == [run_id]


@pytest.mark.parametrize("path_of_session", [False, True])
async def test_user_session_is_observed_as_well(server: Emulator, path_of_session: bool) -> None:  # noqa: FBT001 - a parameter of the test
    seen = Recorder()
    async with user_session() as session:
        settings = {"session": session} if path_of_session else {}
        async with client_for(server.url, hooks=[seen], **settings) as client:
            [run async for run in client.splits.list()]

    assert seen.call.status == 200


async def test_call_without_hooks_is_sent_directly(server: Emulator) -> None:
    async with client_for(server.url) as client:
        transport = client._transport
        for each in (transport, transport.with_timeout(timeout=1, policy=ONCE), transport.for_bulk(1)):
            sending: Any = each.send(Request("GET", "/v1/splits"))
            assert (each.hooks, sending.cr_code) == (None, type(each)._send.__code__)
            sending.close()


# Bulk jobs


@pytest.mark.parametrize("rate_limit", [None, RateLimit(1000, per=1)])
async def test_each_cancel_of_a_bulk_job_is_a_call(server: Emulator, rate_limit: RateLimit | None) -> None:
    seen = Recorder()
    ids = server.seed("splits", 20)
    server.fail(CANCEL, Fault.status(429, retry_after=0))
    async with client_for(server.url, hooks=[seen]) as client:
        await client.splits.cancel_many([*ids, "not an id"], concurrency=4, rate_limit=rate_limit)

    assert sorted(str(call.run_id) for call in seen.calls) == sorted(ids)
    assert sum(call.throttled for call in seen.calls) == 1
    assert {call.status for call in seen.calls} == {200}
    assert [outcome.disposition for outcome in seen.outcomes].count(Disposition.CANCELLED) == 20
    assert [outcome.disposition for outcome in seen.outcomes].count(Disposition.INVALID) == 1


async def test_hooks_do_not_see_the_wait_for_a_turn_in_a_bulk_job(server: Emulator) -> None:
    seen = Recorder()
    async with client_for(server.url, hooks=[seen]) as client:
        await client.splits.cancel_many(server.seed("splits", 6), rate_limit=RateLimit(2, per=0.3))

    assert len(seen.calls) == 6
    assert max(call.seconds for call in seen.calls) < 0.29


async def test_hooks_do_not_see_sends_that_are_held_back_by_an_outage(
    server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retab_async.bulk.circuit_breaker._FIRST_INTERVAL", 0.001)
    monkeypatch.setattr("retab_async.bulk.circuit_breaker._MAX_INTERVAL", 0.002)
    seen = Recorder()
    ids = server.seed("splits", 30)
    server.fail(CANCEL, *[Fault.reset()] * 25)
    async with client_for(server.url, hooks=[seen], retry=ONCE) as client:
        await client.splits.cancel_many(ids, concurrency=30, rate_limit=RateLimit(10, per=0.2))

    assert {type(call.error) for call in seen.calls} == {APIConnectionError, type(None)}


async def test_outcomes_are_not_built_for_hooks_without_the_method(server: Emulator) -> None:
    async with client_for(server.url, hooks=[lambda _: nullcontext()]) as client:
        report = await client.splits.cancel_many(server.seed("splits", 3))

    assert report.counts[Disposition.CANCELLED] == 3


# Hooks that fail


def raises_when_called(_: Call) -> AbstractContextManager[None]:
    raise ValueError


@contextmanager
def raises_when_entered(_: Call) -> Iterator[None]:
    raise ValueError
    yield


@contextmanager
def raises_when_left(_: Call) -> Iterator[None]:
    try:
        yield
    finally:
        raise ValueError


def is_no_manager(_: Call) -> Any:
    return 1


@contextmanager
def yields_twice(_: Call) -> Iterator[None]:
    try:
        yield
    finally:
        yield


FAILING: list[Any] = [raises_when_called, raises_when_entered, raises_when_left, is_no_manager, yields_twice]


@pytest.mark.parametrize("hook", FAILING)
async def test_hook_that_raises_fails_no_call_and_is_logged_once(
    hook: Hook, server: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Recorder()
    (run_id,) = server.seed("splits")
    async with client_for(server.url, hooks=[seen, hook]) as client:
        for _ in range(3):
            assert (await client.splits.get(run_id)).id == run_id
        with pytest.raises(NotFoundError):
            await client.splits.get("splt_unknown")

    assert len(seen.calls) == 4
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.getMessage() == f"hook {hook.__qualname__} failed, reported once; the calls are not affected"
    assert record.exc_info


async def test_hook_cannot_suppress_the_error_of_a_call(server: Emulator) -> None:
    class Suppressing(AbstractContextManager[None]):
        def __exit__(self, *_: object) -> bool:
            return True

    async with client_for(server.url, hooks=[lambda _: Suppressing()]) as client:
        with pytest.raises(NotFoundError):
            await client.splits.get("splt_unknown")


async def test_hook_that_raises_the_error_of_the_call_again_is_no_failure(
    server: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(AbstractContextManager[None]):
        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            assert error is not None
            raise error

    async with client_for(server.url, hooks=[lambda _: Raising()]) as client:
        with pytest.raises(NotFoundError):
            await client.splits.get("splt_unknown")

    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_method_of_a_hook_that_raises_is_logged_once(server: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Recorder):
        def on_outcome(self, outcome: CancelOutcome[Any]) -> None:
            super().on_outcome(outcome)
            raise ValueError

    hook = Failing()
    async with client_for(server.url, hooks=[hook]) as client:
        report = await client.splits.cancel_many(server.seed("splits", 3))

    assert report.counts[Disposition.CANCELLED] == len(hook.outcomes) == 3
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert "Failing failed" in record.getMessage()


@pytest.mark.parametrize("hooks", [Recorder(), [1], [Recorder], "no hooks"])
def test_hooks_that_cannot_be_called_are_rejected(hooks: Any) -> None:
    with pytest.raises(ConfigurationError, match="hooks must be a list of callables"):
        AsyncRetab("sk_key_of_a_test", hooks=hooks)


# The names of calls


@pytest.mark.parametrize(
    ("method", "path", "operation", "run_id", "template"),
    [
        ("POST", "/v1/splits", "splits.create", None, "/v1/splits"),
        ("GET", "/v1/splits", "splits.list", None, "/v1/splits"),
        ("GET", "/v1/splits/abc", "splits.get", "abc", "/v1/splits/{id}"),
        ("DELETE", "/v1/splits/splt_1", "splits.delete", "splt_1", "/v1/splits/{id}"),
        ("POST", "/v1/splits/upload_1/cancel", "splits.cancel", "upload_1", "/v1/splits/{id}/cancel"),
        ("POST", "/v1/extractions/stream", "extractions.stream", None, "/v1/extractions/stream"),
        ("POST", "/v1/schemas/generate", "schemas.create", None, "/v1/schemas/generate"),
        ("POST", "/v1/schemas/generate/sch_1/cancel", "schemas.cancel", "sch_1", "/v1/schemas/generate/{id}/cancel"),
        ("GET", "/v1/files/file_1", "files.get", "file_1", "/v1/files/{id}"),
        ("POST", "/v1/files/blueprints", "files.blueprints.create", None, "/v1/files/blueprints"),
        ("GET", "/v1/workflows/runs/run_1", "workflows.runs.get", "run_1", "/v1/workflows/runs/{id}"),
        ("GET", "/v1/workflows/evals/runs", "workflows.evals.runs.list", None, "/v1/workflows/evals/runs"),
        ("POST", "/v1/workflows/wf_1/publish", "workflows.publish", "wf_1", "/v1/workflows/{id}/publish"),
        ("GET", "/v1/workflows/wf_1/blocks/b_2", "workflows.blocks", "wf_1", "/v1/workflows/{id}/blocks/{id}"),
        ("GET", "/v1/models", "models.list", None, "/v1/models"),
        ("PATCH", "/v1/projects/prj_1", "projects.patch", "prj_1", "/v1/projects/{id}"),
        ("PUT", "/v1/projects/prj_1/", "projects.put", "prj_1", "/v1/projects/{id}"),
    ],
)
def test_route_is_described(method: str, path: str, operation: str, run_id: str | None, template: str) -> None:
    call = HookSet([], lambda: COLLECTIONS).describe(Request(method, path), "https://api.retab.com")

    assert (call.operation, call.run_id, call.url_template) == (operation, run_id, template)
    assert (call.server_address, call.server_port) == ("api.retab.com", 443)


async def test_every_kind_of_run_has_the_name_of_its_resource(server: Emulator) -> None:
    seen = Recorder()
    async with client_for(server.url, hooks=[seen]) as client:
        for kind in RESOURCES:
            (run_id,) = server.seed(kind)
            await client.cancel_many([(kind, run_id)])

    assert sorted({call.operation for call in seen.calls}) == sorted(f"{kind}.cancel" for kind in RESOURCES)


async def test_reference_to_a_file_is_looked_up_under_its_own_name(server: Emulator) -> None:
    seen = Recorder()
    async with client_for(server.url, hooks=[seen]) as client:
        file = await client.files.upload(b"%PDF-1.7", filename="a.pdf")
        await client.parses.create(document=FileRef(id=file.id), background=True)

    assert [call.operation for call in seen.calls[-2:]] == ["files.download-link", "parses.create"]
