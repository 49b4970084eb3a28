"""The emulator's runs: create, life cycle, get, cancel, delete."""

import base64
import hashlib
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from emulator_http import answer

from retab_async.emulator import Emulator, ManualClock, ReceivedDocument

PDF = {"filename": "Batch.pdf", "url": "data:application/pdf;base64,JVBERg=="}
SPLIT: dict[str, Any] = {
    "document": PDF,
    "subdocuments": [{"name": "invoice", "allow_multiple_instances": True}, {"name": "receipt"}],
}
PARTITION = {"document": PDF, "key": "account", "instructions": "One chunk for each account."}
BODIES: dict[str, dict[str, Any]] = {"splits": SPLIT, "partitions": PARTITION}
BACKGROUND = {"background": True}
both_kinds = pytest.mark.parametrize("kind", ["splits", "partitions"])


async def create(session: aiohttp.ClientSession, kind: str, **fields: Any) -> Any:
    status, body = await answer(session, "POST", f"/v1/{kind}", json=BODIES[kind] | fields)
    assert status == 201, body
    return body


async def status_of(session: aiohttp.ClientSession, kind: str, run_id: str) -> Any:
    return (await answer(session, "GET", f"/v1/{kind}/{run_id}"))[1]["status"]


class TestCreate:
    @both_kinds
    async def test_a_foreground_run_is_completed_and_a_background_run_queued(
        self, session: aiohttp.ClientSession, kind: str
    ) -> None:
        run = await create(session, kind)

        assert run["status"] == "completed"
        assert run["output"]

    @both_kinds
    async def test_a_background_run_is_queued_without_results(self, session: aiohttp.ClientSession, kind: str) -> None:
        run = await create(session, kind, **BACKGROUND)

        assert (run["status"], run["output"], run["consensus"], run["usage"]) == ("queued", [], None, None)

    @pytest.mark.parametrize(("kind", "prefix"), [("splits", "splt_"), ("partitions", "prtn_")])
    async def test_ids_have_the_prefix_of_their_kind(
        self, session: aiohttp.ClientSession, kind: str, prefix: str
    ) -> None:
        run = await create(session, kind)

        assert run["id"].startswith(prefix)

    async def test_a_split_repeats_its_request_with_defaults(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "splits", instructions="", model=None)

        assert run["subdocuments"] == [
            {"name": "invoice", "description": "", "allow_multiple_instances": True},
            {"name": "receipt", "description": "", "allow_multiple_instances": False},
        ]
        assert (run["model"], run["n_consensus"], run["instructions"]) == ("retab-small", 1, "")

    async def test_a_partition_repeats_its_request_with_defaults(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "partitions", model="retab-large")

        assert (run["key"], run["instructions"]) == ("account", "One chunk for each account.")
        assert (run["model"], run["allow_overlap"]) == ("retab-large", True)

    @both_kinds
    async def test_fields_of_the_request_only_are_not_repeated(self, session: aiohttp.ClientSession, kind: str) -> None:
        run = await create(session, kind)

        assert not run.keys() & {"document", "bust_cache", "background"}

    @pytest.mark.parametrize(
        ("filename", "url", "expected"),
        [
            ("a.pdf", "data:image/png;base64,AAAA", "image/png"),
            ("a.pdf", "data:;base64,AAAA", "application/pdf"),
            ("a.png", "https://files.example.com/1", "image/png"),
            ("nameless", "https://files.example.com/1", "application/octet-stream"),
        ],
    )
    async def test_the_mime_type_follows_from_the_url_or_the_name(
        self, session: aiohttp.ClientSession, filename: str, url: str, expected: str
    ) -> None:
        run = await create(session, "splits", document={"filename": filename, "url": url})

        assert (run["file"]["filename"], run["file"]["mime_type"]) == (filename, expected)
        assert run["file"]["id"].startswith("file_")


