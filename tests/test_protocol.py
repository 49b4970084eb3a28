import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from retab_async import APIError, InvalidRunIdError, ResponseError
from retab_async.protocol import (
    Problem,
    Request,
    Response,
    api_error,
    parse_json,
    read_problem,
    read_retry_after,
    run_path,
)
from retab_async.settings import Credential

NOW = datetime(2026, 9, 14, 8, 0, 0, tzinfo=UTC)
KEY = "sk_live_secret_0123456789"

BAD_IDS: list[Any] = [
    "../../x",
    "..",
    "a/b",
    "a?b",
    "a#b",
    "a%2fb",
    "a\\b",
    "a;b",
    "a.b",
    "a\r\nb",
    "splt_1\n",
    "\nsplt_1",
    "",
    " ",
    " splt_1",
    "-a",
    "_a",
    "a" * 129,
    "é",
    "\u0661",
    "a\x00",
    None,
    5,
    b"splt_1",
    ["splt_1"],
]


def answer(body: bytes | str, status: int = 400, headers: dict[str, str] | None = None) -> Response:
    content = body if isinstance(body, bytes) else body.encode()
    redact = Credential("Api-Key", KEY, KEY).redact
    return Response(Request("POST", "/v1/splits/splt_1/cancel"), status, CIMultiDict(headers or {}), content, 2, redact)


# Ids


@pytest.mark.parametrize("run_id", BAD_IDS, ids=repr)
def test_run_path_rejects_an_id_of_another_form(run_id: Any) -> None:
    with pytest.raises(InvalidRunIdError, match="not a run id"):
        run_path("/v1/splits", run_id)


@given(st.text() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True))
def test_run_path_rejects_an_id_or_keeps_it_as_one_segment(run_id: str) -> None:
    fits = 0 < len(run_id) <= 128 and run_id.isascii() and run_id.replace("_", "a").replace("-", "a").isalnum()
    if fits and run_id[0] not in "_-":
        assert run_path("/v1/splits", run_id, "/cancel") == f"/v1/splits/{run_id}/cancel"
    else:
        with pytest.raises(InvalidRunIdError):
            run_path("/v1/splits", run_id, "/cancel")


def test_a_long_invalid_id_is_quoted_in_part() -> None:
    with pytest.raises(InvalidRunIdError) as caught:
        run_path("/v1/splits", "a" * 1_000_000)

    assert len(str(caught.value)) < 400


def test_run_path_without_a_verb_is_the_path_of_the_run() -> None:
    assert run_path("/v1/partitions", "prtn_1") == "/v1/partitions/prtn_1"


# 2xx


@pytest.mark.parametrize("value", [{"id": "splt_1"}, [], "text", 5, None])
def test_parse_json_returns_the_json_of_a_2xx(value: Any) -> None:
    assert parse_json(answer(json.dumps(value), 200)) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [("", "the answer is empty"), ("<html>", "is not JSON"), ('{"id":', "is not JSON"), (b"\xff\xfe", "is not JSON")],
)
def test_a_2xx_without_json_raises_response_error(body: Any, reason: str) -> None:
    response = answer(body, 200, {"X-Request-ID": "req_1"})
    with pytest.raises(ResponseError, match=reason) as caught:
        parse_json(response)

    error = caught.value
    assert (error.status_code, error.method, error.url) == (200, "POST", "/v1/splits/splt_1/cancel")
    assert (error.request_id, error.attempts, error.path) == ("req_1", 2, "")
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_response_error_holds_only_the_start_of_the_body() -> None:
    with pytest.raises(ResponseError) as caught:
        parse_json(answer("x" * 100_000, 200))

    assert caught.value.body == "x" * 500


