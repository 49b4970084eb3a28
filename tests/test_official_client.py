"""The official client works with the emulator as with the API.

It runs in a process of its own, because importing it replaces `ssl.SSLContext` and extends `mimetypes`.
"""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from retab_async.emulator import Emulator

pytestmark = pytest.mark.skipif(find_spec("retab") is None, reason="the official client is not installed")

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
INLINE = {"path": PDF, "bytes": PDF, "mime_data": b"%PDF-"}
REQUESTS: dict[str, dict[str, Any]] = {
    "splits": {"subdocuments": [{"name": "invoice"}]},
    "partitions": {"key": "account", "instructions": "One chunk for each account."},
    "classifications": {"categories": [{"name": "invoice"}, {"name": "contract"}]},
    "extractions": {"json_schema": {"type": "object", "properties": {"total": {"type": "number"}}}},
    "parses": {},
    "edits": {"instructions": "Name: A. Reyes"},
}
CANCELS = {kind: f"create_{kind.removesuffix('s')}_cancel" for kind in REQUESTS} | {"parses": "cancel"}
every_kind = pytest.mark.parametrize("kind", REQUESTS)
BLOCK = "start_document-1"


async def use_every_kind(path: Path) -> dict[str, Any]:
    # Must not be imported by the test process.
    from retab import AsyncRetab  # noqa: PLC0415

    async with (
        Emulator(queued=600) as emulator,
        AsyncRetab(api_key=emulator.api_key, base_url=emulator.url, max_retries=0) as client,
    ):
        return {
            "documents": await create_on_each(emulator, client, path),
            **{kind: await use_kind(emulator, getattr(client, kind), kind) for kind in REQUESTS},
            "streamed": await stream(client),
            "schemas": await generate(emulator, client),
            "blueprints": await blueprint(client),
            "files": await files(client),
            "workflows": await workflow_runs(emulator, client.workflows.runs),
            "evals": await eval_runs(emulator, client.workflows.evals.runs),
            "experiments": await experiment_runs(emulator, client.workflows.experiments.runs),
        }


async def create_on_each(emulator: Emulator, client: Any, path: Path) -> dict[str, Any]:
    # Must not be imported by the test process.
    from retab.types.mime import FileRef, MIMEData  # noqa: PLC0415

    documents = {
        "path": path,
        "bytes": PDF,
        "mime_data": MIMEData(filename="a.pdf", url="data:application/pdf;base64,JVBERi0="),
        "url": "https://files.example.com/far.pdf?v=2",
    }
    runs = {name: await client.splits.create(document=what, **REQUESTS["splits"]) for name, what in documents.items()}
    file = runs["path"].file
    reference = FileRef(id=file.id, filename=file.filename, mime_type=file.mime_type)
    runs["file_ref"] = await client.splits.create(document=reference, **REQUESTS["splits"])
    return {
        name: {"file": run.file.model_dump(), "sha256": emulator.document_of(run.id).sha256}
        for name, run in runs.items()
    }


async def use_kind(emulator: Emulator, runs: Any, kind: str) -> dict[str, Any]:
    cancel = getattr(runs, CANCELS[kind])
    finished = await runs.create(document=PDF, **REQUESTS[kind])
    begun = [await runs.create(document=PDF, background=True, **REQUESTS[kind]) for _ in range(3)]
    before = emulator.active_runs()
    cancelled = await cancel(begun[0].id)
    read = await runs.get(begun[0].id)
    listed = [run.id async for run in await runs.list(limit=2)]
    await runs.delete(begun[2].id)
    return {
        "ids": [finished.id, *(run.id for run in begun)],
        "finished": finished.model_dump(mode="json"),
        "background": begun[0].model_dump(mode="json"),
        "before": before,
        "cancelled": cancelled.model_dump(mode="json"),
        "read": read.model_dump(mode="json"),
        "listed": listed,
        "left": [run.id async for run in await runs.list()],
        "pages": [
            served.query for served in emulator.requests if (served.method, served.path) == ("GET", f"/v1/{kind}")
        ],
    }


def to_json(model: Any) -> Any:
    return model.model_dump(mode="json")


async def stream(client: Any) -> list[Any]:
    # The public methods of extractions do not read a stream line by line.
    document = {"filename": "a.pdf", "url": "data:application/pdf;base64,JVBERi0="}
    body = {"document": document, **REQUESTS["extractions"]}
    return [state async for state in client._request_stream("POST", "/v1/extractions/stream", data=body)]


async def generate(emulator: Emulator, client: Any) -> dict[str, Any]:
    finished = await client.schemas.generate(documents=[PDF, PDF])
    begun = await client.schemas.generate(documents=[PDF], background=True)
    return {
        "finished": to_json(finished),
        "background": to_json(begun),
        "active": begun.id in emulator.active_runs(),
    }


