"""Documents: what callers may give as one, and the request bodies and uploads that it becomes."""

from retab_async.documents.body import DocumentField
from retab_async.documents.create_body import build_create_body
from retab_async.documents.files import AsyncBinaryFile, BinaryFile
from retab_async.documents.open import Content, Document
from retab_async.documents.storage import download
from retab_async.documents.upload import redact_queries, transfer_seconds, upload_document
from retab_async.documents.urls import is_https, is_storage_url

__all__ = [
    "AsyncBinaryFile",
    "BinaryFile",
    "Content",
    "Document",
    "DocumentField",
    "build_create_body",
    "download",
    "is_https",
    "is_storage_url",
    "redact_queries",
    "transfer_seconds",
    "upload_document",
]
