"""Fuzzing: any response body and any id has one of the promised outcomes, for every kind."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import nullcontext
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from clients import ONCE, client_for
from fuzzing import budget
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict
from payloads import KEY
from payloads_kinds import FULL, bare
from raw_server import raw_server, reply
from test_converter import JSON, bent
from test_kinds import PATHS
from yarl import URL

from retab_async import AsyncRetab, InvalidRunIdError, NotFoundError, Page, ResponseError
from retab_async.protocol import DeliveryState, Request
from retab_async.resources import RESOURCES
from retab_async.resources.base import DeletableRuns, ListedRuns

pytestmark = pytest.mark.slow

Call = Callable[[Any, str], Coroutine[Any, Any, Any]]


class Session:
    """Stand-in for an aiohttp session: one body for every request, which it records."""

    closed = False

    def __init__(self) -> None:
        self.respond_with(b"")

    def respond_with(self, body: bytes, status: int = 200) -> None:
        self.body = body
        self.status = status
        self.requests: list[tuple[str, str]] = []
        self.sent: list[tuple[str, URL, Any]] = []

    async def request(self, method: str, url: URL, headers: Any = None, **_: Any) -> Any:
        self.requests.append((method, url.raw_path_qs))
        self.sent.append((method, url, headers))
        content = asyncio.StreamReader()
        content.feed_data(self.body)
        content.feed_eof()
        return SimpleNamespace(
            status=self.status, headers=CIMultiDict(), content=content, content_length=None, closed=True
        )


class FakeClient(NamedTuple):
    runner: asyncio.Runner
    client: AsyncRetab
    session: Session

    def call(self, kind: str, call: Call, run_id: str) -> Any:
        return self.runner.run(call(attrgetter(kind)(self.client), run_id))


def fake_client(runner: asyncio.Runner) -> FakeClient:
    """Make a client whose requests, also those to other hosts, all go to the stand-in."""
    session: Any = Session()
    client = AsyncRetab(KEY, retry=ONCE, proxy=False)
    pool: Any = client._pool
    pool.session = lambda: session
    pool.external_session = lambda: nullcontext(session)
    pool.wires = lambda: None
    # Never opened, so there is nothing to close.
    pool.is_user_session = True
    return FakeClient(runner, client, session)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeClient]:
    """One for all examples: a loop and a client for each would take most of the time."""
    with asyncio.Runner() as runner:
        yield fake_client(runner)


async def first_page(resource: Any, _: str = "") -> Any:
    async for page in resource.list().pages():
        return page
    raise AssertionError


async def created(resource: Any, _: str = "") -> Any:
    return await resource._api.send_create(Request("POST", resource.path), DeliveryState())


async def cancelled_among_many(resource: Any, run_id: str) -> Any:
    async with resource.cancel_many([run_id]) as outcomes:
        async for outcome in outcomes:
            if outcome.run is None:
                raise outcome.error
            return outcome.run
    raise AssertionError


# Any response


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a kind and a valid or distorted body: a run, a nested run, a page, or arbitrary JSON or bytes."""
    kind = draw(st.sampled_from(list(RESOURCES)))
    full = FULL[kind]
    shape = draw(st.sampled_from(["run", "page", "inside", "json", "bytes"]))
    if shape == "bytes":
        return kind, draw(st.binary(max_size=40))
    value = {"run": full, "page": {"data": [full], "list_metadata": {"after": "x"}}, "json": None}.get(shape)
    if shape == "inside":
        value = {RESOURCES[kind].spec.cancel_envelope or "run": full, "cancellation_status": "failed"}
    return kind, json.dumps(draw(JSON if value is None else bent(value))).encode()


