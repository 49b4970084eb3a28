"""Documents: what callers may give as one, and the request bodies and uploads that it becomes."""

from typing import TYPE_CHECKING

from retab_async.lazy import lazy_names

if TYPE_CHECKING:
    from retab_async.documents.create_body import build_create_body as build_create_body
    from retab_async.documents.field import (
        Document as Document,
        DocumentField as DocumentField,
        PydanticFields as PydanticFields,
    )
    from retab_async.documents.progress import UploadCallback as UploadCallback, UploadProgress as UploadProgress
    from retab_async.documents.identity import (
        DocumentIdentity as DocumentIdentity,
        identify_document as identify_document,
    )
    from retab_async.documents.storage import send_to_storage as send_to_storage
    from retab_async.documents.upload import (
        redact_queries as redact_queries,
        transfer_seconds as transfer_seconds,
        upload_document as upload_document,
    )
    from retab_async.documents.urls import is_https as is_https, is_storage_url as is_storage_url
else:
    # A client that creates no run needs the types alone.
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Document": "field",
            "DocumentField": "field",
            "PydanticFields": "field",
            "UploadCallback": "progress",
            "UploadProgress": "progress",
            "DocumentIdentity": "identity",
            "build_create_body": "create_body",
            "identify_document": "identity",
            "is_https": "urls",
            "is_storage_url": "urls",
            "send_to_storage": "storage",
            "redact_queries": "upload",
            "transfer_seconds": "upload",
            "upload_document": "upload",
        },
    )