class TestInvalidCreates:
    @pytest.mark.parametrize(
        ("kind", "fields", "loc", "type_"),
        [
            ("splits", {"document": {"id": "file_1"}}, ["body", "document", "filename"], "missing"),
            ("splits", {"document": {"filename": "a"}}, ["body", "document", "url"], "missing"),
            (
                "splits",
                {"document": {"filename": " ", "url": "data:,"}},
                ["body", "document", "filename"],
                "string_too_short",
            ),
            ("splits", {"document": {"filename": "a", "url": "gs://b/c"}}, ["body", "document", "url"], "url_scheme"),
            ("splits", {"document": {"filename": "a", "url": 1}}, ["body", "document", "url"], "string_type"),
            ("splits", {"document": {"filename": "a", "url": "data:;base64"}}, ["body", "document", "url"], "data_url"),
            (
                "splits",
                {"document": {"filename": "a", "url": "data:;base64,JVBERg"}},
                ["body", "document", "url"],
                "data_url",
            ),
            (
                "splits",
                {"document": {"filename": "a", "url": "data:;base64,JVB ERg=="}},
                ["body", "document", "url"],
                "data_url",
            ),
            (
                "splits",
                {"document": {"filename": "a", "url": "data:,\ud800"}},
                ["body", "document", "url"],
                "data_url",
            ),
            ("splits", {"document": "a.pdf"}, ["body", "document"], "dict_type"),
            ("splits", {"document": None}, ["body", "document"], "dict_type"),
            ("splits", {"subdocuments": []}, ["body", "subdocuments"], "too_short"),
            ("splits", {"subdocuments": {}}, ["body", "subdocuments"], "list_type"),
            ("splits", {"subdocuments": [{"name": "a"}, {}]}, ["body", "subdocuments", 1, "name"], "missing"),
            ("splits", {"subdocuments": [{"name": ""}]}, ["body", "subdocuments", 0, "name"], "string_too_short"),
            ("splits", {"subdocuments": ["a"]}, ["body", "subdocuments", 0], "dict_type"),
            ("splits", {"n_consensus": 0}, ["body", "n_consensus"], "out_of_range"),
            ("splits", {"n_consensus": 9}, ["body", "n_consensus"], "out_of_range"),
            ("splits", {"n_consensus": True}, ["body", "n_consensus"], "int_type"),
            ("splits", {"n_consensus": "3"}, ["body", "n_consensus"], "int_type"),
            ("splits", {"background": "yes"}, ["body", "background"], "bool_type"),
            ("splits", {"instructions": 5}, ["body", "instructions"], "string_type"),
            ("partitions", {"key": " "}, ["body", "key"], "string_too_short"),
            ("partitions", {"instructions": ""}, ["body", "instructions"], "string_too_short"),
            ("partitions", {"instructions": None}, ["body", "instructions"], "string_type"),
        ],
    )
    async def test_an_invalid_field_is_422_and_named(
        self, session: aiohttp.ClientSession, kind: str, fields: dict[str, Any], loc: list[str | int], type_: str
    ) -> None:
        status, body = await answer(session, "POST", f"/v1/{kind}", json=BODIES[kind] | fields)

        assert status == 422
        assert (loc, type_) in [(entry["loc"], entry["type"]) for entry in body["detail"]]

    @pytest.mark.parametrize(
        ("kind", "missing"),
        [("splits", ["document", "subdocuments"]), ("partitions", ["document", "key", "instructions"])],
    )
    async def test_all_missing_fields_are_named(
        self, session: aiohttp.ClientSession, kind: str, missing: list[str]
    ) -> None:
        status, body = await answer(session, "POST", f"/v1/{kind}", json={})

        assert status == 422
        assert body["detail"] == [
            {"type": "missing", "loc": ["body", name], "msg": "Field required"} for name in missing
        ]

    @pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000])
    async def test_a_body_that_is_not_json_is_422(self, session: aiohttp.ClientSession, text: bytes) -> None:
        status, body = await answer(session, "POST", "/v1/splits", data=text)

        assert (status, body["detail"][0]["type"]) == (422, "json_invalid")

    async def test_a_body_that_is_no_object_is_422(self, session: aiohttp.ClientSession) -> None:
        status, body = await answer(session, "POST", "/v1/splits", json=[])

        assert (status, body["detail"][0]["loc"]) == (422, ["body"])

    async def test_a_body_above_32_mib_is_413(self, session: aiohttp.ClientSession) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(33):
                yield b" " * 1024 * 1024

        status, _ = await answer(session, "POST", "/v1/splits", data=chunks())

        assert status == 413

    async def test_a_rejected_create_makes_no_run(self, session: aiohttp.ClientSession) -> None:
        await answer(session, "POST", "/v1/splits", json={})
        _, listed = await answer(session, "GET", "/v1/splits")

        assert listed["data"] == []


