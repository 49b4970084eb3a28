"""The models of every kind: all of a body is read, and absent fields are at their defaults."""

import json
import pickle
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads_kinds import FULL, LIFECYCLES, STATES, WORKFLOWS, bare, body
from test_converter import JSON, bent

import retab_async
from retab_async import (
    AsyncRetab,
    AwaitingReviewLifecycle,
    BBox,
    CancelledLifecycle,
    Category,
    Classification,
    ClassificationDecision,
    DownloadLink,
    Edit,
    ErrorDetails,
    ErrorLifecycle,
    ExperimentRun,
    Extraction,
    File,
    FileBlueprint,
    FileRef,
    Lifecycle,
    MIMEData,
    Parse,
    ParseOutput,
    PrimitiveError,
    ResponseError,
    Run,
    RunStatus,
    SchemaGeneration,
    UnknownLifecycle,
    UploadedFile,
    WorkflowEvalRun,
    WorkflowRun,
)
from retab_async.api.parser import RunParser
from retab_async.converter import make_structurer, structure_leniently, unstructure
from retab_async.errors import SchemaMismatchError
from retab_async.lifecycles import LIFECYCLES as KNOWN
from retab_async.protocol import Request, Response
from retab_async.resources import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MODELS = [
    kind
    for kind in (getattr(retab_async, name) for name in sorted(set(retab_async.__all__) - {"Run"}))
    if isinstance(kind, type) and attrs.has(kind) and issubclass(kind, retab_async.models.SparseRepr)
]
EVERY_STATE = [(kind, state) for kind, states in STATES.items() for state in states]


def read(kind: str, value: object) -> Any:
    return make_structurer(RESOURCES[kind].run_type)(value)


def run_of(kind: type[Any], value: dict[str, Any]) -> Any:
    return make_structurer(kind)(value)


def test_payloads_cover_every_kind() -> None:
    assert list(FULL) == list(RESOURCES)


@pytest.mark.parametrize(("kind", "state"), EVERY_STATE)
def test_structure_and_unstructure_round_trip(kind: str, state: str) -> None:
    assert unstructure(read(kind, body(kind, state))) == body(kind, state)


@pytest.mark.parametrize("kind", FULL)
def test_full_payload_sets_every_field(kind: str) -> None:
    run = read(kind, FULL[kind])
    unset = {field.name for field in attrs.fields(type(run)) if getattr(run, field.name) == field.default}

    assert unset <= {"error", "object", "instructions", "extra"}


@pytest.mark.parametrize(("kind", "state"), EVERY_STATE)
def test_id_and_status_are_enough_for_a_run(kind: str, state: str) -> None:
    run = read(kind, bare(kind, state))

    assert isinstance(run, Run)
    assert (run.id, run.status) == (FULL[kind]["id"], state)
    assert run.created_at is None


@pytest.mark.parametrize("kind", FULL)
def test_null_means_the_same_as_absent(kind: str) -> None:
    least = bare(kind, "completed")
    nulls = dict.fromkeys(FULL[kind].keys() - least.keys())

    assert read(kind, least | nulls) == read(kind, least)


@pytest.mark.parametrize("kind", FULL)
def test_missing_status_is_a_schema_mismatch(kind: str) -> None:
    place = "lifecycle" if kind in WORKFLOWS else "status"
    with pytest.raises(SchemaMismatchError) as caught:
        read(kind, {"id": "x"})

    assert caught.value.path == place


@pytest.mark.parametrize("kind", FULL)
def test_unknown_keys_are_extra_fields_of_a_run_and_ignored_below_it(kind: str) -> None:
    def grown(value: Any, free: frozenset[str] = frozenset({"json_schema", "json_data", "metadata"})) -> Any:
        if not isinstance(value, dict):
            return [grown(each) for each in value] if isinstance(value, list) else value
        return {"added_later": [1]} | {name: each if name in free else grown(each) for name, each in value.items()}

    full = FULL[kind]
    free = {"output", "consensus", "json_schema", "inputs", "metadata"}
    body_with_more = {name: value if name in free else grown(value) for name, value in full.items()}

    assert read(kind, {"added_later": {}, **body_with_more}) == attrs.evolve(
        read(kind, full), extra={"added_later": {}}
    )


