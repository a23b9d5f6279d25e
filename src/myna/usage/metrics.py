"""The server's Prometheus metrics, with vLLM's names where it has one, so that its dashboards work.

For the event loop only. Models are labelled with their ids, so that the number of labels is bounded; a model
that does not exist is `none`.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, disable_created_metrics

from myna.core.stats import LATENCY_S
from myna.usage.recorder import RequestEnded

TOKENS: Final = tuple(base * 10**power for power in range(6) for base in (1, 2, 5))
_NO_MODEL: Final = "none"
_MODEL: Final = ("model_name",)


class ModelInstruments:
    """The metrics of one model: the `metering.TokenObserver` of its requests."""

    def __init__(self, instruments: "Instruments", model: str) -> None:
        self._instruments = instruments
        self._model = model
        self._prompt_tokens = instruments.prompt_tokens.labels(model)
        self._cache_queries = instruments.cache_queries.labels(model)
        self._cache_hits = instruments.cache_hits.labels(model)
        self._completion_tokens = instruments.completion_tokens.labels(model)
        self._first_token_s = instruments.first_token_s.labels(model)
        self._request_s = instruments.request_s.labels(model)
        self._request_prompt_tokens = instruments.request_prompt_tokens.labels(model)
        self._request_completion_tokens = instruments.request_completion_tokens.labels(model)
        self._requests: dict[tuple[str, str], Counter] = {}
        self._finished: dict[str, Counter] = {}
        self._num_generated = 0  # not yet added to the counter, whose lock costs as much as sending an event

    def prompt_done(self, prompt_tokens: int, cached_tokens: int) -> None:
        self._prompt_tokens.inc(prompt_tokens)
        self._cache_queries.inc(prompt_tokens)
        self._cache_hits.inc(cached_tokens)

    def generated(self, num_tokens: int) -> None:
        self._num_generated += num_tokens

    def first_token(self, after_s: float) -> None:
        self._first_token_s.observe(after_s)

    def flush(self) -> None:
        """Add what was generated to the counter, before it is read."""
        self._completion_tokens.inc(self._num_generated)
        self._num_generated = 0

    def end(self, request: RequestEnded) -> None:
        row = request.row
        kind = (row.endpoint, row.outcome)
        counter = self._requests.get(kind)
        if counter is None:
            counter = self._requests[kind] = self._instruments.requests.labels(self._model, *kind)
        counter.inc()
        if row.outcome == "completed":
            self._finish(request.finish_reason or "stop")
            self._request_s.observe(row.duration_ms / 1000)
            self._request_prompt_tokens.observe(row.prompt_tokens)
            self._request_completion_tokens.observe(row.completion_tokens)
        elif row.outcome == "cancelled":
            self._finish("abort")
        elif row.outcome == "failed":
            self._finish("error")

    def _finish(self, reason: str) -> None:
        counter = self._finished.get(reason)
        if counter is None:
            counter = self._finished[reason] = self._instruments.finished.labels(self._model, reason)
        counter.inc()


class Instruments:
    """The server's metrics in their own registry: a `recorder.RequestObserver`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a timestamp for each series, which nothing reads
        self._registry = registry = CollectorRegistry()
        self._models: dict[str, ModelInstruments] = {}

        def count(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels or _MODEL, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, _MODEL, registry=registry, buckets=buckets)

        self.prompt_tokens = count("vllm:prompt_tokens", "Prompt tokens.")
        self.completion_tokens = count("vllm:generation_tokens", "Generated tokens.")
        self.cache_queries = count("vllm:prefix_cache_queries", "Prompt tokens looked up in the cache.")
        self.cache_hits = count("vllm:prefix_cache_hits", "Prompt tokens found in the prefix cache.")
        self.first_token_s = histogram(
            "vllm:time_to_first_token_seconds", "From arrival to the first token.", LATENCY_S
        )
        self.request_s = histogram(
            "vllm:e2e_request_latency_seconds", "Of completed requests, from arrival to the end.", LATENCY_S
        )
        self.request_prompt_tokens = histogram(
            "vllm:request_prompt_tokens", "Prompt tokens of completed requests.", TOKENS
        )
        self.request_completion_tokens = histogram(
            "vllm:request_generation_tokens", "Generated tokens of completed requests.", TOKENS
        )
        self.finished = count(
            "vllm:request_success", "Requests by finish reason.", *_MODEL, "finished_reason"
        )
        self.requests = count("myna_requests", "Requests by outcome.", *_MODEL, "endpoint", "outcome")
        self._answers = count("myna_http_requests", "HTTP responses by status.", "status")
        self._answers_by_status: dict[int, Counter] = {}

    def token_observer(self, model: str) -> ModelInstruments:
        """The metrics of that model, created on first use."""
        name = model or _NO_MODEL
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = ModelInstruments(self, name)
        return found

    def ended(self, request: RequestEnded) -> None:
        self.token_observer(request.row.model).end(request)

    def close(self) -> None:
        """Nothing is pending."""

    def answered(self, status: int) -> None:
        counter = self._answers_by_status.get(status)
        if counter is None:
            counter = self._answers_by_status[status] = self._answers.labels(str(status))
        counter.inc()

    def collect(self) -> Iterator[Metric]:
        """All metric families, for an encoder of prometheus_client."""
        for model in self._models.values():
            model.flush()
        return iter(self._registry.collect())
