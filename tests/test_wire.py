"""Requests and responses of single calls: what is sent, and what is made of the response."""

import logging
from typing import Any

import pytest
from aioresponses import aioresponses
from clients import QUICK, client_for
from payloads import (
    BARE_PARTITION,
    BARE_SPLIT,
    FAILED_SPLIT,
    FULL_PARTITION,
    FULL_SPLIT,
    KEY,
    PARTITION_ID,
    SPLIT_ID,
)
from raw_server import raw_server, reply

from retab_async import (
    AsyncRetab,
    InvalidRunIdError,
    NotFoundError,
    Partition,
    ResponseError,
    RetabUsage,
    RunStatus,
    Split,
    __version__,
)
from retab_async.converter import unstructure

BASE = "https://api.retab.com/v1"
SPLIT_CANCEL = f"{BASE}/splits/{SPLIT_ID}/cancel"
SPLIT_GET = f"{BASE}/splits/{SPLIT_ID}"
SPLIT_STATUS = f"{SPLIT_GET}?include_output=false"

BAD_IDS: list[Any] = [
    "../../x", "a/b", "a?b", "a#b", "a\r\nb", "", " ", "a" * 129, "é", "splt_1\n", None, 5,
]  # fmt: skip


def sent(wire: aioresponses) -> list[tuple[str, str]]:
    return [(method, str(url)) for (method, url), calls in wire.requests.items() for _ in calls]


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# Requests


async def test_get_without_output_sends_include_output_false(wire: aioresponses, client: AsyncRetab) -> None:
    wire.get(SPLIT_STATUS, payload=BARE_SPLIT)
    await client.splits.get(SPLIT_ID, include_output=False)

    assert sent(wire) == [("GET", SPLIT_STATUS)]


async def test_the_published_names_take_the_published_arguments(wire: aioresponses, client: AsyncRetab) -> None:
    wire.post(SPLIT_CANCEL, payload=BARE_SPLIT)
    wire.post(f"{BASE}/partitions/{PARTITION_ID}/cancel", payload=BARE_PARTITION)
    split = await client.splits.create_split_cancel(split_id=SPLIT_ID)
    partition = await client.partitions.create_partition_cancel(partition_id=PARTITION_ID)

    assert split == Split(id=SPLIT_ID, status=RunStatus.CANCELLED)
    assert partition == Partition(id=PARTITION_ID, status=RunStatus.CANCELLED)
    assert sent(wire) == [("POST", SPLIT_CANCEL), ("POST", f"{BASE}/partitions/{PARTITION_ID}/cancel")]


@pytest.mark.parametrize(
    ("settings", "header", "value"),
    [({}, "api-key", KEY), ({"bearer_token": KEY}, "authorization", f"Bearer {KEY}")],
    ids=["key", "bearer"],
)
async def test_a_cancel_sends_the_credential_and_no_body(settings: dict[str, Any], header: str, value: str) -> None:
    async with raw_server(reply(BARE_SPLIT)) as server, client_for(server.url, **settings) as client:
        await client.splits.create_split_cancel(split_id=SPLIT_ID)

        (request,) = server.requests
        assert (request.method, request.target) == ("POST", f"/v1/splits/{SPLIT_ID}/cancel")
        assert request.body == b""
        assert request.headers.pop(header) == value
        assert request.headers.pop("content-length") == "0"
        assert request.headers.pop("accept-encoding")
        assert request.headers == {
            "host": f"127.0.0.1:{server.port}",
            "accept": "application/json",
            "user-agent": f"retab-async/{__version__}",
            # Sent by aiohttp itself although there is no body.
            **({"content-type": "application/octet-stream"} if "content-type" in request.headers else {}),
        }


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
@pytest.mark.parametrize("prefix", ["", "/retab", "/a%20b"])
async def test_the_route_is_the_same_for_every_form_of_base_url(prefix: str, suffix: str) -> None:
    async with raw_server(reply(BARE_SPLIT)) as server, client_for(server.url + prefix + suffix) as client:
        await client.splits.cancel(SPLIT_ID)
        await client.splits.get(SPLIT_ID, include_output=False)

        assert [request.target for request in server.requests] == [
            f"{prefix}/v1/splits/{SPLIT_ID}/cancel",
            f"{prefix}/v1/splits/{SPLIT_ID}?include_output=false",
        ]