@pytest.mark.parametrize(("kind", "state"), EVERY_STATE)
def test_equal_runs_have_equal_hashes_and_survive_pickling(kind: str, state: str) -> None:
    run = read(kind, body(kind, state))

    assert len({run, read(kind, body(kind, state))}) == 1
    assert pickle.loads(pickle.dumps(run)) == run  # noqa: S301 - pickled on the line itself


@pytest.mark.parametrize("kind", FULL)
def test_repr_shows_only_the_fields_that_are_set(kind: str) -> None:
    shown = repr(read(kind, bare(kind, "completed")))

    assert shown.count("=") <= 2
    assert shown.startswith(f"{RESOURCES[kind].run_type.__name__}(id='{FULL[kind]['id']}', ")


def test_default_mappings_are_not_shared() -> None:
    one, other = (run_of(Extraction, bare("extractions", "queued")) for _ in range(2))

    assert one.output == other.output == {}
    assert one.output is not other.output


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_model_is_frozen_slotted_and_documented(model: type[Any]) -> None:
    instance = object.__new__(model)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        instance.id = "x"

    assert not hasattr(instance, "__dict__")
    assert model.__doc__


@pytest.mark.slow
@pytest.mark.parametrize("kind", FULL)
@settings(max_examples=20)
@given(data=st.data())
def test_any_json_structures_or_is_a_schema_mismatch(kind: str, data: st.DataObject) -> None:
    value = data.draw(JSON | bent(FULL[kind]))
    try:
        made = read(kind, value)
    except SchemaMismatchError as error:
        assert error.reason in str(error)  # noqa: PT017 - either outcome is right, and each is looked at
    else:
        assert isinstance(made, RESOURCES[kind].run_type)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from(sorted(FULL)), data=st.data())
def test_any_response_is_a_run_or_a_response_error(kind: str, data: st.DataObject) -> None:
    row = bent(FULL[kind])
    value = data.draw(JSON | row | st.fixed_dictionaries({"data": st.lists(JSON | row, max_size=3)}) | st.binary())
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    answer = Response(Request("GET", "/v1/runs"), 200, {}, body, 1, redact=str)
    of = RESOURCES[kind]
    reader: RunParser[Any] = RunParser(of.path, of.run_type, of.spec)
    readings: tuple[Callable[[], Iterable[Any]], ...] = (
        lambda: [reader.parse_run(answer, "run_1")],
        lambda: [reader.parse_cancel(answer, "run_1")[0]],
        lambda: [reader.parse_create(answer)],
        lambda: [reader.parse_stream_state(answer, "run_1")],
        lambda: reader.parse_page(answer).runs,
        lambda: [run for run, _ in filter(None, map(reader.parse_row, reader.parse_raw_page(answer).rows))],
    )

    for reading in readings:
        # Either outcome is right, and there is no third one.
        with suppress(ResponseError):
            assert all(isinstance(run, of.run_type) for run in reading())


@pytest.mark.slow
@pytest.mark.parametrize("kind", FULL)
@settings(max_examples=20)
@given(data=st.data())
def test_lenient_structuring_fails_only_for_id_and_status(kind: str, data: st.DataObject) -> None:
    value = data.draw(bent(FULL[kind]).filter(lambda value: isinstance(value, dict)))
    try:
        run, _ = structure_leniently(value, RESOURCES[kind].run_type)
    except SchemaMismatchError as error:
        assert error.path.split(".")[0] in {"id", "status", "lifecycle"}  # noqa: PT017 - either outcome is right
    else:
        assert run.id == value["id"]


