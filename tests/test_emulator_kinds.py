"""The emulator's kinds with one document: requests, views and generated results."""

from typing import Any

import aiohttp
import pytest
from emulator_http import answer

from retab_async.emulator import Emulator, ManualClock, ReceivedDocument

PDF = {"filename": "Form.pdf", "url": "data:application/pdf;base64,JVBERg=="}
SCHEMA = {"type": "object", "properties": {"number": {"type": "string"}, "total": {"type": "number"}}}
BODIES: dict[str, dict[str, Any]] = {
    "splits": {"document": PDF, "subdocuments": [{"name": "invoice"}]},
    "partitions": {"document": PDF, "key": "account", "instructions": "One chunk for each account."},
    "classifications": {"document": PDF, "categories": [{"name": "receipt", "description": "till"}, {"name": "bill"}]},
    "extractions": {"document": PDF, "json_schema": SCHEMA},
    "parses": {"document": PDF},
    "edits": {"document": PDF, "instructions": "Full name: A. Reyes\nCity: Lima"},
    "schemas/generate": {"documents": [PDF]},
}
LISTED = ("splits", "partitions", "classifications", "extractions", "parses", "edits")
PREFIXES = {
    "splits": "splt_",
    "partitions": "prtn_",
    "classifications": "clss_",
    "extractions": "extr_",
    "parses": "prs_",
    "edits": "edt_",
    "schemas/generate": "sch_",
}
BLANKS: dict[str, dict[str, Any]] = {
    "splits": {"output": [], "consensus": None, "usage": None},
    "partitions": {"output": [], "consensus": None, "usage": None},
    "classifications": {"output": {"reasoning": "", "category": ""}, "consensus": None, "usage": None},
    "extractions": {"output": {}, "consensus": None, "usage": None},
    "parses": {"output": {"pages": [], "text": ""}, "usage": None},
    "edits": {"output": None, "filled_document_ref": None, "usage": None},
    "schemas/generate": {"json_schema": {}},
}
every_kind = pytest.mark.parametrize("kind", BODIES)
every_listed_kind = pytest.mark.parametrize("kind", LISTED)


async def create(session: aiohttp.ClientSession, kind: str, **fields: Any) -> Any:
    status, body = await answer(session, "POST", f"/v1/{kind}", json=BODIES[kind] | fields)
    assert status == (200 if kind == "schemas/generate" else 201), body
    return body


async def listed(session: aiohttp.ClientSession, kind: str, query: Any) -> list[str]:
    status, body = await answer(session, "GET", f"/v1/{kind}", params=query)
    assert status == 200, body
    return [run["id"] for run in body["data"]]


