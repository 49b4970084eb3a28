"""What the API answers, in the tests' own words."""

from typing import Any

KEY = "sk_live_secret_0123456789"
SPLIT_ID = "splt_7Qd2mK9xVw"
PARTITION_ID = "prtn_b8Xr41LzTe"

BARE_SPLIT: dict[str, Any] = {"id": SPLIT_ID, "status": "cancelled", "error": None}
BARE_PARTITION: dict[str, Any] = {"id": PARTITION_ID, "status": "cancelled", "error": None}

_RESULTS: list[dict[str, Any]] = [
    {"name": "invoice", "pages": [1, 2], "regions": []},
    {
        "name": "ledger",
        "pages": [3],
        "regions": [
            {
                "sheet_index": 0,
                "sheet_name": "2026",
                "row_start": 1,
                "row_end": 40,
                "col_start": 2,
                "col_end": None,
                "header_rows": [1, 2],
            }
        ],
    },
]

FULL_SPLIT: dict[str, Any] = {
    "id": SPLIT_ID,
    "status": "completed",
    "error": None,
    "created_at": "2026-09-14T08:15:30.125000Z",
    "file": {"id": "file_3f9a1c27be04d581", "filename": "bundle.pdf", "mime_type": "application/pdf"},
    "model": "retab-small",
    "subdocuments": [
        {"name": "invoice", "description": "vendor bill", "allow_multiple_instances": True},
        {"name": "ledger", "description": "", "allow_multiple_instances": False},
    ],
    "n_consensus": 3,
    "instructions": "One subdocument a vendor.",
    "output": _RESULTS,
    "consensus": {
        "likelihoods": [{"name": 1.0, "pages": [1.0, 0.67]}, {"name": None, "pages": []}],
        "choices": [_RESULTS, []],
    },
    "usage": {"credits": 15.5},
}

FAILED_SPLIT: dict[str, Any] = FULL_SPLIT | {
    "status": "failed",
    "error": {"code": "bad_document", "message": "The document could not be read.", "details": {"page": 4}},
    "output": [],
    "consensus": None,
    "usage": None,
}

FULL_PARTITION: dict[str, Any] = {
    "id": PARTITION_ID,
    "status": "completed",
    "error": None,
    "created_at": "2026-09-14T08:16:02Z",
    "file": {"id": "file_90cc5d18a7e3f264", "filename": "statements.pdf", "mime_type": "application/pdf"},
    "model": "retab-small",
    "key": "account_number",
    "instructions": "One chunk for each account.",
    "n_consensus": 2,
    "allow_overlap": False,
    "output": [{"key": "ACC-17", "pages": [1, 2]}, {"key": "ACC-29", "pages": [3]}],
    "consensus": {
        "choices": [[{"key": "ACC-17", "pages": [1, 2, 3]}]],
        "likelihoods": [{"key": 0.5, "pages": [1.0, 1.0]}],
    },
    "usage": {"credits": 3.0},
}
