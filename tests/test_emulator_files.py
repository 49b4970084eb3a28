"""The emulator's files: the three steps of an upload, and the files of uploads and runs."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from emulator_http import answer

from retab_async.emulator import Emulator, Fault, ManualClock, RateLimit, ReceivedDocument, RecordedRequest
from retab_async.emulator.files import ContentStore

CONTENT = b"%PDF-1.7\n" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER_DIGEST = hashlib.sha256(b"other").hexdigest()
ANNOUNCED = {"filename": "Big Batch.pdf", "size_bytes": len(CONTENT), "content_type": "application/pdf"}
NOTHING_FOUND = (404, {"detail": "File not found"})


async def announce(session: aiohttp.ClientSession, **fields: Any) -> Any:
    status, upload = await answer(session, "POST", "/v1/files/upload", json=ANNOUNCED | fields)
    assert status == 200, upload
    return upload


async def send(upload: Any, content: Any = CONTENT, *, url: str | None = None, **headers: str) -> int:
    """Send the bytes to the target, without credentials."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    target = url or upload["uploadUrl"]
    async with (
        aiohttp.ClientSession() as outside,
        outside.put(target, data=content, headers=upload["uploadHeaders"] | named) as response,
    ):
        return response.status


async def complete(session: aiohttp.ClientSession, upload: Any, **fields: str) -> tuple[int, Any]:
    return await answer(session, "POST", f"/v1/files/upload/{upload['fileId']}/complete", json=fields)


async def uploaded(session: aiohttp.ClientSession, **fields: Any) -> Any:
    upload = await announce(session, **fields)
    await send(upload)
    status, document = await complete(session, upload)
    assert status == 200, document
    return upload["fileId"], document


async def run_on(session: aiohttp.ClientSession, document: Any) -> tuple[int, Any]:
    return await answer(session, "POST", "/v1/splits", json={"document": document, "subdocuments": [{"name": "a"}]})


