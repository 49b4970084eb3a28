"""An async client for runs on the Retab document-processing API: start, follow, cancel, and leave none behind."""

import logging

from retab_async.bulk import CancelJob, CancelOutcome, CancelReport, Disposition, Order
from retab_async.cleanup import UnconfirmedCancel
from retab_async.client import AnyRun, AsyncRetab
from retab_async.documents import Document
from retab_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    HTTPResponseError,
    InternalServerError,
    InvalidDocumentError,
    InvalidRequestError,
    InvalidRunIdError,
    JournalError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestError,
    ResponseError,
    RetabError,
    RunCancelledError,
    RunError,
    RunFailedError,
    ValidationError,
    WaitTimeoutError,
)
from retab_async.lifecycles import (
    AwaitingReviewLifecycle,
    CancelledLifecycle,
    CompletedLifecycle,
    ErrorDetails,
    ErrorLifecycle,
    Lifecycle,
    MeasuredTiming,
    PendingLifecycle,
    QueuedLifecycle,
    RunningLifecycle,
    RunTiming,
    RunTrigger,
    UnknownLifecycle,
    WorkflowFamilyRun,
)
from retab_async.listing import Page, RunPager
from retab_async.models import FileRef, MIMEData, Primitive, PrimitiveError, RetabUsage, Run, RunStatus, UploadedFile
from retab_async.polling.waiter import StatusCallback, WaitIterator
from retab_async.resources.classifications import (
    Category,
    Classification,
    ClassificationConsensus,
    ClassificationDecision,
)
from retab_async.resources.edits import BBox, Edit, EditConfig, EditResult, FormField
from retab_async.resources.extractions import Extraction, ExtractionConsensus
from retab_async.resources.file_blueprints import FileBlueprint
from retab_async.resources.files import DownloadLink, File
from retab_async.resources.parses import Parse, ParseOutput
from retab_async.resources.partitions import (
    Partition,
    PartitionChunk,
    PartitionChunkLikelihood,
    PartitionConsensus,
)
from retab_async.resources.schemas import SchemaGeneration
from retab_async.resources.splits import (
    SheetRegion,
    Split,
    SplitConsensus,
    SplitResult,
    SplitSubdocumentLikelihood,
    Subdocument,
)
from retab_async.resources.workflow_eval_runs import (
    BlockEvalBatchExecutionCounts,
    BlockEvalLifecycleCounts,
    BlockEvalOutcomeCounts,
    EvalRunBlockTarget,
    EvalRunFreshness,
    WorkflowEvalRun,
)
from retab_async.resources.workflow_experiment_runs import ExperimentRun
from retab_async.resources.workflow_runs import RunInputs, WorkflowRun
from retab_async.retry import RetryPolicy
from retab_async.scope import RunHandle, RunScope
from retab_async.settings import VERSION as __version__  # noqa: N811 - the name that tools look for
from retab_async.streaming import RunStream
from retab_async.throttle import RateLimit, Stats

# A library prints nothing by itself; the application decides.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AnyRun",
    "AsyncRetab",
    "AuthenticationError",
    "AwaitingReviewLifecycle",
    "BBox",
    "BlockEvalBatchExecutionCounts",
    "BlockEvalLifecycleCounts",
    "BlockEvalOutcomeCounts",
    "CancelJob",
    "CancelOutcome",
    "CancelReport",
    "CancelledLifecycle",
    "Category",
    "Classification",
    "ClassificationConsensus",
    "ClassificationDecision",
    "ClientStateError",
    "CompletedLifecycle",
    "ConfigurationError",
    "ConflictError",
    "Disposition",
    "Document",
    "DownloadLink",
    "Edit",
    "EditConfig",
    "EditResult",
    "ErrorDetails",
    "ErrorLifecycle",
    "EvalRunBlockTarget",
    "EvalRunFreshness",
    "ExperimentRun",
    "Extraction",
    "ExtractionConsensus",
    "File",
    "FileBlueprint",
    "FileRef",
    "FormField",
    "HTTPResponseError",
    "InternalServerError",
    "InvalidDocumentError",
    "InvalidRequestError",
    "InvalidRunIdError",
    "JournalError",
    "Lifecycle",
    "MIMEData",
    "MeasuredTiming",
    "NotFoundError",
    "Order",
    "Page",
    "Parse",
    "ParseOutput",
    "Partition",
    "PartitionChunk",
    "PartitionChunkLikelihood",
    "PartitionConsensus",
    "PendingLifecycle",
    "PermissionDeniedError",
    "Primitive",
    "PrimitiveError",
    "QueuedLifecycle",
    "RateLimit",
    "RateLimitError",
    "RequestError",
    "ResponseError",
    "RetabError",
    "RetabUsage",
    "RetryPolicy",
    "Run",
    "RunCancelledError",
    "RunError",
    "RunFailedError",
    "RunHandle",
    "RunInputs",
    "RunPager",
    "RunScope",
    "RunStatus",
    "RunStream",
    "RunTiming",
    "RunTrigger",
    "RunningLifecycle",
    "SchemaGeneration",
    "SheetRegion",
    "Split",
    "SplitConsensus",
    "SplitResult",
    "SplitSubdocumentLikelihood",
    "Stats",
    "StatusCallback",
    "Subdocument",
    "UnconfirmedCancel",
    "UnknownLifecycle",
    "UploadedFile",
    "ValidationError",
    "WaitIterator",
    "WaitTimeoutError",
    "WorkflowEvalRun",
    "WorkflowFamilyRun",
    "WorkflowRun",
    "__version__",
]
