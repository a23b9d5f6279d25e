"""The upper seam: who turns a GenerationRequest into events, our scheduler or an engine with its own."""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from myna.core.events import Event
from myna.core.requests import GenerationRequest
from myna.core.stats import SchedulerStats


class EventStream(Protocol):
    """Events of one request. `aclose` is idempotent, may be called before the first event, and
    aborts the generation if it has not ended."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __anext__(self) -> Event: ...

    async def aclose(self) -> None: ...


class ModelInfo(msgspec.Struct, frozen=True, array_like=True):
    """What a loaded model is, told by its engine.

    `context_tokens` bounds prompt + answer of one request; `kv_tokens` is the room of all.
    `arithmetic` names the engine and changes whenever the same weights could give it other numbers.
    A relay, which may not know them, leaves numbers 0 and texts empty, but for `engine`.
    """

    engine: str
    architecture: str
    vocab_size: int
    context_tokens: int
    kv_tokens: int
    max_sequences: int
    arithmetic: str
    eos_tokens: tuple[int, ...] = ()


class RunningModel(Protocol):
    """A loaded model, whatever it can be asked."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def is_ready(self) -> bool:
        """Whether a request would be worked on now; False while its worker is being restarted, or its
        server can't be reached."""
        ...

    @property
    def last_stats(self) -> SchedulerStats | None:
        """How busy it was a moment ago, if it tells."""
        ...

    async def aclose(self) -> None:
        """Unload it. Idempotent."""
        ...


class Generator(RunningModel, Protocol):
    """A loaded model that is asked in tokens."""

    async def generate(self, request: GenerationRequest) -> EventStream:
        """Admit the request, or raise `ContextLengthExceeded`, `InvalidRequest` or `Overloaded`;
        once this returns, later failures are raised by the stream. A constraint that can't be followed is one
        of these errors too, raised by the stream before its first event if not here."""
        ...

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """The engine's own tokenizer, for models whose pre-tokenizer ours doesn't know."""
        ...