async def test_cookies_are_neither_kept_nor_sent() -> None:
    set_cookie = reply(BARE_SPLIT, headers={"Set-Cookie": "a=b; Path=/"})
    # By name: aiohttp keeps no cookies of IP addresses.
    async with raw_server(set_cookie) as server, client_for(f"http://localhost:{server.port}") as client:
        await client.splits.cancel(SPLIT_ID)
        await client.splits.cancel(SPLIT_ID)

        assert len(server.requests) == 2
        assert [request for request in server.requests if "cookie" in request.headers] == []


# Ids


@pytest.mark.parametrize("run_id", BAD_IDS, ids=repr)
async def test_an_invalid_id_raises_and_nothing_is_sent(run_id: Any) -> None:
    async with raw_server(reply(BARE_SPLIT)) as server, client_for(server.url) as client:
        for call in (
            client.splits.cancel(run_id),
            client.splits.create_split_cancel(run_id),
            client.splits.get(run_id),
            client.partitions.cancel(run_id),
            client.partitions.create_partition_cancel(run_id),
            client.partitions.get(run_id, include_output=False),
        ):
            with pytest.raises(InvalidRunIdError):
                await call

        assert server.connections == 0


async def test_a_run_is_accepted_in_place_of_its_id(wire: aioresponses, client: AsyncRetab) -> None:
    split = Split(id=SPLIT_ID, status=RunStatus.IN_PROGRESS)
    wire.post(SPLIT_CANCEL, payload=BARE_SPLIT, repeat=2)
    wire.get(SPLIT_GET, payload=FULL_SPLIT)
    await client.splits.cancel(split)
    await client.splits.create_split_cancel(split)
    await client.splits.get(split)

    assert sent(wire) == [("POST", SPLIT_CANCEL), ("POST", SPLIT_CANCEL), ("GET", SPLIT_GET)]


async def test_a_run_of_another_kind_raises(wire: aioresponses, client: AsyncRetab) -> None:
    partition: Any = Partition(id=PARTITION_ID, status=RunStatus.IN_PROGRESS)
    for call in (client.splits.cancel(partition), client.splits.get(partition)):
        with pytest.raises(InvalidRunIdError, match="a Partition is not a run of /v1/splits"):
            await call

    assert sent(wire) == []


async def test_a_run_with_an_invalid_id_raises(wire: aioresponses, client: AsyncRetab) -> None:
    with pytest.raises(InvalidRunIdError):
        await client.splits.cancel(Split(id="../x", status=RunStatus.QUEUED))

    assert sent(wire) == []


# Accepted cancels


@pytest.mark.parametrize("body", [BARE_SPLIT, FULL_SPLIT, FAILED_SPLIT], ids=["three fields", "full", "failed"])
async def test_cancel_returns_the_run_in_the_response(
    wire: aioresponses, client: AsyncRetab, caplog: pytest.LogCaptureFixture, body: dict[str, Any]
) -> None:
    wire.post(SPLIT_CANCEL, payload=body)
    split = await client.splits.cancel(SPLIT_ID)

    assert unstructure(split).items() >= body.items()
    assert warnings_in(caplog) == []


async def test_cancel_returns_a_full_partition(wire: aioresponses, client: AsyncRetab) -> None:
    wire.post(f"{BASE}/partitions/{PARTITION_ID}/cancel", payload=FULL_PARTITION)
    partition = await client.partitions.cancel(PARTITION_ID)

    assert unstructure(partition) == FULL_PARTITION


