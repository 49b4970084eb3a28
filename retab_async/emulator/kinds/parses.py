"""Parses: the text of a document, page by page."""

from pathlib import PurePosixPath
from typing import Any

from retab_async.emulator.filters import DATES, FILENAME
from retab_async.emulator.kinds import common
from retab_async.emulator.kinds.common import document_run_view, status_view, usage
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.listing import ListSpec
from retab_async.emulator.runs import Run
from retab_async.emulator.validation import Field, one_of

TABLES = {
    "html": "<table><tr><th>item</th><th>total</th></tr><tr><td>paper</td><td>12</td></tr></table>",
    "markdown": "| item | total |\n| --- | --- |\n| paper | 12 |",
    "yaml": "- item: paper\n  total: 12",
    "json": '[{"item": "paper", "total": 12}]',
}


def _results(run: Run) -> dict[str, Any]:
    title = PurePosixPath(run.document.filename).stem
    pages = [f"# {title}\n\n{TABLES[run.request['table_parsing_format']]}", f"The end of {title}."]
    return {"output": {"pages": pages, "text": "\n\n".join(pages)}, "usage": usage(len(pages))}


PARSES = RunKind(
    name="parses",
    title="Parse",
    prefix="prs",
    fields=(
        common.DOCUMENT,
        common.MODEL,
        Field("table_parsing_format", one_of(*TABLES), default="html"),
        common.INSTRUCTIONS,
        common.BUST_CACHE,
        common.BACKGROUND,
    ),
    load_documents=common.load_document,
    sample={"document": common.SAMPLE_DOCUMENT},
    view=document_run_view(
        ("model", "table_parsing_format", "instructions"),
        {"output": {"pages": [], "text": ""}, "usage": None},
        _results,
    ),
    status_view=status_view,
    listing=ListSpec(filters=(FILENAME, *DATES)),
    deletable=True,
)
