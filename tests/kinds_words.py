"""Command-line arguments that create a run of each kind: the required ones, and all of them."""

from typing import Any

from retab_async import Category, EditConfig, Subdocument

SCHEMA = '{"type": "object", "properties": {"total": {"type": "number"}}}'
_SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}}

LEAST: dict[str, tuple[str, ...]] = {
    "splits": ("batch.pdf", "--subdocument", "invoice"),
    "partitions": ("batch.pdf", "--key", "account", "--instructions", "One chunk for each account."),
    "classifications": ("batch.pdf", "--category", "invoice"),
    "extractions": ("batch.pdf", "--schema", SCHEMA),
    "parses": ("batch.pdf",),
    "edits": ("batch.pdf", "--instructions", "Name: Ada"),
    "schemas": ("batch.pdf", "batch.pdf"),
    "files.blueprints": ("file_sample",),
    "workflows.runs": ("wrk_1", "--document", "start-1=batch.pdf"),
    "workflows.evals.runs": ("wrk_1",),
    "workflows.experiments.runs": ("exp_1",),
}

_COMMON = ("--model", "retab-large", "--n-consensus", "3", "--bust-cache")
_COMMON_FIELDS = {"model": "retab-large", "n_consensus": 3, "bust_cache": True}

# Command lines that use each option at least once, and the arguments of `create` that they become.
ALL: tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...] = (
    (
        "splits",
        (
            "a.pdf",
            "--filename",
            "b.pdf",
            "--subdocument",
            "a",
            "--subdocument",
            "b=What b=is",
            "--instructions",
            "T",
            *_COMMON,
        ),
        {
            "document": "a.pdf",
            "filename": "b.pdf",
            "subdocuments": (Subdocument("a"), Subdocument("b", description="What b=is")),
            "instructions": "T",
            **_COMMON_FIELDS,
        },
    ),
    (
        "partitions",
        ("a.pdf", "--filename", "b.pdf", "--key", "k", "--instructions", "T", "--no-allow-overlap", *_COMMON),
        {
            "document": "a.pdf",
            "filename": "b.pdf",
            "key": "k",
            "instructions": "T",
            "allow_overlap": False,
            **_COMMON_FIELDS,
        },
    ),
    (
        "classifications",
        (
            "a.pdf",
            "--filename",
            "b.pdf",
            "--category",
            "a",
            "--category",
            "b=By=hand",
            "--first-n-pages",
            "2",
            "--instructions",
            "T",
            *_COMMON,
        ),
        {
            "document": "a.pdf",
            "filename": "b.pdf",
            "categories": (Category("a"), Category("b", description="By=hand")),
            "first_n_pages": 2,
            "instructions": "T",
            **_COMMON_FIELDS,
        },
    ),
    (
        "extractions",
        (
            *(
                "a.pdf",
                "--filename",
                "b.pdf",
                "--schema",
                SCHEMA,
                "--metadata",
                "tenant=south=west",
                "--metadata",
                "batch=",
                "--sources",
            ),
            *("cited", "--additional-message", '{"role": "user"}', "--instructions", "T", *_COMMON),
        ),
        {
            "document": "a.pdf",
            "filename": "b.pdf",
            "json_schema": _SCHEMA,
            "metadata": {"tenant": "south=west", "batch": ""},
            "additional_messages": ({"role": "user"},),
            "sources": "cited",
            "instructions": "T",
            **_COMMON_FIELDS,
        },
    ),
    (
        "parses",
        (
            "a.pdf",
            "--filename",
            "b.pdf",
            "--table-parsing-format",
            "yaml",
            "--instructions",
            "T",
            "--model",
            "retab-large",
            "--bust-cache",
        ),
        {
            "document": "a.pdf",
            "filename": "b.pdf",
            "table_parsing_format": "yaml",
            "instructions": "T",
            "model": "retab-large",
            "bust_cache": True,
        },
    ),
    (
        "edits",
        ("--template-id", "tmpl_1", "--instructions", "T", "--color", "#800000", "--model", "retab-large"),
        {
            "template_id": "tmpl_1",
            "instructions": "T",
            "config": EditConfig(color="#800000"),
            "model": "retab-large",
            "bust_cache": False,
        },
    ),
    (
        "edits",
        ("a.pdf", "--filename", "b.pdf", "--instructions", "T", "--bust-cache"),
        {"document": "a.pdf", "filename": "b.pdf", "instructions": "T", "bust_cache": True},
    ),
    (
        "schemas",
        ("a.pdf", "b.pdf", "--instructions", "T", "--model", "retab-large"),
        {"documents": ("a.pdf", "b.pdf"), "instructions": "T", "model": "retab-large"},
    ),
    ("files.blueprints", ("file_1", "--intent", "T"), {"file_id": "file_1", "intent": "T"}),
    (
        "workflows.runs",
        (
            *("wrk_1", "--document", "one=a.pdf", "--document", "two=b=c.pdf", "--json-input", 'three={"limit": 5}'),
            *("--json-input", "four=5", "--version", "draft", "--metadata", "batch=12", "--sources", "located"),
        ),
        {
            "workflow_id": "wrk_1",
            "documents": {"one": "a.pdf", "two": "b=c.pdf"},
            "json_inputs": {"three": {"limit": 5}, "four": 5},
            "version": "draft",
            "metadata": {"batch": "12"},
            "sources": "located",
        },
    ),
    (
        "workflows.evals.runs",
        ("wrk_1", "--eval-id", "ev_1", "--block-id", "blk_1"),
        {"workflow_id": "wrk_1", "eval_id": "ev_1", "block_id": "blk_1"},
    ),
    (
        "workflows.experiments.runs",
        ("exp_1", "--workflow-id", "wrk_1", "--plan-token", "T"),
        {"experiment_id": "exp_1", "workflow_id": "wrk_1", "plan_token": "T"},
    ),
)
