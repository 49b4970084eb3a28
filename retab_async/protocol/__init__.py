"""The wire protocol as values: requests, responses and error bodies; no socket, no clock, no cattrs."""

from retab_async.protocol.problems import Problem, read_problem
from retab_async.protocol.requests import (
    CANCEL,
    MAX_CANCEL_BYTES,
    MAX_PAGE_BYTES,
    MAX_STATUS_BYTES,
    MIB,
    Body,
    BytesBody,
    DeliveryState,
    Request,
    run_path,
)
from retab_async.protocol.responses import (
    MAX_ERROR_BYTES,
    MAX_LINE_BYTES,
    LineStream,
    Response,
    api_error,
    event_data,
    parse_json,
    read_retry_after,
    response_error,
)

__all__ = [
    "CANCEL",
    "MAX_CANCEL_BYTES",
    "MAX_ERROR_BYTES",
    "MAX_LINE_BYTES",
    "MAX_PAGE_BYTES",
    "MAX_STATUS_BYTES",
    "MIB",
    "Body",
    "BytesBody",
    "DeliveryState",
    "LineStream",
    "Problem",
    "Request",
    "Response",
    "api_error",
    "event_data",
    "parse_json",
    "read_problem",
    "read_retry_after",
    "response_error",
    "run_path",
]