# Error bodies: every format seen so far


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        pytest.param({"detail": "Split not found"}, "Split not found", None, id="a"),
        pytest.param(
            {"detail": {"code": "UNKNOWN_INPUT_HANDLE", "message": "No such handle.", "details": None}},
            "No such handle.",
            "UNKNOWN_INPUT_HANDLE",
            id="b",
        ),
        pytest.param(
            {
                "detail": {
                    "code": "HTTP_EXCEPTION",
                    "message": "An HTTP exception occurred.",
                    "details": {"error": "Invalid API Key."},
                }
            },
            "Invalid API Key.",
            "HTTP_EXCEPTION",
            id="c",
        ),
        pytest.param(
            {
                "detail": {
                    "code": "HTTP_EXCEPTION",
                    "message": "An HTTP exception occurred.",
                    "details": {"error": {"code": "RUN_NOT_FOUND", "message": "No such run."}},
                }
            },
            "No such run.",
            "RUN_NOT_FOUND",
            id="c, nested",
        ),
        pytest.param(
            {
                "detail": {
                    "code": "DECLARATIVE_COMPILE_ERROR",
                    "message": "Does not compile.",
                    "errors": [
                        {"code": "INVALID_SCHEMA", "message": "no such block", "yaml_path": "blocks[0]"},
                        {"code": "INVALID_SCHEMA", "message": "no such edge", "yaml_path": "edges[2]"},
                    ],
                }
            },
            "Does not compile.: no such block; no such edge",
            "DECLARATIVE_COMPILE_ERROR",
            id="d",
        ),
        pytest.param(
            {
                "detail": [
                    {"loc": ["body", "subdocuments", 0, "name"], "msg": "Field required", "type": "missing"},
                    {"loc": ["body", "model"], "msg": "too long", "type": "too_long"},
                ]
            },
            "body.subdocuments.0.name: Field required; body.model: too long",
            None,
            id="e",
        ),
        pytest.param(
            {
                "status_code": 10422,
                "message": '[{"loc":["body","key"],"msg":"Field required","type":"missing"}]',
                "data": None,
            },
            "body.key: Field required",
            None,
            id="f",
        ),
        pytest.param({"message": "Slow down.", "code": "quota", "details": {}}, "Slow down.", "quota", id="g"),
        pytest.param({"message": "Slow down.", "code": "quota", "detail": ""}, "Slow down.", "quota", id="g, empty"),
        pytest.param({"error": "no such split"}, "no such split", None, id="h"),
        pytest.param({"error": {"message": "no such split", "code": "nope"}}, "no such split", "nope", id="h, nested"),
        pytest.param(
            {
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "validation failed",
                "errors": [{"message": "number too large", "location": "query.limit", "value": 5000}],
            },
            "validation failed: query.limit: number too large",
            None,
            id="i",
        ),
        pytest.param({"title": "Unprocessable Entity", "status": 422}, "Unprocessable Entity", None, id="i, bare"),
        pytest.param("upstream connect error", "upstream connect error", None, id="j, text"),
        pytest.param("  two\n  lines \n", "two lines", None, id="j, lines"),
        pytest.param(
            "<html><head><style>h1{}</style><script>x < 1</script></head><body><h1>502</h1>Bad gateway</body></html>",
            "502 Bad gateway",
            None,
            id="j, HTML",
        ),
        pytest.param({"detail": "<h1>Bad gateway</h1>"}, "Bad gateway", None, id="a, HTML"),
        pytest.param("", "Bad Request", None, id="j, empty"),
        pytest.param("{broken", "{broken", None, id="j, broken JSON"),
        pytest.param({"status": 5, "code": 7}, '{"status": 5, "code": 7}', None, id="no text at all"),
        pytest.param(["first", "second"], "first; second", None, id="a list"),
        pytest.param({"detail": [{"msg": "odd", "loc": 5}]}, "odd", None, id="e, odd place"),
        pytest.param({"detail": {"msg": "odd", "code": "ODD"}}, "odd", "ODD", id="e, with a code"),
    ],
)
def test_read_problem_finds_a_readable_message(body: Any, message: str, code: str | None) -> None:
    error = api_error(answer(body if isinstance(body, str) else json.dumps(body)), NOW)

    assert error.message == message
    assert error.code == code
    assert error.body == (body if isinstance(body, str) else json.dumps(body))


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"detail": "Split not found"}, None),
        ({"detail": {"code": "A", "message": "b", "details": {"page": 4}}}, {"page": 4}),
        ({"detail": {"code": "A", "message": "b", "details": {"error": "c"}}}, {"error": "c"}),
        ({"detail": [{"loc": ["body"], "msg": "b"}]}, [{"loc": ["body"], "msg": "b"}]),
        ({"detail": {"message": "b", "errors": [{"message": "c"}]}}, [{"message": "c"}]),
        ({"message": "b", "details": {"page": 4}}, {"page": 4}),
    ],
)
def test_read_problem_finds_the_details(body: Any, details: Any) -> None:
    assert api_error(answer(json.dumps(body)), NOW).details == details


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["detail", "details", "error", "errors", "message", "msg", "loc", "location", "title", "code", "x"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=30,
).map(json.dumps) | st.text())  # fmt: skip
@example("[" * 5000)
@example('{"detail":' * 200 + '"deep"' + "}" * 200)
@example('{"error":' * 900 + "1" + "}" * 900)
def test_read_problem_accepts_any_body(body: str) -> None:
    problem = read_problem(body)

    assert isinstance(problem, Problem)
    assert isinstance(problem.message, str)
    assert problem.code is None or isinstance(problem.code, str)


