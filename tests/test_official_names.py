"""Code that was written for the official client: what works here, and what errors say to use instead."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from clients import client_for
from pydantic import BaseModel
from raw_server import raw_server, reply

import retab_async
from retab_async import AsyncRetab, InvalidRequestError, NotFoundError, Page, RunPager
from retab_async.emulator import Emulator

GUIDE = (Path(retab_async.__file__).parent / "guides" / "migrating.md").read_text()
ROUTES = re.findall(r"\| `client\.([\w.]+)` \| `(\w+) (/v1/\S+)`", GUIDE)
PDF = b"%PDF-1.7"
SUBDOCUMENTS = [{"name": "invoice"}]


@pytest.fixture
async def client() -> Any:
    async with Emulator() as emulator, client_for(emulator.url, api_key=emulator.api_key) as client:
        emulator.seed("splits", 5)
        yield client


class MIMEData(BaseModel):
    """As the official client has it."""

    filename: str
    url: str


class FileRef(BaseModel):
    """As the official client has it."""

    id: str
    filename: str
    mime_type: str


class Subdocument(BaseModel):
    """As the official client has it."""

    name: str
    description: str | None = None
    allow_multiple_instances: bool | None = False


class Unrelated(BaseModel):
    """A model that is no document."""

    name: str


class TestParameters:
    @pytest.mark.parametrize(
        ("call", "hint"),
        [
            (lambda client: client.extractions.list(filename_regex="a.*"), "'filename_regex': pass filename_contains="),
            (lambda client: client.workflows.runs.list(sort_by="id"), "'sort_by': these lists are in the order of"),
            (lambda client: client.workflows.evals.runs.list(sort_by="id"), "'sort_by': these lists are in the order"),
            (lambda client: client.files.list(include_embeddings=True), 'client.request("GET", "/v1/files", query='),
            (lambda client: client.splits.list(page=1), "'page': client.request(...) sends what no method"),
            (lambda client: client.splits.running(reading="x"), 'as extra_body={"reading": ...}'),
        ],
    )
    def test_method_names_the_equivalent(self, client: AsyncRetab, call: Callable[[Any], Any], hint: str) -> None:
        with pytest.raises(TypeError, match=re.escape(hint)):
            call(client)

    @pytest.mark.parametrize(
        ("call", "hint"),
        [
            (lambda client: client.extractions.create(stream=True), "'stream': call extractions.stream(...)"),
            (lambda client: client.files.create_blueprint("file_1", mode="x"), 'pass extra_body={"mode": ...}'),
            (lambda client: client.splits.create(reading="x"), 'as extra_body={"reading": ...}'),
            (lambda client: client.workflows.runs.cancel("run_1", command_id="x"), "each cancel sends one of its own"),
            (lambda client: client.splits.get("splt_1", fields="x"), "'fields': client.request(...) sends what"),
            (lambda client: client.workflows.evals.runs.create("wrk_1", scope={}), "'scope': pass eval_id= or"),
        ],
    )
    async def test_coroutine_method_names_the_equivalent(
        self, client: AsyncRetab, call: Callable[[Any], Any], hint: str
    ) -> None:
        with pytest.raises(TypeError, match=re.escape(hint)):
            await call(client)

    async def test_other_type_errors_are_unchanged(self, client: AsyncRetab) -> None:
        with pytest.raises(TypeError, match=r"arguments?: 'document' and 'subdocuments'$"):
            await client.splits.create()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'run_id'$"):
            await client.splits.get()  # type: ignore[call-arg]

    def test_metadata_in_json_names_json_loads(self, client: AsyncRetab) -> None:
        with pytest.raises(InvalidRequestError, match=r"not a text: pass json.loads\(metadata\)"):
            client.extractions.list(metadata='{"a": "b"}')  # type: ignore[arg-type]


class TestAttributes:
    @pytest.mark.parametrize(("name", "method", "path"), ROUTES)
    def test_method_without_an_equivalent_names_a_route(
        self, client: AsyncRetab, name: str, method: str, path: str
    ) -> None:
        with pytest.raises(AttributeError, match=r": send client\.request\(") as caught:
            attrgetter(name)(client)

        # The hint of a group names its first route.
        if caught.value.name == name.rsplit(".", maxsplit=1)[-1]:
            assert f'client.request("{method}", "{path}")' in str(caught.value)
        assert not hasattr(caught.value.obj, str(caught.value.name))

    @pytest.mark.parametrize("name", ["Retab", "SplitStatus", "PaginatedList"])
    def test_package_names_the_equivalent(self, name: str) -> None:
        with pytest.raises(AttributeError, match=rf"'retab_async' has no attribute '{name}': \w+"):
            getattr(retab_async, name)
        assert not hasattr(retab_async, name)

    async def test_results_name_the_equivalent(self, client: AsyncRetab) -> None:
        pager: Any = client.splits.list()
        page: Any = await pager
        with pytest.raises(AttributeError, match=r"call to_dict\(\)"):
            page.runs[0].model_dump()
        with pytest.raises(AttributeError, match="read runs, or items"):
            page.data  # noqa: B018 - raises
        with pytest.raises(AttributeError, match="await it for one page"):
            pager.data  # noqa: B018 - raises
        with pytest.raises(NotFoundError) as caught:
            await client.splits.get("splt_unknown")
        error: Any = caught.value
        with pytest.raises(AttributeError, match="read attempts"):
            error.retries  # noqa: B018 - raises

    def test_any_other_attribute_has_no_hint(self, client: Any) -> None:
        with pytest.raises(AttributeError, match=r"^'AsyncRetab' object has no attribute 'split'$"):
            client.split  # noqa: B018 - raises


class TestAwaitedList:
    async def test_awaited_pager_is_the_first_page(self, client: AsyncRetab) -> None:
        page = await client.splits.list(limit=2)

        assert isinstance(page, Page)
        assert (len(page.runs), page.after is None) == (2, False)
        assert page == await anext(client.splits.list(limit=2).pages())

    @pytest.mark.parametrize("limit", [2, 5, 100])
    async def test_awaited_page_iterates_over_all_pages(self, client: AsyncRetab, limit: int) -> None:
        pager = client.splits.list(limit=limit)
        page = await pager

        expected = [run.id async for run in pager]
        assert len(expected) == 5
        assert [run.id async for run in page] == [run.id async for run in page] == expected

    async def test_awaited_page_iterates_backward_if_the_list_does(self, client: AsyncRetab) -> None:
        ids = [run.id async for run in client.splits.list()]
        pager = client.splits.list(limit=1, before=ids[3])

        assert [run.id async for run in await pager] == [run.id async for run in pager]

    async def test_page_of_pages_iterates_over_its_own_items(self, client: AsyncRetab) -> None:
        pages = [page async for page in client.splits.list(limit=3).pages()]

        assert [len([run async for run in page]) for page in pages] == [3, 2]

    async def test_repeated_cursor_ends_the_iteration(self) -> None:
        async def fetch(_: str) -> Page[int]:
            return Page(items=(1,), after="same")

        assert [each async for each in await RunPager(fetch, {"after": "same"}, "/v1/x")] == [1]


class TestPydanticModels:
    async def test_documents_and_subdocuments_are_accepted(self) -> None:
        async with Emulator() as emulator, client_for(emulator.url, api_key=emulator.api_key) as client:
            document = MIMEData(filename="a.pdf", url="data:application/pdf;base64,JVBERi0=")
            first = await client.splits.create(document=document, subdocuments=[Subdocument(name="invoice")])
            assert first.file is not None
            reference = FileRef(id=first.file.id, filename="b.pdf", mime_type="application/pdf")
            second = await client.splits.create(document=reference, subdocuments=[Subdocument(name="invoice")])

            assert first.file.filename == "a.pdf"
            assert first.subdocuments[0].name == "invoice"
            assert emulator.document_of(second.id).sha256 == emulator.document_of(first.id).sha256

    async def test_model_without_the_fields_is_rejected(self, client: AsyncRetab) -> None:
        with pytest.raises(InvalidRequestError, match="a Unrelated is no document"):
            await client.splits.create(document=Unrelated(name="a"), subdocuments=SUBDOCUMENTS)
        with pytest.raises(InvalidRequestError, match="has other fields than Subdocument"):
            await client.splits.create(document=PDF, subdocuments=[MIMEData(filename="a", url="b")])


class TestRequest:
    async def test_query_has_dates_as_a_list_has(self) -> None:
        query = {"from_date": date(2026, 11, 1), "to_date": [datetime(2026, 11, 2, tzinfo=UTC)]}
        async with raw_server(reply({})) as server, client_for(server.url) as client:
            await client.request("GET", "/v1/files", query=query)

        assert server.requests[0].target == "/v1/files?from_date=2026-11-01&to_date=2026-11-02T00%3A00%3A00%2B00%3A00"

    async def test_datetime_without_a_timezone_is_rejected(self, client: AsyncRetab) -> None:
        with pytest.raises(InvalidRequestError, match="from_date must have a timezone"):
            await client.request("GET", "/v1/files", query={"from_date": datetime(2026, 11, 1)})  # noqa: DTZ001 - is the case

    async def test_emulator_names_a_route_that_it_does_not_have(self, client: AsyncRetab) -> None:
        with pytest.raises(NotFoundError, match="the emulator has no route GET /v1/tables"):
            await client.request("GET", "/v1/tables")
