"""The input and output of one sampling call, as structs of arrays. Knows no kernel."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from myna.core.requests import Sampling

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Bitmask = npt.NDArray[np.uint32]

_SEED_BITS = (1 << 64) - 1
_MAX_TOP_K = (1 << 31) - 1
_NO_INTS: Ints = np.empty(0, np.int32)
_Number = TypeVar("_Number", np.int32, np.float32)


class RowStatus(IntEnum):
    """The result of one draw. Only `OK` has a token; other values only concern that draw."""

    OK = 0
    NOTHING_ALLOWED = 1  # the mask, or logits of -inf, leave no token
    BAD_LOGITS = 2  # NaN or +inf in the row


class TokenCounts:
    """How often each token was generated, in arrays that a batch can use directly."""

    __slots__ = ("_counts", "_size", "_slots", "_tokens")

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._tokens: Ints = np.zeros(16, np.int32)
        self._counts: Ints = np.zeros(16, np.int32)
        self._size = 0

    def copy(self) -> "TokenCounts":
        copied = TokenCounts()
        copied._slots, copied._size = dict(self._slots), self._size
        copied._tokens, copied._counts = self._tokens.copy(), self._counts.copy()
        return copied

    def add(self, token: int) -> None:
        slot = self._slots.setdefault(token, self._size)
        if slot == self._size:
            if slot == len(self._tokens):
                self._tokens = np.concatenate([self._tokens, np.zeros_like(self._tokens)])
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._tokens[slot] = token
            self._size += 1
        self._counts[slot] += 1

    @property
    def tokens(self) -> Ints:
        return self._tokens[: self._size]

    @property
    def counts(self) -> Ints:
        return self._counts[: self._size]


@dataclass(frozen=True, slots=True, eq=False)
class TokenBias:
    """A request's `logit_bias` as arrays, ordered by token: created once, shared by all its choices."""

    tokens: Ints
    values: Floats

    @classmethod
    def of(cls, parameters: Sampling) -> "TokenBias | None":
        """None if the request has no bias."""
        if not parameters.logit_bias:
            return None
        pairs = sorted(parameters.logit_bias, key=lambda pair: pair[0])
        return cls(
            np.array([token for token, _ in pairs], np.int32),
            np.array([value for _, value in pairs], np.float32),
        )


class ChoiceSampling:
    """One choice's sampling parameters in the form that batches need; `accept` each sampled token."""

    __slots__ = ("bias", "choice", "counts", "num_logprobs", "parameters", "seed")

    def __init__(
        self, parameters: Sampling, choice: int, num_logprobs: int | None, bias: TokenBias | None = None
    ) -> None:
        """`bias` is `TokenBias.of(parameters)`, which choices share: a batch holds a shared one only once."""
        self.parameters = parameters
        self.choice = choice
        self.num_logprobs = -1 if num_logprobs is None else num_logprobs
        self.seed = parameters.seed & _SEED_BITS
        self.bias = bias or TokenBias.of(parameters)
        is_penalised = parameters.presence_penalty != 0 or parameters.frequency_penalty != 0
        self.counts = TokenCounts() if is_penalised else None

    def accept(self, token: int) -> None:
        if self.counts is not None:
            self.counts.add(token)

    def after(self, tokens: Sequence[int]) -> "ChoiceSampling":
        """The state after these tokens; the object itself if they change nothing."""
        if self.counts is None or not tokens:
            return self
        ahead = copy(self)
        ahead.counts = self.counts.copy()
        for token in tokens:
            ahead.accept(token)
        return ahead


@dataclass(frozen=True, slots=True)
class Draw:
    """One token to sample: the row of the logits, its choice, the index of the token in its answer (the last
    key of the random number), and the row of its mask in `masks`, or -1."""

    row: int
    choice: ChoiceSampling
    position: int
    mask_row: int = -1


