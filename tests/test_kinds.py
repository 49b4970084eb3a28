"""Every kind of run: its place on the client, and the requests of its methods as the API documents them."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from clients import ONCE, client_for
from payloads_kinds import FULL, PRIMITIVES, WORKFLOWS, bare, body
from raw_server import RawServer, raw_server, reply

from retab_async import (
    AsyncRetab,
    Category,
    Document,
    EditConfig,
    FileRef,
    InvalidDocumentError,
    InvalidRequestError,
    InvalidRunIdError,
    NotFoundError,
    ResponseError,
    Run,
    RunFailedError,
    RunStatus,
    Subdocument,
    UploadedFile,
)
from retab_async.emulator import Emulator
from retab_async.resources import RESOURCES
from retab_async.resources.base import DeletableRuns, ListedRuns, RunResource

PDF = b"%PDF-1.7\n"
SENT = {"filename": "document.pdf", "url": "data:application/pdf;base64,JVBERi0xLjcK"}
PATHS = {
    "splits": "/v1/splits",
    "partitions": "/v1/partitions",
    "classifications": "/v1/classifications",
    "extractions": "/v1/extractions",
    "parses": "/v1/parses",
    "edits": "/v1/edits",
    "schemas": "/v1/schemas/generate",
    "files.blueprints": "/v1/files/blueprints",
    "workflows.runs": "/v1/workflows/runs",
    "workflows.evals.runs": "/v1/workflows/evals/runs",
    "workflows.experiments.runs": "/v1/workflows/experiments/runs",
}
LISTED = set(PATHS) - {"schemas", "files.blueprints"}
DELETABLE = LISTED - {"workflows.evals.runs", "workflows.experiments.runs"}
PUBLISHED = {
    "splits": "create_split_cancel",
    "partitions": "create_partition_cancel",
    "classifications": "create_classification_cancel",
    "extractions": "create_extraction_cancel",
    "edits": "create_edit_cancel",
}

every_kind = pytest.mark.parametrize("kind", RESOURCES)

# The required arguments of each `create` and their JSON; below, all arguments.
LEAST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "splits": (
        {"document": PDF, "subdocuments": [Subdocument("invoice")]},
        {
            "document": SENT,
            "subdocuments": [{"name": "invoice", "description": "", "allow_multiple_instances": False}],
            "model": "retab-small",
            "n_consensus": 1,
            "bust_cache": False,
            "background": False,
        },
    ),
    "partitions": (
        {"document": PDF, "key": "account", "instructions": "Each."},
        {
            "document": SENT,
            "key": "account",
            "instructions": "Each.",
            "model": "retab-small",
            "n_consensus": 1,
            "allow_overlap": True,
            "bust_cache": False,
            "background": False,
        },
    ),
    "classifications": (
        {"document": PDF, "categories": [Category("letter")]},
        {
            "document": SENT,
            "categories": [{"name": "letter", "description": ""}],
            "model": "retab-small",
            "n_consensus": 1,
            "bust_cache": False,
            "background": False,
        },
    ),
    "extractions": (
        {"document": PDF, "json_schema": {"type": "object"}},
        {
            "document": SENT,
            "json_schema": {"type": "object"},
            "model": "retab-small",
            "n_consensus": 1,
            "bust_cache": False,
            "background": False,
        },
    ),
    "parses": (
        {"document": PDF},
        {
            "document": SENT,
            "model": "retab-small",
            "table_parsing_format": "html",
            "bust_cache": False,
            "background": False,
        },
    ),
    "edits": (
        {"document": PDF, "instructions": "Name: Ada"},
        {
            "document": SENT,
            "instructions": "Name: Ada",
            "model": "retab-small",
            "config": {"color": "#000080"},
            "bust_cache": False,
            "background": False,
        },
    ),
    "schemas": (
        {"documents": [PDF]},
        {"documents": [SENT], "model": "retab-small", "background": False},
    ),
    "files.blueprints": ({"file_id": "file_1"}, {"file_id": "file_1", "background": False}),
    "workflows.runs": ({"workflow_id": "wrk_1"}, {"workflow_id": "wrk_1", "version": "production"}),
    "workflows.evals.runs": ({"workflow_id": "wrk_1"}, {"workflow_id": "wrk_1"}),
    "workflows.experiments.runs": ({"experiment_id": "exp_1"}, {"experiment_id": "exp_1"}),
}
MOST: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "classifications",
        {
            "categories": (Category("a", description="b", handle_key="c"),),
            "model": "retab-large",
            "instructions": "Look.",
            "first_n_pages": 2,
            "n_consensus": 16,
            "bust_cache": True,
            "background": True,
        },
        {
            "categories": [{"name": "a", "description": "b", "handle_key": "c"}],
            "model": "retab-large",
            "instructions": "Look.",
            "first_n_pages": 2,
            "n_consensus": 16,
            "bust_cache": True,
            "background": True,
        },
    ),
    (
        "extractions",
        {
            "model": "retab-large",
            "instructions": "Look.",
            "n_consensus": 16,
            "metadata": {"tenant": "south"},
            "additional_messages": [{"role": "user", "content": "Sums in euros."}],
            "sources": "cited",
            "bust_cache": True,
            "background": True,
        },
        {
            "model": "retab-large",
            "instructions": "Look.",
            "n_consensus": 16,
            "metadata": {"tenant": "south"},
            "additional_messages": [{"role": "user", "content": "Sums in euros."}],
            "sources": {"mode": "cited"},
            "bust_cache": True,
            "background": True,
        },
    ),
    ("extractions", {"deep_extraction": True}, {"deep_extraction": True}),
    (
        "parses",
        {"model": "retab-micro", "table_parsing_format": "yaml", "instructions": "All.", "bust_cache": True},
        {"model": "retab-micro", "table_parsing_format": "yaml", "instructions": "All.", "bust_cache": True},
    ),
    (
        "edits",
        {"config": EditConfig(color="#123456"), "model": "retab-large", "background": True, "bust_cache": True},
        {"config": {"color": "#123456"}, "model": "retab-large", "background": True, "bust_cache": True},
    ),
    (
        "schemas",
        {"documents": (PDF, PDF), "model": "retab-large", "instructions": "Bills.", "background": True},
        {"documents": [SENT, SENT], "model": "retab-large", "instructions": "Bills.", "background": True},
    ),
    (
        "files.blueprints",
        {"file_id": FileRef(id="file_2"), "intent": "totals", "background": True},
        {"file_id": "file_2", "intent": "totals", "background": True},
    ),
    (
        "files.blueprints",
        {"file_id": UploadedFile(id="file_3", filename="a", url="https://x.test/a")},
        {"file_id": "file_3"},
    ),
    (
        "workflows.runs",
        {
            "documents": {"start-1": PDF, "start-2": "https://x.test/a.pdf"},
            "json_inputs": {"start-3": [1, {"a": None}]},
            "version": "draft",
            "metadata": {"batch": "7"},
            "sources": "located",
        },
        {
            "documents": {"start-1": SENT, "start-2": {"filename": "a.pdf", "url": "https://x.test/a.pdf"}},
            "json_inputs": {"start-3": [1, {"a": None}]},
            "version": "draft",
            "metadata": {"batch": "7"},
            "sources": {"mode": "located"},
        },
    ),
    ("workflows.evals.runs", {"eval_id": "e_1"}, {"scope": {"type": "single", "eval_id": "e_1"}}),
    ("workflows.evals.runs", {"block_id": "b_1"}, {"scope": {"type": "block", "block_id": "b_1"}}),
    (
        "workflows.experiments.runs",
        {"workflow_id": "wrk_1", "plan_token": "p_1"},
        {"workflow_id": "wrk_1", "plan_token": "p_1"},
    ),
]
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("classifications", {"categories": []}, "at least one Category"),
    ("classifications", {"categories": "letter"}, "at least one Category"),
    ("classifications", {"categories": ["letter"]}, 'Category\\("name"\\)'),
    ("classifications", {"categories": [Category(" ")]}, "a category's name"),
    ("classifications", {"categories": [Category("a", handle_key="")]}, "handle_key"),
    ("classifications", {"first_n_pages": 0}, "first_n_pages"),
    ("classifications", {"first_n_pages": True}, "first_n_pages"),
    ("classifications", {"n_consensus": 17}, "1 to 16"),
    ("classifications", {"background": "yes"}, "background"),
    ("extractions", {"json_schema": {}}, "json_schema is empty"),
    ("extractions", {"json_schema": "{}"}, "json_schema must be a mapping"),
    ("extractions", {"json_schema": {"a": object()}}, "json_schema cannot be sent as JSON"),
    ("extractions", {"n_consensus": 17}, "1 to 16"),
    ("extractions", {"metadata": {"a": 1}}, "metadata must be a mapping of strings to strings"),
    ("extractions", {"metadata": ["a"]}, "metadata must be a mapping of strings to strings"),
    ("extractions", {"additional_messages": {"role": "user"}}, "additional_messages"),
    ("extractions", {"additional_messages": ["Hello"]}, "a message must be a mapping"),
    ("extractions", {"sources": "guessed"}, "'located' or 'cited'"),
    ("extractions", {"deep_extraction": True, "background": True}, "deep_extraction"),
    ("extractions", {"deep_extraction": True, "n_consensus": 2}, "deep_extraction"),
    ("extractions", {"deep_extraction": "yes"}, "deep_extraction"),
    ("extractions", {"background": 1}, "background"),
    ("parses", {"table_parsing_format": "csv"}, "'markdown' or 'yaml' or 'html' or 'json'"),
    ("parses", {"table_parsing_format": None}, "table_parsing_format"),
    ("parses", {"bust_cache": 0}, "bust_cache"),
    ("edits", {"instructions": " "}, "instructions"),
    ("edits", {"document": None}, "a document or a template_id"),
    ("edits", {"template_id": "tmpl_1"}, "a document or a template_id"),
    ("edits", {"document": None, "template_id": ""}, "template_id"),
    ("edits", {"config": "#000000"}, "EditConfig"),
    ("edits", {"config": EditConfig(color="")}, "color"),
    ("schemas", {"documents": []}, "at least one document"),
    ("schemas", {"documents": "a.pdf"}, "at least one document"),
    ("schemas", {"documents": b"%PDF"}, "at least one document"),
    ("files.blueprints", {"file_id": ""}, "file_id"),
    ("files.blueprints", {"intent": " "}, "intent"),
    ("workflows.runs", {"workflow_id": ""}, "workflow_id"),
    ("workflows.runs", {"documents": [PDF]}, "documents must be a mapping"),
    ("workflows.runs", {"documents": {"": PDF}}, "the id of a start block"),
    ("workflows.runs", {"json_inputs": []}, "json_inputs must be a mapping"),
    ("workflows.runs", {"version": ""}, "version"),
    ("workflows.runs", {"metadata": {1: "a"}}, "metadata"),
    ("workflows.runs", {"sources": ""}, "sources"),
    ("workflows.evals.runs", {"workflow_id": None}, "workflow_id"),
    ("workflows.evals.runs", {"eval_id": "e", "block_id": "b"}, "not both"),
    ("workflows.evals.runs", {"eval_id": ""}, "eval_id"),
    ("workflows.evals.runs", {"block_id": ""}, "block_id"),
    ("workflows.experiments.runs", {"experiment_id": ""}, "experiment_id"),
    ("workflows.experiments.runs", {"plan_token": ""}, "plan_token"),
]


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(reply({})) as running:
        yield running


@pytest.fixture
async def client(server: RawServer) -> AsyncIterator[AsyncRetab]:
    async with client_for(server.url, retry=ONCE) as opened:
        yield opened


def of(client: AsyncRetab, kind: str) -> Any:
    return attrgetter(kind)(client)


def sent_requests(server: RawServer) -> list[tuple[str, str]]:
    return [(request.method, request.target) for request in server.requests]


def sent_json(server: RawServer) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(server.requests[-1].body)
    return value


def page(kind: str) -> dict[str, Any]:
    return {"data": [FULL[kind]], "list_metadata": {"before": None, "after": None}}


class TestRegistry:
    def test_every_kind_has_its_path(self) -> None:
        assert {name: resource.path for name, resource in RESOURCES.items()} == PATHS

    @every_kind
    def test_kind_name_is_its_attribute_path_on_the_client(self, kind: str, client: AsyncRetab) -> None:
        assert type(of(client, kind)) is RESOURCES[kind]

    @every_kind
    def test_methods_of_a_kind_match_the_api(self, kind: str) -> None:
        resource = RESOURCES[kind]

        assert hasattr(resource, "list") == (kind in LISTED) == resource.spec.is_listed
        assert hasattr(resource, "delete") == (kind in DELETABLE)
        assert all(hasattr(resource, verb) for verb in ("create", "running", *_verbs(RunResource)))

    def test_paths_and_run_types_are_unique(self) -> None:
        assert len({resource.path for resource in RESOURCES.values()}) == len(RESOURCES)
        assert len({resource.run_type for resource in RESOURCES.values()}) == len(RESOURCES)

    async def test_with_options_copy_has_resources_of_its_own(self, client: AsyncRetab) -> None:
        copy = client.with_options(timeout=3)

        assert all(type(of(copy, kind)) is RESOURCES[kind] for kind in RESOURCES)
        assert not any(of(copy, kind) is of(client, kind) for kind in RESOURCES)


def _verbs(resource: type[RunResource[Any]]) -> set[str]:
    return {name for name in dir(resource) if not name.startswith("_")} - {"path", "run_type", "spec"}


def test_mixins_add_the_methods_that_not_all_kinds_have() -> None:
    assert _verbs(DeletableRuns) - _verbs(RunResource) == {"delete"}
    assert _verbs(ListedRuns) - _verbs(RunResource) == {"list", "cancel_matching"}


class TestEveryKind:
    @every_kind
    async def test_cancel(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(bare(kind, "cancelled")),)
        run = await of(client, kind).cancel("run_1")

        assert type(run) is RESOURCES[kind].run_type
        assert run.status is RunStatus.CANCELLED
        assert sent_requests(server) == [("POST", f"{PATHS[kind]}/run_1/cancel")]

    @every_kind
    async def test_cancel_has_a_body_only_for_workflow_runs(
        self, kind: str, client: AsyncRetab, server: RawServer
    ) -> None:
        server.steps = (reply(bare(kind, "cancelled")),)
        await of(client, kind).cancel("run_1")

        sent = server.requests[0].body
        assert (list(json.loads(sent)) == ["command_id"]) if kind == "workflows.runs" else (sent == b"")

    @every_kind
    async def test_get(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(FULL[kind]),)
        run = await of(client, kind).get("run_1")

        assert type(run) is RESOURCES[kind].run_type
        assert run.status is RunStatus.COMPLETED
        assert sent_requests(server) == [("GET", f"{PATHS[kind]}/run_1")]

    @every_kind
    async def test_get_without_output(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(bare(kind, "queued")),)
        await of(client, kind).get("run_1", include_output=False)

        query = "" if kind in {"schemas", *WORKFLOWS} else "?include_output=false"
        assert sent_requests(server) == [("GET", f"{PATHS[kind]}/run_1{query}")]

    @every_kind
    async def test_wait(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(bare(kind, "pending")), reply(FULL[kind]))
        run = await of(client, kind).wait("run_1", poll_interval=0.001, timeout=5)

        query = "" if kind in {"schemas", *WORKFLOWS} else "?include_output=false"
        assert run.status is RunStatus.COMPLETED
        assert sent_requests(server)[0] == ("GET", f"{PATHS[kind]}/run_1{query}")

    @pytest.mark.parametrize("kind", sorted(LISTED))
    async def test_list(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(page(kind)),)
        runs = [run async for run in of(client, kind).list()]

        assert [type(run) for run in runs] == [RESOURCES[kind].run_type]
        assert sent_requests(server) == [("GET", f"{PATHS[kind]}?limit=100&order=desc")]

    @pytest.mark.parametrize("kind", sorted(DELETABLE))
    async def test_delete(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(b"", 204, {"Content-Length": ""}),)
        await of(client, kind).delete("run_1")

        assert sent_requests(server) == [("DELETE", f"{PATHS[kind]}/run_1")]

    @every_kind
    async def test_create(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        given, sent = LEAST[kind]
        server.steps = (reply(bare(kind, "queued"), 201),)
        run = await of(client, kind).create(**given)

        assert type(run) is RESOURCES[kind].run_type
        assert sent_requests(server) == [("POST", PATHS[kind])]
        assert sent_json(server) == sent
        assert server.requests[0].headers["idempotency-key"]

    @every_kind
    async def test_running(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        given, sent = LEAST[kind]
        server.steps = (reply(body(kind, "pending"), 201), reply(bare(kind, "cancelled")))
        async with of(client, kind).running(**given, idempotency_key="k-1") as run:
            assert run.run.status is RunStatus.PENDING

        run_id = FULL[kind]["id"]
        in_background = {"background": True} if "background" in sent else {}
        assert sent_requests(server) == [("POST", PATHS[kind]), ("POST", f"{PATHS[kind]}/{run_id}/cancel")]
        assert json.loads(server.requests[0].body) == sent | in_background
        assert server.requests[0].headers["idempotency-key"] == "k-1"

    @every_kind
    async def test_attach(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(FULL[kind]),)
        async with of(client, kind).attach("run_1") as run:
            assert (await run.result()).status is RunStatus.COMPLETED

        assert sent_requests(server)[-1][0] == "GET"

    @every_kind
    async def test_run_is_accepted_instead_of_its_id(self, kind: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(FULL[kind]),)
        run = await of(client, kind).get(FULL[kind]["id"])
        await of(client, kind).cancel(run)

        assert sent_requests(server)[1] == ("POST", f"{PATHS[kind]}/{FULL[kind]['id']}/cancel")

    @every_kind
    async def test_run_of_another_kind_is_rejected_before_sending(
        self, kind: str, client: AsyncRetab, server: RawServer
    ) -> None:
        other = RESOURCES["parses" if kind == "splits" else "splits"].run_type
        run = other(id="x_1", status=RunStatus.PENDING)
        with pytest.raises(InvalidRunIdError):
            await of(client, kind).cancel(run)
        with pytest.raises(InvalidRunIdError):
            await of(client, kind).get("../x")

        assert server.requests == []

    @pytest.mark.parametrize(("kind", "name"), PUBLISHED.items())
    async def test_official_name_of_cancel(self, kind: str, name: str, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(bare(kind, "cancelled")),)
        parameter = f"{name.removeprefix('create_').removesuffix('_cancel')}_id"
        run = await getattr(of(client, kind), name)(**{parameter: "run_1"})

        assert run.status is RunStatus.CANCELLED
        assert sent_requests(server) == [("POST", f"{PATHS[kind]}/run_1/cancel")]

    async def test_official_names_of_blueprint_methods(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(FULL["files.blueprints"]),)
        await client.files.create_blueprint("file_1", intent="totals", background=True)
        await client.files.get_blueprint(blueprint_id="fbp_1", include_output=False)
        await client.files.create_blueprint_cancel(blueprint_id="fbp_1")

        assert sent_requests(server) == [
            ("POST", "/v1/files/blueprints"),
            ("GET", "/v1/files/blueprints/fbp_1?include_output=false"),
            ("POST", "/v1/files/blueprints/fbp_1/cancel"),
        ]
        assert json.loads(server.requests[0].body) == {"file_id": "file_1", "intent": "totals", "background": True}

    async def test_official_name_of_schema_generation(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(FULL["schemas"]),)
        run = await client.schemas.generate(documents=[PDF])

        assert run.id == FULL["schemas"]["id"]


OFFICIAL_ID_NAMES = {
    "splits": "split_id",
    "partitions": "partition_id",
    "classifications": "classification_id",
    "extractions": "extraction_id",
    "parses": "parse_id",
    "edits": "edit_id",
    "files.blueprints": "blueprint_id",
}


class TestOfficialIdNames:
    @pytest.mark.parametrize(("kind", "name"), OFFICIAL_ID_NAMES.items())
    async def test_methods_take_the_id_by_its_official_name(self, kind: str, name: str) -> None:
        async with Emulator() as emulator, client_for(emulator.url) as client:
            (run_id,) = emulator.seed(kind, status="queued")
            runs = attrgetter(kind)(client)
            read = await runs.get(**{name: run_id}, include_output=False)
            cancelled = await runs.cancel(**{name: read})
            waited = await runs.wait(**{name: run_id}, timeout=5)
            if hasattr(runs, "delete"):
                await runs.delete(**{name: run_id})

        assert (read.id, cancelled.status, waited.status) == (run_id, "cancelled", "cancelled")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"split_id": "splt_1", "run_id": "splt_1"}, "multiple values for keyword argument 'run_id'"),
            ({"partition_id": "prtn_1"}, "unexpected keyword argument 'partition_id'"),
            ({}, "missing 1 required positional argument: 'run_id'"),
        ],
    )
    async def test_other_arguments_are_python_errors(
        self, arguments: dict[str, Any], message: str, client: AsyncRetab
    ) -> None:
        with pytest.raises(TypeError, match=message):
            await client.splits.cancel(**arguments)


class TestCreate:
    @pytest.mark.parametrize(("kind", "given", "sent"), MOST)
    async def test_create_sends_every_argument(
        self, kind: str, given: dict[str, Any], sent: dict[str, Any], client: AsyncRetab, server: RawServer
    ) -> None:
        least, least_sent = LEAST[kind]
        server.steps = (reply(bare(kind, "queued"), 201),)
        await of(client, kind).create(**least | given, idempotency_key="k-1")

        assert sent_json(server) == least_sent | sent
        assert server.requests[0].headers["idempotency-key"] == "k-1"

    async def test_edit_of_a_template_sends_no_document(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(bare("edits", "queued"), 201),)
        await client.edits.create(template_id="tmpl_1", instructions="Name: Ada")

        assert "document" not in sent_json(server)
        assert sent_json(server)["template_id"] == "tmpl_1"

    @pytest.mark.parametrize(("kind", "given", "words"), WRONG)
    async def test_invalid_argument_is_rejected_before_sending(
        self, kind: str, given: dict[str, Any], words: str, client: AsyncRetab, server: RawServer
    ) -> None:
        with pytest.raises(InvalidRequestError, match=words):
            await of(client, kind).create(**LEAST[kind][0] | given)

        assert server.requests == []

    @pytest.mark.parametrize("kind", [kind for kind in PATHS if "document" in LEAST[kind][0]])
    async def test_invalid_document_is_rejected_before_sending(
        self, kind: str, client: AsyncRetab, server: RawServer
    ) -> None:
        with pytest.raises(InvalidDocumentError):
            await of(client, kind).create(**LEAST[kind][0] | {"document": "missing.pdf"})

        assert server.requests == []

    async def test_one_invalid_document_of_several_is_rejected_before_sending(
        self, client: AsyncRetab, server: RawServer, tmp_path: Path
    ) -> None:
        documents: dict[str, Document] = {"start-1": PDF, "start-2": tmp_path / "missing.pdf"}
        with pytest.raises(InvalidDocumentError):
            await client.workflows.runs.create(workflow_id="wrk_1", documents=documents)
        with pytest.raises(InvalidDocumentError):
            await client.schemas.create(documents=list(documents.values()))

        assert server.requests == []

    @every_kind
    @pytest.mark.parametrize("background", [True, False])
    async def test_only_a_foreground_create_has_a_long_deadline(
        self, kind: str, client: AsyncRetab, *, background: bool
    ) -> None:
        fields = {"background": background} if kind in PRIMITIVES else {}
        async with of(client, kind)._api.prepare_create(fields, "k") as request:
            assert (request.extra_seconds >= 1800) is (kind in PRIMITIVES and not background)

    @every_kind
    async def test_create_response_with_only_an_id_is_a_pending_run(
        self, kind: str, client: AsyncRetab, server: RawServer
    ) -> None:
        server.steps = (reply({"id": "x_1"}, 202),)
        run: Run = await of(client, kind).create(**LEAST[kind][0])

        assert (run.id, run.status) == ("x_1", RunStatus.PENDING)


FILTERS: list[tuple[str, dict[str, Any], str]] = [
    ("classifications", {"status": RunStatus.FAILED, "filename": "a"}, "status=failed&filename=a"),
    (
        "extractions",
        {"status": "queued", "filename_contains": "b", "document_type": ["pdf", "docx"], "metadata": {"a": "b c"}},
        "status=queued&filename_contains=b&document_type=pdf&document_type=docx&metadata=%7B%22a%22%3A%22b+c%22%7D",
    ),
    ("extractions", {"document_type": "pdf"}, "document_type=pdf"),
    ("parses", {"filename": "a"}, "filename=a"),
    ("edits", {"template_id": "tmpl_1", "status": "completed"}, "status=completed&template_id=tmpl_1"),
    (
        "workflows.runs",
        {
            "workflow_id": "wrk_1",
            "status": RunStatus.AWAITING_REVIEW,
            "exclude_status": "error",
            "trigger_type": "api",
            "search": "5x",
            "metadata": {"a": "b"},
            "min_duration_ms": 0,
            "max_duration_ms": 5000,
            "from_date": date(2026, 11, 1),
        },
        (
            "workflow_id=wrk_1&status=awaiting_review&exclude_status=error&trigger_type=api&search=5x"
            "&metadata=%7B%22a%22%3A%22b%22%7D&min_duration_ms=0&max_duration_ms=5000&from_date=2026-11-01"
        ),
    ),
    (
        "workflows.evals.runs",
        {
            "workflow_id": "wrk_1",
            "eval_id": "e",
            "target_block_id": "b",
            "status": "running",
            "exclude_status": "error",
            "trigger_type": "email",
            "from_date": date(2026, 11, 1),
            "to_date": date(2026, 11, 1),
        },
        (
            "workflow_id=wrk_1&eval_id=e&target_block_id=b&status=running&exclude_status=error&trigger_type=email"
            "&from_date=2026-11-01T00%3A00%3A00%2B00%3A00&to_date=2026-11-01T23%3A59%3A59.999999%2B00%3A00"
        ),
    ),
    (
        "workflows.evals.runs",
        {"from_date": datetime(2026, 11, 1, 5, tzinfo=UTC)},
        "from_date=2026-11-01T05%3A00%3A00%2B00%3A00",
    ),
    (
        "workflows.experiments.runs",
        {
            "workflow_id": "wrk_1",
            "experiment_id": "exp_1",
            "block_id": "b",
            "status": "error",
            "exclude_status": "queued",
            "trigger_type": "api",
            "to_date": date(2026, 11, 1),
        },
        (
            "workflow_id=wrk_1&experiment_id=exp_1&block_id=b&status=error&exclude_status=queued&trigger_type=api"
            "&to_date=2026-11-01"
        ),
    ),
]
WRONG_FILTERS: list[tuple[str, dict[str, Any], str]] = [
    ("extractions", {"document_type": []}, "document_type"),
    ("extractions", {"document_type": ["pdf", ""]}, "document_type"),
    ("extractions", {"document_type": [5]}, "document_type"),
    ("extractions", {"metadata": {"a": 5}}, "metadata"),
    ("extractions", {"metadata": "a=b"}, "metadata"),
    ("edits", {"template_id": ""}, "template_id"),
    ("workflows.runs", {"min_duration_ms": -1}, "min_duration_ms"),
    ("workflows.runs", {"max_duration_ms": "5"}, "max_duration_ms"),
    ("workflows.runs", {"search": 5}, "search"),
    ("workflows.evals.runs", {"from_date": "2026-13-01"}, "from_date"),
    ("workflows.evals.runs", {"to_date": datetime(2026, 11, 1)}, "to_date"),  # noqa: DTZ001 - on purpose
    ("workflows.experiments.runs", {"limit": 101}, "limit"),
]


class TestList:
    @pytest.mark.parametrize(("kind", "filters", "query"), FILTERS)
    async def test_list_sends_the_filters_of_its_kind(
        self, kind: str, filters: dict[str, Any], query: str, client: AsyncRetab, server: RawServer
    ) -> None:
        server.steps = (reply(page(kind)),)
        assert len([run async for run in of(client, kind).list(**filters, limit=10, order="asc")]) == 1

        assert sent_requests(server) == [("GET", f"{PATHS[kind]}?limit=10&order=asc&{query}")]

    @pytest.mark.parametrize(("kind", "filters", "words"), WRONG_FILTERS)
    async def test_invalid_filter_is_rejected(
        self, kind: str, filters: dict[str, Any], words: str, client: AsyncRetab
    ) -> None:
        with pytest.raises(InvalidRequestError, match=words):
            of(client, kind).list(**filters)

    async def test_list_of_parses_has_no_status_filter(self, client: AsyncRetab) -> None:
        with pytest.raises(TypeError, match="status"):
            of(client, "parses").list(status="completed")

    async def test_row_with_an_invalid_lifecycle_keeps_its_status(
        self, client: AsyncRetab, server: RawServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows = [
            FULL["workflows.runs"] | {"lifecycle": {"status": "error", "message": ["?"]}},
            FULL["workflows.runs"] | {"lifecycle": None},
            FULL["workflows.runs"] | {"lifecycle": {"status": "error", "message": ["?"]}, "id": None},
        ]
        server.steps = (reply({"data": rows}),)
        runs = [run async for run in client.workflows.runs.list()]

        assert [run.status for run in runs] == [RunStatus.ERROR, RunStatus.PENDING]
        assert runs[0].workflow_id == "wrk_8"
        assert "lifecycle.message: a string was expected" in caplog.text


class TestCancelOfWorkflowKinds:
    @staticmethod
    def wrapped(state: str, word: str) -> dict[str, Any]:
        return {"run": body("workflows.runs", state), "redis_available": True, "cancellation_status": word}

    @pytest.mark.parametrize(
        ("state", "word"),
        [
            ("cancelled", "cancelled"),
            ("running", "cancellation_requested"),
            ("awaiting_review", "cancellation_requested"),
            ("completed", "cancellation_failed"),
            ("error", "cancellation_failed"),
            ("failed", "cancellation_failed"),
            ("on_hold", "cancellation_requested"),
        ],
    )
    async def test_cancel_returns_the_run_inside_the_response(
        self, state: str, word: str, client: AsyncRetab, server: RawServer
    ) -> None:
        server.steps = (reply(self.wrapped(state, word)),)
        run = await client.workflows.runs.cancel("run_1")

        assert run.status == state
        assert len(server.requests) == 1

    async def test_failed_cancellation_of_a_finished_run_returns_the_run(
        self, client: AsyncRetab, server: RawServer
    ) -> None:
        server.steps = (
            reply(self.wrapped("running", "cancellation_failed")),
            reply(body("workflows.runs", "completed")),
        )
        run = await client.workflows.runs.cancel("run_1")

        assert run.status is RunStatus.COMPLETED
        assert sent_requests(server)[1] == ("GET", "/v1/workflows/runs/run_1")

    async def test_failed_cancellation_of_an_active_run_is_an_error(
        self, client: AsyncRetab, server: RawServer
    ) -> None:
        server.steps = (reply(self.wrapped("running", "cancellation_failed")), reply(body("workflows.runs", "running")))
        with pytest.raises(ResponseError, match="could not be cancelled") as caught:
            await client.workflows.runs.cancel("run_1")

        assert caught.value.in_doubt

    async def test_retries_of_one_cancel_share_a_command_id(self, server: RawServer) -> None:
        server.steps = (reply({}, 503), reply(self.wrapped("cancelled", "cancelled")))
        async with client_for(server.url) as client:
            await client.workflows.runs.cancel("run_1")
            await client.workflows.runs.cancel("run_1")

        first, again, other = (json.loads(request.body)["command_id"] for request in server.requests)
        assert first == again != other

    @pytest.mark.parametrize("kind", ["workflows.evals.runs", "workflows.experiments.runs"])
    @pytest.mark.parametrize("state", ["completed", "error", "cancelled"])
    async def test_cancel_404_of_a_finished_run_returns_the_run(
        self, kind: str, state: str, client: AsyncRetab, server: RawServer
    ) -> None:
        server.steps = (reply({"detail": "not cancellable"}, 404), reply(body(kind, state)))
        run = await of(client, kind).cancel("run_1")

        assert run.status == state
        assert sent_requests(server) == [("POST", f"{PATHS[kind]}/run_1/cancel"), ("GET", f"{PATHS[kind]}/run_1")]

    @pytest.mark.parametrize("kind", WORKFLOWS)
    async def test_cancel_404_of_an_unknown_run_is_an_error(
        self, kind: str, client: AsyncRetab, server: RawServer
    ) -> None:
        server.steps = (reply({"detail": "not found"}, 404),)
        with pytest.raises(NotFoundError):
            await of(client, kind).cancel("run_1")

    async def test_cancel_response_with_only_a_valid_status_succeeds(
        self, client: AsyncRetab, server: RawServer
    ) -> None:
        answer = {"run": {"lifecycle": {"status": "cancelled", "reason": 5}, "timing": "?"}}
        server.steps = (reply(answer),)
        run = await client.workflows.runs.cancel("run_1")

        assert (run.id, run.status) == ("run_1", RunStatus.CANCELLED)

    async def test_wait_continues_through_a_pause(self, client: AsyncRetab, server: RawServer) -> None:
        states = ("awaiting_review", "running", "error")
        server.steps = tuple(reply(body("workflows.runs", state)) for state in states)
        seen: list[str] = []
        run = await client.workflows.runs.wait(
            "run_1", poll_interval=0.001, timeout=5, on_status=lambda run: seen.append(run.status)
        )

        assert seen == list(states)
        assert run.error

    async def test_result_raises_the_error_of_the_lifecycle(self, client: AsyncRetab, server: RawServer) -> None:
        server.steps = (reply(body("workflows.runs", "failed")),)
        with pytest.raises(RunFailedError, match="E_TIME: timed out"):
            async with client.workflows.runs.attach("run_1") as run:
                await run.result()


async def test_client_subclass_may_annotate_other_attributes() -> None:
    class Own(AsyncRetab):
        tenant: str = "north"
        seen: "dict[str, int]"

    async with Own("sk_test_0123456789", proxy=False) as client:
        assert client.tenant == "north"
        assert not hasattr(client, "seen")
        assert type(client.splits) is RESOURCES["splits"]