@budget(48)
@given(drawn=bodies())
@example(drawn=("splits", b'{"id": "splt_1", "status": "completed", "usage": {"credits": 1' + b"0" * 400 + b"}}"))
@example(drawn=("workflows.runs", b'{"run": {"id": 5, "lifecycle": []}}'))
@example(drawn=("parses", b"[" * 5000))
@example(drawn=("extractions", b'{"data": 5}'))
@example(drawn=("edits", b'{"data": [5, {"id": 5}, {"id": "edit_1", "status": {}}], "list_metadata": []}'))
def test_any_2xx_is_read_or_a_response_error(fake: FakeClient, drawn: tuple[str, bytes]) -> None:
    kind, body = drawn
    run_type = RESOURCES[kind].run_type
    calls: list[tuple[Call, type[Any]]] = [
        (lambda runs, run_id: runs.get(run_id), run_type),
        (lambda runs, run_id: runs.cancel(run_id), run_type),
        (cancelled_among_many, run_type),
        (created, run_type),
        *([(first_page, Page)] if issubclass(RESOURCES[kind], ListedRuns) else []),
    ]
    fake.session.respond_with(body)
    for call, model in calls:
        try:
            made = fake.call(kind, call, "run_1")
        except ResponseError as error:
            assert error.status_code == 200  # noqa: PT017 - both outcomes are right, and both are checked
        else:
            assert isinstance(made, model)


# Any id

IDS = (
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True)
    | st.text("ab1-_./%2eEfF?#\\;:@&=+~ \r\n\t\0é\u0661\u2024\uff0f", max_size=8)
    | st.text()
)
BY_ID: dict[str, tuple[str, str, Call]] = {
    "get": ("GET", "", lambda runs, run_id: runs.get(run_id)),
    "wait": ("GET", "", lambda runs, run_id: runs.wait(run_id)),
    "cancel": ("POST", "/cancel", lambda runs, run_id: runs.cancel(run_id)),
    "cancel_many": ("POST", "/cancel", cancelled_among_many),
    "delete": ("DELETE", "", lambda runs, run_id: runs.delete(run_id)),
}
VERBS = [
    (kind, verb)
    for kind, resource in RESOURCES.items()
    for verb in BY_ID
    if verb != "delete" or issubclass(resource, DeletableRuns)
]


def is_id(text: str) -> bool:
    plain = text.replace("_", "a").replace("-", "a")
    return 0 < len(text) <= 128 and plain.isascii() and plain.isalnum() and text[0] not in "_-"


@budget(120)
@given(method_of=st.sampled_from(VERBS), text=IDS)
@example(method_of=("splits", "cancel"), text="..")
@example(method_of=("files.blueprints", "get"), text="%2e%2e")
@example(method_of=("workflows.runs", "cancel_many"), text="a/../b")
@example(method_of=("parses", "delete"), text="parse_1\n")
def test_any_text_as_an_id_reaches_its_own_route_or_nothing_is_sent(
    fake: FakeClient, method_of: tuple[str, str], text: str
) -> None:
    kind, verb = method_of
    method, tail, call = BY_ID[verb]
    fake.session.respond_with(json.dumps({**bare(kind, "completed"), "id": text}).encode())
    try:
        fake.call(kind, call, text)
    except InvalidRunIdError:
        assert not is_id(text)
        assert fake.session.requests == []
    else:
        assert is_id(text)
        routes = {(asked, target.partition("?")[0]) for asked, target in fake.session.requests}
        assert routes == {(method, f"{PATHS[kind]}/{text}{tail}")}


async def test_id_on_the_wire_is_one_path_segment() -> None:
    """Through aiohttp's own URL handling, which interprets dots and escapes."""
    valid = ["a", "0", "A--_", "cancel", "E2f2F", "a" * 128]
    invalid = [
        "..",
        ".",
        "%2e%2e",
        "%2E%2e%2fx",
        "a/../b",
        "a%2f..",
        "..;a",
        "a%00",
        "a%0d%0ab",
        "/a",
        "//x",
        "a?b",
        "a\\..\\b",
    ]
    async with raw_server(reply(b"{}", 404)) as server, client_for(server.url, retry=ONCE) as client:
        for kind in RESOURCES:
            runs = attrgetter(kind)(client)
            for run_id in valid:
                with pytest.raises(NotFoundError):
                    await runs.get(run_id, include_output=True)
            for run_id in invalid:
                for call in (runs.get, runs.cancel):
                    with pytest.raises(InvalidRunIdError):
                        await call(run_id)

        targets = [(request.method, request.target) for request in server.requests]

    assert targets == [("GET", f"{PATHS[kind]}/{run_id}") for kind in RESOURCES for run_id in valid]