async def test_invalid_fields_get_their_defaults_and_one_warning(
    wire: aioresponses, client: AsyncRetab, caplog: pytest.LogCaptureFixture
) -> None:
    wire.post(SPLIT_CANCEL, payload=FULL_SPLIT | {"usage": {"credits": "many"}, "output": [{"name": 5}]})
    split = await client.splits.cancel(SPLIT_ID)

    assert split.usage == RetabUsage()
    assert split.output == ()
    assert split.model == "retab-small"
    (warning,) = warnings_in(caplog)
    assert "usage.credits: a number was expected, not a string" in warning
    assert "output[0].name" in warning
    assert len(sent(wire)) == 1


@pytest.mark.parametrize("fields", [{}, {"id": None}, {"id": 5}], ids=repr)
async def test_a_response_without_an_id_gets_the_requested_id(
    wire: aioresponses, client: AsyncRetab, caplog: pytest.LogCaptureFixture, fields: dict[str, Any]
) -> None:
    wire.post(SPLIT_CANCEL, payload={"status": "cancelled", **fields})
    split = await client.splits.cancel(SPLIT_ID)

    assert split == Split(id=SPLIT_ID, status=RunStatus.CANCELLED)
    assert len(warnings_in(caplog)) == 1
    assert len(sent(wire)) == 1


async def test_a_status_the_server_added_later_is_kept(wire: aioresponses, client: AsyncRetab) -> None:
    wire.post(SPLIT_CANCEL, payload=BARE_SPLIT | {"status": "cancel_requested"})
    split = await client.splits.cancel(SPLIT_ID)

    assert split.status == "cancel_requested"
    assert not split.status.is_terminal


UNREADABLE = [
    pytest.param({"body": b""}, id="nothing"),
    pytest.param({"body": b"<html>OK</html>"}, id="HTML"),
    pytest.param({"body": b'{"id": "splt'}, id="broken JSON"),
    pytest.param({"payload": []}, id="an array"),
    pytest.param({"body": b"null"}, id="null"),
    pytest.param({"payload": {"id": SPLIT_ID}}, id="no status"),
    pytest.param({"payload": {"id": SPLIT_ID, "status": None}}, id="null status"),
    pytest.param({"payload": {"id": SPLIT_ID, "status": ""}}, id="blank status"),
    pytest.param({"payload": {"status": 5, "usage": 5}}, id="a number for a status"),
]


@pytest.mark.parametrize("answer", UNREADABLE)
async def test_a_cancel_response_without_status_is_settled_by_one_get(
    wire: aioresponses, client: AsyncRetab, caplog: pytest.LogCaptureFixture, answer: dict[str, Any]
) -> None:
    wire.post(SPLIT_CANCEL, **answer)
    wire.get(SPLIT_STATUS, payload=BARE_SPLIT)
    split = await client.splits.cancel(SPLIT_ID)

    assert split == Split(id=SPLIT_ID, status=RunStatus.CANCELLED)
    assert sent(wire) == [("POST", SPLIT_CANCEL), ("GET", SPLIT_STATUS)]
    (warning,) = warnings_in(caplog)
    assert warning.startswith(f"{SPLIT_ID}: cancel accepted, but its response is unreadable")


@pytest.mark.parametrize("answer", UNREADABLE)
async def test_a_settling_get_without_status_raises_response_error(
    wire: aioresponses, client: AsyncRetab, answer: dict[str, Any]
) -> None:
    wire.post(SPLIT_CANCEL, **answer)
    wire.get(SPLIT_STATUS, **answer)
    with pytest.raises(ResponseError) as caught:
        await client.splits.cancel(SPLIT_ID)

    assert caught.value.method == "GET"
    assert sent(wire) == [("POST", SPLIT_CANCEL), ("GET", SPLIT_STATUS)]


async def test_a_settling_get_may_have_invalid_fields(wire: aioresponses, client: AsyncRetab) -> None:
    wire.post(SPLIT_CANCEL, body=b"OK")
    wire.get(SPLIT_STATUS, payload=BARE_SPLIT | {"usage": "none"})
    split = await client.splits.cancel(SPLIT_ID)

    assert split == Split(id=SPLIT_ID, status=RunStatus.CANCELLED)