class TestLeaves:
    def test_of_a_classification(self) -> None:
        run: Classification = run_of(Classification, FULL["classifications"])

        assert run.categories == (
            Category("letter", description="by hand", handle_key="left"),
            Category("bill"),
        )
        assert run.output == ClassificationDecision(category="bill", reasoning="It has a sum to be paid.")
        assert run.consensus
        assert run.consensus.likelihoods == 0.67
        assert run.consensus.choices[1].category == "letter"

    def test_of_a_classification_whose_output_is_empty_or_null(self) -> None:
        least = bare("classifications", "pending")

        assert run_of(Classification, least | {"output": {}}).output == ClassificationDecision()
        assert run_of(Classification, least | {"output": None, "categories": None}).output is None

    def test_of_an_extraction(self) -> None:
        run: Extraction = run_of(Extraction, FULL["extractions"])

        assert run.output == {"name": "Ada", "sum": None}
        assert run.metadata == {"tenant": "south"}
        assert run.consensus
        assert run.consensus.choices == ({"name": "Ada"}, {"name": "Eda"})
        assert run.consensus.likelihoods == {"name": 0.5, "sum": None}

    def test_of_a_parse(self) -> None:
        run: Parse = run_of(Parse, FULL["parses"])

        assert run.output == ParseOutput(pages=("One.", "Two."), text="One.\n\nTwo.")
        assert run_of(Parse, bare("parses", "queued") | {"output": {}, "table_parsing_format": ""}).output.text == ""

    def test_of_an_edit(self) -> None:
        run: Edit = run_of(Edit, FULL["edits"])

        assert run.output
        (field,) = run.output.form_data
        assert field.bbox == BBox(left=0.25, top=0.5, width=0.125, height=0.0625, page=1)
        assert (field.key, field.type, field.value) == ("name", "text", "Ada")
        assert run.output.filled_document == MIMEData(
            filename="filled.pdf", url="https://storage.retab.com/org_1/file_9.pdf"
        )

    def test_of_a_schema_generation(self) -> None:
        run: SchemaGeneration = run_of(SchemaGeneration, FULL["schemas"])

        assert run.json_schema["type"] == "object"
        assert run.strict is False
        assert run_of(SchemaGeneration, bare("schemas", "queued")).strict is True

    def test_of_a_file_blueprint(self) -> None:
        run: FileBlueprint = run_of(FileBlueprint, FULL["files.blueprints"])

        assert run.output == {"parts": [{"label": "totals", "pages": [2]}]}
        assert run.completed_at == datetime(2026, 10, 2, 7, 41, 20, tzinfo=UTC)
        assert run_of(FileBlueprint, FULL["files.blueprints"] | {"object": "file_blueprint"}).object == "file_blueprint"

    def test_of_a_workflow_run(self) -> None:
        run: WorkflowRun = run_of(WorkflowRun, FULL["workflows.runs"])

        assert run.inputs.documents == {
            "start-1": FileRef(id="file_4c1e", filename="forms.pdf", mime_type="application/pdf")
        }
        assert run.inputs.json_data == {"start-2": {"limit": 5}}
        assert run.trigger
        assert run.trigger.type == "email"
        assert run.created_at == run.timing.created_at == datetime(2026, 10, 2, 7, 41, 9, tzinfo=UTC)

    def test_of_an_eval_run(self) -> None:
        run: WorkflowEvalRun = run_of(WorkflowEvalRun, FULL["workflows.evals.runs"])

        assert run.counts.outcome.failed == 1
        assert run.counts.lifecycle_counts.error == 1
        assert run.freshness
        assert run.freshness.reasons == ("inputs_changed",)
        assert run.timing.duration_ms == 60_000

    def test_of_an_experiment_run(self) -> None:
        run: ExperimentRun = run_of(ExperimentRun, FULL["workflows.experiments.runs"])

        assert (run.score, run.n_consensus, run.error_count) == (0.75, 5, 2)


