"""The OpenTelemetry hook, with the in-memory exporters of the SDK."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from clients import ONCE, client_for
from raw_server import raw_server, reply, until

import retab_async
from retab_async import APIConnectionError, AsyncRetab, ConfigurationError, NotFoundError, RateLimit, RetabError
from retab_async.emulator import Emulator, Fault
from retab_async.integrations.opentelemetry import OpenTelemetry

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, StatusCode

CANCEL = "POST /v1/splits/{id}/cancel"
KEY = "sk_live_not_to_be_exported"


class Telemetry:
    """An OpenTelemetry hook, and what it exports."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.hook = OpenTelemetry(self.tracers, self.meters)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        (only,) = [span for span in self.spans if span.name == name]
        return only

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> list[Any]:
        metric = self.metrics().get(name)
        return list(metric.data.data_points) if metric else []

    def value(self, name: str) -> Any:
        (point,) = self.points(name)
        return point.value

    def text(self) -> str:
        """Return everything that was exported."""
        data = self.reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans) + (data.to_json() if data else "")


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
async def server() -> AsyncIterator[Emulator]:
    async with Emulator(queued=0, running=60) as running:
        yield running


# Spans


async def test_span_of_a_call_has_its_facts(telemetry: Telemetry, server: Emulator) -> None:
    (run_id,) = server.seed("splits")
    server.fail(CANCEL, Fault.status(503))
    async with client_for(server.url, hooks=[telemetry.hook]) as client:
        await client.splits.cancel(run_id)

    span = telemetry.span("retab splits.cancel")
    attributes = dict(span.attributes or {})
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert attributes.pop("server.port") == int(server.url.rpartition(":")[2])
    assert attributes.pop("retab.request.id")
    assert attributes == {
        "retab.operation.name": "splits.cancel",
        "retab.run.id": run_id,
        "retab.attempts": 2,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.template": "/v1/splits/{id}/cancel",
        "server.address": "127.0.0.1",
    }


async def test_failed_call_is_an_error_without_an_exception_event(telemetry: Telemetry, server: Emulator) -> None:
    async with client_for(server.url, hooks=[telemetry.hook]) as client:
        with pytest.raises(NotFoundError) as raised:
            await client.splits.get("splt_unknown")

    span = telemetry.span("retab splits.get")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == str(raised.value)
    assert span.attributes is not None
    assert (span.attributes["error.type"], span.attributes["http.response.status_code"]) == ("404", 404)
    assert not span.events


async def test_call_without_a_response_has_the_type_of_its_error(telemetry: Telemetry, server: Emulator) -> None:
    server.fail("GET /v1/splits/{id}", Fault.reset())
    async with client_for(server.url, hooks=[telemetry.hook], retry=ONCE) as client:
        with pytest.raises(APIConnectionError):
            await client.splits.get("splt_unknown")

    attributes = telemetry.span("retab splits.get").attributes
    assert attributes is not None
    assert attributes["error.type"] == "APIConnectionError"
    assert "http.response.status_code" not in attributes


async def test_span_that_is_not_sampled_has_metrics_all_the_same(server: Emulator) -> None:
    telemetry = Telemetry(ALWAYS_OFF)
    async with client_for(server.url, hooks=[telemetry.hook]) as client:
        [run async for run in client.splits.list()]

    assert telemetry.spans == []
    assert telemetry.points("retab.client.operation.duration")[0].count == 1


async def test_span_is_a_child_of_the_current_one_and_parent_of_the_http_spans(
    telemetry: Telemetry, server: Emulator
) -> None:
    (run_id,) = server.seed("splits")
    server.fail(CANCEL, Fault.status(503))
    instrumentor = AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)
    try:
        async with client_for(server.url, hooks=[telemetry.hook]) as client:
            with telemetry.tracers.get_tracer("user").start_as_current_span("request"):
                await client.splits.cancel(run_id)
    finally:
        instrumentor.uninstrument()

    outer, call = telemetry.span("request"), telemetry.span("retab splits.cancel")
    sends = [span for span in telemetry.spans if span.kind is SpanKind.CLIENT]
    assert call.parent is not None
    assert call.parent.span_id == outer.context.span_id
    assert len(sends) == 2
    assert {span.parent.span_id for span in sends if span.parent} == {call.context.span_id}
    assert {span.context.trace_id for span in telemetry.spans} == {outer.context.trace_id}


