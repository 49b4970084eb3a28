"""Requests and responses as values, and what is read in them: pure functions, no socket, no clock, no cattrs."""

from retab_async.protocol.problems import Problem, read_problem
from retab_async.protocol.requests import CANCEL, CANCEL_CAP, MIB, Body, BytesBody, Request, Trail, run_path
from retab_async.protocol.responses import (
    ERROR_CAP,
    LINE_CAP,
    Lines,
    Response,
    api_error,
    line_content,
    read_response,
    read_retry_after,
    response_error,
)

__all__ = [
    "CANCEL",
    "CANCEL_CAP",
    "ERROR_CAP",
    "LINE_CAP",
    "MIB",
    "Body",
    "BytesBody",
    "Lines",
    "Problem",
    "Request",
    "Response",
    "Trail",
    "api_error",
    "line_content",
    "read_problem",
    "read_response",
    "read_retry_after",
    "response_error",
    "run_path",
]