class TestEveryKind:
    @every_kind
    async def test_a_foreground_run_is_completed_and_a_background_run_queued(
        self, session: aiohttp.ClientSession, kind: str
    ) -> None:
        finished = await create(session, kind)
        begun = await create(session, kind, background=True)

        assert (finished["status"], begun["status"]) == ("completed", "queued")
        assert begun == begun | BLANKS[kind]
        assert finished != finished | BLANKS[kind]

    @every_kind
    async def test_a_background_run_completes(
        self, session: aiohttp.ClientSession, clock: ManualClock, kind: str
    ) -> None:
        begun = await create(session, kind, background=True)
        seen = []
        for _ in range(4):
            seen.append((await answer(session, "GET", f"/v1/{kind}/{begun['id']}"))[1]["status"])
            clock.advance(1)

        assert seen == ["queued", "in_progress", "in_progress", "completed"]

    @every_kind
    async def test_a_cancel_ends_an_active_run_and_leaves_a_terminal_one(
        self, session: aiohttp.ClientSession, kind: str
    ) -> None:
        finished = await create(session, kind)
        begun = await create(session, kind, background=True)

        assert await answer(session, "POST", f"/v1/{kind}/{begun['id']}/cancel") == (
            200,
            begun | {"status": "cancelled"},
        )
        assert await answer(session, "POST", f"/v1/{kind}/{finished['id']}/cancel") == (200, finished)

    @every_kind
    async def test_ids_have_the_prefix_of_their_kind(self, session: aiohttp.ClientSession, kind: str) -> None:
        assert (await create(session, kind))["id"].startswith(PREFIXES[kind])

    @every_kind
    async def test_a_request_without_its_fields_is_422(self, session: aiohttp.ClientSession, kind: str) -> None:
        status, body = await answer(session, "POST", f"/v1/{kind}", json={"model": "retab-small"})

        missing = [entry["loc"][1] for entry in body["detail"]]

        assert status == 422
        assert set(missing) == set(BODIES[kind]) - ({"document"} if kind == "edits" else set())

    @every_listed_kind
    async def test_a_get_can_return_only_the_status(self, session: aiohttp.ClientSession, kind: str) -> None:
        run = await create(session, kind)
        _, brief = await answer(session, "GET", f"/v1/{kind}/{run['id']}?include_output=false")

        assert brief == {"id": run["id"], "status": "completed", "error": None}

    @every_listed_kind
    async def test_runs_are_listed_by_name_and_date_and_deleted(
        self, session: aiohttp.ClientSession, kind: str
    ) -> None:
        run = await create(session, kind)
        found = [
            await listed(session, kind, {"filename": "FORM", "to_date": "2999-01-01"}),
            await listed(session, kind, {"from_date": "2999-01-01"}),
        ]
        async with session.delete(f"/v1/{kind}/{run['id']}") as response:
            pass

        assert found == [[run["id"]], []]
        assert response.status == 204
        assert await listed(session, kind, {}) == []

    @pytest.mark.parametrize("kind", [*LISTED, "schemas", "files/blueprints"])
    async def test_a_run_seeded_with_an_error_fails(
        self, session: aiohttp.ClientSession, emulator: Emulator, kind: str
    ) -> None:
        error = {"code": "deadline", "message": "too late", "details": {"page": 4}}
        (run_id,) = emulator.seed(kind, queued=0, running=0, error=error)
        path = "schemas/generate" if kind == "schemas" else kind
        _, run = await answer(session, "GET", f"/v1/{path}/{run_id}")

        assert (run["status"], run["error"]) == ("failed", error)

    async def test_parses_have_no_status_filter(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "parses")

        assert await listed(session, "parses", {"status": "anything"}) == [run["id"]]

    @pytest.mark.parametrize("path", ["/v1/schemas/generate", "/v1/files/blueprints"])
    async def test_some_kinds_have_no_list_and_no_delete(self, session: aiohttp.ClientSession, path: str) -> None:
        statuses = [(await answer(session, *asked))[0] for asked in (("GET", path), ("DELETE", f"{path}/x"))]

        assert statuses == [405, 405]


class TestInvalidCreates:
    @pytest.mark.parametrize(
        ("kind", "fields", "loc", "type_"),
        [
            ("classifications", {"categories": []}, ["categories"], "too_short"),
            ("classifications", {"categories": [{"name": " "}]}, ["categories", 0, "name"], "string_too_short"),
            ("classifications", {"first_n_pages": 0}, ["first_n_pages"], "out_of_range"),
            ("classifications", {"n_consensus": 17}, ["n_consensus"], "out_of_range"),
            ("extractions", {"json_schema": {}}, ["json_schema"], "too_short"),
            ("extractions", {"json_schema": []}, ["json_schema"], "dict_type"),
            ("extractions", {"metadata": {"a": 1}}, ["metadata", "a"], "string_type"),
            ("extractions", {"metadata": "a"}, ["metadata"], "dict_type"),
            ("extractions", {"additional_messages": ["a"]}, ["additional_messages", 0], "dict_type"),
            ("extractions", {"sources": {"mode": "found"}}, ["sources", "mode"], "enum"),
            ("extractions", {"deep_extraction": 1}, ["deep_extraction"], "bool_type"),
            ("extractions", {"stream": True, "background": True}, ["background"], "value_error"),
            ("parses", {"table_parsing_format": "csv"}, ["table_parsing_format"], "enum"),
            ("edits", {"instructions": " "}, ["instructions"], "string_too_short"),
            ("edits", {"config": {"color": 1}}, ["config", "color"], "string_type"),
            ("schemas/generate", {"documents": []}, ["documents"], "too_short"),
            (
                "schemas/generate",
                {"documents": [PDF, {"filename": "a", "url": "data:;base64"}]},
                ["documents", 1, "url"],
                "data_url",
            ),
        ],
    )
    async def test_an_invalid_field_is_422_and_named(
        self, session: aiohttp.ClientSession, kind: str, fields: dict[str, Any], loc: list[str | int], type_: str
    ) -> None:
        status, body = await answer(session, "POST", f"/v1/{kind}", json=BODIES[kind] | fields)

        assert status == 422
        assert (["body", *loc], type_) in [(entry["loc"], entry["type"]) for entry in body["detail"]]

    @pytest.mark.parametrize("fields", [{"template_id": "edittplt_1"}, {"document": None}])
    async def test_an_edit_needs_either_a_document_or_a_template(
        self, session: aiohttp.ClientSession, fields: dict[str, Any]
    ) -> None:
        status, _ = await answer(session, "POST", "/v1/edits", json=BODIES["edits"] | fields)

        assert status == 400


