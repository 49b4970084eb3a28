"""Async client for the Retab document-processing API: create, follow and cancel runs, and leave none behind."""

import logging

from retab_async.bulk import CancelJob, CancelOutcome, CancelReport, Disposition, EndReason, Order
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
    IdempotencyReplayError,
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
from retab_async.resources import FilesAndBlueprints, WorkflowEvals, WorkflowExperiments, Workflows
from retab_async.resources.base import RunResource
from retab_async.resources.classifications import (
    Category,
    Classification,
    ClassificationConsensus,
    ClassificationDecision,
    Classifications,
)
from retab_async.resources.edits import BBox, Edit, EditConfig, EditResult, Edits, FormField
from retab_async.resources.extractions import Extraction, ExtractionConsensus, Extractions
from retab_async.resources.file_blueprints import FileBlueprint, FileBlueprints
from retab_async.resources.files import DownloadLink, File, Files
from retab_async.resources.parses import Parse, ParseOutput, Parses
from retab_async.resources.partitions import (
    Partition,
    PartitionChunk,
    PartitionChunkLikelihood,
    PartitionConsensus,
    Partitions,
)
from retab_async.resources.schemas import SchemaGeneration, SchemaGenerations
from retab_async.resources.splits import (
    SheetRegion,
    Split,
    SplitConsensus,
    SplitResult,
    Splits,
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
    WorkflowEvalRuns,
)
from retab_async.resources.workflow_experiment_runs import ExperimentRun, ExperimentRuns
from retab_async.resources.workflow_runs import RunInputs, WorkflowRun, WorkflowRuns
from retab_async.retry import RetryPolicy
from retab_async.scope import RunHandle, RunScope
from retab_async.settings import VERSION
from retab_async.streaming import RunStream
from retab_async.throttle import RateLimit, Stats, Totals

# A library prints nothing by itself; the application decides.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__: str = VERSION

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
    "Classifications",
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
    "Edits",
    "EndReason",
    "ErrorDetails",
    "ErrorLifecycle",
    "EvalRunBlockTarget",
    "EvalRunFreshness",
    "ExperimentRun",
    "ExperimentRuns",
    "Extraction",
    "ExtractionConsensus",
    "Extractions",
    "File",
    "FileBlueprint",
    "FileBlueprints",
    "FileRef",
    "Files",
    "FilesAndBlueprints",
    "FormField",
    "HTTPResponseError",
    "IdempotencyReplayError",
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
    "Parses",
    "Partition",
    "PartitionChunk",
    "PartitionChunkLikelihood",
    "PartitionConsensus",
    "Partitions",
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
    "RunResource",
    "RunScope",
    "RunStatus",
    "RunStream",
    "RunTiming",
    "RunTrigger",
    "RunningLifecycle",
    "SchemaGeneration",
    "SchemaGenerations",
    "SheetRegion",
    "Split",
    "SplitConsensus",
    "SplitResult",
    "SplitSubdocumentLikelihood",
    "Splits",
    "Stats",
    "StatusCallback",
    "Subdocument",
    "Totals",
    "UnconfirmedCancel",
    "UnknownLifecycle",
    "UploadedFile",
    "ValidationError",
    "WaitIterator",
    "WaitTimeoutError",
    "WorkflowEvalRun",
    "WorkflowEvalRuns",
    "WorkflowEvals",
    "WorkflowExperiments",
    "WorkflowFamilyRun",
    "WorkflowRun",
    "WorkflowRuns",
    "Workflows",
    "__version__",
]