async def test_blocks_that_time_out_together_have_their_cancels_in_their_own_traces(
    telemetry: Telemetry, server: Emulator
) -> None:
    ids = server.seed("splits", 40)
    tracer = telemetry.tracers.get_tracer("user")
    traces: dict[str, int] = {}

    async def block(client: AsyncRetab, run_id: str, deadline: float) -> None:
        with tracer.start_as_current_span("block") as span:
            traces[run_id] = span.get_span_context().trace_id
            async with asyncio.timeout_at(deadline), client.splits.attach(run_id) as run:
                await run.result()

    async with client_for(server.url, hooks=[telemetry.hook]) as client:
        deadline = asyncio.get_running_loop().time() + 0.3
        ended = await asyncio.gather(*(block(client, each, deadline) for each in ids), return_exceptions=True)

    assert all(isinstance(each, TimeoutError) for each in ended)
    cancels = [span for span in telemetry.spans if span.name == "retab splits.cancel"]
    assert {str((span.attributes or {})["retab.run.id"]): span.context.trace_id for span in cancels} == traces
    assert len(cancels) == len(set(traces.values())) == 40
    assert server.active_runs() == []


# Metrics


async def test_durations_retries_and_throttled_responses_are_measured(telemetry: Telemetry, server: Emulator) -> None:
    ids = server.seed("splits", 3)
    server.fail(CANCEL, Fault.status(429, retry_after=0), Fault.status(502))
    async with client_for(server.url, hooks=[telemetry.hook]) as client:
        for run_id in ids:
            await client.splits.cancel(run_id)
        with pytest.raises(NotFoundError):
            await client.splits.cancel("splt_unknown")

    points = telemetry.points("retab.client.operation.duration")
    failed, succeeded = sorted(points, key=lambda point: "error.type" not in point.attributes)
    port = int(server.url.rpartition(":")[2])
    named = {"retab.operation.name": "splits.cancel", "server.address": "127.0.0.1", "server.port": port}
    assert (failed.count, dict(failed.attributes)) == (1, {**named, "error.type": "404"})
    assert (succeeded.count, dict(succeeded.attributes)) == (3, named)
    assert succeeded.sum > 0
    assert telemetry.value("retab.client.retries") == 2
    assert telemetry.value("retab.client.throttled") == 1


async def test_outcomes_of_a_bulk_job_are_counted_by_disposition(telemetry: Telemetry, server: Emulator) -> None:
    ids = server.seed("splits", 5)
    async with client_for(server.url, hooks=[telemetry.hook]) as client:
        await client.splits.cancel_many([*ids, "splt_unknown", "no run"])

    counted = {
        tuple(sorted(point.attributes.items())): point.value for point in telemetry.points("retab.bulk.outcomes")
    }
    assert counted == {
        (("retab.disposition", "cancelled"), ("retab.run.kind", "splits")): 5,
        (("retab.disposition", "not_found"), ("retab.run.kind", "splits")): 1,
        (("retab.disposition", "invalid"), ("retab.run.kind", "splits")): 1,
    }
    assert len([span for span in telemetry.spans if span.name == "retab splits.cancel"]) == 6


async def test_results_of_a_process_job_are_counted_by_disposition(telemetry: Telemetry) -> None:
    async with Emulator(queued=0, running=0) as server, client_for(server.url, hooks=[telemetry.hook]) as client:
        server.fail("POST /v1/parses", Fault.status(422))
        report = await client.parses.process_many([b"%PDF-1", b"%PDF-2", b"%PDF-3"], concurrency=1)

    points = telemetry.points("retab.bulk.outcomes")
    counted = {point.attributes["retab.disposition"]: point.value for point in points}
    assert counted == {str(disposition): count for disposition, count in report.counts.items() if count}
    assert {point.attributes["retab.run.kind"] for point in points} == {"parses"}
    assert sum(counted.values()) == 3


async def test_span_of_a_create_has_the_id_of_its_run(telemetry: Telemetry, server: Emulator) -> None:
    async with client_for(server.url, hooks=[telemetry.hook]) as client:
        run = await client.parses.create(document=b"%PDF-1", background=True)

    (span,) = [span for span in telemetry.spans if span.name == "retab parses.create"]
    assert dict(span.attributes or {})["retab.run.id"] == run.id


async def test_unconfirmed_cancels_are_counted(telemetry: Telemetry, server: Emulator) -> None:
    (run_id,) = server.seed("splits")
    server.fail(CANCEL, Fault.status(403))
    async with client_for(server.url, hooks=[telemetry.hook]) as client, client.splits.attach(run_id):
        pass

    (point,) = telemetry.points("retab.cancels.unconfirmed")
    assert (point.value, dict(point.attributes)) == (1, {"retab.run.kind": "splits"})


async def test_gauges_show_the_statistics_of_all_clients_of_an_address(telemetry: Telemetry, server: Emulator) -> None:
    server.fail("GET /v1/splits/{id}", Fault.hang())
    async with client_for(server.url, hooks=[telemetry.hook]) as client, client_for(server.url, hooks=[telemetry.hook]):
        request = asyncio.create_task(client.splits.get("splt_unknown"))
        await until(lambda: client.stats().in_flight > 0)

        assert telemetry.value("retab.client.in_flight") == 1
        assert telemetry.value("retab.client.retry_tokens") == 2 * client.stats().retry_tokens
        assert telemetry.value("retab.client.concurrency_limit") == 2 * client.stats().concurrency_limit
        assert telemetry.points("retab.client.rate_limit") == []
        request.cancel()
        await asyncio.wait([request])


