"""The inputs of a request as tokens, checked against the model's limits. Slow: runs in a thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from myna.api.embeddings.schema import Input
from myna.core.embedder import TextEncoder
from myna.core.errors import InvalidRequest
from myna.core.generator import ModelInfo
from myna.generation.budgets import MAX_COUNTED_CHARS, completion_tokens
from myna.wire import validation_errors

MAX_TOKENS: Final = 300_000
"""Of all inputs together, as at OpenAI."""


@dataclass(frozen=True, slots=True)
class InputEncoder:
    """For one model; `prefix` is put before each text."""

    encoder: TextEncoder
    info: ModelInfo
    prefix: str = ""

    def encode(self, inputs: Sequence[Input]) -> tuple[tuple[int, ...], ...]:
        """Raises `InvalidRequest` or `ContextLengthExceeded` for the first input that the model can't take,
        or for too many tokens in all. Huge texts are rejected without tokenizing them."""
        texts = [f"{self.prefix}{text}" for text in inputs if isinstance(text, str)]
        if sum(map(len, texts)) > MAX_COUNTED_CHARS:
            least = [self.encoder.least_tokens(text) for text in texts]
            for num_tokens in least:
                self._check_length(num_tokens, is_lower_bound=True)
            _check_total(sum(least))
        encoded = iter(self.encoder.encode_batch(texts))
        rows = [
            next(encoded) if isinstance(one, str) else self._tokens(one, i) for i, one in enumerate(inputs)
        ]
        for row in rows:
            if not row:  # of a model without special tokens
                raise InvalidRequest("The input has no tokens for this model.", param="input")
            self._check_length(len(row))
        _check_total(sum(map(len, rows)))
        return tuple(map(tuple, rows))

    def _tokens(self, tokens: tuple[int, ...], index: int) -> list[int]:
        if self.prefix:
            raise InvalidRequest(
                "Invalid 'input': this model puts a prompt before each text, so it takes texts, not tokens.",
                param="input",
            )
        highest = max(tokens)
        if highest >= self.info.vocab_size:
            error = validation_errors.out_of_range("integer", "above", self.info.vocab_size - 1, highest)
            raise error.at_param(f"input[{index}][{tokens.index(highest)}]")
        return self.encoder.with_special(tokens)

    def _check_length(self, num_tokens: int, *, is_lower_bound: bool = False) -> None:
        completion_tokens(num_tokens, 0, self.info.context_tokens, is_lower_bound=is_lower_bound)


def _check_total(num_tokens: int) -> None:
    if num_tokens > MAX_TOKENS:
        raise InvalidRequest(
            f"Invalid 'input': maximum request size is {MAX_TOKENS} tokens per request.",
            code="max_tokens_per_request",
        )


def check_dimensions(dimensions: int | None, encoder: TextEncoder, info: ModelInfo) -> None:
    """Raise unless the model's vectors may be cut to that width."""
    width = info.embedding.width if info.embedding else 0
    if dimensions is None or dimensions == width or dimensions in encoder.widths:
        return
    if not encoder.widths:
        raise InvalidRequest("This model does not support specifying dimensions.")
    if isinstance(encoder.widths, range):
        known = f"{encoder.widths[0]} to {encoder.widths[-1]}"
    else:
        known = ", ".join(map(str, encoder.widths))
    raise InvalidRequest(f"This model does not support {dimensions} dimensions; it supports {known}.")
