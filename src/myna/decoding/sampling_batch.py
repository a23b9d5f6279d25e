"""The input and output of one sampling call, as structs of arrays. Knows no kernel."""

from collections.abc import Collection, Hashable, Iterable, Sequence
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
_Shared = TypeVar("_Shared", bound=Hashable)


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
    """Tokens and what is added to their logits, as arrays ordered by token."""

    tokens: Ints
    values: Floats

    @classmethod
    def of(cls, biases: Collection[tuple[int, float]], banned: Collection[int] = ()) -> "TokenBias | None":
        """None if nothing is added. `banned` tokens are never sampled."""
        values = dict(biases) | dict.fromkeys(banned, -np.inf)
        if not values:
            return None
        tokens = sorted(values)
        return cls(np.array(tokens, np.int32), np.array([values[token] for token in tokens], np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class PromptTokens:
    """The tokens that a prompt contains, each once, in order."""

    tokens: Ints

    @classmethod
    def of(cls, prompt: Sequence[int]) -> "PromptTokens":
        return cls(np.unique(np.asarray(prompt, np.int32)))


class RequestSampling:
    """What a request's choices share: a batch contains it only once, however many they are."""

    __slots__ = ("_bias", "_early_bias", "_min_tokens", "parameters", "prompt")

    def __init__(
        self,
        parameters: Sampling,
        prompt_tokens: Sequence[int] = (),
        *,
        end_tokens: Collection[int] = (),
        min_tokens: int = 0,
    ) -> None:
        """Before `min_tokens`, none of the `end_tokens` is sampled."""
        self.parameters = parameters
        self.prompt = PromptTokens.of(prompt_tokens) if parameters.repetition_penalty != 1 else None
        self._min_tokens = min_tokens if end_tokens else 0
        self._bias = TokenBias.of(parameters.logit_bias)
        self._early_bias = TokenBias.of(parameters.logit_bias, end_tokens) if min_tokens else self._bias

    def bias_at(self, position: int) -> TokenBias | None:
        """The bias of the token at that index of the answer."""
        return self._early_bias if self.is_early(position) else self._bias

    def is_early(self, position: int) -> bool:
        """Whether the answer may not end with the token at that index."""
        return position < self._min_tokens


class ChoiceSampling:
    """One choice's sampling parameters in the form that batches need; `accept` each sampled token."""

    __slots__ = ("choice", "counts", "num_logprobs", "parameters", "request", "seed")

    def __init__(self, request: RequestSampling, choice: int, num_logprobs: int | None) -> None:
        parameters = request.parameters
        self.request = request
        self.parameters = parameters
        self.choice = choice
        self.num_logprobs = -1 if num_logprobs is None else num_logprobs
        self.seed = parameters.seed & _SEED_BITS
        is_penalised = (
            parameters.repetition_penalty != 1
            or parameters.presence_penalty != 0
            or parameters.frequency_penalty != 0
        )
        self.counts = TokenCounts() if is_penalised else None

    def is_steady(self, position: int) -> bool:
        """Whether all tokens from that index on have the same parameters."""
        return self.counts is None and not self.request.is_early(position)

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
    tokens. So are biases and the tokens of prompts, which draws may share: `bias_row` and `prompt_row` are a
    draw's rows, -1 for none. A repetition penalty applies to the tokens that are counted or in the prompt. An
    absent part (None) costs nothing. A mask has one bit per token, bit t % 32 of word t // 32, set if the
    token is allowed (llguidance's format); `mask_row` -1 allows all. `num_logprobs` -1: none; 0: the sampled
    token's; k: also the k most likely."""

    row: Ints
    temperature: Floats
    top_p: Floats
    top_k: Ints
    min_p: Floats
    repetition_penalty: Floats
    presence_penalty: Floats
    frequency_penalty: Floats
    seed: npt.NDArray[np.uint64]
    choice: npt.NDArray[np.uint32]
    position: npt.NDArray[np.uint32]
    num_logprobs: Ints
    count_offsets: Ints | None = None
    count_tokens: Ints | None = None
    count_values: Ints | None = None
    prompt_offsets: Ints | None = None
    prompt_tokens: Ints | None = None
    prompt_row: Ints | None = None
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
        prompts = [choice.request.prompt for choice in choices]
        prompt_rows = _numbered(prompts)
        biases = [draw.choice.request.bias_at(draw.position) for draw in draws]
        bias_rows = _numbered(biases)
        count_tokens = [_NO_INTS if count is None else count.tokens for count in counts] if has_counts else []
        count_values = [_NO_INTS if count is None else count.counts for count in counts] if has_counts else []
        return cls(
            row=np.array([draw.row for draw in draws], np.int32),
            temperature=np.array([p.temperature for p in parameters], np.float32),
            top_p=np.array([p.top_p for p in parameters], np.float32),
            top_k=np.array([min(p.top_k, _MAX_TOP_K) for p in parameters], np.int32),
            min_p=np.array([p.min_p for p in parameters], np.float32),
            repetition_penalty=np.array([p.repetition_penalty for p in parameters], np.float32),
            presence_penalty=np.array([p.presence_penalty for p in parameters], np.float32),
            frequency_penalty=np.array([p.frequency_penalty for p in parameters], np.float32),
            seed=np.array([choice.seed for choice in choices], np.uint64),
            choice=np.array([choice.choice for choice in choices], np.uint32),
            position=np.array([draw.position for draw in draws], np.uint32),
            num_logprobs=np.array([choice.num_logprobs for choice in choices], np.int32),
            count_offsets=_offsets(count_tokens) if has_counts else None,
            count_tokens=np.concatenate(count_tokens) if has_counts else None,
            count_values=np.concatenate(count_values) if has_counts else None,
            prompt_offsets=_offsets([prompt.tokens for prompt in prompt_rows]) if prompt_rows else None,
            prompt_tokens=_joined([prompt.tokens for prompt in prompt_rows]) if prompt_rows else None,
            prompt_row=_rows_of(prompts, prompt_rows),
            bias_offsets=_offsets([bias.tokens for bias in bias_rows]) if bias_rows else None,
            bias_tokens=_joined([bias.tokens for bias in bias_rows]) if bias_rows else None,
            bias_values=_joined([bias.values for bias in bias_rows]) if bias_rows else None,
            bias_row=_rows_of(biases, bias_rows),
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


def _numbered(shared: Iterable[_Shared | None]) -> dict[_Shared, int]:
    """Each different part once, with its row."""
    return {part: row for row, part in enumerate(dict.fromkeys(p for p in shared if p is not None))}


def _rows_of(shared: Iterable[_Shared | None], rows: dict[_Shared, int]) -> Ints | None:
    """Each draw's row, -1 for none; None if no draw has one."""
    return np.array([-1 if part is None else rows[part] for part in shared], np.int32) if rows else None


def _joined(parts: list[npt.NDArray[_Number]]) -> npt.NDArray[_Number]:
    """Concatenated; a single part, the usual case, is returned as it is."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _offsets(parts: list[Ints]) -> Ints:
    return np.cumsum([0] + [len(part) for part in parts], dtype=np.int32)