class TestClassifications:
    async def test_the_category_is_one_of_the_request(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "classifications", n_consensus=2, first_n_pages=1)

        assert run["output"] == {"reasoning": "Form.pdf reads like: receipt.", "category": "receipt"}
        assert run["consensus"] == {"likelihoods": 1.0, "choices": [run["output"]] * 2}
        assert run["usage"] == {"credits": 2.0}

    async def test_the_request_is_repeated_with_defaults(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "classifications")

        assert run["categories"][1] == {"name": "bill", "handle_key": None, "description": ""}
        assert (run["model"], run["n_consensus"], run["instructions"]) == ("retab-small", 1, None)
        assert "first_n_pages" not in run


class TestExtractions:
    async def extracted(self, session: aiohttp.ClientSession, schema: Any) -> Any:
        return (await create(session, "extractions", json_schema=schema))["output"]

    async def test_the_output_fits_the_schema_and_the_likelihoods_the_output(
        self, session: aiohttp.ClientSession
    ) -> None:
        schema = {"type": "object", "properties": {**SCHEMA["properties"], "lines": {"items": SCHEMA}}}  # type: ignore[dict-item]
        run = await create(session, "extractions", json_schema=schema, n_consensus=2, metadata={"tenant": "north"})

        assert run["output"] == {"number": "number", "total": 1.0, "lines": [{"number": "number", "total": 1.0}]}
        assert run["consensus"] == {
            "choices": [run["output"]] * 2,
            "likelihoods": {"number": 1.0, "total": 1.0, "lines": [{"number": 1.0, "total": 1.0}]},
        }
        assert (run["json_schema"], run["metadata"]) == (schema, {"tenant": "north"})

    @pytest.mark.parametrize(
        ("schema", "value"),
        [
            ({"type": "string"}, "field"),
            ({"type": "string", "format": "date"}, "2026-01-31"),
            ({"type": "string", "format": "odd", "minLength": 7}, "field.."),
            ({"type": "string", "maxLength": 2}, "fi"),
            ({"type": ["null", "integer"]}, 1),
            ({"type": ["null"]}, None),
            ({"type": "null"}, None),
            ({"type": "boolean"}, True),
            ({"type": "integer", "minimum": 5, "maximum": 9}, 5),
            ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 9}, 2),
            ({"type": "integer", "maximum": -3}, -3),
            ({"type": "integer", "exclusiveMaximum": 1}, 0),
            ({"type": "integer", "minimum": 10**400}, 1),
            ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
            ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, []),
            ({"type": "array"}, []),
            ({"properties": {}}, {}),
            ({"type": "object"}, {}),
            ({"enum": ["b", "c"]}, "b"),
            ({"const": 7}, 7),
            ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
            ({"oneOf": [{"type": "null"}]}, None),
            ({"allOf": [{"$ref": "#/$defs/whole"}]}, 1),
            ({"$ref": "#/$defs/whole"}, 1),
            ({"type": {}}, "field"),
            ({}, "field"),
        ],
    )
    async def test_a_field_has_a_value_of_its_schema(
        self, session: aiohttp.ClientSession, schema: Any, value: Any
    ) -> None:
        whole = {"type": "object", "properties": {"field": schema}, "$defs": {"whole": {"type": "integer"}}}

        assert await self.extracted(session, whole) == {"field": value}

    @pytest.mark.parametrize("schema", [True, {"$ref": "#/$defs/none/of/it"}, {"$ref": "#"}])
    async def test_a_field_without_a_sample_is_omitted(self, session: aiohttp.ClientSession, schema: Any) -> None:
        assert await self.extracted(session, {"type": "object", "properties": {"field": schema}}) == {}

    async def test_a_recursive_schema_is_cut_off(self, session: aiohttp.ClientSession) -> None:
        node = {"type": "object", "properties": {"name": {}, "children": {"type": "array", "items": {"$ref": "#"}}}}

        assert await self.extracted(session, node) == {"name": "name", "children": []}

    async def test_a_very_deep_schema_is_cut_off(self, session: aiohttp.ClientSession) -> None:
        schema: dict[str, Any] = {}
        for _ in range(200):
            schema = {"properties": {"a": schema}}

        assert "a" in await self.extracted(session, schema)

    async def test_a_schema_for_no_object_gets_an_empty_object(self, session: aiohttp.ClientSession) -> None:
        assert await self.extracted(session, {"type": "string"}) == {}

    async def test_extractions_have_more_filters(self, session: aiohttp.ClientSession) -> None:
        first = await create(session, "extractions", metadata={"tenant": "north", "batch": "7"})
        sheet = {"filename": "Order list.XLSX", "url": "https://files.example.com/1"}
        second = await create(session, "extractions", document=sheet)
        expected: list[tuple[Any, list[Any]]] = [
            ({"filename_contains": "LIST"}, [second]),
            ({"filename_regex": "order"}, [second]),
            ({"document_type": "pdf"}, [first]),
            ([("document_type", "pdf"), ("document_type", "xlsx")], [second, first]),
            ({"metadata": '{"tenant": "north"}'}, [first]),
            ({"metadata": '{"tenant": "north", "batch": "8"}'}, []),
        ]

        for query, found in expected:
            assert await listed(session, "extractions", query) == [run["id"] for run in found], query

    @pytest.mark.parametrize(("name", "text"), [("metadata", "[]"), ("metadata", "{"), ("filename_regex", "a.*")])
    async def test_an_invalid_filter_is_422(self, session: aiohttp.ClientSession, name: str, text: str) -> None:
        status, body = await answer(session, "GET", "/v1/extractions", params={name: text})

        assert (status, body["detail"][0]["loc"]) == (422, ["query", name])


