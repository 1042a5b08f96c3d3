from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from nextcart.config import LogsConfig
from nextcart.errors import ConfigError
from nextcart.serving import traces as module
from nextcart.serving.metrics import Answered, Served
from nextcart.serving.traces import OpenTelemetryTraces, Traces, open_traces

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {b"traceparent": f"00-{TRACE}-{PARENT}-01".encode(), b"x-api-key": b"secret"}
DONE = Answered("/v1/recommend", 200, 0.001, "id-1", [Served("v1", "hybrid", "clicks", [1])])


async def one_request(traces: Traces, headers: dict[bytes, bytes], done: Answered = DONE) -> None:
    with traces.request("POST", done.route, headers):
        with traces.span("session store"):
            await asyncio.sleep(0)
        with traces.span("score"):
            pass
        traces.answered(done)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter) -> Iterator[Traces]:
    traces = OpenTelemetryTraces(SimpleSpanProcessor(exporter))
    yield traces
    traces.close()


def spans_of(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_is_a_span_with_its_parts_below_it(traces, exporter):
    asyncio.run(one_request(traces, HEADERS))
    spans = spans_of(exporter)
    assert spans.keys() == {"POST /v1/recommend", "session store", "score"}
    request = spans["POST /v1/recommend"]
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/recommend",
        "http.response.status_code": 200,
        "nextcart.request_id": "id-1",
        "nextcart.version": "v1",
        "nextcart.model": "hybrid",
    }
    assert request.resource.attributes["service.name"] == "nextcart"
    for name in ("session store", "score"):
        assert spans[name].parent.span_id == request.context.span_id


@pytest.mark.parametrize("sent", [{}, {b"traceparent": b"nonsense"}, {b"traceparent": b"\xff\x00"}])
def test_without_a_client_s_trace_it_begins_one(traces, exporter, sent):
    asyncio.run(one_request(traces, sent))
    assert spans_of(exporter)["POST /v1/recommend"].parent is None


def test_a_client_that_does_not_sample_is_obeyed(traces, exporter):
    asyncio.run(one_request(traces, {b"traceparent": f"00-{TRACE}-{PARENT}-00".encode()}))
    assert not exporter.get_finished_spans()


def test_requests_at_once_keep_their_parts_apart(traces, exporter):
    async def many() -> None:
        await asyncio.gather(*(one_request(traces, {}) for _ in range(20)))

    asyncio.run(many())
    spans = exporter.get_finished_spans()
    requests = {span.context.span_id: span.context.trace_id for span in spans if span.parent is None}
    assert len(requests) == 20
    assert all(requests[span.parent.span_id] == span.context.trace_id for span in spans if span.parent is not None)


def test_a_failed_request_is_a_failed_span(traces, exporter):
    asyncio.run(one_request(traces, {}, Answered("/v1/events", 503, 0.1)))
    request = spans_of(exporter)["POST /v1/events"]
    assert request.status.status_code is StatusCode.ERROR
    assert "nextcart.version" not in request.attributes


def test_the_text_of_an_exception_stays_here(traces, exporter):
    with pytest.raises(ValueError, match="4711"), traces.request("GET", "/", {}), traces.span("score"):
        raise ValueError("session 4711")
    assert all(not span.events and span.status.description is None for span in exporter.get_finished_spans())
    assert len(exporter.get_finished_spans()) == 2


def test_off_it_loads_no_exporter_and_does_nothing():
    code = """
import sys, asyncio
from nextcart.config import LogsConfig
from nextcart.serving.traces import open_traces
from nextcart.serving.metrics import Answered
traces = open_traces(LogsConfig())
with traces.request("GET", "/", {}), traces.span("score"):
    traces.answered(Answered("/", 200, 0.1))
traces.close()
assert not [name for name in sys.modules if name.startswith("opentelemetry.exporter")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(module, "_installed", lambda: False)
    assert type(open_traces(LogsConfig())) is Traces
    with pytest.raises(ConfigError, match=r"nextcart\[traces\]"):
        open_traces(LogsConfig(otlp_endpoint="http://localhost:4318/v1/traces"))


class Collector(HTTPServer):
    """Takes what an exporter posts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received: list[tuple[str, ExportTraceServiceRequest]] = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_spans_reach_a_collector_over_http():
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        traces = open_traces(LogsConfig(otlp_endpoint=f"http://127.0.0.1:{collector.server_port}/v1/traces"))
        asyncio.run(one_request(traces, HEADERS))
        traces.close()
        collector.shutdown()
        thread.join()
    ((path, request),) = collector.received
    assert path == "/v1/traces"
    spans = [span for of in request.resource_spans for scope in of.scope_spans for span in scope.spans]
    assert {span.name for span in spans} == {"POST /v1/recommend", "session store", "score"}
    assert {span.trace_id.hex() for span in spans} == {TRACE}
