"""`create` of every kind: each option, and the argument of the library's `create` that it sets."""

import hashlib
import inspect
import io
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import click
import pytest
from cli_harness import served_emulator
from kinds_words import ALL, LEAST, SCHEMA

from retab_async import InvalidRequestError
from retab_async.cli import run
from retab_async.cli.create import PARAMETERS, create_command
from retab_async.emulator import Emulator
from retab_async.resources import RESOURCES

# Arguments of the library that are no options of one kind.
COMMON = {"self", "idempotency_key", "extra_body", "on_upload"}
CONTENT = b"%PDF-1.7 what is on stdin"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator, and a document in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("batch.pdf").write_bytes(b"%PDF-1.7")
    with served_emulator(monkeypatch, queued=60, running=60) as emulator:
        yield emulator


def arguments(kind: str, verb: str) -> set[str]:
    return set(inspect.signature(attrgetter(verb)(RESOURCES[kind])).parameters) - COMMON


def test_every_kind_has_create_parameters() -> None:
    assert set(PARAMETERS) == set(RESOURCES) == set(LEAST)


@pytest.mark.parametrize("kind", RESOURCES)
def test_create_parameters_are_the_arguments_of_running_and_create(kind: str) -> None:
    names = [parameter.name for parameter in PARAMETERS[kind]]

    assert len(names) == len(set(names))
    assert set(names) == arguments(kind, "running")
    assert set(names) <= arguments(kind, "create")


@pytest.mark.parametrize("kind", RESOURCES)
def test_create_has_background_if_the_method_has_it(kind: str) -> None:
    options = {parameter.name for parameter in create_command(kind, kind).params}

    assert ("background" in options) == ("background" in arguments(kind, "create"))


@pytest.mark.parametrize("kind", RESOURCES)
def test_examples_use_every_option(kind: str) -> None:
    assert {name for of, _, fields in ALL if of == kind for name in fields} == arguments(kind, "running")


@pytest.mark.parametrize(("kind", "words", "expected"), ALL, ids=[kind for kind, _, _ in ALL])
@pytest.mark.parametrize("verb", ["create", "running"])
def test_create_passes_its_options_to_the_library(  # noqa: PLR0917 - fixtures
    kind: str,
    words: tuple[str, ...],
    expected: dict[str, Any],
    verb: str,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received: dict[str, Any] = {}

    def record(_: object, **fields: Any) -> None:
        received.update(fields)
        msg = "stop here"
        raise InvalidRequestError(msg)

    monkeypatch.setattr(RESOURCES[kind], verb, record)

    assert run([*kind.split("."), "create", *words, *(["--wait"] if verb == "running" else [])]) == 2

    background = {"background": False} if verb == "create" and not kind.startswith("workflows") else {}
    assert received.pop("idempotency_key")
    assert received == {**expected, **background}


@pytest.mark.parametrize("kind", RESOURCES)
def test_create_passes_further_fields(kind: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    received: dict[str, Any] = {}

    def record(_: object, **fields: Any) -> None:
        received.update(fields)
        msg = "stop here"
        raise InvalidRequestError(msg)

    monkeypatch.setattr(RESOURCES[kind], "create", record)

    assert run([*kind.split("."), "create", *LEAST[kind], "--extra-body", '{"region": "eu"}']) == 2
    assert received["extra_body"] == {"region": "eu"}


def test_create_reads_a_schema_from_a_file(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    Path("schema.json").write_text(f"\n{SCHEMA}")

    code = run(["extractions", "create", "batch.pdf", "--schema", "schema.json"])

    assert code == 0
    assert '"total"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "words", "reason"),
    [
        ("extractions", ("batch.pdf", "--schema", "nowhere.json"), "'nowhere.json' cannot be read: No such file"),
        ("extractions", ("batch.pdf", "--schema", "batch.pdf"), "not valid JSON"),
        ("extractions", ("batch.pdf", "--schema", "{"), "not valid JSON"),
        ("extractions", ("batch.pdf", "--schema", "list.json"), "json_schema must be a mapping"),
        ("extractions", ("batch.pdf", "--schema", SCHEMA, "--metadata", "a"), "'a' is not NAME=TEXT"),
        ("extractions", ("batch.pdf", "--schema", SCHEMA, "--n-consensus", "17"), "1<=x<=16"),
        ("workflows.runs", ("wrk_1", "--document", "batch.pdf"), "'batch.pdf' is not BLOCK=FILE"),
        ("workflows.runs", ("wrk_1", "--document", "a=b", "--document", "a=c"), "a name is given twice"),
        ("workflows.runs", ("wrk_1", "--json-input", "a=b"), "not valid JSON"),
        ("workflows.runs", ("wrk_1", "--document", "a=-", "--document", "b=-"), "stdin can be read only once"),
        ("workflows.runs", ("wrk_1", "--background"), "No such option '--background'"),
        ("schemas", (), "Missing argument 'FILE...'"),
        ("schemas", ("-", "batch.pdf", "-"), "stdin can be read only once"),
        ("edits", ("--instructions", "T"), "give either a document or a template_id"),
        ("edits", ("batch.pdf", "--template-id", "t", "--instructions", "T"), "give either a document"),
        ("workflows.evals.runs", ("wrk_1", "--eval-id", "e", "--block-id", "b"), "give an eval_id or a block_id"),
    ],
)
def test_create_with_invalid_input_exits_2_and_sends_nothing(
    kind: str, words: tuple[str, ...], reason: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("list.json").write_text("[1]")

    assert run([*kind.split("."), "create", *words]) == 2

    assert reason in " ".join(capsys.readouterr().err.split())
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("kind", "words", "which"),
    [
        ("edits", ("-", "--instructions", "T"), 0),
        ("schemas", ("batch.pdf", "-"), 1),
        ("workflows.runs", ("wrk_1", "--document", "one=batch.pdf", "--document", "two=-"), "two"),
    ],
)
def test_create_reads_any_of_its_documents_from_stdin(  # noqa: PLR0917 - fixtures
    kind: str,
    words: tuple[str, ...],
    which: int | str,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CONTENT)))
    wanted = [] if kind.startswith("workflows") else ["--background"]

    code = run([*kind.split("."), "create", *words, *wanted])

    run_id = capsys.readouterr().out.split("\t")[0]
    assert code == 0
    assert emulator.document_of(run_id, which).sha256 == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("kind", RESOURCES)
def test_create_help_explains_file_if_there_is_one(kind: str) -> None:
    help_text = create_command(kind, kind).get_help(click.Context(click.Command("create")))

    assert ("FILE is a path" in help_text) == bool({"document", "documents"} & arguments(kind, "running"))
