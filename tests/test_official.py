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
both_kinds = pytest.mark.parametrize("kind", ["splits", "partitions"])

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
INLINE = {"path": PDF, "bytes": PDF, "mime_data": b"%PDF-"}
ASKED: dict[str, dict[str, Any]] = {
    "splits": {"subdocuments": [{"name": "invoice"}]},
    "partitions": {"key": "account", "instructions": "One chunk for each account."},
}


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
    cancel = getattr(runs, f"create_{kind.removesuffix('s')}_cancel")
    finished = await runs.create(document=PDF, **ASKED[kind])
    begun = [await runs.create(document=PDF, background=True, **ASKED[kind]) for _ in range(3)]
    before = emulator.alive()
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


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the official client saw."""
    path = tmp_path_factory.mktemp("official") / "near.pdf"
    path.write_bytes(PDF)
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    told = subprocess.run(  # noqa: S603 - this file itself
        [sys.executable, "-W", "ignore", __file__, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


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
    @both_kinds
    def test_a_run_is_completed_at_once_unless_it_is_for_the_background(self, heard: Any, kind: str) -> None:
        seen = heard[kind]

        assert (seen["finished"]["status"], seen["begun"]["status"]) == ("completed", "queued")
        assert seen["finished"]["output"]
        assert seen["before"][-3:] == seen["ids"][1:]

    @both_kinds
    def test_a_cancel_is_answered_with_the_whole_run(self, heard: Any, kind: str) -> None:
        seen = heard[kind]

        assert seen["cancelled"] == seen["begun"] | {"status": "cancelled"}
        assert seen["read"] == seen["cancelled"]

    @both_kinds
    def test_every_page_of_a_list_is_walked(self, heard: Any, kind: str) -> None:
        seen = heard[kind]

        assert seen["listed"][:4] == seen["ids"][::-1]
        assert sum(query.startswith("limit=2") for query in seen["pages"]) > 1

    @both_kinds
    def test_a_deleted_run_is_gone(self, heard: Any, kind: str) -> None:
        seen = heard[kind]

        assert set(seen["listed"]) - set(seen["left"]) == {seen["ids"][3]}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(talk(Path(sys.argv[1])))))  # noqa: T201 - to the process that asked
