"""The credential of a command: `--env` and `auth status`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_harness import served_emulator

from retab_async.cli import run
from retab_async.emulator import Emulator, Fault

PROFILE_KEY = "sk_live_of_the_profile_0123456789"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator that accepts the key of a profile, and a home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with served_emulator(monkeypatch, api_key=PROFILE_KEY) as emulator:
        yield emulator


def write_config(home: Path, config: Any) -> Path:
    """Write the configuration of the official command."""
    path = home / ".retab" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def environments(**fields: Any) -> dict[str, Any]:
    return {"version": 2, "environments": {"production": {"name": "Production", "api_key": PROFILE_KEY, **fields}}}


def test_env_uses_the_key_and_the_address_of_the_profile(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RETAB_API_KEY")
    monkeypatch.delenv("RETAB_API_BASE_URL")
    path = write_config(tmp_path, environments(base_url=emulator.url))
    before = path.read_bytes(), path.stat().st_mtime_ns
    (split,) = emulator.seed("splits")
    code = run(["--env", "production", "splits", "get", split])

    # The emulator accepts no other key.
    assert code == 0
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert PROFILE_KEY not in "".join(capsys.readouterr())


@pytest.mark.parametrize("base_url", ["https://wrong.test", None])
def test_env_prefers_the_address_of_the_environment(
    base_url: str | None, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RETAB_API_KEY")
    write_config(tmp_path, environments(base_url=base_url))

    assert run(["--env", "production", "splits", "list"]) == 0


def test_env_takes_the_common_address_if_the_profile_has_none(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RETAB_API_KEY")
    monkeypatch.delenv("RETAB_API_BASE_URL")
    write_config(tmp_path, environments() | {"base_url": emulator.url})

    assert run(["--env", "production", "splits", "list"]) == 0


def test_env_beside_the_key_of_the_environment_is_rejected(
    emulator: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(tmp_path, environments())

    assert run(["--env", "production", "splits", "list"]) == 2
    assert "RETAB_API_KEY is set, too" in capsys.readouterr().err
    assert not emulator.requests


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "the official command writes it"),
        ("{", "no JSON object"),
        (f'["{PROFILE_KEY}"', "no JSON object"),
        ([], "no JSON object"),
        ({}, "there are: none"),
        ({"environments": []}, "there are: none"),
        ({"environments": {"staging": {}}}, "there are: staging"),
        (environments(api_key=""), "has no api_key: log in"),
        ({"oauth": {"access_token": PROFILE_KEY}}, "there are: none; the login there is OAuth, which is not supported"),
        (environments(api_key="") | {"access_token": PROFILE_KEY}, "has no api_key; the login there is OAuth"),
        (environments(api_key=5), "has no api_key"),
    ],
)
def test_env_says_why_a_profile_cannot_be_used(
    config: Any, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if config is not None:
        write_config(tmp_path, config)

    code = run(["--env", "production", "splits", "list"])

    err = capsys.readouterr().err
    assert code == 2
    assert reason in err.replace("\n", " ")
    assert PROFILE_KEY not in err


def test_env_reports_a_configuration_that_cannot_be_read(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RETAB_API_KEY")
    (tmp_path / ".retab" / "config.json").mkdir(parents=True)

    assert run(["--env", "production", "splits", "list"]) == 2
    assert "cannot be read: Is a directory" in capsys.readouterr().err


def test_env_behind_the_command_says_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["splits", "list", "--env", "production"]) == 2

    assert "--env goes before the command: retab-async --env ..." in capsys.readouterr().err


def test_auth_status_prints_the_last_characters_and_the_fingerprint_of_the_key(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETAB_API_KEY", PROFILE_KEY)
    code = run(["auth", "status"])

    out = capsys.readouterr().out
    fields = dict(line.split("\t") for line in out.splitlines())
    assert code == 0
    assert (fields["source"], fields["key"]) == ("RETAB_API_KEY", "...6789")
    assert (fields["base url"], fields["status"]) == (emulator.url, "key accepted")
    assert len(fields["fingerprint"]) == 12
    assert PROFILE_KEY not in out


def test_auth_status_shows_nothing_of_a_short_key(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETAB_API_KEY", "short-key")
    code = run(["auth", "status", "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert (code, answer["key"], answer["accepted"]) == (1, "...", False)
    assert answer["status"].startswith("key not accepted: ")


def test_auth_status_names_the_profile(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RETAB_API_KEY")
    write_config(tmp_path, environments())

    assert run(["--env", "production", "auth", "status"]) == 0
    assert capsys.readouterr().out.startswith("source\t--env production\n")


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        (Fault.status(403), 0, "key accepted, without access to files"),
        (Fault.status(418), 1, "unknown: "),
        (Fault.reset(), 1, "no response: "),
    ],
    ids=["forbidden", "another status", "no response"],
)
def test_auth_status_reports_what_the_api_answers(
    fault: Fault, code: int, status: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.fail("GET /v1/files", *[fault] * 4)

    assert run(["auth", "status"]) == code
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"status\t{status}")
