"""What the API answers of each kind of run, in the tests' own words: a full body, and the same in other states."""

from typing import Any

from payloads import FULL_PARTITION, FULL_SPLIT

PRIMITIVES = (
    "splits",
    "partitions",
    "classifications",
    "extractions",
    "parses",
    "edits",
    "schemas",
    "files.blueprints",
)
WORKFLOWS = ("workflows.runs", "workflows.evals.runs", "workflows.experiments.runs")

_FILE = {"id": "file_4c1e", "filename": "forms.pdf", "mime_type": "application/pdf"}
_TOP = {"status": "completed", "error": None, "created_at": "2026-10-02T07:41:09.250000Z"}
_SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "sum": {"type": ["number", "null"]}}}
_FAMILY = {
    "workflow_id": "wrk_8",
    "workflow_version_id": "ver_3",
    "trigger": {"type": "email"},
    "lifecycle": {"status": "completed"},
}
_MEASURED = {
    "created_at": "2026-10-02T07:41:09Z",
    "started_at": "2026-10-02T07:41:10Z",
    "completed_at": "2026-10-02T07:42:10Z",
    "duration_ms": 60_000,
}

FULL: dict[str, dict[str, Any]] = {
    "splits": FULL_SPLIT,
    "partitions": FULL_PARTITION,
    "classifications": {
        "id": "clss_1",
        **_TOP,
        "file": _FILE,
        "model": "retab-micro",
        "categories": [
            {"name": "letter", "description": "by hand", "handle_key": "left"},
            {"name": "bill", "description": "", "handle_key": None},
        ],
        "n_consensus": 3,
        "instructions": "The first page tells.",
        "output": {"category": "bill", "reasoning": "It has a sum to be paid."},
        "consensus": {
            "choices": [
                {"category": "bill", "reasoning": "A sum."},
                {"category": "letter", "reasoning": "A greeting."},
            ],
            "likelihoods": 0.67,
        },
        "usage": {"credits": 0.15},
    },
    "extractions": {
        "id": "extr_1",
        **_TOP,
        "file": _FILE,
        "model": "retab-large",
        "json_schema": _SCHEMA,
        "n_consensus": 2,
        "instructions": None,
        "output": {"name": "Ada", "sum": None},
        "consensus": {"choices": [{"name": "Ada"}, {"name": "Eda"}], "likelihoods": {"name": 0.5, "sum": None}},
        "metadata": {"tenant": "south"},
        "usage": {"credits": 4.0},
    },
    "parses": {
        "id": "prs_1",
        **_TOP,
        "file": _FILE,
        "model": "retab-small",
        "table_parsing_format": "html",
        "instructions": None,
        "output": {"pages": ["One.", "Two."], "text": "One.\n\nTwo."},
        "usage": {"credits": 2.0},
    },
    "edits": {
        "id": "edt_1",
        **_TOP,
        "file": _FILE,
        "model": "retab-small",
        "instructions": "Name: Ada",
        "config": {"color": "#800000"},
        "template_id": "tmpl_2",
        "output": {
            "form_data": [
                {
                    "key": "name",
                    "bbox": {"left": 0.25, "top": 0.5, "width": 0.125, "height": 0.0625, "page": 1},
                    "description": "given name",
                    "type": "text",
                    "value": "Ada",
                }
            ],
            "filled_document": {"filename": "filled.pdf", "url": "https://storage.retab.com/org_1/file_9.pdf"},
        },
        "filled_document_ref": {"id": "file_9", "filename": "filled.pdf", "mime_type": "application/pdf"},
        "usage": {"credits": 3.0},
    },
    "schemas": {"id": "sch_1", **_TOP, "object": "schema", "json_schema": _SCHEMA, "strict": False},
    "files.blueprints": {
        "id": "fbp_1",
        **_TOP,
        "object": "file.blueprint",
        "file": _FILE,
        "intent": "where the totals are",
        "output": {"parts": [{"label": "totals", "pages": [2]}]},
        "started_at": "2026-10-02T07:41:10Z",
        "completed_at": "2026-10-02T07:41:20Z",
        "mode": "instant",
    },
    "workflows.runs": {
        "id": "run_1",
        **_FAMILY,
        "timing": {name: value for name, value in _MEASURED.items() if name != "duration_ms"},
        "inputs": {"documents": {"start-1": _FILE}, "json_data": {"start-2": {"limit": 5}}},
        "metadata": {"batch": "12"},
    },
    "workflows.evals.runs": {
        "id": "wfevalrun_1",
        **_FAMILY,
        "timing": _MEASURED,
        "target": {"type": "block", "block_id": "blk_4"},
        "eval_id": "wfnodeeval_5",
        "total_evals": 3,
        "counts": {
            "lifecycle_counts": {
                "pending": 0,
                "queued": 0,
                "running": 0,
                "completed": 2,
                "error": 1,
                "cancelled": 0,
            },
            "outcome": {"passed": 1, "failed": 1, "blocked": 0},
        },
        "freshness": {
            "status": "stale",
            "reasons": ["inputs_changed"],
            "validity_fingerprint": "a1",
            "input_fingerprint": None,
            "baseline_run_id": "wfevalrun_0",
        },
    },
    "workflows.experiments.runs": {
        "id": "exprun_1",
        **_FAMILY,
        "timing": _MEASURED,
        "experiment_id": "exp_6",
        "block_id": "blk_4",
        "block_type": "split",
        "n_consensus": 5,
        "parent_run_id": "run_0",
        "block_version_id": "blkv_1",
        "metrics_validity_fingerprint": "b2",
        "metrics_validity_fingerprint_version": 2,
        "block_execution_fingerprint": "c3",
        "documents_fingerprint": "d4",
        "score": 0.75,
        "total_document_count": 8,
        "completed_document_count": 6,
        "document_count": 8,
        "error_count": 2,
    },
}

