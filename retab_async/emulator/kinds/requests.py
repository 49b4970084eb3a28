"""The fields that the requests of several kinds have, and the documents behind them."""

from typing import Any

from retab_async.emulator.checks import (
    Field,
    any_text,
    document_url,
    filled_text,
    flag,
    object_of,
    one_of,
    whole_number,
)
from retab_async.emulator.documents import Attached, Intake
from retab_async.emulator.runs import ONLY

MIME_DATA = object_of(Field("filename", filled_text, required=True), Field("url", document_url, required=True))
DOCUMENT = Field("document", MIME_DATA, required=True)
MODEL = Field("model", filled_text, default="retab-small")
INSTRUCTIONS = Field("instructions", any_text)
BUST_CACHE = Field("bust_cache", flag, default=False)
BACKGROUND = Field("background", flag, default=False)
SOURCES = Field("sources", object_of(Field("mode", one_of("located", "cited"), required=True)))
ANY_NUMBER = 2**31 - 1
SAMPLE_DOCUMENT = {"filename": "sample.pdf", "url": "data:application/pdf;base64,JVBERi0xLjcK"}


def votes(most: int) -> Field:
    """Ask for so many votes at most."""
    return Field("n_consensus", whole_number(1, most), default=1)


def attach_document(asked: dict[str, Any], intake: Intake) -> dict[str | int, Attached]:
    """Take in the one document of a request."""
    return {ONLY: intake.document(asked["document"], ("body", "document"))}
