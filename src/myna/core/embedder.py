"""The interface of embedding models: texts to tokens, and tokens to vectors."""

from collections.abc import Sequence
from typing import Protocol

from myna.core.generator import EventStream, RunningModel
from myna.core.requests import EmbeddingRequest


class Embedder(RunningModel, Protocol):
    """A loaded model that turns texts, in tokens, into vectors; its `info.embedding` is set."""

    async def embed(self, request: EmbeddingRequest) -> EventStream:
        """Admit the request, or raise `ContextLengthExceeded`, `InvalidRequest` or `Overloaded`. Later
        failures are raised by the stream, whose events are described at `events.Embedded`."""
        ...

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokenize with the engine's own tokenizer, for models whose tokenizer Myna doesn't support."""
        ...


class TextEncoder(Protocol):
    """The text side of a loaded embedding model. Thread-safe and blocking: call it in threads."""

    @property
    def widths(self) -> range | tuple[int, ...]:
        """The widths to which this model's vectors may be cut, as it was trained for; empty for a model with
        vectors of one width."""
        ...

    def least_tokens(self, text: str) -> int:
        """A lower bound of the text's number of tokens, without tokenizing it."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, `with_special` ones."""
        ...

    def with_special(self, tokens: Sequence[int]) -> list[int]:
        """The tokens, after and before those that the model expects at the start and end of each text, unless
        they are already there."""
        ...
