"""Counts the tokens of an event stream, and records them before they are sent."""

import time
from typing import Protocol, Self

import msgspec

from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, WireChunk
from myna.core.generator import EventStream
from myna.core.ledger import UsageRow
from myna.usage.log import UsageEntry
from myna.usage.write_ahead import COVER_AHEAD, OpenEntry


class TokenObserver(Protocol):
    """Observes a model's tokens as they are produced; see `metrics.ModelInstruments`."""

    def prompt_done(self, prompt_tokens: int, cached_tokens: int) -> None: ...

    def generated(self, num_tokens: int) -> None: ...

    def first_token(self, after_s: float) -> None: ...


class Meter:
    """What one request has used. `started` and times are of `time.perf_counter`.

    Tokens are counted when they are read from the model. `commit` runs before every write to the client, so
    that the ledger is never behind what the client has received, nor ahead by more than that write.

    `estimated_prompt_tokens` count from the first part of a relayed response on, until the upstream reports
    its own number: a stream that ends early never has it.
    """

    __slots__ = (
        "_committed",
        "_count",
        "_estimated_prompt_tokens",
        "_first_token_at",
        "_is_estimated",
        "_observer",
        "_started",
        "cached_tokens",
        "completion_tokens",
        "entry",
        "finish_reason",
        "first_token_ms",
        "prompt_tokens",
        "reasoning_tokens",
    )

    def __init__(
        self,
        entry: UsageEntry,
        observer: TokenObserver | None,
        started: float,
        estimated_prompt_tokens: int = 0,
    ) -> None:
        self.entry = entry
        self._count = entry.count_completion
        self._observer = observer
        self._started = started
        self._first_token_at = 0.0
        self._committed = 0
        self._estimated_prompt_tokens = estimated_prompt_tokens
        self._is_estimated = False
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = self.reasoning_tokens = 0
        self.first_token_ms: int | None = None
        self.finish_reason = ""

    def feed(self, event: Event) -> None:
        """Count an event that was read from the model."""
        if type(event) is TextDelta:
            self.completion_tokens += event.num_tokens
        elif type(event) is ChoiceDone:
            self.completion_tokens += event.num_tokens
            self.finish_reason = event.reason
        elif type(event) is PromptDone:
            if self._is_estimated:
                self.prompt_tokens, self._is_estimated = 0, False
            self.prompt_tokens += event.prompt_tokens
            self.cached_tokens += event.cached_tokens
            self.entry.count_prompt(self.prompt_tokens, self.cached_tokens)
            if self._observer is not None:
                self._observer.prompt_done(event.prompt_tokens, event.cached_tokens)
            if self._first_token_at == 0.0:
                self._first_token_at = time.perf_counter()  # that step samples the first token, too
        elif type(event) is WireChunk:
            if not self.prompt_tokens:
                self.prompt_tokens, self._is_estimated = self._estimated_prompt_tokens, True
                self.entry.count_prompt(self.prompt_tokens, 0)
            self.completion_tokens += event.num_tokens
            if self._first_token_at == 0.0 and event.num_tokens:
                self._first_token_at = time.perf_counter()  # a relayed prompt's counts come at the end
        elif type(event) is Done:
            # Includes the candidates that best_of discarded, for which there were no events.
            self.completion_tokens = max(self.completion_tokens, event.completion_tokens)
            self.reasoning_tokens = event.reasoning_tokens

    def commit(self) -> None:
        """Record what was counted since the last commit."""
        tokens = self.completion_tokens
        num_new = tokens - self._committed
        if num_new:
            self._count(tokens)
            self._committed = tokens
            if self._observer is not None:
                self._observer.generated(num_new)
            if self.first_token_ms is None:
                self._record_first_token()

    def close(self) -> None:
        """There are no more events."""
        if self._is_estimated and self._observer is not None:
            self._observer.prompt_done(self.prompt_tokens, 0)

    def apply_to(self, row: UsageRow) -> UsageRow:
        """The row with the recorded counts."""
        return msgspec.structs.replace(
            row,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self._committed,
            reasoning_tokens=self.reasoning_tokens,
            first_token_ms=self.first_token_ms,
        )

    def _record_first_token(self) -> None:
        after_s = max(0.0, self._first_token_at - self._started)
        self.first_token_ms = round(after_s * 1000)
        self.entry.note_first_token(self.first_token_ms)
        if self._observer is not None:
            self._observer.first_token(after_s)


class MeteredStream:
    """An event stream whose events are counted by a meter."""

    def __init__(self, stream: EventStream, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    def __aiter__(self) -> Self:
        return self

    def get_nowait(self) -> Event | None:
        event = self._stream.get_nowait()
        if event is not None:
            self._meter.feed(event)
        return event

    async def __anext__(self) -> Event:
        event = await self._stream.__anext__()
        self._meter.feed(event)
        return event

    async def aclose(self) -> None:
        await self._stream.aclose()


class CoveredStream(MeteredStream):
    """The same, for an entry whose tokens must be covered before they are passed on."""

    def __init__(self, stream: EventStream, meter: Meter, entry: OpenEntry) -> None:
        super().__init__(stream, meter)
        self._entry = entry
        self._held: Event | None = None

    def get_nowait(self) -> Event | None:
        event = super().get_nowait()
        if event is not None and self._is_uncovered(event):
            self._held = event
            return None
        return event

    async def __anext__(self) -> Event:
        event, self._held = self._held, None
        if event is None:
            event = await super().__anext__()
        if self._is_uncovered(event):
            await self._entry.cover(self._meter.completion_tokens)
        return event

    def _is_uncovered(self, event: Event) -> bool:
        entry = self._entry
        is_near = self._meter.completion_tokens + COVER_AHEAD > entry.covered
        return is_near or (entry.is_whole and type(event) is Done)


def metered(stream: EventStream, meter: Meter) -> MeteredStream:
    """The stream, counted by the meter and by the meter's entry."""
    if isinstance(meter.entry, OpenEntry):
        return CoveredStream(stream, meter, meter.entry)
    return MeteredStream(stream, meter)