class TestRunLifeCycle:
    @both_kinds
    async def test_a_background_run_is_queued_then_in_progress_then_completed(
        self, session: aiohttp.ClientSession, clock: ManualClock, kind: str
    ) -> None:
        run = await create(session, kind, **BACKGROUND)
        seen = []
        for _ in range(4):
            seen.append(await status_of(session, kind, run["id"]))
            clock.advance(1)

        assert seen == ["queued", "in_progress", "in_progress", "completed"]

    def test_a_clock_cannot_go_back(self, clock: ManualClock) -> None:
        with pytest.raises(ValueError, match="go back"):
            clock.advance(-1)

    async def test_created_at_follows_the_clock(self, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        first = await create(session, "splits")
        clock.advance(365 * 24 * 3600)
        second = await create(session, "splits")

        assert int(second["created_at"][:4]) - int(first["created_at"][:4]) in {0, 1}
        assert second["created_at"] > first["created_at"]
        assert first["created_at"].endswith("Z")

    @both_kinds
    async def test_the_status_view_has_only_the_status(self, session: aiohttp.ClientSession, kind: str) -> None:
        run = await create(session, kind)
        _, brief = await answer(session, "GET", f"/v1/{kind}/{run['id']}?include_output=false")

        assert brief == {"id": run["id"], "status": "completed", "error": None}

    async def test_the_full_view_can_be_requested(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "splits")
        _, full = await answer(session, "GET", f"/v1/splits/{run['id']}?include_output=true")

        assert full == run

    async def test_an_invalid_include_output_is_422(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "splits")
        status, body = await answer(session, "GET", f"/v1/splits/{run['id']}?include_output=maybe")

        assert (status, body["detail"][0]["loc"]) == (422, ["query", "include_output"])


class TestDocuments:
    @pytest.mark.parametrize("content", [b"", b"%PDF-1.7", bytes(range(256)) * 2048])
    async def test_an_inline_document_has_size_and_digest(
        self, session: aiohttp.ClientSession, emulator: Emulator, content: bytes
    ) -> None:
        url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        run = await create(session, "splits", document={"filename": "a.png", "url": url})

        assert emulator.document_of(run["id"]) == ReceivedDocument(
            "a.png", "image/png", len(content), hashlib.sha256(content).hexdigest()
        )

    async def test_data_may_be_percent_encoded(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        run = await create(session, "splits", document={"filename": "a.txt", "url": "data:,a%20b"})

        assert emulator.document_of(run["id"]) == ReceivedDocument(
            "a.txt", "text/plain", 3, hashlib.sha256(b"a b").hexdigest()
        )

    async def test_a_remote_document_has_no_content(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        document = {"filename": "a.pdf", "url": "https://files.example.com/a.pdf"}
        run = await create(session, "splits", document=document)

        assert emulator.document_of(run["id"]) == ReceivedDocument("a.pdf", "application/pdf", 0, "")

    async def test_a_run_of_any_kind_has_its_document(self, emulator: Emulator) -> None:
        ids = emulator.seed("splits") + emulator.seed("partitions")

        assert {emulator.document_of(run_id).filename for run_id in ids} == {"sample.pdf"}

    async def test_an_unknown_run_has_none(self, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match="no such run: 'splt_x'"):
            emulator.document_of("splt_x")


class TestActiveRuns:
    async def test_it_returns_the_active_runs_of_all_kinds_oldest_first(
        self, session: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        ids = [emulator.seed(kind)[0] for kind in ("splits", "partitions", "splits", "partitions")]
        emulator.seed("splits", queued=0, running=0)
        await answer(session, "POST", f"/v1/partitions/{ids[1]}/cancel")

        assert emulator.active_runs() == [ids[0], *ids[2:]]

    async def test_it_follows_the_clock(self, emulator: Emulator, clock: ManualClock) -> None:
        emulator.seed("splits", 2)
        clock.advance(3)

        assert emulator.active_runs() == []


class TestPollAfter:
    @pytest.fixture
    async def emulator(self, clock: ManualClock) -> AsyncIterator[Emulator]:
        async with Emulator(queued=1, running=2, clock=clock, poll_after=7) as running:
            yield running

    async def hint(self, session: aiohttp.ClientSession, method: str, path: str) -> str | None:
        async with session.request(method, path) as response:
            return response.headers.get("Retry-After")

    @pytest.mark.parametrize("tail", ["/{run_id}", "/{run_id}?include_output=false", ""])
    async def test_a_read_of_an_active_run_has_a_retry_after(
        self, session: aiohttp.ClientSession, emulator: Emulator, tail: str
    ) -> None:
        (run_id,) = emulator.seed("splits")
        emulator.seed("splits", queued=0, running=0)

        assert await self.hint(session, "GET", "/v1/splits" + tail.format(run_id=run_id)) == "7"

    @pytest.mark.parametrize("tail", ["/{run_id}", "/{run_id}?include_output=false", ""])
    async def test_a_read_of_terminal_runs_has_no_retry_after(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock, tail: str
    ) -> None:
        (run_id,) = emulator.seed("splits")
        clock.advance(3)

        assert await self.hint(session, "GET", "/v1/splits" + tail.format(run_id=run_id)) is None

    async def test_a_cancel_has_no_retry_after(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits")

        assert await self.hint(session, "POST", f"/v1/splits/{run_id}/cancel") is None

    async def test_there_is_no_retry_after_by_default(self) -> None:
        async with Emulator() as emulator, aiohttp.ClientSession(emulator.url, headers={"Api-Key": "any"}) as session:
            (run_id,) = emulator.seed("splits")

            assert await self.hint(session, "GET", f"/v1/splits/{run_id}") is None


class TestResults:
    async def test_a_split_has_results_for_the_requested_names(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "splits")

        assert run["output"] == [
            {"name": "invoice", "pages": [1, 2], "regions": []},
            {"name": "invoice", "pages": [3], "regions": []},
            {"name": "receipt", "pages": [4, 5], "regions": []},
        ]

    @pytest.mark.parametrize(("asked", "second"), [({"allow_overlap": True}, [2, 3]), ({"allow_overlap": False}, [3])])
    async def test_a_partition_has_overlapping_chunks_if_allowed(
        self, session: aiohttp.ClientSession, asked: dict[str, bool], second: list[int]
    ) -> None:
        run = await create(session, "partitions", **asked)

        assert run["output"] == [{"key": "account 1", "pages": [1, 2]}, {"key": "account 2", "pages": second}]

    @pytest.mark.parametrize(("kind", "label"), [("splits", "name"), ("partitions", "key")])
    async def test_likelihoods_line_up_with_the_output(
        self, session: aiohttp.ClientSession, kind: str, label: str
    ) -> None:
        run = await create(session, kind, n_consensus=3)

        assert run["consensus"]["choices"] == [run["output"]] * 3
        assert [(entry[label], len(entry["pages"])) for entry in run["consensus"]["likelihoods"]] == [
            (1.0, len(result["pages"])) for result in run["output"]
        ]

    @both_kinds
    async def test_a_single_vote_has_no_consensus(self, session: aiohttp.ClientSession, kind: str) -> None:
        run = await create(session, kind, n_consensus=1)

        assert run["consensus"] is None

    async def test_credits_are_pages_times_votes(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, "splits", n_consensus=3)

        assert run["usage"] == {"credits": 15.0}


class TestCancel:
    @both_kinds
    @pytest.mark.parametrize("age", [0, 1.5])
    async def test_a_cancel_returns_the_cancelled_run(
        self, session: aiohttp.ClientSession, clock: ManualClock, kind: str, age: float
    ) -> None:
        run = await create(session, kind, **BACKGROUND)
        clock.advance(age)
        status, cancelled = await answer(session, "POST", f"/v1/{kind}/{run['id']}/cancel")

        assert status == 200
        assert cancelled == run | {"status": "cancelled"}

    async def test_a_cancelled_run_stays_cancelled(self, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        run = await create(session, "splits", **BACKGROUND)
        _, first = await answer(session, "POST", f"/v1/splits/{run['id']}/cancel")
        clock.advance(100)
        _, again = await answer(session, "POST", f"/v1/splits/{run['id']}/cancel")

        assert first == again

    @both_kinds
    async def test_a_terminal_run_is_unchanged(
        self, session: aiohttp.ClientSession, clock: ManualClock, kind: str
    ) -> None:
        run = await create(session, kind, **BACKGROUND)
        clock.advance(3)
        status, cancelled = await answer(session, "POST", f"/v1/{kind}/{run['id']}/cancel")
        _, read = await answer(session, "GET", f"/v1/{kind}/{run['id']}")

        assert (status, cancelled["status"]) == (200, "completed")
        assert cancelled == read

    async def test_a_json_body_is_ignored(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits")
        status, _ = await answer(session, "POST", f"/v1/splits/{run_id}/cancel", json={})

        assert status == 200


class TestUnknownAndDeleted:
    @pytest.mark.parametrize(("kind", "detail"), [("splits", "Split not found"), ("partitions", "Partition not found")])
    @pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel")])
    async def test_an_unknown_id_is_404(
        self, session: aiohttp.ClientSession, kind: str, detail: str, method: str, tail: str
    ) -> None:
        assert await answer(session, method, f"/v1/{kind}/none{tail}") == (404, {"detail": detail})

    async def test_an_id_of_another_kind_is_404(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits")
        status, _ = await answer(session, "POST", f"/v1/partitions/{run_id}/cancel")

        assert status == 404

    @both_kinds
    async def test_a_delete_is_204_without_a_body(
        self, session: aiohttp.ClientSession, emulator: Emulator, kind: str
    ) -> None:
        (run_id,) = emulator.seed(kind)
        async with session.delete(f"/v1/{kind}/{run_id}") as response:
            body = await response.read()

        assert (response.status, body) == (204, b"")
        assert "Content-Type" not in response.headers

    async def test_a_deleted_run_is_404(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        (run_id,) = emulator.seed("splits")
        async with session.delete(f"/v1/splits/{run_id}"):
            pass
        status, _ = await answer(session, "GET", f"/v1/splits/{run_id}")

        assert status == 404


class TestSeed:
    @both_kinds
    async def test_seeded_runs_are_active(self, session: aiohttp.ClientSession, emulator: Emulator, kind: str) -> None:
        ids = emulator.seed(kind, 3)
        seen = [await status_of(session, kind, run_id) for run_id in ids]

        assert len(set(ids)) == 3
        assert seen == ["queued"] * 3

    @pytest.mark.parametrize(
        ("times", "expected"),
        [
            ({"queued": 0}, "in_progress"),
            ({"queued": 0, "running": 0}, "completed"),
            ({"queued": math.inf}, "queued"),
            ({"queued": 0, "running": math.inf}, "in_progress"),
        ],
    )
    async def test_seeded_runs_can_have_other_times(
        self, session: aiohttp.ClientSession, emulator: Emulator, times: dict[str, float], expected: str
    ) -> None:
        (run_id,) = emulator.seed("splits", **times)  # type: ignore[arg-type]  # numbers alone, never the error

        assert await status_of(session, "splits", run_id) == expected

    async def test_a_run_seeded_with_an_error_fails(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        error = {"code": "bad_document", "message": "no pages"}
        (run_id,) = emulator.seed("splits", error=error)
        _, before = await answer(session, "GET", f"/v1/splits/{run_id}")
        clock.advance(3)
        _, after = await answer(session, "GET", f"/v1/splits/{run_id}")

        assert (before["status"], before["error"]) == ("queued", None)
        assert (after["status"], after["error"], after["output"]) == ("failed", error, [])

    async def test_an_unknown_kind_is_rejected_with_the_nearest_one(self, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match=r"did you mean 'splits'\? Kinds: classifications, .*, workflows/runs"):
            emulator.seed("spilts")

    @pytest.mark.parametrize("kind", ["workflows/runs", "workflows.runs"])
    def test_a_kind_is_named_with_slashes_or_dots(self, emulator: Emulator, kind: str) -> None:
        (run_id,) = emulator.seed(kind)

        assert run_id.startswith("run_")

    @pytest.mark.parametrize("status", ["queued", "in_progress", "completed", "failed", "cancelled"])
    async def test_a_run_can_be_seeded_with_a_permanent_status(
        self, emulator: Emulator, session: aiohttp.ClientSession, clock: ManualClock, status: str
    ) -> None:
        (run_id,) = emulator.seed("splits", status=status)
        before = (await answer(session, "GET", f"/v1/splits/{run_id}"))[1]
        clock.advance(1_000_000)
        after = (await answer(session, "GET", f"/v1/splits/{run_id}"))[1]

        assert before == after
        assert (after["status"], after["error"] is None) == (status, status != "failed")
        assert bool(after["output"]) == (status == "completed")
        assert (run_id in emulator.active_runs()) == (status in {"queued", "in_progress"})

    @pytest.mark.parametrize(("status", "shown"), [("error", "error"), ("failed", "error"), ("awaiting_review",) * 2])
    async def test_a_status_is_named_as_by_the_kind_or_as_its_phase(
        self, emulator: Emulator, session: aiohttp.ClientSession, status: str, shown: str
    ) -> None:
        (run_id,) = emulator.seed("workflows.runs", status=status)
        _, run = await answer(session, "GET", f"/v1/workflows/runs/{run_id}")

        assert run["lifecycle"]["status"] == shown

    async def test_a_failed_run_can_have_a_given_error(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        error = {"code": "bad_document", "message": "unreadable"}
        (run_id,) = emulator.seed("splits", status="failed", error=error)

        assert (await answer(session, "GET", f"/v1/splits/{run_id}"))[1]["error"] == error

    async def test_an_active_permanent_status_ends_with_a_cancel(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        (run_id,) = emulator.seed("splits", status="in_progress")

        assert (await answer(session, "POST", f"/v1/splits/{run_id}/cancel"))[1]["status"] == "cancelled"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"status": "done"}, "splits are never done; they are queued, in_progress, completed, failed, cancelled"),
            ({"status": "awaiting_review"}, "splits are never awaiting_review"),
            ({"status": "completed", "error": {}}, "only failed runs have an error"),
            ({"status": "queued", "running": 1}, "a status is permanent"),
        ],
    )
    def test_contradictory_options_are_rejected(
        self, emulator: Emulator, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            emulator.seed("splits", **options)
