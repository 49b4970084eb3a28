"""Async client for the Retab document-processing API: create, follow and cancel runs, and leave none behind.

Every name is loaded when it is first used, together with the modules that it needs.
"""

from typing import TYPE_CHECKING

from retab_async.lazy import lazy_names

if TYPE_CHECKING:
    # For type checkers and editors; `as` marks a name as public.
    from retab_async.api.any_route import APIResponse as APIResponse
    from retab_async.bulk import (
        CancelJob as CancelJob,
        CancelOutcome as CancelOutcome,
        CancelReport as CancelReport,
        Disposition as Disposition,
        EndReason as EndReason,
        MatchingOptions as MatchingOptions,
        Order as Order,
    )
    from retab_async.cleanup import UnconfirmedCancel as UnconfirmedCancel
    from retab_async.client import AsyncRetab as AsyncRetab
    from retab_async.documents import (
        Document as Document,
        UploadCallback as UploadCallback,
        UploadProgress as UploadProgress,
    )
    from retab_async.errors import (
        APIConnectionError as APIConnectionError,
        APIError as APIError,
        APITimeoutError as APITimeoutError,
        AuthenticationError as AuthenticationError,
        ClientStateError as ClientStateError,
        ConfigurationError as ConfigurationError,
        ConflictError as ConflictError,
        HTTPResponseError as HTTPResponseError,
        IdempotencyReplayError as IdempotencyReplayError,
        InternalServerError as InternalServerError,
        InvalidDocumentError as InvalidDocumentError,
        InvalidRequestError as InvalidRequestError,
        InvalidRunIdError as InvalidRunIdError,
        JournalError as JournalError,
        NotFoundError as NotFoundError,
        PermissionDeniedError as PermissionDeniedError,
        RateLimitError as RateLimitError,
        RequestError as RequestError,
        ResponseError as ResponseError,
        ResponseTooLargeError as ResponseTooLargeError,
        RetabError as RetabError,
        RunCancelledError as RunCancelledError,
        RunError as RunError,
        RunFailedError as RunFailedError,
        SettledError as SettledError,
        TerminatedError as TerminatedError,
        UnknownRunError as UnknownRunError,
        ValidationError as ValidationError,
        WaitTimeoutError as WaitTimeoutError,
    )
    from retab_async.hooks import Call as Call, Hook as Hook
    from retab_async.lifecycles import (
        AwaitingReviewLifecycle as AwaitingReviewLifecycle,
        CancelledLifecycle as CancelledLifecycle,
        CompletedLifecycle as CompletedLifecycle,
        ErrorDetails as ErrorDetails,
        ErrorLifecycle as ErrorLifecycle,
        Lifecycle as Lifecycle,
        MeasuredTiming as MeasuredTiming,
        PendingLifecycle as PendingLifecycle,
        QueuedLifecycle as QueuedLifecycle,
        RunningLifecycle as RunningLifecycle,
        RunTiming as RunTiming,
        RunTrigger as RunTrigger,
        UnknownLifecycle as UnknownLifecycle,
        WorkflowFamilyRun as WorkflowFamilyRun,
    )
    from retab_async.listing import Page as Page, RunPager as RunPager
    from retab_async.models import (
        DOLLARS_PER_CREDIT as DOLLARS_PER_CREDIT,
        FileRef as FileRef,
        MIMEData as MIMEData,
        Primitive as Primitive,
        PrimitiveError as PrimitiveError,
        RetabUsage as RetabUsage,
        Run as Run,
        RunStatus as RunStatus,
        UploadedFile as UploadedFile,
    )
    from retab_async.polling.waiter import StatusCallback as StatusCallback, WaitIterator as WaitIterator
    from retab_async.process import (
        ProcessDisposition as ProcessDisposition,
        ProcessingOptions as ProcessingOptions,
        ProcessJob as ProcessJob,
        ProcessReport as ProcessReport,
        ProcessResult as ProcessResult,
    )
    from retab_async.resources import (
        WorkflowEvals as WorkflowEvals,
        WorkflowExperiments as WorkflowExperiments,
        Workflows as Workflows,
    )
    from retab_async.resources.account_files import FilesAndBlueprints as FilesAndBlueprints
    from retab_async.resources.any_run import AnyRun as AnyRun
    from retab_async.resources.base import RunResource as RunResource
    from retab_async.resources.classifications import (
        Category as Category,
        Classification as Classification,
        ClassificationConsensus as ClassificationConsensus,
        ClassificationDecision as ClassificationDecision,
        ClassificationProcessing as ClassificationProcessing,
        Classifications as Classifications,
    )
    from retab_async.resources.edits import (
        BBox as BBox,
        Edit as Edit,
        EditConfig as EditConfig,
        EditProcessing as EditProcessing,
        EditResult as EditResult,
        Edits as Edits,
        FormField as FormField,
    )
    from retab_async.resources.extractions import (
        Extraction as Extraction,
        ExtractionConsensus as ExtractionConsensus,
        ExtractionProcessing as ExtractionProcessing,
        Extractions as Extractions,
        PydanticModel as PydanticModel,
    )
    from retab_async.resources.file_blueprints import FileBlueprint as FileBlueprint, FileBlueprints as FileBlueprints
    from retab_async.resources.files import DownloadLink as DownloadLink, File as File, Files as Files
    from retab_async.resources.parses import (
        Parse as Parse,
        ParseOutput as ParseOutput,
        ParseProcessing as ParseProcessing,
        Parses as Parses,
    )
    from retab_async.resources.partitions import (
        Partition as Partition,
        PartitionChunk as PartitionChunk,
        PartitionChunkLikelihood as PartitionChunkLikelihood,
        PartitionConsensus as PartitionConsensus,
        PartitionProcessing as PartitionProcessing,
        Partitions as Partitions,
    )
    from retab_async.resources.schemas import (
        SchemaGeneration as SchemaGeneration,
        SchemaGenerations as SchemaGenerations,
    )
    from retab_async.resources.splits import (
        SheetRegion as SheetRegion,
        Split as Split,
        SplitConsensus as SplitConsensus,
        SplitProcessing as SplitProcessing,
        SplitResult as SplitResult,
        Splits as Splits,
        SplitSubdocumentLikelihood as SplitSubdocumentLikelihood,
        Subdocument as Subdocument,
    )
    from retab_async.resources.workflow_eval_runs import (
        BlockEvalBatchExecutionCounts as BlockEvalBatchExecutionCounts,
        BlockEvalLifecycleCounts as BlockEvalLifecycleCounts,
        BlockEvalOutcomeCounts as BlockEvalOutcomeCounts,
        EvalRunBlockTarget as EvalRunBlockTarget,
        EvalRunFreshness as EvalRunFreshness,
        WorkflowEvalRun as WorkflowEvalRun,
        WorkflowEvalRuns as WorkflowEvalRuns,
    )
    from retab_async.resources.workflow_experiment_runs import (
        ExperimentRun as ExperimentRun,
        ExperimentRuns as ExperimentRuns,
    )
    from retab_async.resources.workflow_runs import (
        RunInputs as RunInputs,
        WorkflowRun as WorkflowRun,
        WorkflowRuns as WorkflowRuns,
    )
    from retab_async.retry import RetryPolicy as RetryPolicy
    from retab_async.scope import RunHandle as RunHandle, RunScope as RunScope
    from retab_async.signals import until_signal as until_signal
    from retab_async.streaming import RunStream as RunStream
    from retab_async.throttle import (
        FileRateLimit as FileRateLimit,
        RateLimit as RateLimit,
        SharedRateLimit as SharedRateLimit,
        Stats as Stats,
        Totals as Totals,
    )

    __all__: list[str]
    __version__: str