async def blueprint(client: Any) -> dict[str, Any]:
    (file,) = [file async for file in await client.files.list(filename="near")][:1]
    finished = await client.files.create_blueprint(file.id, intent="find the totals")
    begun = await client.files.create_blueprint(file.id, background=True)
    cancelled = await client.files.create_blueprint_cancel(begun.id)
    return {
        "finished": to_json(finished),
        "background": to_json(begun),
        "cancelled": to_json(cancelled),
        "read": to_json(await client.files.get_blueprint(begun.id)),
    }


async def files(client: Any) -> dict[str, Any]:
    listed = [file async for file in await client.files.list(limit=3, order="asc")]
    return {
        "listed": [to_json(file) for file in listed],
        "read": to_json(await client.files.get(listed[0].id)),
        "images": [file.id async for file in await client.files.list(mime_type="image/png")],
    }


async def workflow_runs(emulator: Emulator, runs: Any) -> dict[str, Any]:
    begun = await runs.create("wrk_1", documents={BLOCK: PDF}, json_inputs={"b": [1]}, metadata={"batch": "7"})
    (waiting,) = emulator.seed("workflows/runs", queued=0, running=0, awaiting_review=True)
    (failed,) = emulator.seed("workflows/runs", queued=0, running=0, error={"message": "no", "stage": "execution"})
    answers = [await runs.cancel(begun.id, command_id="cmd_1") for _ in range(2)]
    return {
        "background": to_json(begun),
        "before": to_json(await runs.get(waiting)),
        "cancelled_in_review": to_json(await runs.cancel(waiting)),
        "failed": to_json(await runs.get(failed)),
        "after_end": to_json(await runs.cancel(failed)),
        "answers": [to_json(answer) for answer in answers],
        "listed": [run.id async for run in await runs.list(workflow_id="wrk_1", status="cancelled", limit=1)],
        "all": [begun.id, waiting, failed] == [run.id async for run in await runs.list(order="asc")],
        "deleted": await runs.delete(failed),
        "left": [run.id async for run in await runs.list(exclude_status="cancelled")],
    }


async def eval_runs(emulator: Emulator, runs: Any) -> dict[str, Any]:
    # Must not be imported by the test process.
    from retab import APIError  # noqa: PLC0415

    begun = await runs.create("wrk_1", scope={"type": "block", "block_id": "block_1"})
    (completed,) = emulator.seed("workflows/evals/runs", queued=0, running=0)
    seen = {
        "background": to_json(begun),
        "cancelled": to_json(await runs.cancel(begun.id)),
        "read": to_json(await runs.get(begun.id)),
        "completed": to_json(await runs.get(completed)),
        "listed": [run.id async for run in await runs.list(target_block_id="block_1")],
        "rejected": [],
    }
    for run_id in (begun.id, completed):
        try:
            await runs.cancel(run_id)
        except APIError as error:
            seen["rejected"].append(error.status_code)
    return seen


