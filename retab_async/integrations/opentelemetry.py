"""OpenTelemetry: a span for each call, and metrics of calls, bulk jobs and unconfirmed cancels."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from retab_async.api.kind import kind_of_path
from retab_async.bulk import CancelOutcome
from retab_async.cleanup import UnconfirmedCancel
from retab_async.client import AsyncRetab
from retab_async.errors import APIError, ConfigurationError, RetabError
from retab_async.hooks import Call, server_of
from retab_async.process import ProcessResult
from retab_async.throttle import Stats
from retab_async.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

_NAME = "retab_async"
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.23.0"
# Seconds; a create in the foreground takes minutes.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_MAX_DESCRIPTION = 300


class OpenTelemetry:
    """Hook that reports to OpenTelemetry: `AsyncRetab(hooks=[OpenTelemetry()])`; needs `opentelemetry-api` alone.

    Each call is a span `retab splits.cancel`, a child of the span in which it is made; the HTTP spans of
    `opentelemetry-instrumentation-aiohttp-client` are below it. Ids of runs are on spans only, keys nowhere.

    Metrics: the histogram `retab.client.operation.duration`; the counters `retab.client.retries`,
    `retab.client.throttled`, `retab.bulk.outcomes` and `retab.cancels.unconfirmed`; and, from `stats()` of each client,
    the gauges `retab.client.in_flight`, `retab.client.concurrency_limit`, `retab.client.rate_limit` and
    `retab.client.retry_tokens`. Use one object for all clients of a process: SDKs drop the gauges of a second one.

    Args:
        tracer_provider: Makes the tracer; the global one by default.
        meter_provider: Makes the meter; the global one by default.

    Raises:
        ConfigurationError: `opentelemetry-api` is not installed.
    """

    def __init__(
        self, tracer_provider: "TracerProvider | None" = None, meter_provider: "MeterProvider | None" = None
    ) -> None:
        try:
            from opentelemetry import metrics, trace  # noqa: PLC0415 - of an extra
        except ImportError as error:
            msg = "opentelemetry-api is not installed: pip install 'retab_async[otel]'"
            raise ConfigurationError(msg) from error
        self._trace = trace
        self._observation = metrics.Observation
        self._tracer = trace.get_tracer(_NAME, VERSION, tracer_provider, _SCHEMA_URL)
        meter = metrics.get_meter(_NAME, VERSION, meter_provider, _SCHEMA_URL)
        self._duration = meter.create_histogram(
            "retab.client.operation.duration",
            unit="s",
            description="Duration of calls, retries and waits included.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._retries = meter.create_counter(
            "retab.client.retries", unit="{attempt}", description="Attempts beyond the first of a call."
        )
        self._throttled = meter.create_counter(
            "retab.client.throttled", unit="{response}", description="Responses that asked for fewer requests."
        )
        self._outcomes = meter.create_counter(
            "retab.bulk.outcomes", unit="{run}", description="Outcomes of bulk jobs, by disposition."
        )
        self._unconfirmed = meter.create_counter(
            "retab.cancels.unconfirmed", unit="{run}", description="Orphaned runs that may still be running."
        )
        self._clients: WeakSet[AsyncRetab] = WeakSet()
        for name, unit, read, description in _GAUGES:
            meter.create_observable_gauge(
                f"retab.client.{name}", callbacks=[self._gauge(read)], unit=unit, description=description
            )

    @contextmanager
    def __call__(self, call: Call) -> Iterator[None]:
        """Make the span of a call the current one, and record its metrics at its end."""
        attributes: dict[str, str | int] = {
            "retab.operation.name": call.operation,
            "server.address": call.server_address,
            "server.port": call.server_port,
        }
        details = {"http.request.method": call.method, "url.template": call.url_template, "retab.run.id": call.run_id}
        with self._tracer.start_as_current_span(
            f"retab {call.operation}",
            kind=self._trace.SpanKind.INTERNAL,
            attributes=attributes | {name: value for name, value in details.items() if value},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            finally:
                if call.error is not None:
                    attributes["error.type"] = _error_type(call.error)
                self._finish_span(span, call, attributes)
                self._duration.record(call.seconds, attributes)
                if call.attempts > 1:
                    self._retries.add(call.attempts - 1, attributes)
                if call.throttled:
                    self._throttled.add(call.throttled, attributes)

    def _finish_span(self, span: "Span", call: Call, attributes: dict[str, str | int]) -> None:
        if not span.is_recording():
            return
        details = {
            "error.type": attributes.get("error.type"),
            "http.response.status_code": call.status,
            "retab.attempts": call.attempts,
            "retab.request.id": call.request_id,
            "retab.run.id": call.run_id,
        }
        span.set_attributes({name: value for name, value in details.items() if value is not None})
        # A cancelled task is no failure of the call.
        if isinstance(call.error, RetabError):
            span.set_status(self._trace.StatusCode.ERROR, str(call.error)[:_MAX_DESCRIPTION])

    def on_client(self, client: AsyncRetab) -> None:
        """Report the statistics of a client as gauges, for as long as it is in use."""
        self._clients.add(client)

    def on_outcome(self, outcome: CancelOutcome[Any]) -> None:
        """Count the outcome of one id of a bulk cancel."""
        self._outcomes.add(1, {"retab.run.kind": outcome.kind, "retab.disposition": str(outcome.disposition)})

    def on_result(self, kind: str, result: ProcessResult[Any]) -> None:
        """Count the result of one document of a process job."""
        self._outcomes.add(1, {"retab.run.kind": kind, "retab.disposition": str(result.disposition)})

    def on_unconfirmed(self, cancel: UnconfirmedCancel) -> None:
        """Count a cancel of an orphaned run that could not be confirmed."""
        self._unconfirmed.add(1, {"retab.run.kind": kind_of_path(cancel.path)})

    def _gauge(self, read: Callable[[Stats], float | None]) -> "Callable[[CallbackOptions], Iterable[Observation]]":
        def observe(_: object) -> "Iterable[Observation]":
            # No attribute distinguishes the clients of one server.
            sums: defaultdict[tuple[str, int], float] = defaultdict(float)
            for client in list(self._clients):
                value = read(client.stats())
                if value is not None:
                    sums[server_of(client.base_url)] += value
            return [
                self._observation(value, {"server.address": address, "server.port": port})
                for (address, port), value in sums.items()
            ]

        return observe


def _error_type(error: BaseException) -> str:
    return str(error.status_code) if isinstance(error, APIError) else type(error).__name__


_GAUGES: tuple[tuple[str, str, Callable[[Stats], float | None], str], ...] = (
    ("in_flight", "{request}", lambda stats: stats.in_flight, "Requests sent and not yet answered."),
    (
        "concurrency_limit",
        "{request}",
        lambda stats: stats.concurrency_limit,
        "Requests of bulk jobs that may be in flight.",
    ),
    ("rate_limit", "{request}/s", lambda stats: stats.rate, "Rate limit in force, given or learned."),
    ("retry_tokens", "{token}", lambda stats: stats.retry_tokens, "Tokens left in the retry budget."),
)