else:
    # From each public name to its module below this package: a new name is one line here, and its import above.
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "DOLLARS_PER_CREDIT": "models",
            "APIConnectionError": "errors",
            "APIError": "errors",
            "APIResponse": "api.any_route",
            "APITimeoutError": "errors",
            "AnyRun": "resources.any_run",
            "AsyncRetab": "client",
            "AuthenticationError": "errors",
            "AwaitingReviewLifecycle": "lifecycles",
            "BBox": "resources.edits",
            "BlockEvalBatchExecutionCounts": "resources.workflow_eval_runs",
            "BlockEvalLifecycleCounts": "resources.workflow_eval_runs",
            "BlockEvalOutcomeCounts": "resources.workflow_eval_runs",
            "Call": "hooks",
            "CancelJob": "bulk",
            "CancelOutcome": "bulk",
            "CancelReport": "bulk",
            "CancelledLifecycle": "lifecycles",
            "Category": "resources.classifications",
            "Classification": "resources.classifications",
            "ClassificationConsensus": "resources.classifications",
            "ClassificationDecision": "resources.classifications",
            "ClassificationProcessing": "resources.classifications",
            "Classifications": "resources.classifications",
            "ClientStateError": "errors",
            "CompletedLifecycle": "lifecycles",
            "ConfigurationError": "errors",
            "ConflictError": "errors",
            "Disposition": "bulk",
            "Document": "documents",
            "DownloadLink": "resources.files",
            "Edit": "resources.edits",
            "EditConfig": "resources.edits",
            "EditProcessing": "resources.edits",
            "EditResult": "resources.edits",
            "Edits": "resources.edits",
            "EndReason": "bulk",
            "ErrorDetails": "lifecycles",
            "ErrorLifecycle": "lifecycles",
            "EvalRunBlockTarget": "resources.workflow_eval_runs",
            "EvalRunFreshness": "resources.workflow_eval_runs",
            "ExperimentRun": "resources.workflow_experiment_runs",
            "ExperimentRuns": "resources.workflow_experiment_runs",
            "Extraction": "resources.extractions",
            "ExtractionConsensus": "resources.extractions",
            "ExtractionProcessing": "resources.extractions",
            "Extractions": "resources.extractions",
            "File": "resources.files",
            "FileBlueprint": "resources.file_blueprints",
            "FileBlueprints": "resources.file_blueprints",
            "FileRateLimit": "throttle",
            "FileRef": "models",
            "Files": "resources.files",
            "FilesAndBlueprints": "resources.account_files",
            "FormField": "resources.edits",
            "HTTPResponseError": "errors",
            "Hook": "hooks",
            "IdempotencyReplayError": "errors",
            "InternalServerError": "errors",
            "InvalidDocumentError": "errors",
            "InvalidRequestError": "errors",
            "InvalidRunIdError": "errors",
            "JournalError": "errors",
            "Lifecycle": "lifecycles",
            "MIMEData": "models",
            "MatchingOptions": "bulk",
            "MeasuredTiming": "lifecycles",
            "NotFoundError": "errors",
            "Order": "bulk",
            "Page": "listing",
            "Parse": "resources.parses",
            "ParseOutput": "resources.parses",
            "ParseProcessing": "resources.parses",
            "Parses": "resources.parses",
            "Partition": "resources.partitions",
            "PartitionChunk": "resources.partitions",
            "PartitionChunkLikelihood": "resources.partitions",
            "PartitionConsensus": "resources.partitions",
            "PartitionProcessing": "resources.partitions",
            "Partitions": "resources.partitions",
            "PendingLifecycle": "lifecycles",
            "PermissionDeniedError": "errors",
            "Primitive": "models",
            "PrimitiveError": "models",
            "ProcessDisposition": "process",
            "ProcessJob": "process",
            "ProcessReport": "process",
            "ProcessResult": "process",
            "ProcessingOptions": "process",
            "PydanticModel": "resources.extractions",
            "QueuedLifecycle": "lifecycles",
            "RateLimit": "throttle",
            "RateLimitError": "errors",
            "RequestError": "errors",
            "ResponseError": "errors",
            "ResponseTooLargeError": "errors",
            "RetabError": "errors",
            "RetabUsage": "models",
            "RetryPolicy": "retry",
            "Run": "models",
            "RunCancelledError": "errors",
            "RunError": "errors",
            "RunFailedError": "errors",
            "RunHandle": "scope",
            "RunInputs": "resources.workflow_runs",
            "RunPager": "listing",
            "RunResource": "resources.base",
            "RunScope": "scope",
            "RunStatus": "models",
            "RunStream": "streaming",
            "RunTiming": "lifecycles",
            "RunTrigger": "lifecycles",
            "RunningLifecycle": "lifecycles",
            "SchemaGeneration": "resources.schemas",
            "SchemaGenerations": "resources.schemas",
            "SettledError": "errors",
            "SharedRateLimit": "throttle",
            "SheetRegion": "resources.splits",
            "Split": "resources.splits",
            "SplitConsensus": "resources.splits",
            "SplitProcessing": "resources.splits",
            "SplitResult": "resources.splits",
            "SplitSubdocumentLikelihood": "resources.splits",
            "Splits": "resources.splits",
            "Stats": "throttle",
            "StatusCallback": "polling.waiter",
            "Subdocument": "resources.splits",
            "TerminatedError": "errors",
            "Totals": "throttle",
            "UnconfirmedCancel": "cleanup",
            "UnknownLifecycle": "lifecycles",
            "UnknownRunError": "errors",
            "UploadCallback": "documents",
            "UploadProgress": "documents",
            "UploadedFile": "models",
            "ValidationError": "errors",
            "WaitIterator": "polling.waiter",
            "WaitTimeoutError": "errors",
            "WorkflowEvalRun": "resources.workflow_eval_runs",
            "WorkflowEvalRuns": "resources.workflow_eval_runs",
            "WorkflowEvals": "resources",
            "WorkflowExperiments": "resources",
            "WorkflowFamilyRun": "lifecycles",
            "WorkflowRun": "resources.workflow_runs",
            "WorkflowRuns": "resources.workflow_runs",
            "Workflows": "resources",
            "__version__": "version:VERSION",
            "until_signal": "signals",
        },
    )
