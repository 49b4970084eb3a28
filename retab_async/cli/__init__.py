"""The `retab-async` command, assembled from the register of kinds."""

import logging

import click

from retab_async.cli.demo import demo
from retab_async.cli.runs import kind_commands
from retab_async.cli.serve import serve
from retab_async.errors import ConfigurationError
from retab_async.resources import RESOURCES
from retab_async.settings import VERSION

_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, package_name="retab_async")
@click.option("-v", "--verbose", count=True, help="Log retries to stderr; twice: every attempt.")
def _root(verbose: int) -> None:
    """Cancel runs on Retab, and look at what was cancelled.

    The key is read from RETAB_API_KEY, the address from RETAB_API_BASE_URL.
    """
    if verbose:
        logging.basicConfig(format="%(message)s")
    else:
        logging.getLogger("retab_async").addHandler(logging.NullHandler())
    logging.getLogger("retab_async").setLevel(logging.DEBUG if verbose > 1 else logging.WARNING)


for _name, _resource in RESOURCES.items():
    _root.add_command(kind_commands(_name, _resource))
_root.add_command(serve)
_root.add_command(demo)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 all well, 1 some run failed, 2 wrong usage, 130 interrupted."""
    try:
        return int(_root.main(arguments, prog_name="retab-async", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ConfigurationError as error:
        click.echo(f"Error: {error}", err=True)
        if "RETAB_API_KEY" in str(error):
            click.echo("    export RETAB_API_KEY=...", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
