"""Documents on their way to the API: what a caller may give, and the bodies of requests that it becomes."""

from retab_async.documents.body import DocumentField
from retab_async.documents.create_body import build_create_body, transfer_seconds
from retab_async.documents.open import Document
from retab_async.documents.upload import is_https, unsigned, upload_document

__all__ = [
    "Document",
    "DocumentField",
    "build_create_body",
    "is_https",
    "transfer_seconds",
    "unsigned",
    "upload_document",
]
