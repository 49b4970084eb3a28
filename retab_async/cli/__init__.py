"""The `retab-async` command, assembled from the register of kinds."""

import sys
from collections.abc import Sequence

import click

from retab_async.cli.cancel import cancel_any_kind
from retab_async.cli.console import INTERRUPTED, escape_control_chars, show_logs
from retab_async.cli.demo import demo
from retab_async.cli.groups import kind_groups
from retab_async.cli.serve import serve
from retab_async.errors import ConfigurationError
from retab_async.resources import RESOURCES
from retab_async.settings import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, package_name="retab_async")
@click.option("-v", "--verbose", count=True, help="Log retries to stderr; twice: every attempt.")
def _root(verbose: int) -> None:
    """Create runs on Retab, follow them, read them, and cancel them.

    The key is read from RETAB_API_KEY, the address from RETAB_API_BASE_URL.
    """
    show_logs(verbose)


for _group in kind_groups(RESOURCES):
    _root.add_command(_group)
_root.add_command(cancel_any_kind)
_root.add_command(serve)
_root.add_command(demo)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 all well, 1 some run failed, 2 wrong usage, 130 interrupted."""
    try:
        # What was typed is there for a command that says how to go on from where it was interrupted.
        typed = sys.argv[1:] if arguments is None else arguments
        return int(_root.main([*typed], prog_name="retab-async", standalone_mode=False, obj=typed) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ConfigurationError as error:
        click.echo(f"Error: {escape_control_chars(str(error))}", err=True)
        if "RETAB_API_KEY" in str(error):
            click.echo("    export RETAB_API_KEY=...", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