class TestParses:
    @pytest.mark.parametrize(
        ("form", "sign"), [("html", "<table>"), ("markdown", "| --- |"), ("yaml", "- item:"), ("json", '{"item"')]
    )
    async def test_tables_have_the_requested_format(self, session: aiohttp.ClientSession, form: str, sign: str) -> None:
        run = await create(session, "parses", table_parsing_format=form)

        assert run["table_parsing_format"] == form
        assert sign in run["output"]["pages"][0]
        assert run["output"]["text"] == "\n\n".join(run["output"]["pages"])
        assert run["usage"] == {"credits": float(len(run["output"]["pages"]))}
        assert "consensus" not in run


class TestEdits:
    async def test_instructions_fill_the_form(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "edits")
        fields = run["output"]["form_data"]

        assert [(field["key"], field["description"], field["value"]) for field in fields] == [
            ("full_name", "Full name", "A. Reyes"),
            ("city", "City", "Lima"),
        ]
        assert fields[0]["bbox"] == {"left": 0.1, "top": 0.05, "width": 0.4, "height": 0.03, "page": 1}
        assert run["config"] == {"color": "#000080"}

    async def test_other_instructions_fill_one_field(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "edits", instructions="Sign: \n it")

        assert [field["value"] for field in run["output"]["form_data"]] == ["Sign: \n it"]

    async def test_the_filled_document_is_a_file_once_the_run_has_completed(
        self, session: aiohttp.ClientSession, clock: ManualClock
    ) -> None:
        begun = await create(session, "edits", background=True)
        before = await listed(session, "files", {"filename": "form_filled"})
        clock.advance(3)
        _, run = await answer(session, "GET", f"/v1/edits/{begun['id']}")
        filled = run["filled_document_ref"]
        again = await create(session, "parses", document=run["output"]["filled_document"])

        assert (before, filled["filename"]) == ([], "Form_filled.pdf")
        assert await listed(session, "files", {"filename": "form_filled"}) == [filled["id"]]
        assert again["file"] == filled

    async def test_a_cancelled_run_has_no_filled_document(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        (run_id,) = emulator.seed("edits")
        await answer(session, "POST", f"/v1/edits/{run_id}/cancel")
        clock.advance(9)

        assert await listed(session, "files", {"filename": "sample_filled"}) == []
        assert emulator.document_of(run_id, "filled_document").size == 0

    async def test_a_template_replaces_the_document(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "edits", document=None, template_id="edittplt_1")

        assert (run["file"]["filename"], run["template_id"]) == ("edittplt_1.pdf", "edittplt_1")
        assert await listed(session, "edits", {"template_id": "edittplt_1"}) == [run["id"]]
        assert await listed(session, "edits", {"template_id": "edittplt_2"}) == []


class TestSchemas:
    async def test_a_generation_contains_the_schema_and_no_documents(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "schemas/generate", instructions="Only the totals.")

        assert run.keys() == {"object", "id", "status", "error", "strict", "json_schema", "created_at"}
        assert run["json_schema"]["description"] == "Only the totals."
        assert run["json_schema"]["required"] == list(run["json_schema"]["properties"])

    async def test_every_document_is_received(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        second = {"filename": "b.pdf", "url": "https://files.example.com/b.pdf"}
        run = await create(session, "schemas/generate", documents=[PDF, second])

        assert emulator.document_of(run["id"]).size == 4
        assert emulator.document_of(run["id"], 1) == ReceivedDocument("b.pdf", "application/pdf", 0, "")
        with pytest.raises(ValueError, match="no such document: 2"):
            emulator.document_of(run["id"], 2)

    async def test_include_output_is_ignored(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "schemas/generate")

        assert await answer(session, "GET", f"/v1/schemas/generate/{run['id']}?include_output=no") == (200, run)


class TestBlueprints:
    async def file(self, session: aiohttp.ClientSession) -> Any:
        return (await create(session, "parses"))["file"]

    async def test_it_has_its_file_and_its_times(self, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        file = await self.file(session)
        body = {"file_id": file["id"], "intent": "find the totals", "mode": "instant", "background": True}
        status, begun = await answer(session, "POST", "/v1/files/blueprints", json=body)
        clock.advance(4)
        _, run = await answer(session, "GET", f"/v1/files/blueprints/{begun['id']}")

        assert (status, begun["output"], begun["started_at"], begun["completed_at"]) == (201, {}, None, None)
        assert begun["id"].startswith("fbp_")
        assert (run["object"], run["file"], run["mode"]) == ("file.blueprint", file, "instant")
        assert run["output"]["summary"] == "find the totals"
        assert run["created_at"] < run["started_at"] < run["completed_at"]

    @pytest.mark.parametrize(("age", "times"), [(0.5, 1), (1.5, 2)])
    async def test_a_cancelled_one_has_its_times(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock, age: float, times: int
    ) -> None:
        (run_id,) = emulator.seed("files/blueprints")
        clock.advance(age)
        _, run = await answer(session, "POST", f"/v1/files/blueprints/{run_id}/cancel")
        clock.advance(9)
        _, read = await answer(session, "GET", f"/v1/files/blueprints/{run_id}")

        assert run == read
        assert run["status"] == "cancelled"
        assert [run["completed_at"], run["started_at"]].count(None) == 2 - times
        assert run["completed_at"]

    async def test_an_unknown_file_is_404(self, session: aiohttp.ClientSession) -> None:
        assert await answer(session, "POST", "/v1/files/blueprints", json={"file_id": "file_0"}) == (
            404,
            {"detail": "File not found"},
        )

    async def test_seeded_ones_have_an_existing_file(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        ids = emulator.seed("files/blueprints", 2)
        _, run = await answer(session, "GET", f"/v1/files/blueprints/{ids[1]}")

        assert (await answer(session, "GET", f"/v1/files/{run['file']['id']}"))[0] == 200
        assert len(await listed(session, "files", {})) == 1


class TestStatusNames:
    async def test_a_run_can_be_seeded_with_other_status_names(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        (run_id,) = emulator.seed("splits", status_names={"queued": "pending", "in_progress": "thinking"})
        seen = []
        for _ in range(2):
            seen.append((await answer(session, "GET", f"/v1/splits/{run_id}"))[1]["status"])
            clock.advance(1)

        assert seen == ["pending", "thinking"]

    def test_an_unknown_status_cannot_be_replaced(self, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match="splits are never awaiting_review, running; they are queued, in_progress"):
            emulator.seed("splits", status_names={"running": "x", "awaiting_review": "y"})


class TestCancelDelay:
    async def test_a_cancel_takes_effect_after_the_delay(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        (run_id,) = emulator.seed("splits", cancel_delay=1)
        seen = []
        for _ in range(3):
            seen.append((await answer(session, "POST", f"/v1/splits/{run_id}/cancel"))[1]["status"])
            clock.advance(0.5)

        assert seen == ["queued", "queued", "cancelled"]

    async def test_the_run_may_end_before_the_delay(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        (run_id,) = emulator.seed("splits", cancel_delay=5)
        await answer(session, "POST", f"/v1/splits/{run_id}/cancel")
        clock.advance(9)

        assert (await answer(session, "GET", f"/v1/splits/{run_id}"))[1]["status"] == "completed"
