"""What a server counts while it runs, by model: plain numbers, cheap to add to, read by whoever shows them.

For the event loop alone. Models are named by their ids, of which there are only as many as models; one that
does not exist is `none`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from myna.core.figures import LATENCY_S
from myna.core.ledger import Outcome
from myna.serving.bill import Ended

TOKENS: Final = tuple(base * 10**power for power in range(6) for base in (1, 2, 5))
_NO_MODEL: Final = "none"


class Histogram:
    """`counts` of values up to each bound and above the last; `total` is their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class ModelInstruments:
    """One model's; it is the `metering.Clocks` of the model's calls."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.completion_tokens = 0
        self.first_token_s = Histogram(LATENCY_S)
        self.request_s = Histogram(LATENCY_S)
        self.request_prompt_tokens = Histogram(TOKENS)
        self.request_completion_tokens = Histogram(TOKENS)
        self.finished: dict[str, int] = {}
        self.ended: dict[tuple[str, Outcome], int] = {}

    def prompt_done(self, prompt_tokens: int, cached_tokens: int) -> None:
        self.prompt_tokens += prompt_tokens
        self.cached_tokens += cached_tokens

    def first_token(self, after_s: float) -> None:
        self.first_token_s.observe(after_s)

    def end(self, call: Ended) -> None:
        row = call.row
        place = (row.endpoint, row.outcome)
        self.ended[place] = self.ended.get(place, 0) + 1
        if row.outcome == "completed":
            self._finish(call.finish_reason or "stop")
            self.request_s.observe(row.duration_ms / 1000)
            self.request_prompt_tokens.observe(row.prompt_tokens)
            self.request_completion_tokens.observe(row.completion_tokens)
        elif row.outcome == "cancelled":
            self._finish("abort")
        elif row.outcome == "failed":
            self._finish("error")

    def _finish(self, reason: str) -> None:
        self.finished[reason] = self.finished.get(reason, 0) + 1


class Instruments:
    """The server's: a `bill.Watcher`. `answers` counts HTTP answers by their status."""

    def __init__(self) -> None:
        self.models: dict[str, ModelInstruments] = {}
        self.answers: dict[int, int] = {}

    def clocks(self, model: str) -> ModelInstruments:
        """That model's, made when it is first asked for."""
        found = self.models.get(model or _NO_MODEL)
        if found is None:
            found = self.models[model or _NO_MODEL] = ModelInstruments()
        return found

    def ended(self, call: Ended) -> None:
        self.clocks(call.row.model).end(call)

    def close(self) -> None:
        """Nothing waits to be told."""

    def answered(self, status: int) -> None:
        self.answers[status] = self.answers.get(status, 0) + 1