@given(st.binary())
def test_api_error_accepts_any_bytes(body: bytes) -> None:
    assert str(api_error(answer(body), NOW))


def test_a_deeply_nested_message_is_ignored() -> None:
    body = '{"detail":' * 20 + '"deep"' + "}" * 20

    assert read_problem(body).message == body


def test_many_opening_tags_take_bounded_time() -> None:
    """A page of 64 KiB that a naive pattern would scan again from each of its tags."""
    assert read_problem("<script " * 8000).message


def test_a_long_message_is_cut() -> None:
    assert len(api_error(answer(json.dumps({"detail": "x" * 10_000})), NOW).message) == 500


def test_the_body_is_kept_up_to_64_kib() -> None:
    assert len(api_error(answer("x" * 100_000), NOW).body) == 64 * 1024


@pytest.mark.parametrize(("status", "phrase"), [(503, "Service Unavailable"), (599, "no reason given")])
def test_without_a_body_the_message_is_the_status_phrase(status: int, phrase: str) -> None:
    assert api_error(answer("", status), NOW).message == phrase


def test_a_redirect_error_names_the_reason() -> None:
    error = api_error(answer("", 307), NOW)

    assert error.message == (
        "the API answered with a redirect, which would carry the key elsewhere: Temporary Redirect"
    )


def test_an_api_error_has_the_facts_of_the_response() -> None:
    headers = {"x-request-id": "req_1", "Retry-After": "2.5"}
    error = api_error(answer('{"detail": "busy"}', 503, headers), NOW)

    assert (error.status_code, error.method, error.url) == (503, "POST", "/v1/splits/splt_1/cancel")
    assert (error.request_id, error.attempts, error.retry_after) == ("req_1", 2, 2.5)
    assert isinstance(error, APIError)


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("3", 3.0),
        (" 3 ", 3.0),
        ("1.5", 1.5),
        ("2.", 2.0),
        ("Mon, 14 Sep 2026 08:00:30 GMT", 30.0),
        ("Mon, 14 Sep 2026 08:00:30 -0000", 30.0),
        ("Mon, 14 Sep 2026 10:00:30 +0200", 30.0),
        ("Mon, 14 Sep 2026 07:59:00 GMT", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("\u0663", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("9" * 400, None),
        ("Mon, 99 Sep 2026 08:00:30 GMT", None),
        ("Mon, 14 Sep 99999 08:00:30 GMT", None),
    ],
)
def test_read_retry_after_reads_numbers_and_dates(value: str | None, seconds: float | None) -> None:
    assert read_retry_after({} if value is None else {"Retry-After": value}, NOW) == seconds


