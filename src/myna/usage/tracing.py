"""A span for each model request, exported to an OpenTelemetry collector in its GenAI conventions.

Imported when traces are configured: it needs the extra `otel`. A span is created when its request has ended,
from its ledger row, and sent by a thread. It never contains a prompt, output or key.
"""

from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from myna import __version__
from myna.core.ledger import UsageRow
from myna.usage.metering import TokenObserver
from myna.usage.recorder import RequestEnded

_OPERATIONS: Final = {
    "chat.completions": "chat",
    "messages": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
_EXPORT_S: Final = 5
_NS_PER_MS: Final = 1_000_000


class Tracing:
    """A `recorder.RequestObserver`. A client's `traceparent` is the parent of the span and decides
    whether it is sampled."""

    def __init__(self, processor: SpanProcessor) -> None:
        ours = Resource({"service.name": "myna", "service.version": __version__})
        self._provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("myna", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to(cls, url: str) -> "Tracing":
        """Export to the collector at that URL, by OTLP over HTTP."""
        return cls(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=_EXPORT_S)))

    def token_observer(self, model: str) -> TokenObserver | None:
        return None

    def ended(self, request: RequestEnded) -> None:
        row = request.row
        operation = _OPERATIONS.get(row.endpoint, row.endpoint)
        span = self._tracer.start_span(
            f"{operation} {row.model}".rstrip(),
            context=self._propagator.extract({"traceparent": request.trace_parent}),
            kind=SpanKind.SERVER,
            attributes=_attributes(row, operation, request.finish_reason),
            start_time=row.arrived_ms * _NS_PER_MS,
        )
        if row.outcome == "failed":
            span.set_status(Status(StatusCode.ERROR, row.error))
        span.end(end_time=(row.arrived_ms + row.duration_ms) * _NS_PER_MS)

    def close(self) -> None:
        """Send pending spans, for a few seconds at most."""
        self._provider.shutdown()


def _attributes(row: UsageRow, operation: str, finish_reason: str) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "myna",
        "gen_ai.request.model": row.asked_model,
        "gen_ai.request.stream": row.is_stream,
        "gen_ai.usage.input_tokens": row.prompt_tokens,
        "gen_ai.usage.output_tokens": row.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": row.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": row.reasoning_tokens,
        "http.response.status_code": row.status,
        "myna.request.id": row.id,
        "myna.project.id": row.project,
        "myna.api_key.id": row.key_id,
        "myna.outcome": row.outcome,
    }
    if row.model:
        attributes["gen_ai.response.model"] = row.model
    if row.first_token_ms is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = row.first_token_ms / 1000
    if finish_reason:
        attributes["gen_ai.response.finish_reasons"] = (finish_reason,)
    if row.error:
        attributes["error.type"] = row.error
    return attributes
