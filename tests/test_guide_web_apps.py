"""The apps of the guide under real servers: client disconnects, SIGTERM, and an interrupted notebook cell."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from asgi_servers import free_port, request, status_of, until_listening

import retab_async
from retab_async.emulator import Emulator

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]

GUIDE = (Path(retab_async.__file__).parent / "guides" / "web-apps.md").read_text()
BLOCKS = re.findall(r"```py\n(.*?)```", GUIDE, re.DOTALL)
MULTIPART = (
    b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.pdf"\r\ncontent-type: application/pdf\r\n'
    b"\r\n%PDF\r\n--b--\r\n"
)


def app_with(name: str) -> str:
    (code,) = (block for block in BLOCKS if re.search(rf"(?m)^from {re.escape(name)} import", block))
    return str(code)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator whose runs finish later than any test."""
    async with Emulator(queued=60, running=60) as running:
        yield running


@asynccontextmanager
async def started(
    emulator: Emulator, folder: Path, code: str, *arguments: str
) -> "AsyncIterator[tuple[asyncio.subprocess.Process, int]]":
    """Start a server, `python -m ARGUMENTS`, with the code as its `app.py`; `PORT` stands for a free port."""
    if arguments[0] != "app" and find_spec(arguments[0]) is None:
        pytest.skip(f"{arguments[0]} is not installed")
    (folder / "app.py").write_text(code)
    port = free_port()
    path = os.pathsep.join([str(folder), str(Path(retab_async.__file__).parent.parent)])
    environment = os.environ | {
        "RETAB_API_KEY": emulator.api_key,
        "RETAB_API_BASE_URL": emulator.url,
        "PYTHONPATH": path,
    }
    words = [word.replace("PORT", str(port)) for word in arguments]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        await until_listening(port)
        yield process, port
    finally:
        if process.returncode is None:
            process.terminate()
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        # pytest shows it if the test fails.
        print(output.decode())  # noqa: T201


async def until(is_true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not is_true():  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.01)


UVICORN = ("uvicorn", "app:app", "--port", "PORT", "--log-level", "warning")
APPS = {
    "fastapi": (app_with("fastapi"), *UVICORN),
    "starlette": (app_with("starlette.applications"), *UVICORN),
    "litestar": (app_with("litestar"), *UVICORN),
    "aiohttp": ("import sys\n" + app_with("aiohttp").replace("8000", "int(sys.argv[1])"), "app", "PORT"),
}


@pytest.mark.parametrize("name", APPS)
async def test_disconnected_client_of_an_app_of_the_guide_cancels_its_run(
    name: str, emulator: Emulator, tmp_path: Path
) -> None:
    pytest.importorskip(name)
    code, *command = APPS[name]
    body = MULTIPART if name == "fastapi" else b"%PDF"
    kind = "multipart/form-data; boundary=b" if name == "fastapi" else "application/pdf"
    async with started(emulator, tmp_path, code, *command) as (process, port):
        async with request(port, "/split", body, content_type=kind):
            await until(emulator.active_runs)

        await until(lambda: not emulator.active_runs())
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 20)

    assert b"Traceback" not in output


SERVERS = {
    "uvicorn": (*UVICORN,),
    "granian": ("granian", "--interface", "asgi", "--port", "PORT", "app:app"),
    "hypercorn": ("hypercorn", "--workers", "0", "-b", "127.0.0.1:PORT", "app:app"),
    "gunicorn": ("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:PORT", "app:app"),
}


@pytest.mark.parametrize("server", SERVERS)
async def test_sigterm_ends_the_handlers_of_a_server_at_once(server: str, emulator: Emulator, tmp_path: Path) -> None:
    async with started(emulator, tmp_path, app_with("starlette.applications"), *SERVERS[server]) as (process, port):
        async with request(port, "/split") as (reader, _):
            await until(emulator.active_runs)
            process.send_signal(signal.SIGTERM)

            async with asyncio.timeout(20):
                assert await status_of(reader) == 503
        await asyncio.wait_for(process.communicate(), 20)

    assert emulator.active_runs() == []