async def test_no_run_id_is_on_a_metric_and_no_key_anywhere(telemetry: Telemetry, server: Emulator) -> None:
    ids = server.seed("splits", 4)
    server.fail(CANCEL, Fault.status(401, body={"detail": f"the key {KEY} is not valid"}))
    async with client_for(server.url, api_key=KEY, hooks=[telemetry.hook]) as client:
        with pytest.raises(Exception, match="is not valid"):
            await client.splits.cancel(ids[0])
        await client.splits.cancel_many(ids[1:])
        async with client.splits.attach(ids[0]):
            pass

    data = telemetry.reader.get_metrics_data()
    assert data is not None
    assert not any(run_id in data.to_json() for run_id in ids)
    assert ids[0] in telemetry.text()
    assert KEY not in telemetry.text()


async def test_key_that_a_server_echoes_is_not_exported(telemetry: Telemetry) -> None:
    run = {"id": f"prs_{KEY}", "status": "queued"}
    echo = reply(run, status=201, headers={"X-Request-Id": KEY})
    failure = reply({"detail": [{"msg": KEY}]}, status=422, headers={"X-Request-Id": KEY})
    async with (
        raw_server(echo, failure) as server,
        client_for(server.url, api_key=KEY, hooks=[telemetry.hook]) as client,
    ):
        for _ in range(2):
            with suppress(RetabError):
                await client.parses.create(document=b"%PDF", filename="a.pdf", background=True)

    (created, failed) = telemetry.spans
    assert (created.attributes or {})["retab.request.id"] == "***"
    assert "***" in str(failed.status.description)
    assert KEY not in telemetry.text()


# Names

GUIDE = (Path(retab_async.__file__).parent / "guides" / "telemetry.md").read_text()


def table(heading: str) -> list[list[str]]:
    """Return the cells of a table of the guide, by the heading of its first column."""
    rows = re.search(rf"(?m)^\| {heading} \|.*\n\|---.*\n((\|.*\n)+)", GUIDE)
    assert rows
    return [line.strip("| ").split(" | ") for line in rows[1].splitlines()]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([\w.]+)`", cell))


async def test_spans_and_metrics_have_the_names_and_attributes_of_the_guide(
    telemetry: Telemetry, server: Emulator
) -> None:
    ids = server.seed("splits", 4)
    server.fail(CANCEL, Fault.status(429, retry_after=0), Fault.status(502))
    limit = RateLimit(1000, per=1)
    async with client_for(server.url, hooks=[telemetry.hook], rate_limit=limit) as client:
        await client.splits.cancel(ids[0])
        await client.splits.cancel_many(ids[1:3])
        server.fail(CANCEL, Fault.status(429, retry_after=0), Fault.status(403))
        with pytest.raises(retab_async.PermissionDeniedError):
            await client.splits.cancel(ids[3])
        server.fail(CANCEL, Fault.status(403))
        async with client.splits.attach(ids[3]):
            pass
        metrics = telemetry.metrics()

    documented: dict[str, tuple[str, set[str]]] = {}
    attributes: set[str] = set()
    for metric, kind, cell in table("metric"):
        attributes = names(cell) or attributes
        documented |= {name: (kind.split(",")[0].split()[0], attributes) for name in names(metric)}
    types = {"Histogram": "histogram", "Sum": "counter", "Gauge": "gauge"}
    exported = {
        name: (types[type(metric.data).__name__], {key for each in metric.data.data_points for key in each.attributes})
        for name, metric in metrics.items()
    }
    assert exported == documented
    of_spans = {name for row in table("attribute of the span") for name in names(row[0])}
    assert {key for span in telemetry.spans for key in span.attributes or {}} == of_spans
    assert {(span.name, span.kind) for span in telemetry.spans} == {("retab splits.cancel", SpanKind.INTERNAL)}


async def test_gauges_tell_the_servers_apart(telemetry: Telemetry, server: Emulator) -> None:
    async with (
        Emulator() as other,
        client_for(server.url, hooks=[telemetry.hook]),
        client_for(other.url, hooks=[telemetry.hook]),
    ):
        points = telemetry.points("retab.client.retry_tokens")
        ports = {int(each.url.rpartition(":")[2]) for each in (server, other)}

    assert {point.attributes["server.port"] for point in points} == ports


# Installation


def test_missing_api_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'retab_async\[otel\]'"):
        OpenTelemetry()


async def test_hook_without_an_sdk_does_nothing(server: Emulator) -> None:
    async with client_for(server.url, hooks=[OpenTelemetry()]) as client:
        assert [run async for run in client.splits.list()] == []
