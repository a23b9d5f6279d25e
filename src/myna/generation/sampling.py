"""Converts the sampling fields that the generation endpoints share to the sampler's parameters."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from myna.core.errors import InvalidRequest
from myna.core.requests import Sampling
from myna.core.sampling_defaults import OPENAI, RANGES
from myna.wire import validation_errors

_SEED_BITS = 63


class SamplingFields(Protocol):
    """The sampling parameters of a request; None is the default."""

    @property
    def temperature(self) -> float | None: ...
    @property
    def top_p(self) -> float | None: ...
    @property
    def top_k(self) -> int | None: ...
    @property
    def min_p(self) -> float | None: ...
    @property
    def repetition_penalty(self) -> float | None: ...
    @property
    def presence_penalty(self) -> float | None: ...
    @property
    def frequency_penalty(self) -> float | None: ...
    @property
    def logit_bias(self) -> tuple[tuple[int, float], ...]: ...
    @property
    def seed(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """`SamplingFields` of an endpoint that doesn't have all of them."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None


def to_sampling(fields: SamplingFields, defaults: Sampling) -> Sampling:
    """The request's parameters, with the model's `defaults` for those that are not set.

    A request with a `temperature` gets OpenAI's defaults instead: the model's are for its own temperature,
    and 0 must mean the most likely token. Without a seed, a random one is used.
    """
    if fields.temperature is not None:
        defaults = Sampling()
    seed = secrets.randbits(_SEED_BITS) if fields.seed is None else fields.seed
    return Sampling(
        temperature=_first(fields.temperature, defaults.temperature),
        top_p=_first(fields.top_p, defaults.top_p),
        top_k=max(0, int(_first(fields.top_k, defaults.top_k))),
        min_p=_first(fields.min_p, defaults.min_p),
        repetition_penalty=_first(fields.repetition_penalty, defaults.repetition_penalty),
        presence_penalty=_first(fields.presence_penalty, defaults.presence_penalty),
        frequency_penalty=_first(fields.frequency_penalty, defaults.frequency_penalty),
        logit_bias=fields.logit_bias or defaults.logit_bias,
        seed=seed % 2**64,
    )


def as_fields(sampling: Sampling) -> dict[str, float]:
    """The fields of a request that is sampled in the same way, whatever the model's defaults are; the seed
    and the bias are left out."""
    used, neutral = {name: getattr(sampling, name) for name in RANGES}, OPENAI.values()
    return {name: value for name, value in used.items() if name == "temperature" or value != neutral[name]}


def _first(asked: float | None, otherwise: float) -> float:
    return otherwise if asked is None else asked


def check_biased_tokens(biases: Sequence[tuple[int, float]], vocab_size: int) -> None:
    """Raise for a biased token that is not in the model's vocabulary."""
    for token, _ in biases:
        if token >= vocab_size:
            raise InvalidRequest(
                f"Invalid key in 'logit_bias': {token}. Maximum value is {vocab_size - 1}.",
                param="logit_bias",
            )


def check_stop_tokens(tokens: Sequence[int], vocab_size: int) -> None:
    """Raise for a token of `stop_token_ids` that is not in the model's vocabulary."""
    for i, token in enumerate(tokens):
        if token >= vocab_size:
            raise validation_errors.out_of_range("integer", "above", vocab_size - 1, token).at_param(
                f"stop_token_ids[{i}]"
            )
