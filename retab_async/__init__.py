"""An async client for runs on the Retab document-processing API: cancel, read, list and delete them."""

from retab_async.client import AsyncRetab
from retab_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    InternalServerError,
    InvalidRequestError,
    InvalidRunIdError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    RetabError,
    ValidationError,
)
from retab_async.listing import Page
from retab_async.models import FileRef, PrimitiveError, RetabUsage, Run, RunStatus
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
from retab_async.settings import VERSION as __version__  # noqa: N811 - the name that tools look for

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AsyncRetab",
    "AuthenticationError",
    "ClientStateError",
    "ConfigurationError",
    "ConflictError",
    "FileRef",
    "InternalServerError",
    "InvalidRequestError",
    "InvalidRunIdError",
    "NotFoundError",
    "Page",
    "Partition",
    "PartitionChunk",
    "PartitionChunkLikelihood",
    "PartitionConsensus",
    "PermissionDeniedError",
    "PrimitiveError",
    "RateLimitError",
    "ResponseError",
    "RetabError",
    "RetabUsage",
    "RetryPolicy",
    "Run",
    "RunStatus",
    "SheetRegion",
    "Split",
    "SplitConsensus",
    "SplitResult",
    "SplitSubdocumentLikelihood",
    "Subdocument",
    "ValidationError",
    "__version__",
]
