"""Spans: one per call, in the conventions for generative AI, under the client's own span, to a collector."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.http.live import running
from tests.http.scripted import Ledger, ScriptedGenerator, pool_of, services, words
from tests.stores.rows import usage_row

from myna.core.errors import GenerationFailed
from myna.usage.recorder import RequestEnded, UsageSinks
from myna.usage.tracing import Tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


async def _spans(*scripts: object, body: bytes, headers: tuple[str, ...] = ()) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    tracing = Tracing(SimpleSpanProcessor(exporter))
    parts = services(pool_of(ScriptedGenerator(list(scripts))))  # type: ignore[arg-type]
    object.__setattr__(parts, "usage_sinks", UsageSinks(Ledger(), (tracing,)))
    async with running(parts) as live:
        await live.ask("POST", "/v1/words", body, *headers)
    tracing.close()
    return list(exporter.get_finished_spans())


async def test_a_call_is_a_span_with_its_model_and_tokens() -> None:
    (span,) = await _spans(words("secret", "b"), body=b'{"model":"gpt-4o-mini","stream":true}')
    attributes = dict(span.attributes or {})
    assert span.name == "words tiny"
    assert span.kind is SpanKind.SERVER
    assert span.status.status_code is StatusCode.UNSET
    assert attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert attributes["gen_ai.response.model"] == "tiny"
    assert attributes["gen_ai.usage.input_tokens"] == 3
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 1
    assert attributes["gen_ai.usage.output_tokens"] == 3
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert attributes["http.response.status_code"] == 200
    assert "error.type" not in attributes
    assert span.resource.attributes["service.name"] == "myna"
    assert span.start_time is not None and span.end_time is not None and span.start_time <= span.end_time
    assert "secret" not in span.to_json()


@pytest.mark.parametrize(("flags", "is_kept"), [("01", True), ("00", False)])
async def test_the_client_s_span_is_the_parent_and_decides(flags: str, is_kept: bool) -> None:
    header = f"traceparent: 00-{TRACE}-{SPAN}-{flags}"
    spans = await _spans(words("a"), body=b'{"model":"tiny"}', headers=(header,))
    assert len(spans) == is_kept
    for span in spans:
        assert span.context is not None and span.parent is not None
        assert format(span.context.trace_id, "032x") == TRACE
        assert format(span.parent.span_id, "016x") == SPAN


@pytest.mark.parametrize(
    "header", ["garbage", "00-0-0-01", "\x00" * 55, "00-" + "f" * 32 + "-" + "0" * 16 + "-01"]
)
async def test_an_invalid_header_is_not_a_parent(header: str) -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(SimpleSpanProcessor(exporter))
    tracing.ended(RequestEnded(usage_row(1), "stop", header))
    tracing.close()
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert span.name == "chat tiny"


async def test_an_error_of_ours_is_one_of_the_span_and_a_client_s_is_not() -> None:
    (failed,) = await _spans([GenerationFailed("no")], body=b'{"model":"tiny"}')
    (refused,) = await _spans(body=b'{"model":"nothing"}')
    assert failed.status.status_code is StatusCode.ERROR
    assert dict(failed.attributes or {})["error.type"] == "GenerationFailed"
    assert refused.status.status_code is StatusCode.UNSET
    assert refused.name == "words"
    assert dict(refused.attributes or {})["error.type"] == "ModelNotFound"


class Collector(BaseHTTPRequestHandler):
    """Takes spans as an OTLP collector does."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            raise AssertionError("nobody asked for that")
        self.server.received.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        server.received = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_spans_reach_a_collector(collector: HTTPServer) -> None:
    tracing = Tracing.to(f"http://127.0.0.1:{collector.server_port}/v1/traces")
    for number in range(3):
        tracing.ended(RequestEnded(usage_row(number), "stop", ""))
    tracing.close()
    received = collector.received  # type: ignore[attr-defined]
    assert {path for path, _ in received} == {"/v1/traces"}
    names = []
    for _, body in received:
        request = ExportTraceServiceRequest.FromString(body)
        names += [
            span.name
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    assert names == ["chat tiny"] * 3