async def experiment_runs(emulator: Emulator, runs: Any) -> dict[str, Any]:
    begun = await runs.create("exp_1", workflow_id="wrk_1")
    (completed,) = emulator.seed("workflows/experiments/runs", queued=0, running=0)
    return {
        "background": to_json(begun),
        "cancelled": [to_json(await runs.cancel(begun.id)) for _ in range(2)],
        "read": to_json(await runs.get(begun.id)),
        "completed": to_json(await runs.get(completed)),
        "listed": [run.id async for run in await runs.list(experiment_id="exp_1", status="cancelled")],
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the official client saw."""
    path = tmp_path_factory.mktemp("official") / "near.pdf"
    path.write_bytes(PDF)
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    results = subprocess.run(  # noqa: S603 - this file itself
        [sys.executable, "-W", "ignore", __file__, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert results.returncode == 0, results.stderr
    return json.loads(results.stdout)


class TestDocuments:
    @pytest.mark.parametrize("name", INLINE)
    def test_a_document_arrives_byte_for_byte(self, results: Any, name: str) -> None:
        assert results["documents"][name]["sha256"] == hashlib.sha256(INLINE[name]).hexdigest()

    def test_a_path_keeps_its_name(self, results: Any) -> None:
        assert results["documents"]["path"]["file"]["filename"] == "near.pdf"

    def test_a_url_is_not_downloaded(self, results: Any) -> None:
        document = results["documents"]["url"]

        assert (document["file"]["filename"], document["sha256"]) == ("far.pdf", "")

    def test_the_file_of_one_run_can_be_the_document_of_another(self, results: Any) -> None:
        assert results["documents"]["file_ref"] == results["documents"]["path"]


class TestLifeCycle:
    @every_kind
    def test_a_foreground_run_is_completed_and_a_background_run_queued(self, results: Any, kind: str) -> None:
        seen = results[kind]

        assert (seen["finished"]["status"], seen["background"]["status"]) == ("completed", "queued")
        assert seen["finished"]["output"]
        assert seen["before"][-3:] == seen["ids"][1:]

    @every_kind
    def test_a_cancel_returns_the_whole_run(self, results: Any, kind: str) -> None:
        seen = results[kind]

        assert seen["cancelled"] == seen["background"] | {"status": "cancelled"}
        assert seen["read"] == seen["cancelled"]

    @every_kind
    def test_a_list_returns_every_page(self, results: Any, kind: str) -> None:
        seen = results[kind]

        assert seen["listed"][:4] == seen["ids"][::-1]
        assert sum(query.startswith("limit=2") for query in seen["pages"]) > 1

    @every_kind
    def test_a_deleted_run_is_gone(self, results: Any, kind: str) -> None:
        seen = results[kind]

        assert set(seen["listed"]) - set(seen["left"]) == {seen["ids"][3]}


class TestOtherKinds:
    def test_a_stream_returns_partial_outputs_and_then_the_complete_run(self, results: Any) -> None:
        assert [(state["status"], state["output"]) for state in results["streamed"]] == [
            ("in_progress", {}),
            ("completed", {"total": 1.0}),
        ]

    def test_a_schema_is_generated_at_once_or_in_the_background(self, results: Any) -> None:
        seen = results["schemas"]

        assert (seen["finished"]["status"], seen["background"]["status"]) == ("completed", "queued")
        assert seen["finished"]["json_schema"]["properties"]
        assert seen["active"]

    def test_a_blueprint_of_a_file_can_be_cancelled(self, results: Any) -> None:
        seen = results["blueprints"]

        assert (seen["finished"]["status"], seen["finished"]["file"]["filename"]) == ("completed", "near.pdf")
        assert seen["finished"]["completed_at"]
        assert seen["cancelled"]["status"] == "cancelled"
        assert seen["read"] == seen["cancelled"]

    def test_files_are_listed(self, results: Any) -> None:
        seen = results["files"]

        assert len(seen["listed"]) > 6
        assert seen["listed"][0] == seen["read"]
        assert seen["images"] == []


class TestWorkflows:
    def test_a_run_contains_the_fields_of_its_request(self, results: Any) -> None:
        begun = results["workflows"]["background"]

        assert begun["lifecycle"] == {"status": "pending"}
        assert begun["inputs"]["documents"][BLOCK]["mime_type"] == "application/pdf"
        assert (begun["inputs"]["json_data"], begun["metadata"]) == ({"b": [1]}, {"batch": "7"})

    def test_a_cancel_repeated_with_its_command_id_returns_the_same_response(self, results: Any) -> None:
        first, again = results["workflows"]["answers"]

        assert (first["cancellation_status"], first["run"]["lifecycle"]["status"]) == ("cancelled", "cancelled")
        assert again == first

    def test_a_run_that_awaits_review_can_be_cancelled(self, results: Any) -> None:
        seen = results["workflows"]

        assert seen["before"]["lifecycle"]["status"] == "awaiting_review"
        assert seen["cancelled_in_review"]["run"]["lifecycle"]["status"] == "cancelled"

    def test_a_cancel_after_the_end_leaves_the_run_unchanged(self, results: Any) -> None:
        seen = results["workflows"]

        assert (seen["failed"]["lifecycle"]["stage"], seen["failed"]["lifecycle"]["message"]) == ("execution", "no")
        assert seen["after_end"] == {
            "run": seen["failed"],
            "cancellation_status": "cancellation_failed",
            "redis_available": True,
        }

    def test_runs_are_listed_and_deleted(self, results: Any) -> None:
        seen = results["workflows"]

        assert seen["listed"] == [seen["background"]["id"]]
        assert seen["all"]
        assert seen["left"] == []

    def test_an_eval_run_is_cancelled_once(self, results: Any) -> None:
        seen = results["evals"]

        assert seen["background"]["target"]["block_id"] == "block_1"
        assert seen["cancelled"]["lifecycle"]["status"] == "cancelled"
        assert (seen["read"], seen["listed"]) == (seen["cancelled"], [seen["background"]["id"]])
        assert seen["completed"]["counts"]["outcome"]["passed"] == seen["completed"]["total_evals"]
        assert seen["rejected"] == [404, 404]

    def test_an_experiment_run_answers_a_cancel_with_its_lifecycle(self, results: Any) -> None:
        seen = results["experiments"]
        first, again = seen["cancelled"]

        assert first == again == {"id": seen["background"]["id"], "lifecycle": seen["read"]["lifecycle"]}
        assert (seen["completed"]["score"], seen["listed"]) == (1.0, [seen["background"]["id"]])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(use_every_kind(Path(sys.argv[1])))))  # noqa: T201 - to the process that asked
