"""The credential and the address that a command uses: of the environment, or of a profile of the official command.

The official command keeps its profiles in `~/.retab/config.json`, which is read here and never written.
"""

import json
import os
from pathlib import Path
from typing import Any

import attrs
import click

from retab_async.cli.console import escape_control_chars
from retab_async.client import AsyncRetab
from retab_async.settings import SecretStr

_META_KEY = "retab_async.profile"


def _profiles_path() -> Path:
    return Path("~/.retab/config.json").expanduser()


@attrs.frozen
class Profile:
    """A profile of the official command.

    Attributes:
        name: Its name.
        api_key: Its key.
        base_url: Its address, None for the default.
    """

    name: str
    api_key: SecretStr
    base_url: str | None

    @classmethod
    def read(cls, name: str) -> "Profile":
        """Read a profile; raises `click.UsageError` if it cannot be used."""
        path = _profiles_path()
        config = _read_json(path)
        environments = config.get("environments")
        environments = environments if isinstance(environments, dict) else {}
        found = environments.get(name)
        if not isinstance(found, dict):
            names = ", ".join(map(str, environments)) or "none"
            msg = f"there is no environment {name!r} in {path}; there are: {names}{_login_hint(config)}"
            raise click.UsageError(escape_control_chars(msg))
        key = found.get("api_key")
        if not isinstance(key, str) or not key:
            hint = _login_hint(config) or ": log in with the official command first"
            msg = f"the environment {name!r} in {path} has no api_key{hint}"
            raise click.UsageError(escape_control_chars(msg))
        base_url = found.get("base_url") or config.get("base_url")
        return cls(name, SecretStr(key), base_url if isinstance(base_url, str) else None)


def _login_hint(config: dict[str, Any]) -> str:
    # A login in the browser has tokens that expire, beside the environments.
    if config.get("oauth") or config.get("access_token"):
        return "; the login there is OAuth, which is not supported: set RETAB_API_KEY to an API key"
    return ""


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        msg = f"there is no {path}: the official command writes it when you log in"
        raise click.UsageError(msg) from None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise click.UsageError(msg) from None
    try:
        value = json.loads(content)
    except ValueError:
        # Not its reason, which may quote a key.
        value = None
    if not isinstance(value, dict):
        msg = f"{path} is not the configuration of the official command: it holds no JSON object"
        raise click.UsageError(msg)
    return value


def use_profile(name: str) -> None:
    """Make the commands below the current context use a profile."""
    if os.environ.get("RETAB_API_KEY"):
        msg = f"RETAB_API_KEY is set, too: unset it to use the key of --env {name}"
        raise click.UsageError(escape_control_chars(msg))
    click.get_current_context().meta[_META_KEY] = Profile.read(name)


def current_profile() -> Profile | None:
    """Return the profile of `--env`, None without it."""
    profile: Profile | None = click.get_current_context().meta.get(_META_KEY)
    return profile


def connection_settings() -> tuple[str | None, str | None]:
    """Return the `api_key` and the `base_url` for `AsyncRetab`; None for those of the environment."""
    profile = current_profile()
    if profile is None:
        return None, None
    # The official command prefers its variable for the address, too.
    return profile.api_key, None if os.environ.get("RETAB_API_BASE_URL") else profile.base_url


def open_client(**settings: Any) -> AsyncRetab:
    """Return a client with the credential and the address of the command."""
    api_key, base_url = connection_settings()
    return AsyncRetab(api_key, base_url=base_url, **settings)
