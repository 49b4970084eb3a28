"""The `retab-async` command, assembled from the registry of kinds."""

import sys
from collections.abc import Sequence

import click

from retab_async.cli.cancel import any_kind_command
from retab_async.cli.console import INTERRUPTED, configure_logging, escape_control_chars
from retab_async.cli.demo import demo
from retab_async.cli.groups import kind_groups
from retab_async.cli.serve import serve
from retab_async.cli.signals import TerminationSignals
from retab_async.cli.streams import guarded_streams
from retab_async.errors import ConfigurationError, TerminatedError
from retab_async.resources import RESOURCES
from retab_async.settings import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, package_name="retab_async")
@click.option("-v", "--verbose", count=True, help="Log retries to stderr; with -vv, log every attempt.")
def _root(verbose: int) -> None:
    """Create runs on Retab, wait for them, read them, and cancel them.

    Set RETAB_API_KEY to your key, and RETAB_API_BASE_URL to use another address.
    """
    configure_logging(verbose)


for _group in kind_groups(RESOURCES):
    _root.add_command(_group)
_root.add_command(any_kind_command())
_root.add_command(serve)
_root.add_command(demo)


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
        error.show()
        return error.exit_code
    except ConfigurationError as error:
        click.echo(f"Error: {escape_control_chars(str(error))}", err=True)
        if "RETAB_API_KEY" in str(error):
            click.echo("    export RETAB_API_KEY=...", err=True)
        return 2
    except TerminatedError as error:
        click.echo("interrupted", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