@dataclass(frozen=True, slots=True)
class SamplingBatch:
    """n draws as arrays of length n. Rows may repeat: the choices of one prompt share its last row.

    Penalty counts are compressed rows: entries `offsets[i]:offsets[i + 1]` belong to draw i, in any order of
    tokens. So are biases, which draws may share: `bias_row` is a draw's row, -1 for none. An absent part
    (None) costs nothing. A mask has one bit per token, bit t % 32 of word t // 32, set if the token is
    allowed (llguidance's format); `mask_row` -1 allows all. `num_logprobs` -1: none; 0: the sampled token's;
    k: also the k most likely."""

    row: Ints
    temperature: Floats
    top_p: Floats
    top_k: Ints
    min_p: Floats
    presence_penalty: Floats
    frequency_penalty: Floats
    seed: npt.NDArray[np.uint64]
    choice: npt.NDArray[np.uint32]
    position: npt.NDArray[np.uint32]
    num_logprobs: Ints
    count_offsets: Ints | None = None
    count_tokens: Ints | None = None
    count_values: Ints | None = None
    bias_offsets: Ints | None = None
    bias_tokens: Ints | None = None
    bias_values: Floats | None = None
    bias_row: Ints | None = None
    mask_row: Ints | None = None
    masks: Bitmask | None = None

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, draws: Sequence[Draw], masks: Bitmask | None = None) -> "SamplingBatch":
        choices = [draw.choice for draw in draws]
        parameters = [choice.parameters for choice in choices]
        counts = [choice.counts for choice in choices]
        has_counts = any(count is not None and len(count.tokens) for count in counts)
        rows = {bias: row for row, bias in enumerate({c.bias: 0 for c in choices if c.bias is not None})}
        count_tokens = [_NO_INTS if count is None else count.tokens for count in counts] if has_counts else []
        count_values = [_NO_INTS if count is None else count.counts for count in counts] if has_counts else []
        return cls(
            row=np.array([draw.row for draw in draws], np.int32),
            temperature=np.array([p.temperature for p in parameters], np.float32),
            top_p=np.array([p.top_p for p in parameters], np.float32),
            top_k=np.array([min(p.top_k, _MAX_TOP_K) for p in parameters], np.int32),
            min_p=np.array([p.min_p for p in parameters], np.float32),
            presence_penalty=np.array([p.presence_penalty for p in parameters], np.float32),
            frequency_penalty=np.array([p.frequency_penalty for p in parameters], np.float32),
            seed=np.array([choice.seed for choice in choices], np.uint64),
            choice=np.array([choice.choice for choice in choices], np.uint32),
            position=np.array([draw.position for draw in draws], np.uint32),
            num_logprobs=np.array([choice.num_logprobs for choice in choices], np.int32),
            count_offsets=_offsets(count_tokens) if has_counts else None,
            count_tokens=np.concatenate(count_tokens) if has_counts else None,
            count_values=np.concatenate(count_values) if has_counts else None,
            bias_offsets=_offsets([bias.tokens for bias in rows]) if rows else None,
            bias_tokens=_joined([bias.tokens for bias in rows]) if rows else None,
            bias_values=_joined([bias.values for bias in rows]) if rows else None,
            bias_row=np.array([_row_of(choice.bias, rows) for choice in choices], np.int32) if rows else None,
            mask_row=None if masks is None else np.array([draw.mask_row for draw in draws], np.int32),
            masks=masks,
        )


@dataclass(frozen=True, slots=True)
class Sampled:
    """One entry per draw. `tokens` is -1 where `status` isn't `RowStatus.OK`.

    Log-probabilities are natural logarithms under the raw distribution, before temperature,
    penalties, bias and mask; NaN where not requested. The most likely tokens come first, ties by token id;
    unused entries hold token -1 and NaN.
    """

    tokens: Ints
    status: npt.NDArray[np.uint8]
    logprobs: Floats
    top_tokens: Ints
    top_logprobs: Floats

    @classmethod
    def empty(cls, num_draws: int, max_logprobs: int) -> "Sampled":
        """Runs at every step, with the CPU caches full of weights, so it only uses array methods written in
        C."""
        shape = (num_draws, max_logprobs)
        out = cls(
            tokens=np.empty(num_draws, np.int32),
            status=np.zeros(num_draws, np.uint8),
            logprobs=np.empty(num_draws, np.float32),
            top_tokens=np.empty(shape, np.int32),
            top_logprobs=np.empty(shape, np.float32),
        )
        out.tokens.fill(-1)
        out.logprobs.fill(np.nan)
        if max_logprobs:
            out.top_tokens.fill(-1)
            out.top_logprobs.fill(np.nan)
        return out


def _row_of(bias: TokenBias | None, rows: dict[TokenBias, int]) -> int:
    return -1 if bias is None else rows[bias]


def _joined(parts: list[npt.NDArray[_Number]]) -> npt.NDArray[_Number]:
    """Concatenated; a single part, the usual case, is returned as it is."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _offsets(parts: list[Ints]) -> Ints:
    return np.cumsum([0] + [len(part) for part in parts], dtype=np.int32)