@pytest.mark.parametrize("name", ["fastapi", "starlette", "litestar"])
async def test_sigterm_during_an_upload_ends_its_request_and_creates_no_run(
    name: str, emulator: Emulator, tmp_path: Path
) -> None:
    pytest.importorskip(name)
    code, *command = APPS[name]
    part = MULTIPART[:-10]
    async with started(emulator, tmp_path, code, *command) as (process, port):
        kind = "multipart/form-data; boundary=b" if name == "fastapi" else "application/pdf"
        size = len(MULTIPART)
        async with request(port, "/split", part, size=size, content_type=kind, expect_continue=True) as (reader, _):
            process.send_signal(signal.SIGTERM)

            async with asyncio.timeout(20):
                assert await status_of(reader) == 503
                output, _ = await process.communicate()

    assert emulator.requests == []
    assert b"Traceback" not in output


STARLETTE = app_with("starlette.applications").replace("middleware=[Middleware(TerminationMiddleware)],", "")
WORKER = f"""
from uvicorn_worker import UvicornWorker
class Worker(UvicornWorker):
    {re.findall("CONFIG_KWARGS = {.*?}", GUIDE)[0].replace("10", "1")}
"""
GRACEFUL = {
    "uvicorn": (STARLETTE, *UVICORN, "--timeout-graceful-shutdown", "1"),
    "gunicorn": (STARLETTE + WORKER, "gunicorn", "-k", "app.Worker", "-b", "127.0.0.1:PORT", "app:app"),
    "aiohttp": (APPS["aiohttp"][0].replace("shutdown_timeout=5", "shutdown_timeout=0.5"), "app", "PORT"),
    "hypercorn": (STARLETTE, "hypercorn", "--graceful-timeout", "1", "-b", "127.0.0.1:PORT", "app:app"),
}


# Hypercorn 0.18 closes its server before it counts the seconds, and `wait_closed` awaits open connections since 3.12.1.
@pytest.mark.parametrize(
    "server",
    [
        "uvicorn",
        "gunicorn",
        "aiohttp",
        pytest.param(
            "hypercorn",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 12, 1), reason="hypercorn waits for open connections without a limit"
            ),
        ),
    ],
)
async def test_sigterm_cancels_the_handlers_with_the_setting_of_the_guide(
    server: str, emulator: Emulator, tmp_path: Path
) -> None:
    code, *command = GRACEFUL[server]
    async with started(emulator, tmp_path, code, *command) as (process, port), request(port, "/split"):
        await until(emulator.active_runs)
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 20)

    assert emulator.active_runs() == []


async def test_sigterm_to_the_script_of_the_guide_cancels_its_run(emulator: Emulator, tmp_path: Path) -> None:
    (code,) = (block for block in BLOCKS if "import sys" in block)
    (tmp_path / "batch.pdf").write_bytes(b"%PDF")
    environment = {"RETAB_API_KEY": emulator.api_key, "RETAB_API_BASE_URL": emulator.url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=tmp_path, env=os.environ | environment, stderr=subprocess.PIPE
    )
    await until(emulator.active_runs)
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, err, emulator.active_runs()) == (143, b"", [])


async def test_interrupted_notebook_cell_cancels_its_run(emulator: Emulator) -> None:
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    manager_class = pytest.importorskip("jupyter_client", reason="jupyter_client is not installed").AsyncKernelManager
    first, second = (block for block in BLOCKS if "import" not in block)
    manager = manager_class(kernel_name="python3")
    await manager.start_kernel(env=os.environ | {"RETAB_API_KEY": emulator.api_key, "RETAB_API_BASE_URL": emulator.url})
    kernel = manager.client()
    kernel.start_channels()
    try:
        await kernel.wait_for_ready(timeout=60)
        setup = f"from retab_async import *\n{first}"
        reply = await kernel.execute_interactive(setup, timeout=60, output_hook=print)
        assert reply["content"]["status"] == "ok", reply
        kernel.execute(second.replace('"batch.pdf"', 'b"%PDF"'))
        await until(emulator.active_runs)

        await manager.interrupt_kernel()

        await until(lambda: not emulator.active_runs())
        reply = await kernel.execute_interactive("await client.aclose()", timeout=60, output_hook=print)
        assert reply["content"]["status"] == "ok", reply
    finally:
        kernel.stop_channels()
        await manager.shutdown_kernel(now=True)
    assert emulator.requests[-1].path.endswith("/cancel")
