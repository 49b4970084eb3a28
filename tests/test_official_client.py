"""The official client takes the emulator for the API.

It speaks in a process of its own, because it replaces `ssl.SSLContext` and adds to `mimetypes` wherever it is loaded.
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
ASKED: dict[str, dict[str, Any]] = {
    "splits": {"subdocuments": [{"name": "invoice"}]},
    "partitions": {"key": "account", "instructions": "One chunk for each account."},
    "classifications": {"categories": [{"name": "invoice"}, {"name": "contract"}]},
    "extractions": {"json_schema": {"type": "object", "properties": {"total": {"type": "number"}}}},
    "parses": {},
    "edits": {"instructions": "Name: A. Reyes"},
}
CANCELS = {kind: f"create_{kind.removesuffix('s')}_cancel" for kind in ASKED} | {"parses": "cancel"}
every_kind = pytest.mark.parametrize("kind", ASKED)
BLOCK = "start_document-1"


async def talk(path: Path) -> dict[str, Any]:
    # Not to be loaded by the tests themselves.
    from retab import AsyncRetab  # noqa: PLC0415

    async with (
        Emulator(queued=600) as emulator,
        AsyncRetab(api_key=emulator.api_key, base_url=emulator.url, max_retries=0) as client,
    ):
        return {
            "documents": await create_on_each(emulator, client, path),
            **{kind: await live(emulator, getattr(client, kind), kind) for kind in ASKED},
            "streamed": await stream(client),
            "schemas": await generate(emulator, client),
            "blueprints": await blueprint(client),
            "files": await files(client),
            "workflows": await workflow_runs(emulator, client.workflows.runs),
            "evals": await eval_runs(emulator, client.workflows.evals.runs),
            "experiments": await experiment_runs(emulator, client.workflows.experiments.runs),
        }


async def create_on_each(emulator: Emulator, client: Any, path: Path) -> dict[str, Any]:
    # Not to be loaded by the tests themselves.
    from retab.types.mime import FileRef, MIMEData  # noqa: PLC0415

    documents = {
        "path": path,
        "bytes": PDF,
        "mime_data": MIMEData(filename="a.pdf", url="data:application/pdf;base64,JVBERi0="),
        "url": "https://files.example.com/far.pdf?v=2",
    }
    runs = {name: await client.splits.create(document=what, **ASKED["splits"]) for name, what in documents.items()}
    file = runs["path"].file
    reference = FileRef(id=file.id, filename=file.filename, mime_type=file.mime_type)
    runs["file_ref"] = await client.splits.create(document=reference, **ASKED["splits"])
    return {
        name: {"file": run.file.model_dump(), "sha256": emulator.document_of(run.id).sha256}
        for name, run in runs.items()
    }


async def live(emulator: Emulator, runs: Any, kind: str) -> dict[str, Any]:
    cancel = getattr(runs, CANCELS[kind])
    finished = await runs.create(document=PDF, **ASKED[kind])
    begun = [await runs.create(document=PDF, background=True, **ASKED[kind]) for _ in range(3)]
    before = emulator.active_runs()
    cancelled = await cancel(begun[0].id)
    read = await runs.get(begun[0].id)
    listed = [run.id async for run in await runs.list(limit=2)]
    await runs.delete(begun[2].id)
    return {
        "ids": [finished.id, *(run.id for run in begun)],
        "finished": finished.model_dump(mode="json"),
        "begun": begun[0].model_dump(mode="json"),
        "before": before,
        "cancelled": cancelled.model_dump(mode="json"),
        "read": read.model_dump(mode="json"),
        "listed": listed,
        "left": [run.id async for run in await runs.list()],
        "pages": [served.query for served in emulator.requests if served[:2] == ("GET", f"/v1/{kind}")],
    }


def told(model: Any) -> Any:
    return model.model_dump(mode="json")


async def stream(client: Any) -> list[Any]:
    # The methods of extractions do not read a stream line by line; what they are made of does.
    document = {"filename": "a.pdf", "url": "data:application/pdf;base64,JVBERi0="}
    body = {"document": document, **ASKED["extractions"]}
    return [state async for state in client._request_stream("POST", "/v1/extractions/stream", data=body)]


async def generate(emulator: Emulator, client: Any) -> dict[str, Any]:
    finished = await client.schemas.generate(documents=[PDF, PDF])
    begun = await client.schemas.generate(documents=[PDF], background=True)
    return {"finished": told(finished), "begun": told(begun), "alive": begun.id in emulator.active_runs()}


async def blueprint(client: Any) -> dict[str, Any]:
    (file,) = [file async for file in await client.files.list(filename="near")][:1]
    finished = await client.files.create_blueprint(file.id, intent="find the totals")
    begun = await client.files.create_blueprint(file.id, background=True)
    cancelled = await client.files.create_blueprint_cancel(begun.id)
    return {
        "finished": told(finished),
        "begun": told(begun),
        "cancelled": told(cancelled),
        "read": told(await client.files.get_blueprint(begun.id)),
    }


async def files(client: Any) -> dict[str, Any]:
    listed = [file async for file in await client.files.list(limit=3, order="asc")]
    return {
        "listed": [told(file) for file in listed],
        "read": told(await client.files.get(listed[0].id)),
        "images": [file.id async for file in await client.files.list(mime_type="image/png")],
    }


async def workflow_runs(emulator: Emulator, runs: Any) -> dict[str, Any]:
    begun = await runs.create("wrk_1", documents={BLOCK: PDF}, json_inputs={"b": [1]}, metadata={"batch": "7"})
    (waiting,) = emulator.seed("workflows/runs", queued=0, running=0, awaiting_review=True)
    (failed,) = emulator.seed("workflows/runs", queued=0, running=0, error={"message": "no", "stage": "execution"})
    answers = [await runs.cancel(begun.id, command_id="cmd_1") for _ in range(2)]
    return {
        "begun": told(begun),
        "before": told(await runs.get(waiting)),
        "stopped": told(await runs.cancel(waiting)),
        "failed": told(await runs.get(failed)),
        "late": told(await runs.cancel(failed)),
        "answers": [told(answer) for answer in answers],
        "listed": [run.id async for run in await runs.list(workflow_id="wrk_1", status="cancelled", limit=1)],
        "all": [begun.id, waiting, failed] == [run.id async for run in await runs.list(order="asc")],
        "deleted": await runs.delete(failed),
        "left": [run.id async for run in await runs.list(exclude_status="cancelled")],
    }


async def eval_runs(emulator: Emulator, runs: Any) -> dict[str, Any]:
    # Not to be loaded by the tests themselves.
    from retab import APIError  # noqa: PLC0415

    begun = await runs.create("wrk_1", scope={"type": "block", "block_id": "block_1"})
    (completed,) = emulator.seed("workflows/evals/runs", queued=0, running=0)
    seen = {
        "begun": told(begun),
        "cancelled": told(await runs.cancel(begun.id)),
        "read": told(await runs.get(begun.id)),
        "completed": told(await runs.get(completed)),
        "listed": [run.id async for run in await runs.list(target_block_id="block_1")],
        "refused": [],
    }
    for run_id in (begun.id, completed):
        try:
            await runs.cancel(run_id)
        except APIError as error:
            seen["refused"].append(error.status_code)
    return seen


async def experiment_runs(emulator: Emulator, runs: Any) -> dict[str, Any]:
    begun = await runs.create("exp_1", workflow_id="wrk_1")
    (completed,) = emulator.seed("workflows/experiments/runs", queued=0, running=0)
    return {
        "begun": told(begun),
        "cancelled": [told(await runs.cancel(begun.id)) for _ in range(2)],
        "read": told(await runs.get(begun.id)),
        "completed": told(await runs.get(completed)),
        "listed": [run.id async for run in await runs.list(experiment_id="exp_1", status="cancelled")],
    }


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the official client saw."""
    path = tmp_path_factory.mktemp("official") / "near.pdf"
    path.write_bytes(PDF)
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    heard = subprocess.run(  # noqa: S603 - this file itself
        [sys.executable, "-W", "ignore", __file__, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert heard.returncode == 0, heard.stderr
    return json.loads(heard.stdout)


class TestDocuments:
    @pytest.mark.parametrize("name", INLINE)
    def test_a_document_arrives_byte_for_byte(self, heard: Any, name: str) -> None:
        assert heard["documents"][name]["sha256"] == hashlib.sha256(INLINE[name]).hexdigest()

    def test_a_path_keeps_its_name(self, heard: Any) -> None:
        assert heard["documents"]["path"]["file"]["filename"] == "near.pdf"

    def test_a_url_is_left_where_it_is(self, heard: Any) -> None:
        document = heard["documents"]["url"]

        assert (document["file"]["filename"], document["sha256"]) == ("far.pdf", "")

    def test_the_file_of_one_run_serves_another(self, heard: Any) -> None:
        assert heard["documents"]["file_ref"] == heard["documents"]["path"]


class TestLife:
    @every_kind
    def test_a_run_is_completed_at_once_unless_it_is_for_the_background(self, heard: Any, kind: str) -> None:
        seen = heard[kind]

        assert (seen["finished"]["status"], seen["begun"]["status"]) == ("completed", "queued")
        assert seen["finished"]["output"]
        assert seen["before"][-3:] == seen["ids"][1:]

    @every_kind
    def test_a_cancel_is_answered_with_the_whole_run(self, heard: Any, kind: str) -> None:
        seen = heard[kind]

        assert seen["cancelled"] == seen["begun"] | {"status": "cancelled"}
        assert seen["read"] == seen["cancelled"]

    @every_kind
    def test_every_page_of_a_list_is_walked(self, heard: Any, kind: str) -> None:
        seen = heard[kind]

        assert seen["listed"][:4] == seen["ids"][::-1]
        assert sum(query.startswith("limit=2") for query in seen["pages"]) > 1

    @every_kind
    def test_a_deleted_run_is_gone(self, heard: Any, kind: str) -> None:
        seen = heard[kind]

        assert set(seen["listed"]) - set(seen["left"]) == {seen["ids"][3]}


class TestTheirOwn:
    def test_the_states_of_a_stream_grow_to_the_whole(self, heard: Any) -> None:
        assert [(state["status"], state["output"]) for state in heard["streamed"]] == [
            ("in_progress", {}),
            ("completed", {"total": 1.0}),
        ]

    def test_a_schema_is_generated_at_once_or_in_the_background(self, heard: Any) -> None:
        seen = heard["schemas"]

        assert (seen["finished"]["status"], seen["begun"]["status"]) == ("completed", "queued")
        assert seen["finished"]["json_schema"]["properties"]
        assert seen["alive"]

    def test_a_blueprint_is_made_of_a_file_and_cancelled(self, heard: Any) -> None:
        seen = heard["blueprints"]

        assert (seen["finished"]["status"], seen["finished"]["file"]["filename"]) == ("completed", "near.pdf")
        assert seen["finished"]["completed_at"]
        assert seen["cancelled"]["status"] == "cancelled"
        assert seen["read"] == seen["cancelled"]

    def test_files_are_listed(self, heard: Any) -> None:
        seen = heard["files"]

        assert len(seen["listed"]) > 6
        assert seen["listed"][0] == seen["read"]
        assert seen["images"] == []


class TestWorkflows:
    def test_a_run_echoes_what_it_was_given(self, heard: Any) -> None:
        begun = heard["workflows"]["begun"]

        assert begun["lifecycle"] == {"status": "pending"}
        assert begun["inputs"]["documents"][BLOCK]["mime_type"] == "application/pdf"
        assert (begun["inputs"]["json_data"], begun["metadata"]) == ({"b": [1]}, {"batch": "7"})

    def test_a_cancel_wraps_the_run_and_is_told_again_under_its_command(self, heard: Any) -> None:
        first, again = heard["workflows"]["answers"]

        assert (first["cancellation_status"], first["run"]["lifecycle"]["status"]) == ("cancelled", "cancelled")
        assert again == first

    def test_a_run_that_awaits_review_can_be_cancelled(self, heard: Any) -> None:
        seen = heard["workflows"]

        assert seen["before"]["lifecycle"]["status"] == "awaiting_review"
        assert seen["stopped"]["run"]["lifecycle"]["status"] == "cancelled"

    def test_a_cancel_that_comes_late_leaves_the_run_as_it_is(self, heard: Any) -> None:
        seen = heard["workflows"]

        assert (seen["failed"]["lifecycle"]["stage"], seen["failed"]["lifecycle"]["message"]) == ("execution", "no")
        assert seen["late"] == {
            "run": seen["failed"],
            "cancellation_status": "cancellation_failed",
            "redis_available": True,
        }

    def test_runs_are_listed_and_deleted(self, heard: Any) -> None:
        seen = heard["workflows"]

        assert seen["listed"] == [seen["begun"]["id"]]
        assert seen["all"]
        assert seen["left"] == []

    def test_an_eval_run_is_cancelled_once(self, heard: Any) -> None:
        seen = heard["evals"]

        assert seen["begun"]["target"]["block_id"] == "block_1"
        assert seen["cancelled"]["lifecycle"]["status"] == "cancelled"
        assert (seen["read"], seen["listed"]) == (seen["cancelled"], [seen["begun"]["id"]])
        assert seen["completed"]["counts"]["outcome"]["passed"] == seen["completed"]["total_evals"]
        assert seen["refused"] == [404, 404]

    def test_an_experiment_run_answers_a_cancel_with_its_lifecycle(self, heard: Any) -> None:
        seen = heard["experiments"]
        first, again = seen["cancelled"]

        assert first == again == {"id": seen["begun"]["id"], "lifecycle": seen["read"]["lifecycle"]}
        assert (seen["completed"]["score"], seen["listed"]) == (1.0, [seen["begun"]["id"]])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(talk(Path(sys.argv[1])))))  # noqa: T201 - to the process that asked