class TestCreateUpload:
    async def test_it_returns_the_target(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        upload = await announce(session)

        assert upload["fileId"].startswith("file_")
        assert upload["uploadUrl"].startswith(f"{emulator.url}/upload/{upload['fileId']}?X-Sig=")
        assert (upload["uploadMethod"], upload["uploadHeaders"]) == ("PUT", {"Content-Type": "application/pdf"})
        assert upload["mimeData"] == {
            "filename": "Big Batch.pdf",
            "url": f"https://storage.retab.com/org_emulator/{upload['fileId']}.pdf",
        }
        assert upload["expiresAt"].endswith("Z")

    @pytest.mark.parametrize(
        ("filename", "expected", "ending"),
        [("a.PNG", "image/png", ".PNG"), ("nameless", "application/octet-stream", "")],
    )
    async def test_the_default_content_type_follows_from_the_name(
        self, session: aiohttp.ClientSession, filename: str, expected: str, ending: str
    ) -> None:
        upload = await announce(session, filename=filename, content_type=None)

        assert upload["uploadHeaders"] == {"Content-Type": expected}
        assert upload["mimeData"]["url"].endswith(f"/{upload['fileId']}{ending}")

    @pytest.mark.parametrize(
        ("fields", "name", "type_"),
        [
            ({"filename": " "}, "filename", "string_too_short"),
            ({"filename": None}, "filename", "string_type"),
            ({"size_bytes": -1}, "size_bytes", "out_of_range"),
            ({"size_bytes": "9"}, "size_bytes", "int_type"),
            ({"size_bytes": None}, "size_bytes", "int_type"),
            ({"content_type": ""}, "content_type", "string_too_short"),
            ({"sha256": ""}, "sha256", "string_pattern_mismatch"),
            ({"sha256": "g" * 64}, "sha256", "string_pattern_mismatch"),
            ({"sha256": "a" * 65}, "sha256", "string_pattern_mismatch"),
            ({"sha256": 1}, "sha256", "string_type"),
        ],
    )
    async def test_an_invalid_field_is_422_and_named(
        self, session: aiohttp.ClientSession, fields: dict[str, Any], name: str, type_: str
    ) -> None:
        status, body = await answer(session, "POST", "/v1/files/upload", json=ANNOUNCED | fields)

        assert (status, [(entry["loc"], entry["type"]) for entry in body["detail"]]) == (422, [(["body", name], type_)])

    async def test_name_and_size_are_required(self, session: aiohttp.ClientSession) -> None:
        status, body = await answer(session, "POST", "/v1/files/upload", json={})

        assert (status, [entry["loc"][1] for entry in body["detail"]]) == (422, ["filename", "size_bytes"])

    async def test_an_unencodable_suffix_is_replaced_in_the_url(self, session: aiohttp.ClientSession) -> None:
        upload = await announce(session, filename="a.\ud800")

        assert upload["mimeData"]["url"].endswith(f"{upload['fileId']}.%3F")


class TestPutBody:
    async def test_the_bytes_are_accepted_without_a_key(self, session: aiohttp.ClientSession) -> None:
        assert await send(await announce(session)) == 200

    async def test_the_bytes_may_be_chunked(self, session: aiohttp.ClientSession) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield CONTENT[:5]
            yield CONTENT[5:]

        upload = await announce(session, sha256=DIGEST)
        await send(upload, chunks())

        assert (await complete(session, upload, sha256=DIGEST))[0] == 200

    @pytest.mark.parametrize("tail", ["", "?X-Sig=", "?X-Sig=00", "?X-Sig=%C3%A9"])
    async def test_a_wrong_signature_is_403(self, session: aiohttp.ClientSession, tail: str) -> None:
        upload = await announce(session)

        assert await send(upload, url=upload["uploadUrl"].partition("?")[0] + tail) == 403

    async def test_an_unknown_upload_is_403(self, session: aiohttp.ClientSession) -> None:
        upload = await announce(session)

        assert await send(upload, url=upload["uploadUrl"].replace(upload["fileId"], "file_x")) == 403

    @pytest.mark.parametrize("name", ["Api_Key", "Authorization"])
    async def test_credentials_are_400_before_anything_else(self, session: aiohttp.ClientSession, name: str) -> None:
        upload = await announce(session)

        assert await send(upload, url=upload["uploadUrl"].partition("?")[0], **{name: "k"}) == 400

    async def test_another_content_type_is_400(self, session: aiohttp.ClientSession) -> None:
        assert await send(await announce(session), Content_Type="image/png") == 400

    async def test_a_rejected_put_is_not_stored(self, session: aiohttp.ClientSession) -> None:
        upload = await announce(session)
        await send(upload, Api_Key="k")

        assert await complete(session, upload) == (422, {"detail": "Nothing was uploaded."})

    async def test_a_second_put_replaces_the_first(self, session: aiohttp.ClientSession) -> None:
        upload = await announce(session, sha256=DIGEST)
        await send(upload, b"other")
        await send(upload)

        assert (await complete(session, upload, sha256=DIGEST))[0] == 200

    async def test_an_incomplete_put_is_not_stored(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        async def breaking() -> AsyncIterator[bytes]:
            yield CONTENT
            await asyncio.sleep(0.02)
            raise OSError

        upload = await announce(session)
        with pytest.raises((aiohttp.ClientError, OSError)):
            await send(upload, breaking())
        async with asyncio.timeout(5):
            while len(emulator.requests) < 2:  # noqa: ASYNC110 - the emulator has no event for it
                await asyncio.sleep(0.005)

        assert emulator.requests[1].status is None
        assert await complete(session, upload) == (422, {"detail": "Nothing was uploaded."})

    async def test_it_is_not_rate_limited(self, clock: ManualClock) -> None:
        async with (
            Emulator(rate_limit=RateLimit(2), clock=clock, api_key="k") as emulator,
            aiohttp.ClientSession(emulator.url, headers={"Api-Key": "k"}) as session,
        ):
            upload = await announce(session)
            sent = [await send(upload) for _ in range(3)]
            status, _ = await complete(session, upload)

        assert (sent, status) == ([200] * 3, 200)

    async def test_its_signature_is_recorded_as_the_query(
        self, session: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        upload = await announce(session)
        await send(upload)
        path, query = upload["uploadUrl"].removeprefix(emulator.url).split("?")

        assert emulator.requests[1] == RecordedRequest("PUT", path, 200, query)


class TestComplete:
    async def test_it_returns_a_document(self, session: aiohttp.ClientSession) -> None:
        upload = await announce(session)
        await send(upload)

        assert await complete(session, upload) == (200, upload["mimeData"])

    @pytest.mark.parametrize(
        ("announced", "given", "expected"),
        [
            ({}, {}, 200),
            ({}, {"sha256": DIGEST}, 200),
            ({}, {"sha256": DIGEST.upper()}, 200),
            ({}, {"sha256": OTHER_DIGEST}, 422),
            ({"sha256": DIGEST.upper()}, {"sha256": DIGEST}, 200),
            ({"sha256": DIGEST}, {}, 422),
            ({"sha256": DIGEST}, {"sha256": None}, 422),
            ({"sha256": DIGEST}, {"sha256": ""}, 422),
            ({"sha256": DIGEST}, {"sha256": OTHER_DIGEST}, 422),
            ({"sha256": OTHER_DIGEST}, {"sha256": OTHER_DIGEST}, 422),
            ({"sha256": OTHER_DIGEST}, {"sha256": DIGEST}, 422),
            ({"size_bytes": len(CONTENT) - 1}, {}, 422),
            ({"size_bytes": len(CONTENT) + 1}, {}, 422),
        ],
    )
    async def test_size_and_digest_must_match(
        self, session: aiohttp.ClientSession, announced: dict[str, Any], given: dict[str, str], expected: int
    ) -> None:
        upload = await announce(session, **announced)
        await send(upload)

        assert (await complete(session, upload, **given))[0] == expected

    async def test_an_unknown_upload_is_404(self, session: aiohttp.ClientSession) -> None:
        assert await complete(session, {"fileId": "file_x"}) == (404, {"detail": "Upload not found"})

    @pytest.mark.parametrize(("age", "expected"), [(3599, 200), (3600, 410)])
    async def test_it_is_410_after_an_hour(
        self, session: aiohttp.ClientSession, clock: ManualClock, age: float, expected: int
    ) -> None:
        upload = await announce(session)
        await send(upload)
        clock.advance(age)

        assert (await complete(session, upload))[0] == expected

    async def test_it_can_be_repeated_after_the_expiry(
        self, session: aiohttp.ClientSession, clock: ManualClock
    ) -> None:
        upload = await announce(session)
        await send(upload)
        first = await complete(session, upload)
        clock.advance(7200)

        assert first == await complete(session, upload)

    async def test_it_can_succeed_after_a_failure(self, session: aiohttp.ClientSession) -> None:
        upload = await announce(session)
        await send(upload, b"other")
        first, _ = await complete(session, upload)
        await send(upload)
        second, _ = await complete(session, upload)

        assert (first, second) == (422, 200)


class TestFiles:
    async def test_an_uploaded_file_can_be_read(self, session: aiohttp.ClientSession) -> None:
        file_id, _ = await uploaded(session)
        status, file = await answer(session, "GET", f"/v1/files/{file_id}")

        assert status == 200
        assert file == {
            "object": "file",
            "id": file_id,
            "filename": "Big Batch.pdf",
            "mime_type": "application/pdf",
            "created_at": file["created_at"],
            "updated_at": file["created_at"],
            "page_count": None,
        }
        assert file["created_at"].endswith("Z")

    async def test_an_uploaded_file_has_a_download_link(self, session: aiohttp.ClientSession) -> None:
        file_id, document = await uploaded(session)
        status, link = await answer(session, "GET", f"/v1/files/{file_id}/download-link")

        assert status == 200
        assert link.pop("download_url").startswith(f"{session._base_url}/download/{file_id}?X-Sig=")
        assert link == {"expires_in": "60 minutes", "filename": "Big Batch.pdf", "mime_data": document}

    async def test_a_produced_file_has_a_link_with_nothing_behind_it(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        (edit_id,) = emulator.seed("edits", status="completed")
        _, edit = await answer(session, "GET", f"/v1/edits/{edit_id}")
        file_id = edit["filled_document_ref"]["id"]
        status, link = await answer(session, "GET", f"/v1/files/{file_id}/download-link")

        assert status == 200
        assert link["download_url"].startswith(f"https://storage.googleapis.com/emulator/{file_id}.pdf?X-Sig=")

    async def test_a_download_takes_a_signature_and_no_credentials(self, session: aiohttp.ClientSession) -> None:
        file_id, _ = await uploaded(session)
        _, link = await answer(session, "GET", f"/v1/files/{file_id}/download-link")
        async with aiohttp.ClientSession() as bare, bare.get(link["download_url"]) as downloaded:
            content = await downloaded.read()
        async with aiohttp.ClientSession() as bare, bare.get(link["download_url"].partition("?")[0]) as unsigned:
            pass
        async with session.get(link["download_url"]) as with_key:
            pass

        assert (downloaded.status, downloaded.content_type, content) == (200, "application/pdf", CONTENT)
        assert (unsigned.status, with_key.status) == (403, 400)

    async def test_the_content_of_a_file_that_is_too_large_is_not_kept(
        self, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("retab_async.emulator.routes.uploads.MAX_CONTENT", len(CONTENT) - 1)
        file_id, _ = await uploaded(session)
        _, link = await answer(session, "GET", f"/v1/files/{file_id}/download-link")

        assert link["download_url"].startswith("https://storage.googleapis.com/")

    def test_old_contents_are_dropped_beyond_the_total_size(self) -> None:
        contents = ContentStore(max_bytes=10)
        for number in range(3):
            contents.add(f"file_{number}", bytes(4))
        contents.add("file_2", bytes(6))

        assert [len(contents.find(f"file_{number}") or b"") for number in range(3)] == [0, 4, 6]

    @pytest.mark.parametrize("tail", ["", "/download-link"])
    async def test_an_unknown_file_is_404(self, session: aiohttp.ClientSession, tail: str) -> None:
        assert await answer(session, "GET", f"/v1/files/file_x{tail}") == NOTHING_FOUND

    async def test_an_incomplete_upload_is_no_file(self, session: aiohttp.ClientSession) -> None:
        upload = await announce(session)
        await send(upload)

        assert await answer(session, "GET", f"/v1/files/{upload['fileId']}") == NOTHING_FOUND

    async def test_the_path_of_uploads_is_no_file(self, session: aiohttp.ClientSession) -> None:
        assert (await answer(session, "GET", "/v1/files/upload"))[0] == 405

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/v1/files/a"), ("POST", "/v1/files/upload"), ("POST", "/v1/files/upload/a/complete")],
    )
    async def test_every_route_but_the_put_needs_a_key(self, emulator: Emulator, method: str, path: str) -> None:
        async with aiohttp.ClientSession(emulator.url) as session:
            status, _ = await answer(session, method, path)

        assert status == 401

    @pytest.mark.parametrize("url", ["data:application/pdf;base64,JVBERg==", "https://files.example.com/a.pdf"])
    async def test_the_document_of_a_run_is_a_file(self, session: aiohttp.ClientSession, url: str) -> None:
        _, run = await run_on(session, {"filename": "a.pdf", "url": url})
        _, file = await answer(session, "GET", f"/v1/files/{run['file']['id']}")

        assert {name: file[name] for name in run["file"]} == run["file"]


class TestRunsOnFiles:
    async def test_a_run_on_an_upload_has_its_file(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        file_id, document = await uploaded(session, content_type="image/tiff")
        status, run = await run_on(session, document)

        assert status == 201
        assert run["file"] == {"id": file_id, "filename": "Big Batch.pdf", "mime_type": "image/tiff"}
        assert emulator.document_of(run["id"]) == ReceivedDocument("Big Batch.pdf", "image/tiff", len(CONTENT), DIGEST)

    async def test_a_file_of_one_run_can_be_that_of_another(
        self, session: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        _, first = await run_on(session, {"filename": "a.pdf", "url": "data:application/pdf;base64,JVBERg=="})
        _, link = await answer(session, "GET", f"/v1/files/{first['file']['id']}/download-link")
        _, second = await run_on(session, link["mime_data"])

        assert second["file"] == first["file"]
        assert emulator.document_of(second["id"]) == emulator.document_of(first["id"])

    async def test_an_unknown_storage_url_is_422(self, session: aiohttp.ClientSession) -> None:
        status, body = await run_on(session, {"filename": "a", "url": "https://storage.retab.com/org_emulator/a.pdf"})

        assert (status, body["detail"][0]["loc"]) == (422, ["body", "document", "url"])

    async def test_an_incomplete_upload_is_422(self, session: aiohttp.ClientSession) -> None:
        upload = await announce(session)
        await send(upload)
        status, _ = await run_on(session, upload["mimeData"])

        assert status == 422


class TestFaults:
    @pytest.mark.parametrize(
        ("route", "method", "path"),
        [
            ("POST /v1/files/upload", "POST", "/v1/files/upload"),
            ("PUT /upload/{id}", "PUT", "/upload/file_1"),
            ("POST /v1/files/upload/{id}/complete", "POST", "/v1/files/upload/file_1/complete"),
            ("GET /v1/files/{id}", "GET", "/v1/files/file_1"),
            ("GET /v1/files/{id}/download-link", "GET", "/v1/files/file_1/download-link"),
        ],
    )
    async def test_every_route_can_fail(
        self, session: aiohttp.ClientSession, emulator: Emulator, route: str, method: str, path: str
    ) -> None:
        emulator.fail(route, Fault.status(503))

        assert (await answer(session, method, path))[0] == 503
