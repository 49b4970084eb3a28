"""An async client for runs on the Retab document-processing API: start, follow, cancel, and leave none behind."""

from retab_async.bulk import CancelJob, CancelOutcome, CancelReport, Disposition
from retab_async.client import AsyncRetab
from retab_async.documents import Document
from retab_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    InternalServerError,
    InvalidDocumentError,
    InvalidRequestError,
    InvalidRunIdError,
    JournalError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    RetabError,
    RunCancelledError,
    RunError,
    RunFailedError,
    ValidationError,
    WaitTimeoutError,
)
from retab_async.janitor import UnconfirmedCancel
from retab_async.listing import Page
from retab_async.models import FileRef, MIMEData, Primitive, PrimitiveError, RetabUsage, Run, RunStatus
from retab_async.pacing import RateLimit, Stats
from retab_async.resources.partitions import (
    Partition,
    PartitionChunk,
    PartitionChunkLikelihood,
    PartitionConsensus,
)
from retab_async.resources.splits import (
    SheetRegion,
    Split,
    SplitConsensus,
    SplitResult,
    SplitSubdocumentLikelihood,
    Subdocument,
)
from retab_async.retrying import RetryPolicy
from retab_async.scope import RunHandle, RunScope
from retab_async.settings import VERSION as __version__  # noqa: N811 - the name that tools look for

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AsyncRetab",
    "AuthenticationError",
    "CancelJob",
    "CancelOutcome",
    "CancelReport",
    "ClientStateError",
    "ConfigurationError",
    "ConflictError",
    "Disposition",
    "Document",
    "FileRef",
    "InternalServerError",
    "InvalidDocumentError",
    "InvalidRequestError",
    "InvalidRunIdError",
    "JournalError",
    "MIMEData",
    "NotFoundError",
    "Page",
    "Partition",
    "PartitionChunk",
    "PartitionChunkLikelihood",
    "PartitionConsensus",
    "PermissionDeniedError",
    "Primitive",
    "PrimitiveError",
    "RateLimit",
    "RateLimitError",
    "ResponseError",
    "RetabError",
    "RetabUsage",
    "RetryPolicy",
    "Run",
    "RunCancelledError",
    "RunError",
    "RunFailedError",
    "RunHandle",
    "RunScope",
    "RunStatus",
    "SheetRegion",
    "Split",
    "SplitConsensus",
    "SplitResult",
    "SplitSubdocumentLikelihood",
    "Stats",
    "Subdocument",
    "UnconfirmedCancel",
    "ValidationError",
    "WaitTimeoutError",
    "__version__",
]
