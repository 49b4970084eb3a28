"""Static types of the public API; checked by `mypy --strict` and pyright, never run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from pathlib import Path
from signal import SIGTERM, Signals
from ssl import SSLContext
from typing import Any, BinaryIO, Literal, assert_type

import aiohttp

from retab_async import (
    APIConnectionError,
    APIError,
    APIResponse,
    AsyncRetab,
    AwaitingReviewLifecycle,
    BBox,
    BlockEvalBatchExecutionCounts,
    Call,
    CancelJob,
    CancelledLifecycle,
    CancelOutcome,
    CancelReport,
    Category,
    Classification,
    ClassificationConsensus,
    ClassificationDecision,
    Classifications,
    CompletedLifecycle,
    Disposition,
    Document,
    DownloadLink,
    Edit,
    EditConfig,
    EditResult,
    Edits,
    EndReason,
    ErrorDetails,
    ErrorLifecycle,
    EvalRunBlockTarget,
    EvalRunFreshness,
    ExperimentRun,
    ExperimentRuns,
    Extraction,
    ExtractionConsensus,
    Extractions,
    File,
    FileBlueprint,
    FileBlueprints,
    FileRateLimit,
    FileRef,
    Files,
    FilesAndBlueprints,
    FormField,
    Hook,
    InvalidRunIdError,
    Lifecycle,
    MeasuredTiming,
    MIMEData,
    NotFoundError,
    Page,
    Parse,
    ParseOutput,
    Parses,
    Partition,
    PartitionChunk,
    PartitionChunkLikelihood,
    PartitionConsensus,
    Partitions,
    PrimitiveError,
    ProcessDisposition,
    ProcessJob,
    ProcessReport,
    ProcessResult,
    RateLimit,
    RateLimitError,
    ResponseError,
    RetabError,
    RetabUsage,
    RetryPolicy,
    Run,
    RunCancelledError,
    RunError,
    RunFailedError,
    RunHandle,
    RunInputs,
    RunPager,
    RunResource,
    RunScope,
    RunStatus,
    RunStream,
    RunTiming,
    RunTrigger,
    SchemaGeneration,
    SchemaGenerations,
    SheetRegion,
    Split,
    SplitConsensus,
    SplitResult,
    Splits,
    SplitSubdocumentLikelihood,
    Stats,
    Subdocument,
    TerminatedError,
    Totals,
    UnconfirmedCancel,
    UploadCallback,
    UploadedFile,
    UploadProgress,
    WaitIterator,
    WaitTimeoutError,
    WorkflowEvalRun,
    WorkflowEvalRuns,
    WorkflowEvals,
    WorkflowExperiments,
    WorkflowFamilyRun,
    WorkflowRun,
    WorkflowRuns,
    Workflows,
    __version__,
    until_signal,
)
from retab_async.integrations.asgi import HasReceive, Receive, until_disconnect


async def the_client(session: aiohttp.ClientSession, trace: aiohttp.TraceConfig) -> None:
    async with AsyncRetab() as client:
        assert_type(client, AsyncRetab)
        assert_type(client.with_options(timeout=5, retry=RetryPolicy(attempts=2)), AsyncRetab)
    AsyncRetab("key", base_url="https://eu.test", timeout=5, session=session)
    AsyncRetab(bearer_token="token", proxy=False, ssl=False, trace_configs=[trace], max_connections=10)
    AsyncRetab("key", "token")  # type: ignore[call-arg]  # all parameters but the key are keyword-only
    AsyncRetab("key", proxy=True)  # type: ignore[arg-type]  # True is not a proxy
    AsyncRetab("key", timeout="5")  # type: ignore[arg-type]  # seconds are a number
    AsyncRetab("key", rate_limit=RateLimit(300, per=60))
    AsyncRetab("key", rate_limit=(300, 60))  # type: ignore[arg-type]  # it is a RateLimit
    AsyncRetab("key", retries=3)  # type: ignore[call-arg]  # it is called retry
    RetryPolicy(4)  # type: ignore[call-arg]  # all parameters are keyword-only
    client.splits = client.partitions  # type: ignore[assignment]  # each resource has its own kind
    assert_type(__version__, str)


def the_constructors(session: aiohttp.ClientSession, trace: aiohttp.TraceConfig, context: SSLContext) -> None:
    """Every parameter of the classes that a user constructs."""
    assert_type(
        AsyncRetab(
            api_key="key",
            base_url="https://eu.test",
            timeout=5.0,
            retry=RetryPolicy(attempts=2, wait_initial=0.1, wait_max=1.0, deadline=10.0, retry_statuses={423}),
            max_connections=10,
            session=session,
            proxy="http://proxy.test:3128",
            ssl=context,
            user_agent="app/1",
            headers={"X-Team": "billing"},
            hooks=HOOKS,
            trace_configs=(trace,),
            allow_http=True,
            max_response_bytes=1_000_000,
            rate_limit=FileRateLimit("retab.limit", 300, per=60, lease=90.0),
        ),
        AsyncRetab,
    )
    AsyncRetab(bearer_token="token")
    assert_type(RateLimit(requests=300, per=60.0), RateLimit)
    Subdocument(name="invoice", description="vendor bill", allow_multiple_instances=True)
    Category(name="letter", description="by hand", handle_key="left")
    EditConfig(color="#123456")
    FileRef(id="file_1", filename="a.pdf", mime_type="application/pdf")
    MIMEData(filename="a.pdf", url="https://x.test/a.pdf")
    UploadedFile(id="file_1", filename="a.pdf", url="https://x.test/a.pdf")
    assert_type(
        Split(id="splt_1", status=RunStatus.COMPLETED, output=(SplitResult(name="invoice", pages=(1,)),)), Split
    )
    WorkflowRun(id="run_1", lifecycle=CompletedLifecycle())
    split = Split(id="splt_1", status="completed")
    assert_type(split.status, RunStatus)
    assert_type(Split.from_dict(split.to_dict()), Split)
    assert_type(split.to_json(), str)
    assert_type(RetabUsage(credits=1.5).dollars, float | None)


async def the_resources(client: AsyncRetab) -> None:
    """The types of the resources are public, for annotations."""
    every: RunResource[Split] = client.splits
    resources: tuple[Splits, Partitions, Classifications, Extractions, Parses, Edits, SchemaGenerations] = (
        *(client.splits, client.partitions, client.classifications, client.extractions),
        *(client.parses, client.edits, client.schemas),
    )
    files: FilesAndBlueprints = client.files
    plain_files: Files = files
    blueprints: FileBlueprints = files.blueprints
    workflows: Workflows = client.workflows
    runs: WorkflowRuns = workflows.runs
    evals: WorkflowEvals = workflows.evals
    eval_runs: WorkflowEvalRuns = evals.runs
    experiments: WorkflowExperiments = workflows.experiments
    experiment_runs: ExperimentRuns = experiments.runs
    pager: RunPager[Split] = client.splits.list()
    waits: WaitIterator[Split] = client.splits.wait_many(["splt_1"])
    print(every, resources, plain_files, blueprints, runs, eval_runs, experiment_runs, pager, waits)  # noqa: T201 - a use


async def the_calls(client: AsyncRetab, split: Split, partition: Partition) -> None:
    assert_type(await client.splits.cancel("splt_1"), Split)
    assert_type(await client.splits.cancel(split), Split)
    assert_type(await client.splits.create_split_cancel("splt_1"), Split)
    assert_type(await client.splits.create_split_cancel(split_id=split), Split)
    assert_type(await client.splits.get("splt_1"), Split)
    assert_type(await client.splits.get(split, include_output=False), Split)
    assert_type(await client.partitions.cancel(partition), Partition)
    assert_type(await client.partitions.create_partition_cancel(partition_id="prtn_1"), Partition)
    assert_type(await client.partitions.get("prtn_1"), Partition)
    assert_type(await client.splits.delete(split), None)
    assert_type([split async for split in client.splits.list(status=RunStatus.FAILED, limit=10)], list[Split])
    async for page in client.partitions.list(order="asc").pages():
        assert_type(page, Page[Partition])
        assert_type((page.runs, page.before, page.after), tuple[tuple[Partition, ...], str | None, str | None])
        assert_type(page.items, tuple[Partition, ...])
        assert_type(page.rest, RunPager[Partition] | None)
    first = await client.splits.list(limit=5)
    assert_type(first, Page[Split])
    assert_type([split async for split in first], list[Split])
    client.tables  # type: ignore[attr-defined]  # noqa: B018 - hints are for run time only
    client.splits.list(order="newest")  # type: ignore[arg-type]  # not an order of the API
    client.splits.list(from_date="2026-11-01")
    await client.splits.cancel(partition)  # type: ignore[arg-type]  # a run of another kind
    await client.partitions.get(split)  # type: ignore[arg-type]  # a run of another kind
    await client.splits.cancel(5)  # type: ignore[arg-type]  # not an id
    await client.splits.cancel(None)  # type: ignore[arg-type]  # not an id
    await client.splits.get("splt_1", False)  # type: ignore[call-arg]
    await client.splits.create_split_cancel(partition_id="prtn_1")  # type: ignore[call-arg]  # the parameter of another kind


async def starting(client: AsyncRetab, file: BinaryIO, document: Document) -> None:
    part = Subdocument("invoice")
    assert_type(await client.splits.create(document="batch.pdf", subdocuments=[part], background=True), Split)
    await client.splits.create(document=Path("batch.pdf"), subdocuments=(part,), n_consensus=3, idempotency_key="k")
    await client.splits.create(document=b"%PDF", subdocuments=[part])
    await client.splits.create(document=file, subdocuments=[part])
    await client.splits.create(document=MIMEData(filename="a.pdf", url="https://x.test/a.pdf"), subdocuments=[part])
    await client.splits.create(document=FileRef(id="file_1"), subdocuments=[part])
    assert_type(await client.partitions.create(document=document, key="account", instructions="Each."), Partition)
    await client.splits.create("batch.pdf", [part])  # type: ignore[arg-type, call-arg]  # all parameters are keyword-only
    await client.splits.create(document=StringIO("x"), subdocuments=[part])  # type: ignore[arg-type]  # a text stream
    await client.splits.create(document="batch.pdf", subdocuments=["invoice"])  # type: ignore[list-item]
    await client.partitions.create(document=document, key="account")  # type: ignore[call-arg]  # instructions is required


async def following(client: AsyncRetab, split: Split) -> None:
    assert_type(await client.splits.wait(split, timeout=600, poll_interval=2), Split)
    assert_type(await client.splits.wait("splt_1", timeout=None, on_status=lambda run: print(run.subdocuments)), Split)  # noqa: T201 - a use of the value
    assert_type([run async for run in client.splits.wait_many(["splt_1", split])], list[Split])
    await client.partitions.wait(split)  # type: ignore[arg-type]  # a run of another kind
    async with client.splits.running(document="batch.pdf", subdocuments=[Subdocument("invoice")]) as run:
        assert_type(run, RunHandle[Split])
        assert_type((run.id, run.run), tuple[str, Split | None])
        assert_type(await run.get(), Split)
        assert_type(await run.result(timeout=5), Split)
        assert_type(await run.cancel(), Split)
        assert_type(run.detach(), None)
    assert_type(client.partitions.running(document=b"%PDF", key="a", instructions="b"), RunScope[Partition])
    assert_type(client.splits.attach(split), RunScope[Split])
    assert_type(await client.aclose(), tuple[UnconfirmedCancel, ...])


async def the_other_kinds(client: AsyncRetab, document: Document) -> None:
    categories = [Category("letter", description="by hand", handle_key="left")]
    assert_type(await client.classifications.create(document=document, categories=categories), Classification)
    assert_type(await client.classifications.create_classification_cancel("clss_1"), Classification)
    assert_type(await client.extractions.create(document=document, json_schema={"type": "object"}), Extraction)
    assert_type(await client.extractions.create_extraction_cancel("extr_1"), Extraction)
    assert_type([run async for run in client.extractions.list(document_type=["pdf"])], list[Extraction])
    assert_type(await client.parses.create(document=document, table_parsing_format="yaml"), Parse)
    assert_type([run async for run in client.parses.list(filename="a")], list[Parse])
    assert_type(await client.edits.create(template_id="tmpl_1", instructions="A.", config=EditConfig()), Edit)
    assert_type(await client.edits.create_edit_cancel("edt_1"), Edit)
    assert_type(await client.schemas.create(documents=[document]), SchemaGeneration)
    assert_type(await client.schemas.generate(documents=[document], background=True), SchemaGeneration)
    assert_type(await client.files.blueprints.create(file_id=FileRef(id="file_1")), FileBlueprint)
    assert_type(await client.files.create_blueprint_cancel("fbp_1"), FileBlueprint)
    assert_type(await client.files.create_blueprint(file_id="file_1"), FileBlueprint)
    assert_type(await client.files.get_blueprint("fbp_1"), FileBlueprint)
    assert_type(await client.workflows.runs.create(workflow_id="wrk_1", documents={"a": document}), WorkflowRun)
    assert_type(client.workflows.runs.running(workflow_id="wrk_1"), RunScope[WorkflowRun])
    assert_type(await client.workflows.runs.delete("run_1"), None)
    assert_type([run async for run in client.workflows.runs.list(min_duration_ms=5)], list[WorkflowRun])
    assert_type(await client.workflows.evals.runs.create(workflow_id="wrk_1", eval_id="e"), WorkflowEvalRun)
    assert_type(await client.workflows.evals.runs.wait("wfevalrun_1"), WorkflowEvalRun)
    assert_type(await client.workflows.experiments.runs.create(experiment_id="exp_1"), ExperimentRun)
    assert_type(await client.workflows.experiments.runs.cancel("exprun_1"), ExperimentRun)
    client.parses.list(status="failed")  # type: ignore[call-arg]  # the API has no such filter
    client.schemas.list()  # type: ignore[attr-defined]  # the API does not list them
    client.workflows.evals.runs.delete("wfevalrun_1")  # type: ignore[attr-defined]  # the API cannot delete them
    await client.workflows.runs.create(workflow_id="w", background=True)  # type: ignore[call-arg]  # it always runs in the background
    await client.parses.create(document=document, table_parsing_format="csv")  # type: ignore[arg-type]  # no such format
    await client.parses.cancel(await client.edits.get("edt_1"))  # type: ignore[arg-type]  # a run of another kind


async def watching(client: AsyncRetab, document: Document) -> None:
    async with client.extractions.stream(document=document, json_schema={}) as states:
        assert_type(states, RunStream[Extraction])
        async for state in states:
            assert_type(state, Extraction)
    assert_type(client.extractions.create_stream(document=document, json_schema={}), RunStream[Extraction])
    assert_type(await states.aclose(), None)


async def the_files(client: AsyncRetab, link: DownloadLink) -> None:
    file = await client.files.upload(b"%PDF")
    assert_type(file, UploadedFile)
    assert_type((file.id, file.filename, file.url), tuple[str, str, str])
    known = await client.files.get(file)
    assert_type(known, File)
    assert_type((known.object, known.page_count), tuple[str, int | None])
    assert_type((known.created_at, known.updated_at), tuple[datetime | None, datetime | None])
    assert_type(await client.files.download_link(known), DownloadLink)
    assert_type(await client.files.get_download_link("file_1"), DownloadLink)
    assert_type((link.download_url, link.expires_in), tuple[str, str])
    assert_type(link.mime_data, MIMEData | None)
    assert_type([each async for each in client.files.list(sort_by="updated_at")], list[File])
    await client.parses.create(document=known)
    await client.parses.create(document=file)
    await client.files.blueprints.create(file_id=file)


def the_pace(client: AsyncRetab, stats: Stats) -> None:
    assert_type(client.stats(), Stats)
    assert_type((stats.in_flight, stats.concurrency_limit, stats.rate), tuple[int, int, float | None])
    assert_type((stats.sent, stats.throttled, stats.retry_tokens), tuple[int, int, int])
    assert_type(stats.resent, int)
    assert_type(stats.rate_origin, Literal["given", "shared", "learned", "none"])
    assert_type((stats.latency_p50, stats.latency_p95), tuple[float | None, float | None])
    totals = client.totals()
    assert_type(totals, Totals)
    assert_type((totals.credentials, totals.in_flight, totals.sent, totals.throttled), tuple[int, int, int, int])
    limit = RateLimit(300, per=60)
    assert_type((limit.requests, limit.per), tuple[int, float])
    RateLimit(300, 60)  # type: ignore[call-arg]  # per is keyword-only


async def cancelling_many(client: AsyncRetab, split: Split, partition: Partition) -> None:
    assert_type(client.splits.cancel_many(["splt_1", split]), CancelJob[Split])
    assert_type(await client.splits.cancel_many(client.splits.list(), concurrency=8, outage_timeout=5), CancelReport)
    assert_type(await client.partitions.cancel_matching(status="queued", dry_run=True), CancelReport)
    async with client.partitions.cancel_many([partition], order="input", wait=True) as outcomes:
        async for outcome in outcomes:
            assert_type(outcome, CancelOutcome[Partition])
            assert_type(outcome.run, Partition | None)
        assert_type(outcomes.report, CancelReport)
    async with client.cancel_many([split, ("splits", "splt_1"), (client.partitions, partition)]) as mixed:
        assert_type([outcome async for outcome in mixed], list[CancelOutcome[Run]])
    assert_type(await client.cancel_matching(from_date="2026-11-01", dry_run=True), CancelReport)

    client.splits.cancel_many(partition)  # type: ignore[arg-type]  # a single run of another kind
    client.splits.cancel_many([partition])  # type: ignore[list-item]  # a run of another kind
    client.splits.cancel_many([], order="newest")  # type: ignore[arg-type]  # not an order
    client.cancel_many(["splt_1"])  # type: ignore[list-item]  # its kind is missing


async def processing_many(client: AsyncRetab, paths: list[Path]) -> None:
    job = client.splits.process_many(paths, subdocuments=[Subdocument("a")], concurrency=8, journal="j.jsonl")
    assert_type(job, ProcessJob[Split])
    assert_type(await job, ProcessReport)
    async with client.extractions.process_many([("a.pdf", b"x")], json_schema={}, wait_timeout=60) as results:
        async for result in results:
            assert_type(result, ProcessResult[Extraction])
            assert_type((result.item, result.name, result.key), tuple[Any, str, str])
            assert_type((result.run, result.error), tuple[Extraction | None, Exception | None])
            assert_type((result.disposition, result.credits), tuple[ProcessDisposition, float | None])
            assert_type(result.to_record(), dict[str, str | int | float | bool | None])
        report = results.report
    assert_type((report.started, report.active, report.credits), tuple[int, int, float])
    assert_type(report.counts[ProcessDisposition.COMPLETED], int)
    assert_type(report.failures, tuple[ProcessResult[Run], ...])
    assert_type(report.unconfirmed, tuple[UnconfirmedCancel, ...])
    assert_type(client.classifications.process_many([{"document": b"x"}], categories=[]), ProcessJob[Classification])
    client.parses.process_many(paths, subdocuments=[])  # type: ignore[call-arg]  # of another kind


def what_became_of_them(report: CancelReport, outcome: CancelOutcome[Split]) -> None:
    assert_type((outcome.run_id, outcome.kind, outcome.attempts), tuple[str, str, int])
    assert_type((outcome.disposition, outcome.disposition.is_failure), tuple[Disposition, bool])
    assert_type((outcome.run, outcome.error), tuple[Split | None, Exception | None])
    assert_type(report.counts[Disposition.CANCELLED], int)
    assert_type(report.failures, tuple[CancelOutcome[Run], ...])
    assert_type((report.elapsed, report.end_reason), tuple[float, EndReason | None])
    assert_type(report.settled[Disposition.CANCELLED], int)
    assert_type((report.duplicates, report.credits, report.error), tuple[int, float, Exception | None])
    assert_type(report.raise_for_failures(), None)
    every: CancelOutcome[Run] = outcome
    print(every)  # noqa: T201 - a use of the value


def left_behind(run: UnconfirmedCancel) -> None:
    assert_type((run.path, run.run_id, run.idempotency_key), tuple[str, str | None, str | None])
    assert_type((run.error, run.credential_fingerprint), tuple[Exception | None, str])


def every_run(run: Run) -> None:
    assert_type(run.id, str)
    assert_type(run.status, RunStatus)
    assert_type(run.status.is_terminal, bool)
    assert_type(run.error, PrimitiveError | None)
    assert_type(run.created_at, datetime | None)
    assert_type(run.extra, Mapping[str, Any])
    run.id = "splt_2"  # type: ignore[misc]  # runs are frozen


def a_split(split: Split, consensus: SplitConsensus, region: SheetRegion, likely: SplitSubdocumentLikelihood) -> None:
    every_run(split)
    assert_type(split.file, FileRef | None)
    assert_type(split.model, str | None)
    assert_type(split.subdocuments, tuple[Subdocument, ...])
    assert_type(split.n_consensus, int)
    assert_type(split.instructions, str | None)
    assert_type(split.output, tuple[SplitResult, ...])
    assert_type(split.output[0].name, str)
    assert_type(split.output[0].pages, tuple[int, ...])
    assert_type(split.output[0].regions, tuple[SheetRegion, ...])
    assert_type(split.consensus, SplitConsensus | None)
    assert_type(split.usage, RetabUsage | None)
    assert_type(consensus.likelihoods, tuple[SplitSubdocumentLikelihood, ...])
    assert_type(consensus.choices, tuple[tuple[SplitResult, ...], ...])
    assert_type((likely.name, likely.pages), tuple[float | None, tuple[float, ...]])
    assert_type((region.sheet_index, region.sheet_name), tuple[int, str])
    assert_type((region.row_start, region.row_end), tuple[int, int])
    assert_type((region.col_start, region.col_end), tuple[int | None, int | None])
    assert_type(region.header_rows, tuple[int, ...])
    Subdocument("invoice", description="vendor bill", allow_multiple_instances=True)
    Subdocument("invoice", "vendor bill")  # type: ignore[call-arg]  # all parameters but the name are keyword-only
    Split(id="splt_1")  # type: ignore[call-arg]  # every run has a status
    Split(id="splt_1", status="completed")


def a_partition(partition: Partition, consensus: PartitionConsensus, likely: PartitionChunkLikelihood) -> None:
    every_run(partition)
    assert_type(partition.file, FileRef | None)
    assert_type(partition.model, str | None)
    assert_type(partition.key, str | None)
    assert_type(partition.instructions, str | None)
    assert_type(partition.n_consensus, int)
    assert_type(partition.allow_overlap, bool)
    assert_type(partition.output, tuple[PartitionChunk, ...])
    assert_type(partition.output[0].key, str)
    assert_type(partition.output[0].pages, tuple[int, ...])
    assert_type(partition.consensus, PartitionConsensus | None)
    assert_type(partition.usage, RetabUsage | None)
    assert_type(consensus.choices, tuple[tuple[PartitionChunk, ...], ...])
    assert_type(consensus.likelihoods, tuple[PartitionChunkLikelihood, ...])
    assert_type((likely.key, likely.pages), tuple[float | None, tuple[float, ...]])


def a_classification(run: Classification, consensus: ClassificationConsensus, category: Category) -> None:
    every_run(run)
    assert_type(run.categories, tuple[Category, ...])
    assert_type(run.output, ClassificationDecision | None)
    assert_type(run.consensus, ClassificationConsensus | None)
    assert_type(consensus.choices, tuple[ClassificationDecision, ...])
    assert_type(consensus.likelihoods, float | None)
    assert_type((consensus.choices[0].category, consensus.choices[0].reasoning), tuple[str, str])
    assert_type((category.name, category.description, category.handle_key), tuple[str, str, str | None])


def an_extraction(run: Extraction, consensus: ExtractionConsensus) -> None:
    every_run(run)
    assert_type((run.json_schema, run.output), tuple[Mapping[str, Any], Mapping[str, Any]])
    assert_type(run.metadata, Mapping[str, str] | None)
    assert_type(run.consensus, ExtractionConsensus | None)
    assert_type(consensus.choices, tuple[Mapping[str, Any], ...])
    assert_type(consensus.likelihoods, Mapping[str, Any] | None)


def a_parse(run: Parse, output: ParseOutput) -> None:
    every_run(run)
    assert_type(run.output, ParseOutput)
    assert_type((output.pages, output.text), tuple[tuple[str, ...], str])
    assert_type(run.table_parsing_format, str | None)


def an_edit(run: Edit, output: EditResult, field: FormField, box: BBox) -> None:
    every_run(run)
    assert_type(run.config, EditConfig | None)
    assert_type(EditConfig().color, str)
    assert_type(run.template_id, str | None)
    assert_type(run.output, EditResult | None)
    assert_type(run.filled_document_ref, FileRef | None)
    assert_type(output.form_data, tuple[FormField, ...])
    assert_type(output.filled_document, MIMEData | None)
    assert_type((field.key, field.type, field.description, field.value), tuple[str, str, str, str | None])
    assert_type(field.bbox, BBox | None)
    assert_type((box.left, box.top, box.width, box.height, box.page), tuple[float, float, float, float, int])


def a_schema_and_a_blueprint(schema: SchemaGeneration, blueprint: FileBlueprint) -> None:
    every_run(schema)
    every_run(blueprint)
    assert_type((schema.object, schema.json_schema, schema.strict), tuple[str, Mapping[str, Any], bool])
    assert_type((blueprint.intent, blueprint.mode), tuple[str | None, str | None])
    assert_type((blueprint.started_at, blueprint.completed_at), tuple[datetime | None, datetime | None])
    assert_type(blueprint.output, Mapping[str, Any])


def a_lifecycle(lifecycle: Lifecycle, details: ErrorDetails) -> None:
    assert_type(lifecycle.status, RunStatus)
    match lifecycle:
        case ErrorLifecycle():
            assert_type((lifecycle.message, lifecycle.details), tuple[str, ErrorDetails | None])
            assert_type((lifecycle.stage, lifecycle.category), tuple[str | None, str | None])
            assert_type(lifecycle.failing_step_id, str | None)
            assert_type(lifecycle.error, PrimitiveError)
        case AwaitingReviewLifecycle(waiting_for_block_ids=blocks):
            assert_type(blocks, tuple[str, ...])
            assert_type(lifecycle.waiting_for_block_ids, tuple[str, ...])
        case CancelledLifecycle(reason=reason):
            assert_type((reason, lifecycle.reason), tuple[str | None, str | None])
        case CompletedLifecycle():
            pass
    assert_type((details.message, details.stack_trace, details.error_code), tuple[str | None, str | None, str | None])
    assert_type((details.block_id, details.block_name), tuple[str | None, str | None])
    assert_type(details.context, Mapping[str, Any] | None)


def a_workflow_run(run: WorkflowRun, inputs: RunInputs, family: WorkflowFamilyRun, timing: RunTiming) -> None:
    every_run(run)
    every_run(family)
    assert_type(run.lifecycle, Lifecycle)
    assert_type(run.timing, RunTiming)
    assert_type(run.trigger, RunTrigger | None)
    assert_type(RunTrigger().type, str | None)
    assert_type((family.workflow_id, family.workflow_version_id), tuple[str | None, str | None])
    assert_type(timing.created_at, datetime | None)
    assert_type((timing.started_at, timing.completed_at), tuple[datetime | None, datetime | None])
    assert_type(run.inputs, RunInputs)
    assert_type((inputs.documents, inputs.json_data), tuple[Mapping[str, FileRef], Mapping[str, Any]])


def an_eval_run(run: WorkflowEvalRun, counts: BlockEvalBatchExecutionCounts, freshness: EvalRunFreshness) -> None:
    every_run(run)
    assert_type(run.timing, MeasuredTiming)
    assert_type(run.timing.duration_ms, int | None)
    assert_type(run.target, EvalRunBlockTarget | None)
    assert_type(EvalRunBlockTarget().block_id, str)
    assert_type((run.eval_id, run.total_evals), tuple[str | None, int])
    assert_type(run.counts, BlockEvalBatchExecutionCounts)
    lifecycles, outcome = counts.lifecycle_counts, counts.outcome
    assert_type((lifecycles.pending, lifecycles.queued, lifecycles.running), tuple[int, int, int])
    assert_type((lifecycles.completed, lifecycles.error, lifecycles.cancelled), tuple[int, int, int])
    assert_type((outcome.passed, outcome.failed, outcome.blocked), tuple[int, int, int])
    assert_type(run.freshness, EvalRunFreshness | None)
    assert_type((freshness.status, freshness.reasons), tuple[str, tuple[str, ...]])
    assert_type((freshness.validity_fingerprint, freshness.input_fingerprint), tuple[str | None, str | None])
    assert_type(freshness.baseline_run_id, str | None)


def an_experiment_run(run: ExperimentRun) -> None:
    every_run(run)
    assert_type((run.experiment_id, run.block_id, run.block_type), tuple[str | None, str | None, str | None])
    assert_type((run.parent_run_id, run.block_version_id), tuple[str | None, str | None])
    assert_type(run.metrics_validity_fingerprint, str | None)
    assert_type(run.metrics_validity_fingerprint_version, int | None)
    assert_type((run.block_execution_fingerprint, run.documents_fingerprint), tuple[str | None, str | None])
    assert_type((run.score, run.n_consensus), tuple[float | None, int | None])
    assert_type((run.total_document_count, run.completed_document_count), tuple[int, int])
    assert_type((run.document_count, run.error_count), tuple[int, int])


def the_leaves(file: FileRef, error: PrimitiveError, usage: RetabUsage, part: Subdocument) -> None:
    assert_type((part.name, part.description, part.allow_multiple_instances), tuple[str, str, bool])
    assert_type((file.id, file.filename, file.mime_type), tuple[str, str, str])
    assert_type((error.code, error.message), tuple[str, str])
    assert_type(error.details, Mapping[str, Any] | None)
    assert_type(usage.credits, float | None)


async def any_route(client: AsyncRetab) -> None:
    response = await client.request("POST", "/v1/x", query={"a": [1]}, json={"b": None}, idempotency_key="k")
    assert_type(response, APIResponse)
    assert_type((response.status, response.attempts, response.request_id), tuple[int, int, str | None])
    assert_type((response.headers, response.content), tuple[Mapping[str, str], bytes])
    assert_type(response.json(), Any)
    assert_type(client.with_options(headers={"X-Team": "billing"}).base_url, str)
    assert_type(client.credential_fingerprint, str)


async def an_upload(client: AsyncRetab, progress: UploadProgress, on_upload: UploadCallback) -> None:
    assert_type((progress.sent, progress.total, progress.filename), tuple[int, int, str | None])
    await client.parses.create(document="a.pdf", extra_body={"a": 1}, on_upload=on_upload)
    await client.parses.create(document="a.pdf", on_upload=print)
    await client.files.upload("a.pdf", on_upload=on_upload)


def a_call(call: Call) -> None:
    assert_type((call.operation, call.kind, call.run_id), tuple[str, str, str | None])
    assert_type((call.method, call.url_template), tuple[str, str])
    assert_type((call.server_address, call.server_port), tuple[str, int])
    assert_type((call.attempts, call.throttled, call.seconds), tuple[int, int, float])
    assert_type((call.status, call.request_id), tuple[int | None, str | None])
    assert_type(call.error, BaseException | None)


@contextmanager
def a_hook(call: Call) -> Iterator[None]:
    a_call(call)
    yield


HOOKS: list[Hook] = [a_hook]


async def the_errors(client: AsyncRetab) -> None:
    try:
        await client.splits.cancel("splt_1")
    except (NotFoundError, RateLimitError) as error:
        assert_type(error, NotFoundError | RateLimitError)
        assert_type(error.retry_after, float | None)
    except APIError as error:
        assert_type((error.status_code, error.message, error.code), tuple[int, str, str | None])
        assert_type((error.request_id, error.body, error.details), tuple[str | None, str, Any])
        assert_type((error.method, error.url, error.attempts), tuple[str, str, int])
    except ResponseError as error:
        assert_type((error.path, error.body, error.status_code), tuple[str, str, int])
    except APIConnectionError as error:
        assert_type((error.transient, error.attempts), tuple[bool, int])
        assert_type((error.in_doubt, error.idempotency_key), tuple[bool, str | None])
        error.status_code  # type: ignore[attr-defined]  # noqa: B018 - nothing was answered
    except InvalidRunIdError as error:
        wrong: ValueError = error
        print(wrong)  # noqa: T201 - a use of the value
    except WaitTimeoutError as error:
        late: TimeoutError = error
        assert_type((error.run_id, error.timeout, error.run), tuple[str, float, Run | None])
        print(late)  # noqa: T201 - a use of the value
    except (RunFailedError, RunCancelledError) as error:
        ended: RunError = error
        print(ended)  # noqa: T201 - a use of the value
    except RetabError:
        raise


async def a_terminated_block() -> None:
    try:
        async with until_signal(SIGTERM, call_previous=False) as nothing:
            assert_type(nothing, None)
    except TerminatedError as error:
        assert_type(error.signal, Signals)
        assert_type(error.exit_code, int)


async def a_disconnected_request(receive: Receive, request: HasReceive) -> None:
    async with until_disconnect(receive), until_disconnect(request) as nothing:
        assert_type(nothing, None)


def failed_runs(failed: RunFailedError[Split], base: RunError) -> None:
    assert_type(failed.run, Split)
    assert_type(base.run, Run | None)