class TestLifecycles:
    @pytest.mark.parametrize("word", KNOWN)
    def test_class_follows_from_the_status(self, word: str) -> None:
        lifecycle = run_of(Lifecycle, LIFECYCLES[word])

        assert type(lifecycle) is KNOWN[word]
        assert lifecycle.status == word

    def test_unknown_status_is_kept(self) -> None:
        assert run_of(Lifecycle, {"status": "frozen", "until": 5}) == UnknownLifecycle(status=RunStatus("frozen"))

    def test_fields_of_each_status(self) -> None:
        assert run_of(Lifecycle, LIFECYCLES["awaiting_review"]) == AwaitingReviewLifecycle(
            waiting_for_block_ids=("blk_4",)
        )
        assert run_of(Lifecycle, LIFECYCLES["cancelled"]) == CancelledLifecycle(reason="by its owner")
        assert run_of(Lifecycle, LIFECYCLES["error"]) == ErrorLifecycle(
            message="The block broke.",
            details=ErrorDetails(
                message="timed out", block_id="blk_4", block_name="Read", error_code="E_TIME", context={"try": 2}
            ),
            stage="execution",
            category="transient",
            failing_step_id="blk_4",
        )

    def test_error_lifecycle_needs_only_its_status(self) -> None:
        assert run_of(Lifecycle, {"status": "error", "message": None}) == ErrorLifecycle()

    def test_error_has_the_form_of_the_document_kinds(self) -> None:
        run = read("workflows.runs", body("workflows.runs", "error"))

        assert run.error == PrimitiveError(
            code="E_TIME",
            message="The block broke.",
            details={
                "stage": "execution",
                "category": "transient",
                "failing_step_id": "blk_4",
                "block_id": "blk_4",
                "block_name": "Read",
                "context": {"try": 2},
            },
        )

    def test_error_message_defaults_to_the_details(self) -> None:
        assert read("workflows.runs", body("workflows.runs", "failed")).error.message == "timed out"
        assert read("workflows.runs", bare("workflows.runs", "error") | {"lifecycle": {"status": "error"}}).error == (
            PrimitiveError()
        )

    @pytest.mark.parametrize("word", sorted(LIFECYCLES.keys() - {"error", "failed"}))
    def test_error_is_none_for_other_statuses(self, word: str) -> None:
        assert read("workflows.runs", bare("workflows.runs", word)).error is None

    @pytest.mark.parametrize(
        ("word", "terminal"), [(word, word in {"completed", "error", "failed", "cancelled"}) for word in LIFECYCLES]
    )
    def test_is_terminal_of_each_status(self, word: str, *, terminal: bool) -> None:
        assert read("workflows.runs", bare("workflows.runs", word)).status.is_terminal is terminal

    @pytest.mark.parametrize(
        ("value", "path", "reason"),
        [
            ({}, "lifecycle.status", "missing"),
            ({"status": 5}, "lifecycle.status", "a status word was expected, not a number"),
            ({"status": ["error"]}, "lifecycle.status", "a status word"),
            ("completed", "lifecycle", "an object was expected, not a string"),
            ({"status": "error", "message": 5}, "lifecycle.message", "a string was expected"),
        ],
    )
    def test_mismatch_names_its_path_and_reason(self, value: object, path: str, reason: str) -> None:
        with pytest.raises(SchemaMismatchError, match=reason) as caught:
            read("workflows.runs", {"id": "run_1", "lifecycle": value})

        assert caught.value.path == path


def test_mismatch_in_a_mapping_names_its_field_and_no_key() -> None:
    """A key is the caller's word, and a garbled answer may hold the caller's secret anywhere."""
    inputs = {"documents": {"sk_live_1": {"filename": 5}}}
    with pytest.raises(SchemaMismatchError) as caught:
        read("workflows.runs", FULL["workflows.runs"] | {"inputs": inputs})
    with pytest.raises(SchemaMismatchError, match="a string was expected, not a number") as other:
        read("extractions", FULL["extractions"] | {"metadata": {"sk_live_1": 5}})

    assert caught.value.path.startswith("inputs.documents")
    assert other.value.path == "metadata"
    assert "sk_live_1" not in f"{caught.value}{other.value}"


def test_repr_of_a_download_link_hides_its_url() -> None:
    link = run_of(
        DownloadLink,
        {
            "download_url": "https://x.test/a.pdf?sig=0123456789",
            "expires_in": "60 minutes",
            "filename": "a.pdf",
            "mime_data": {"filename": "a.pdf", "url": "https://x.test/a.pdf?sig=0123456789"},
        },
    )

    assert repr(link) == "DownloadLink(filename='a.pdf', expires_in='60 minutes')"
    assert repr(link.mime_data) == "MIMEData(filename='a.pdf', url='https://x.test/a.pdf?...')"


def test_repr_of_files_shows_their_names() -> None:
    assert repr(File(id="file_1")) == "File(id='file_1')"
    assert repr(UploadedFile(id="file_1", filename="a.pdf", url="https://x.test/a?b")) == (
        "UploadedFile(id='file_1', filename='a.pdf', url='https://x.test/a?...')"
    )


async def test_repr_of_resources_shows_their_routes() -> None:
    async with AsyncRetab("sk_live_0123456789") as client:
        assert repr(client.workflows.runs) == "<WorkflowRuns /v1/workflows/runs>"
        assert repr(client.files) == "<FilesAndBlueprints /v1/files>"
