"""`retab-async files upload|list|get|download`: the files of an account."""

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from retab_async.cli.console import cli_errors, escape_control_chars
from retab_async.cli.credentials import open_client
from retab_async.cli.document_param import FILENAME, open_documents, parse_document
from retab_async.cli.list import list_options, print_list
from retab_async.cli.output import format_date, print_json, print_row, print_table
from retab_async.cli.params import DATE_HELP, json_option, parse_date, quiet_option
from retab_async.cli.progress import StatusReporter, status_reporter
from retab_async.cli.replacement import open_replacement, write_all
from retab_async.converter import unstructure
from retab_async.resources.files import File

# A document that is larger cannot be sent with a run either.
_MAX_DOWNLOAD = 1 << 30

_FILE_ID = "file_id"


def upload_command() -> click.Command:
    """Return the command that uploads files."""
    params = [
        click.Argument(["documents"], nargs=-1, required=True, metavar="FILE...", type=parse_document),
        FILENAME,
        quiet_option(),
        json_option(),
    ]
    help_text = "Upload files, and print the id, the name and the URL of each.\n\nFILE is a path, or - for stdin."

    @click.command("upload", params=params, help=help_text)
    def upload(*, documents: Sequence[Any], filename: str | None, as_json: bool) -> int:
        if filename is not None and len(documents) > 1:
            msg = "--filename names one FILE, and several were given"
            raise click.UsageError(msg)
        with (
            cli_errors(),
            open_documents({"documents": documents}) as fields,
            status_reporter("uploading") as reporter,
        ):
            asyncio.run(_upload(fields["documents"], filename, reporter, as_json=as_json))
        return 0

    return upload


async def _upload(documents: Sequence[Any], filename: str | None, reporter: StatusReporter, *, as_json: bool) -> None:
    async with open_client() as client:
        for document in documents:
            file = await client.files.upload(document, filename=filename, on_upload=reporter.on_upload)
            with reporter.paused():
                if as_json:
                    print_json({"id": file.id, "filename": file.filename, "url": file.url})
                else:
                    print_row((file.id, file.filename, file.url))


def list_command() -> click.Command:
    """Return the command that lists files."""
    params = [
        click.Option(["--filename"], metavar="NAME", help="Only files with this name."),
        click.Option(["--mime-type"], metavar="TYPE", help="Only files of this media type, such as application/pdf."),
        click.Option(["--from-date"], type=parse_date, metavar="DATE", help="Only files created on or after DATE."),
        click.Option(["--to-date"], type=parse_date, metavar="DATE", help="Only files created on or before DATE."),
        *list_options("files"),
    ]
    help_text = f"List files.\n\nPrints the id, media type, creation time and name of each. {DATE_HELP}"

    @click.command("list", params=params, help=help_text)
    def list_(**options: Any) -> int:
        return print_list("files", options, _print_summary)

    return list_


def _print_summary(file: File, *, as_json: bool) -> None:
    if as_json:
        print_json(unstructure(file))
        return
    print_row((file.id, file.mime_type, format_date(file.created_at), file.filename))


def get_command() -> click.Command:
    """Return the command that reads the metadata of a file."""

    @click.command("get", params=[click.Argument([_FILE_ID], metavar="ID"), json_option()], help="Read one file.")
    def get(*, file_id: str, as_json: bool) -> int:
        with cli_errors():
            fields = unstructure(asyncio.run(_get(file_id)))
        if as_json:
            print_json(fields)
        else:
            rows = [(name, str(value)) for name, value in fields.items() if value not in (None, "")]
            print_table(("field", "value"), rows)
        return 0

    return get


async def _get(file_id: str) -> File:
    async with open_client() as client:
        return await client.files.get(file_id)


def download_command() -> click.Command:
    """Return the command that downloads a file."""
    output = click.Option(
        ["--output", "path"],
        metavar="FILE",
        show_default="its own name, if there is no such file yet",
        help="Write to FILE, or to stdout for -.",
    )
    help_text = "Download one file, uploaded or sent with a run, and print the name it was written to."

    @click.command("download", params=[click.Argument([_FILE_ID], metavar="ID"), output], help=help_text)
    def download(*, file_id: str, path: str | None) -> int:
        if path == "-":
            _write_stdout(file_id)
            return 0
        if path is None:
            with cli_errors():
                path = _free_name(asyncio.run(_get(file_id)))
        with open_replacement(path) as file, cli_errors():
            write_all(file, asyncio.run(_download(file_id)), path)
        click.echo(escape_control_chars(path))
        return 0

    return download


def _write_stdout(file_id: str) -> None:
    if sys.stdout.isatty():
        msg = "stdout is a terminal: redirect it, or pass --output FILE"
        raise click.UsageError(msg)
    with cli_errors():
        content = asyncio.run(_download(file_id))
    with open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as stdout:
        write_all(stdout, content, "stdout")


def _free_name(file: File) -> str:
    # The name may be chosen by others: no folder, and no hidden file.
    name = escape_control_chars(re.split(r"[/\\]", file.filename)[-1].lstrip(".")) or file.id
    if Path(name).exists():
        msg = f"{name} exists: pass --output FILE to choose a name, or to replace it"
        raise click.UsageError(msg)
    return name


async def _download(file_id: str) -> bytes:
    async with open_client(max_response_bytes=_MAX_DOWNLOAD) as client:
        return await client.files.download(file_id)