@given(st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [-+A-Z0-9]+"))
@example("Mon, 14 Sep 2026 08:00:30 +9999999999")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("1 Jan 1 0:0:0")
def test_read_retry_after_accepts_any_text(value: str) -> None:
    seconds = read_retry_after({"Retry-After": value, "Date": value, "retry-after-ms": value}, NOW)

    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Date": "Mon, 14 Sep 2026 07:50:00 GMT", "Retry-After": "Mon, 14 Sep 2026 07:50:03 GMT"}, 3.0),
        ({"Date": "Mon, 14 Sep 2026 08:10:00 GMT", "Retry-After": "Mon, 14 Sep 2026 08:10:03 GMT"}, 3.0),
        ({"Date": "Mon, 14 Sep 2026 08:10:00 GMT", "Retry-After": "Mon, 14 Sep 2026 08:09:00 GMT"}, None),
        ({"Date": "today", "Retry-After": "Mon, 14 Sep 2026 08:00:03 GMT"}, 3.0),
        ({"Date": "Mon, 14 Sep 2026 07:50:00 GMT", "Retry-After": "5"}, 5.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": " 20.5 ", "Retry-After": "7"}, 0.0205),
        ({"retry-after-ms": "soon", "Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "-1"}, None),
    ],
)
def test_read_retry_after_reads_milliseconds_and_the_date_of_the_response(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert read_retry_after(CIMultiDict(headers), NOW) == seconds


@given(st.integers(1, 10**6))
def test_a_date_in_the_future_is_the_wait_until_then(seconds: int) -> None:
    moment = (NOW + timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    assert read_retry_after({"Retry-After": moment}, NOW) == seconds


# Secrets


@pytest.mark.parametrize("body", [f'{{"detail": "bad key {KEY}"}}', f"<pre>Api-Key: {KEY}</pre>", f"Api-Key: {KEY}"])
def test_the_key_is_redacted_in_errors(body: str) -> None:
    error = api_error(answer(body, headers={"X-Request-Id": f"req for {KEY}"}), NOW)

    assert KEY not in repr((str(error), error.args, error.__dict__))
    assert "***" in error.message
    assert error.request_id == "req for ***"


def test_the_key_is_redacted_in_an_unreadable_2xx() -> None:
    with pytest.raises(ResponseError) as caught:
        parse_json(answer(f"x{KEY}" * 30, 200, {"X-Request-Id": KEY}))

    # Redacted before the body is truncated, or half of a key could remain at its end.
    assert "sk_live" not in repr((str(caught.value), caught.value.args, caught.value.__dict__))


class Word(str):
    """A str subclass with its own `__format__`, as numpy has."""

    __slots__ = ()

    def __format__(self, _: str) -> str:
        return "../../other"


def test_an_id_of_a_str_subclass_is_used_as_text() -> None:
    assert run_path("/v1/splits", Word("splt_1"), "/cancel") == "/v1/splits/splt_1/cancel"


def _answer(body: bytes, status: int = 400, **headers: str) -> Response:
    fields = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Response(Request("POST", "/v1/x"), status, fields, body, 1, Credential("Api-Key", KEY, KEY).redact)


@pytest.mark.parametrize(
    "body",
    [
        b'{"detail": [{"loc": ["a\\nb"], "msg": "one\\ntwo \\u001b[31mred"}]}',
        b"one\r\ntwo \x1b[31mred",
        "<p>one\n two\x9b31m".encode(),
    ],
)
def test_a_message_is_one_line_without_control_characters(body: bytes) -> None:
    message = api_error(_answer(body), NOW).message

    assert message.isprintable()
    assert "one two" in message


def test_a_request_id_with_surrogates_is_printable() -> None:
    error = api_error(_answer(b"", X_Request_Id="req_\udcff\n1"), NOW)

    assert error.request_id == "req_ 1"
    assert str(error).encode()


def test_a_request_id_is_truncated() -> None:
    assert api_error(_answer(b"", X_Request_Id="r" * 5000), NOW).request_id == "r" * 200


def test_not_modified_is_not_called_a_redirect() -> None:
    error = api_error(_answer(b"", 304), NOW)

    assert error.message == "Not Modified"


def test_details_that_quote_the_key_with_escapes_are_redacted() -> None:
    error = api_error(_answer(b'{"detail": "no", "details": {"k": "\\u0073' + KEY[1:].encode() + b'"}}'), NOW)

    assert error.message == "no"
    assert error.details == {"k": "***"}
    assert error.body == '{"detail": "no", "details": {"k": "***"}}'
