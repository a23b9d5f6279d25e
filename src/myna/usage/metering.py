"""Counts the tokens of an event stream, and writes them down before they are sent."""

import time
from dataclasses import dataclass
from typing import Protocol

import msgspec

from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, WireChunk
from myna.core.generator import EventStream
from myna.core.ledger import UsageRow
from myna.usage.log import UsageEntry


class Clocks(Protocol):
    """Told of a model's tokens as they come; see `instruments.ModelInstruments`."""

    def prompt_done(self, prompt_tokens: int, cached_tokens: int) -> None: ...

    def generated(self, num_tokens: int) -> None: ...

    def first_token(self, after_s: float) -> None: ...


class Meter:
    """What one call has used. `started` and times are of `time.perf_counter`.

    Tokens count when they are read from the model; `commit` stands before every write to the client, so that
    the ledger is never behind what the client has, nor ahead by more than that write.
    """

    __slots__ = (
        "_clocks",
        "_committed",
        "_count",
        "_entry",
        "_first",
        "_started",
        "cached_tokens",
        "completion_tokens",
        "finish_reason",
        "first_token_ms",
        "prompt_tokens",
        "reasoning_tokens",
    )

    def __init__(self, entry: UsageEntry, clocks: Clocks | None, started: float) -> None:
        self._entry = entry
        self._count = entry.count_completion
        self._clocks = clocks
        self._started = started
        self._first = 0.0
        self._committed = 0
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = self.reasoning_tokens = 0
        self.first_token_ms: int | None = None
        self.finish_reason = ""

    def take(self, event: Event) -> None:
        """Count what was read from the model."""
        if type(event) is TextDelta:
            self.completion_tokens += event.num_tokens
        elif type(event) is ChoiceDone:
            self.completion_tokens += event.num_tokens
            self.finish_reason = event.reason
        elif type(event) is PromptDone:
            self.prompt_tokens += event.prompt_tokens
            self.cached_tokens += event.cached_tokens
            self._entry.count_prompt(self.prompt_tokens, self.cached_tokens)
            if self._clocks is not None:
                self._clocks.prompt_done(event.prompt_tokens, event.cached_tokens)
            if self._first == 0.0:
                self._first = time.perf_counter()  # the step that ends a prompt draws its first token
        elif type(event) is WireChunk:
            self.completion_tokens += event.num_tokens
            if self._first == 0.0 and event.num_tokens:
                self._first = time.perf_counter()  # the prompt's counts come at the end
        elif type(event) is Done:
            # Counts also the candidates that best_of threw away, of which there were no events.
            self.completion_tokens = max(self.completion_tokens, event.completion_tokens)
            self.reasoning_tokens = event.reasoning_tokens

    def commit(self) -> None:
        """Write down what was counted since the last time."""
        tokens = self.completion_tokens
        num_new = tokens - self._committed
        if num_new:
            self._count(tokens)
            self._committed = tokens
            if self._clocks is not None:
                self._clocks.generated(num_new)
            if self.first_token_ms is None:
                self._note_first()

    def onto(self, row: UsageRow) -> UsageRow:
        """The row with what was written down."""
        return msgspec.structs.replace(
            row,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self._committed,
            reasoning_tokens=self.reasoning_tokens,
            first_token_ms=self.first_token_ms,
        )

    def _note_first(self) -> None:
        after_s = max(0.0, self._first - self._started)
        self.first_token_ms = round(after_s * 1000)
        self._entry.note_first_token(self.first_token_ms)
        if self._clocks is not None:
            self._clocks.first_token(after_s)


@dataclass(slots=True)
class Metered:
    """The stream itself, counted."""

    stream: EventStream
    meter: Meter

    def __aiter__(self) -> "Metered":
        return self

    async def __anext__(self) -> Event:
        event = await self.stream.__anext__()
        self.meter.take(event)
        return event

    async def aclose(self) -> None:
        await self.stream.aclose()