_UNDONE: dict[str, dict[str, Any]] = {
    "splits": {"output": [], "consensus": None, "usage": None},
    "partitions": {"output": [], "consensus": None, "usage": None},
    "classifications": {"output": None, "consensus": None, "usage": None},
    "extractions": {"output": {}, "consensus": None, "metadata": None, "usage": None},
    "parses": {"output": {"pages": [], "text": ""}, "usage": None},
    "edits": {"output": None, "filled_document_ref": None, "template_id": None, "usage": None},
    "schemas": {"json_schema": {}},
    "files.blueprints": {"output": {}, "started_at": None, "completed_at": None, "mode": None, "intent": None},
    "workflows.runs": {"metadata": None, "inputs": {"documents": {}, "json_data": {}}},
    "workflows.evals.runs": {"target": None, "eval_id": None, "freshness": None},
    "workflows.experiments.runs": {"score": None, "parent_run_id": None},
}

_ERROR: dict[str, Any] = {"code": "bad_document", "message": "The document could not be read.", "details": {"page": 4}}
_DETAILS = {
    "message": "timed out",
    "stack_trace": None,
    "block_id": "blk_4",
    "block_name": "Read",
    "error_code": "E_TIME",
    "context": {"try": 2},
}
LIFECYCLES: dict[str, dict[str, Any]] = {
    "pending": {"status": "pending"},
    "queued": {"status": "queued"},
    "running": {"status": "running"},
    "awaiting_review": {"status": "awaiting_review", "waiting_for_block_ids": ["blk_4"]},
    "completed": {"status": "completed"},
    "error": {
        "status": "error",
        "message": "The block broke.",
        "details": _DETAILS,
        "stage": "execution",
        "category": "transient",
        "failing_step_id": "blk_4",
    },
    "failed": {
        "status": "failed",
        "message": "",
        "details": _DETAILS,
        "stage": None,
        "category": None,
        "failing_step_id": None,
    },
    "cancelled": {"status": "cancelled", "reason": "by its owner"},
    "on_hold": {"status": "on_hold"},
}
STATES = {
    **dict.fromkeys(PRIMITIVES, ("pending", "queued", "in_progress", "completed", "failed", "cancelled", "on_hold")),
    **{kind: tuple(LIFECYCLES) for kind in WORKFLOWS},
}


def body(kind: str, state: str) -> dict[str, Any]:
    """Return a full body of a kind in a state."""
    full = FULL[kind] if state == "completed" else FULL[kind] | _UNDONE[kind]
    if kind in WORKFLOWS:
        return full | {"lifecycle": LIFECYCLES[state]}
    return full | {"status": state, "error": _ERROR if state == "failed" else None}


def bare(kind: str, state: str) -> dict[str, Any]:
    """Return the least that an answer says: the id and the state."""
    state_at = {"lifecycle": LIFECYCLES[state]} if kind in WORKFLOWS else {"status": state, "error": None}
    return {"id": FULL[kind]["id"], **state_at}
