"""The interface of generators, which turn requests into events: Myna's scheduler, or an engine with its
own."""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from myna.core.events import Event
from myna.core.requests import GenerationRequest
from myna.core.stats import SchedulerStats


class EventStream(Protocol):
    """Events of one request. `aclose` is idempotent, may be called before the first event, and
    aborts the generation if it has not ended."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    def get_nowait(self) -> Event | None:
        """The next event if it can be had without waiting; None otherwise, and at the end. May raise the
        failure that `__anext__` would."""
        ...

    async def __anext__(self) -> Event: ...

    async def aclose(self) -> None: ...


# How the hidden states of a text's tokens become its vector: their mean, or the first's, or the last's.
Pooling = Literal["mean", "cls", "last"]


class EmbeddingInfo(msgspec.Struct, frozen=True, array_like=True):
    """Properties of a model that turns texts into vectors of `width` numbers."""

    width: int
    pooling: Pooling


class ModelInfo(msgspec.Struct, frozen=True, array_like=True):
    """Properties of a loaded model, reported by its engine.

    `context_tokens` limits prompt + answer of one request, `kv_tokens` those of all requests together.
    `arithmetic` names the engine and changes whenever it could compute different numbers from the same
    weights. `is_batch_invariant`: no answer changes by what else is running. A relay may not know them: it
    leaves numbers 0 and texts empty, except `engine`.

    `adapters` are the LoRA adapters that requests may name, and the hash of each one's weights.

    With `embedding`, the model turns texts into vectors and doesn't generate. `context_tokens` then limits
    each text, and `kv_tokens` and `max_sequences` the texts that are computed together."""

    engine: str
    architecture: str
    vocab_size: int
    context_tokens: int
    kv_tokens: int
    max_sequences: int
    arithmetic: str
    eos_tokens: tuple[int, ...] = ()
    embedding: EmbeddingInfo | None = None
    is_batch_invariant: bool = False
    adapters: dict[str, str] = {}


class RunningModel(Protocol):
    """A loaded model: what generators and relays have in common."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def is_ready(self) -> bool:
        """Whether a request would run now; False while the worker is being restarted, or the upstream server
        can't be reached."""
        ...

    @property
    def last_stats(self) -> SchedulerStats | None:
        """The latest load statistics, if it reports any."""
        ...

    async def aclose(self) -> None:
        """Unload it. Idempotent."""
        ...


class Generator(RunningModel, Protocol):
    """A loaded model that takes prompts as tokens."""

    async def generate(self, request: GenerationRequest) -> EventStream:
        """Admit the request, or raise `ContextLengthExceeded`, `InvalidRequest` or `Overloaded`. Later
        failures are raised by the stream. A constraint that can't be enforced raises one of these errors,
        too, here or by the stream before its first event."""
        ...

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokenize with the engine's own tokenizer, for models whose pre-tokenizer Myna doesn't support."""
        ...
