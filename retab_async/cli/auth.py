"""`retab-async auth status`: which key a command would use, where, and whether the API accepts it."""

import asyncio

import click

from retab_async.cli.console import escape_control_chars
from retab_async.cli.credentials import connection_settings, current_profile, open_client
from retab_async.cli.groups import LazyGroup
from retab_async.cli.output import print_json, print_table
from retab_async.cli.params import json_option
from retab_async.errors import APIConnectionError, AuthenticationError, PermissionDeniedError, RetabError
from retab_async.retry import RetryPolicy
from retab_async.settings import Settings

# Of a shorter key the last characters would be too large a part.
_MIN_KEY_LENGTH = 16
_CHARS_SHOWN = 4
_FINGERPRINT_CHARS = 12
# A person waits.
_POLICY = RetryPolicy(attempts=2, deadline=15.0)

_HELP = """Print which key and address the commands use, and whether the API accepts the key.

The key itself is never printed, only its last characters and a fingerprint, with which a journal names it, too. Exits
with 1 if the API does not accept the key, or cannot be reached."""


def status_command() -> click.Command:
    """Return the command that prints the credential in use."""

    @click.command("status", params=[json_option()], help=_HELP)
    def status(*, as_json: bool) -> int:
        figures = _describe()
        is_accepted, figures["status"] = asyncio.run(_check())
        if as_json:
            print_json({name.replace(" ", "_"): value for name, value in figures.items()} | {"accepted": is_accepted})
        else:
            print_table(("setting", "value"), [*figures.items()])
        return int(not is_accepted)

    return status


def _describe() -> dict[str, str]:
    api_key, base_url = connection_settings()
    settings = Settings.resolve(
        api_key=api_key,
        bearer_token=None,
        base_url=base_url,
        proxy=False,
        timeout=1.0,
        user_agent=None,
    )
    profile = current_profile()
    key = settings.credential.secret
    return {
        "source": "RETAB_API_KEY" if profile is None else f"--env {profile.name}",
        "key": f"...{key[-_CHARS_SHOWN:]}" if len(key) >= _MIN_KEY_LENGTH else "...",
        "fingerprint": settings.credential.fingerprint[:_FINGERPRINT_CHARS],
        "base url": settings.base_url,
    }


async def _check() -> tuple[bool, str]:
    async with open_client(retry=_POLICY) as client:
        pages = client.files.list(limit=1).pages()
        try:
            await anext(pages)
        except PermissionDeniedError:
            # It knows the key.
            return True, "key accepted, without access to files"
        except AuthenticationError as error:
            return False, escape_control_chars(f"key not accepted: {error.message}")
        except APIConnectionError as error:
            return False, escape_control_chars(f"no response: {error.message}")
        except RetabError as error:
            return False, escape_control_chars(f"unknown: {error}")
        finally:
            await pages.aclose()
    return True, "key accepted"


def auth_group() -> click.Group:
    """Return the group `auth`."""
    return LazyGroup("auth", {"status": status_command}, help="Check the API key.")
