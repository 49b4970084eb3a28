"""Parses: the text of a document, page by page."""

from pathlib import PurePosixPath
from typing import Any

from retab_async.emulator.checks import Field, one_of
from retab_async.emulator.filters import DATES, FILENAME
from retab_async.emulator.kinds import requests
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.kinds.views import brief, primitive, usage
from retab_async.emulator.listing import Listing
from retab_async.emulator.runs import Run

TABLES = {
    "html": "<table><tr><th>item</th><th>total</th></tr><tr><td>paper</td><td>12</td></tr></table>",
    "markdown": "| item | total |\n| --- | --- |\n| paper | 12 |",
    "yaml": "- item: paper\n  total: 12",
    "json": '[{"item": "paper", "total": 12}]',
}


def _invent(run: Run) -> dict[str, Any]:
    title = PurePosixPath(run.document.filename).stem
    pages = [f"# {title}\n\n{TABLES[run.asked['table_parsing_format']]}", f"The end of {title}."]
    return {"output": {"pages": pages, "text": "\n\n".join(pages)}, "usage": usage(len(pages))}


PARSES = Kind(
    collection="parses",
    title="Parse",
    prefix="prs",
    fields=(
        requests.DOCUMENT,
        requests.MODEL,
        Field("table_parsing_format", one_of(*TABLES), default="html"),
        requests.INSTRUCTIONS,
        requests.BUST_CACHE,
        requests.BACKGROUND,
    ),
    attach=requests.attach_document,
    sample={"document": requests.SAMPLE_DOCUMENT},
    view=primitive(
        ("model", "table_parsing_format", "instructions"),
        {"output": {"pages": [], "text": ""}, "usage": None},
        _invent,
    ),
    brief=brief,
    listing=Listing(filters=(FILENAME, *DATES)),
    deletable=True,
)
