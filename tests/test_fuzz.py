"""Whatever an answer says and whatever is passed for an id: of the outcomes that are promised, for every kind."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from clients import ONCE, client_for
from hypothesis import example, given, settings
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

Call = Callable[[Any, str], Coroutine[Any, Any, Any]]


class Session:
    """Stands where aiohttp's session would: answers all with one body, and remembers what it was asked for."""

    closed = False

    def __init__(self) -> None:
        self.answer_with(b"")

    def answer_with(self, body: bytes) -> None:
        self.body = body
        self.asked: list[tuple[str, str]] = []

    async def request(self, method: str, url: URL, **_: Any) -> Any:
        self.asked.append((method, url.raw_path_qs))
        content = asyncio.StreamReader()
        content.feed_data(self.body)
        content.feed_eof()
        return SimpleNamespace(status=200, headers=CIMultiDict(), content=content, closed=True)


class Line(NamedTuple):
    runner: asyncio.Runner
    client: AsyncRetab
    session: Session

    def call(self, kind: str, call: Call, run_id: str) -> Any:
        return self.runner.run(call(attrgetter(kind)(self.client), run_id))


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """One for all examples: a loop and a client for each would be most of their time."""
    session: Any = Session()
    with asyncio.Runner() as runner:
        yield Line(runner, AsyncRetab(KEY, session=session, retry=ONCE, proxy=False), session)


async def first_page(resource: Any, _: str = "") -> Any:
    async for page in resource.list().pages():
        return page
    raise AssertionError


async def created(resource: Any, _: str = "") -> Any:
    return await resource._api.create(Request("POST", resource.path), DeliveryState())


async def cancelled_among_many(resource: Any, run_id: str) -> Any:
    async with resource.cancel_many([run_id]) as outcomes:
        async for outcome in outcomes:
            if outcome.run is None:
                raise outcome.error
            return outcome.run
    raise AssertionError


# Any answer


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a kind, and a body as it may be or is bent: a run, one inside something else, a page, or anything."""
    kind = draw(st.sampled_from(list(RESOURCES)))
    full = FULL[kind]
    shape = draw(st.sampled_from(["run", "page", "inside", "json", "bytes"]))
    if shape == "bytes":
        return kind, draw(st.binary(max_size=40))
    value = {"run": full, "page": {"data": [full], "list_metadata": {"after": "x"}}, "json": None}.get(shape)
    if shape == "inside":
        value = {RESOURCES[kind].spec.cancel_envelope or "run": full, "cancellation_status": "failed"}
    return kind, json.dumps(draw(JSON if value is None else bent(value))).encode()


@settings(max_examples=120, deadline=None, derandomize=True)
@given(told=answers())
@example(told=("splits", b'{"id": "splt_1", "status": "completed", "usage": {"credits": 1' + b"0" * 400 + b"}}"))
@example(told=("workflows.runs", b'{"run": {"id": 5, "lifecycle": []}}'))
@example(told=("parses", b"[" * 5000))
@example(told=("extractions", b'{"data": 5}'))
@example(told=("edits", b'{"data": [5, {"id": 5}, {"id": "edit_1", "status": {}}], "list_metadata": []}'))
def test_whatever_a_2xx_says_it_is_read_or_a_response_error(line: Line, told: tuple[str, bytes]) -> None:
    kind, body = told
    run_type = RESOURCES[kind].run_type
    calls: list[tuple[Call, type[Any]]] = [
        (lambda runs, run_id: runs.get(run_id), run_type),
        (lambda runs, run_id: runs.cancel(run_id), run_type),
        (cancelled_among_many, run_type),
        (created, run_type),
        *([(first_page, Page)] if issubclass(RESOURCES[kind], ListedRuns) else []),
    ]
    line.session.answer_with(body)
    for call, model in calls:
        try:
            made = line.call(kind, call, "run_1")
        except ResponseError as error:
            assert error.status_code == 200  # noqa: PT017 - either outcome is right, and each is looked at
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


@settings(max_examples=300, deadline=None, derandomize=True)
@given(way=st.sampled_from(VERBS), text=IDS)
@example(way=("splits", "cancel"), text="..")
@example(way=("files.blueprints", "get"), text="%2e%2e")
@example(way=("workflows.runs", "cancel_many"), text="a/../b")
@example(way=("parses", "delete"), text="parse_1\n")
def test_whatever_text_is_an_id_what_is_sent_goes_to_its_route_or_nothing_is(
    line: Line, way: tuple[str, str], text: str
) -> None:
    kind, verb = way
    method, tail, call = BY_ID[verb]
    line.session.answer_with(json.dumps(bare(kind, "completed")).encode())
    try:
        line.call(kind, call, text)
    except InvalidRunIdError:
        assert not is_id(text)
        assert line.session.asked == []
    else:
        assert is_id(text)
        routes = {(asked, target.partition("?")[0]) for asked, target in line.session.asked}
        assert routes == {(method, f"{PATHS[kind]}/{text}{tail}")}


async def test_on_the_wire_as_well_the_id_is_one_step_of_the_path_and_nothing_else_goes_out() -> None:
    """With aiohttp's own reading and writing of the address, which knows dots and escapes."""
    fine = ["a", "0", "A--_", "cancel", "E2f2F", "a" * 128]
    nasty = [
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
            for run_id in fine:
                with pytest.raises(NotFoundError):
                    await runs.get(run_id, include_output=True)
            for run_id in nasty:
                for call in (runs.get, runs.cancel):
                    with pytest.raises(InvalidRunIdError):
                        await call(run_id)

        targets = [(request.method, request.target) for request in server.requests]

    assert targets == [("GET", f"{PATHS[kind]}/{run_id}") for kind in RESOURCES for run_id in fine]
