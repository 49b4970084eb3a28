"""Output of one run: its fields or its result, on stdout or in a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Self

import attrs
import click
import orjson

from retab_async.cli.console import escape_control_chars
from retab_async.cli.output import print_json, print_run, print_run_summary
from retab_async.cli.params import OUTPUT_FILE
from retab_async.cli.replacement import open_replacement, write_all
from retab_async.converter import unstructure
from retab_async.json_codec import dumps_any
from retab_async.models import Run, RunStatus
from retab_async.resources import RESOURCES

_RESULT_FIELDS = ("output", "json_schema")


def _result_field(run_type: type[Run]) -> str | None:
    return next((name for name in _RESULT_FIELDS if name in attrs.fields_dict(run_type)), None)


def run_output_options(kind: str) -> list[click.Parameter]:
    """Return the options of `RunOutput`: `--output`, and `--result-only` if runs of the kind have a result."""
    result_only = click.Option(
        ["--result-only"], is_flag=True, help="Print only the result, as JSON; exit with 1 if there is none."
    )
    return [
        *([result_only] if _result_field(RESOURCES[kind].run_type) else []),
        click.Option(
            ["--output", "path"], type=OUTPUT_FILE, metavar="FILE", help="Write the JSON to FILE, and print one line."
        ),
    ]


@attrs.frozen(kw_only=True)
class RunOutput:
    """How one run is printed.

    Attributes:
        as_json: Print JSON on stdout.
        result_only: Print the result instead of the run.
        path: The path of the file to write, None for none.
        file: The open file.
    """

    as_json: bool
    result_only: bool
    path: str | None
    file: IO[bytes] | None = None

    @classmethod
    def take(cls, options: dict[str, Any]) -> Self:
        """Take the values of `run_output_options` and of `--json` out of those of a command."""
        return cls(
            as_json=options.pop("as_json"), result_only=options.pop("result_only", False), path=options.pop("path")
        )

    @property
    def is_default(self) -> bool:
        """Whether the run is printed on stdout as a whole."""
        return not self.result_only and self.path is None

    @contextmanager
    def opened(self) -> Iterator[Self]:
        """Open the file, so that it is known to be writable before a run is created."""
        if self.path is None:
            yield self
            return
        with open_replacement(self.path) as file:
            yield attrs.evolve(self, file=file)

    def print(self, run: Run) -> None:
        """Print a run, or write it to the file.

        Raises:
            click.ClickException: The run has no result, or the file cannot be written.
        """
        value = self._result_of(run) if self.result_only else unstructure(run)
        if self.file is None or self.path is None:
            if self.result_only:
                print_json(value)
            else:
                print_run(run, as_json=self.as_json)
            return
        write_all(self.file, _indented(value) + b"\n", self.path)
        print_run_summary(run, as_json=self.as_json)

    def _result_of(self, run: Run) -> Any:
        if run.status is not RunStatus.COMPLETED:
            reason = f" ({run.error.message})" if run.error and run.error.message else ""
            msg = f"{run.id} is {run.status}{reason}: it has no result"
            raise click.ClickException(escape_control_chars(msg))
        return unstructure(run)[_result_field(type(run)) or ""]


def _indented(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2)
    except TypeError:
        # Integers beyond 64 bits, for one.
        return dumps_any(value)