async def test_an_error_of_the_settling_get_is_raised(wire: aioresponses, client: AsyncRetab) -> None:
    wire.post(SPLIT_CANCEL, body=b"OK")
    wire.get(SPLIT_STATUS, status=404, payload={"detail": "Split not found"})
    with pytest.raises(NotFoundError, match="Split not found"):
        await client.splits.cancel(SPLIT_ID)


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_any_2xx_accepts_a_cancel(wire: aioresponses, client: AsyncRetab, status: int) -> None:
    wire.post(SPLIT_CANCEL, status=status, payload=BARE_SPLIT)

    assert (await client.splits.cancel(SPLIT_ID)).status == "cancelled"


# Reads


async def test_get_returns_the_run_with_its_output(wire: aioresponses, client: AsyncRetab) -> None:
    wire.get(SPLIT_GET, payload=FULL_SPLIT)
    split = await client.splits.get(SPLIT_ID)

    assert unstructure(split) == FULL_SPLIT


async def test_a_get_without_a_readable_status_names_the_json_path(wire: aioresponses, client: AsyncRetab) -> None:
    body = {"id": SPLIT_ID, "status": 5}
    wire.get(SPLIT_GET, payload=body, headers={"x-request-id": "req_42"})
    with pytest.raises(ResponseError) as caught:
        await client.splits.get(SPLIT_ID)

    error = caught.value
    assert error.path == "status"
    assert error.message == "status: a status word was expected, not a number"
    assert error.request_id == "req_42"
    assert error.body.startswith(f'{{"id": "{SPLIT_ID}", "status": 5')
    assert (error.status_code, error.method, error.url, error.attempts) == (200, "GET", f"/v1/splits/{SPLIT_ID}", 1)
    assert "status: a status word" in str(error)
    assert "req_42" in str(error)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"5"])
async def test_a_get_that_is_no_object_has_an_empty_path(wire: aioresponses, client: AsyncRetab, body: bytes) -> None:
    wire.get(SPLIT_GET, body=body)
    with pytest.raises(ResponseError, match="an object was expected") as caught:
        await client.splits.get(SPLIT_ID)

    assert caught.value.path == ""
    assert caught.value.body == body.decode()


async def test_an_error_names_only_the_path_of_its_request(wire: aioresponses) -> None:
    wire.get(f"https://gateway.test/tenant/v1/splits/{SPLIT_ID}", status=404, headers={"X-Request-ID": "req_9"})
    async with AsyncRetab(KEY, base_url="https://gateway.test/tenant", retry=QUICK) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.splits.get(SPLIT_ID)

    assert caught.value.url == f"/v1/splits/{SPLIT_ID}"
    assert caught.value.request_id == "req_9"
    assert caught.value.message == "Not Found"


async def test_a_status_read_may_hold_only_the_status(wire: aioresponses) -> None:
    wire.get(SPLIT_STATUS, payload={"id": None, "status": "in_progress"})
    async with AsyncRetab(KEY) as client:
        run = await client.splits.get(SPLIT_ID, include_output=False)

    assert run == Split(id=SPLIT_ID, status=RunStatus.IN_PROGRESS)


async def test_a_run_without_newer_fields_can_be_read(wire: aioresponses) -> None:
    old = BARE_SPLIT | {
        "usage": {"page_count": 3},
        "error": {"message": "no"},
        "file": {"id": "file_1", "mime_type": None},
        "output": [{"name": "invoice", "pages": None}],
    }
    wire.get(SPLIT_GET, payload=old)
    async with AsyncRetab(KEY) as client:
        run = await client.splits.get(SPLIT_ID)

    assert run.usage is not None
    assert run.usage.credits is None
    assert run.error is not None
    assert (run.error.code, run.error.message) == ("", "no")
    assert run.file is not None
    assert (run.file.filename, run.file.mime_type) == ("", "")
    assert run.output[0].pages == ()
