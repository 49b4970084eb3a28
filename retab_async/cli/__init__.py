"""The `retab-async` command; a command is loaded when it is used, and `--version` loads no client."""

import sys
from collections.abc import Sequence
from types import MappingProxyType

import click

from retab_async.cli.console import INTERRUPTED, configure_logging, escape_control_chars
from retab_async.cli.groups import Makers, RootGroup, loader
from retab_async.cli.signals import TerminationSignals
from retab_async.cli.streams import guarded_streams

# The commands beside the groups of kinds.
_COMMANDS: Makers = MappingProxyType(
    {
        "auth": loader("retab_async.cli.auth:auth_group"),
        "cancel": loader("retab_async.cli.cancel:any_kind_command"),
        "cancel-matching": loader("retab_async.cli.cancel_matching:any_kind_command"),
        "completion": loader("retab_async.cli.completion:completion"),
        "demo": loader("retab_async.cli.demo:demo"),
        "serve": loader("retab_async.cli.serve:serve"),
    }
)


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's callback
    if value:
        from retab_async import __version__  # noqa: PLC0415 - slow to load

        click.echo(f"retab-async, version {__version__}")
        context.exit()


@click.group(
    cls=RootGroup,
    makers=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version."
)
@click.option("-v", "--verbose", count=True, help="Log retries to stderr; with -vv, log every attempt.")
@click.option(
    "--env",
    "profile",
    metavar="NAME",
    help="Use the key of this environment in ~/.retab/config.json of the official CLI.",
)
def _root(verbose: int, profile: str | None) -> None:
    """Create runs on Retab, wait for them, read them, and cancel them.

    Set RETAB_API_KEY to your key, and RETAB_API_BASE_URL to use another address; auth status checks both.
    """
    configure_logging(verbose)
    if profile is not None:
        from retab_async.cli.credentials import use_profile  # noqa: PLC0415 - loads the client

        use_profile(profile)


_ROOT_OPTIONS = frozenset(name for option in _root.params for name in option.opts)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: The words after `retab-async`; by default those of `sys.argv`.

    Returns:
        0 for success, 1 if a run failed or stdout could not be written, 2 for wrong usage, 130 after Ctrl-C, 143 after
        SIGTERM, 129 after SIGHUP.
    """
    with guarded_streams(), TerminationSignals() as signals:
        return signals.exit_code(_run(sys.argv[1:] if arguments is None else arguments))


def _run(words: Sequence[str]) -> int:
    try:
        # The words are kept for commands that print how to resume.
        return int(_root.main([*words], prog_name="retab-async", standalone_mode=False, obj=words) or 0)
    except click.ClickException as error:
        error = _with_place(error)
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except _reported_errors() as error:
        return _report(error)


def _with_place(error: click.ClickException) -> click.ClickException:
    # Options of the root are given behind the command by habit.
    if not isinstance(error, click.NoSuchOption) or error.option_name not in _ROOT_OPTIONS:
        return error
    name = error.option_name
    msg = f"{name} goes before the command: retab-async {name} ..."
    return click.UsageError(msg, error.ctx)


def _reported_errors() -> tuple[type[Exception], ...]:
    # Called only when a command has failed: these classes are slow to load.
    from retab_async.errors import ConfigurationError, TerminatedError  # noqa: PLC0415

    return ConfigurationError, TerminatedError


def _report(error: Exception) -> int:
    exit_code: int | None = getattr(error, "exit_code", None)
    if exit_code is not None:
        click.echo("interrupted", err=True)
        return exit_code
    click.echo(f"Error: {escape_control_chars(str(error))}", err=True)
    if "RETAB_API_KEY" in str(error):
        click.echo("    export RETAB_API_KEY=...", err=True)
        click.echo("or use a profile of the official command: retab-async --env NAME ...", err=True)
    return 2
