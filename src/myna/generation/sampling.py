"""From the sampling fields that both generation endpoints have to the sampler's own."""

import secrets
from collections.abc import Sequence
from typing import Protocol

from myna.core.errors import InvalidRequest
from myna.core.requests import Sampling

_SEED_BITS = 63


class SamplingFields(Protocol):
    """The part of a request that says how tokens are drawn; None is the default."""

    @property
    def temperature(self) -> float | None: ...
    @property
    def top_p(self) -> float | None: ...
    @property
    def top_k(self) -> int | None: ...
    @property
    def min_p(self) -> float | None: ...
    @property
    def presence_penalty(self) -> float | None: ...
    @property
    def frequency_penalty(self) -> float | None: ...
    @property
    def logit_bias(self) -> tuple[tuple[int, float], ...]: ...
    @property
    def seed(self) -> int | None: ...


def to_sampling(fields: SamplingFields, defaults: Sampling) -> Sampling:
    """What the request says, else what the model recommends, else the plain distribution.

    Without a seed the answer is drawn anew each time.
    """
    seed = secrets.randbits(_SEED_BITS) if fields.seed is None else fields.seed
    return Sampling(
        temperature=_first(fields.temperature, defaults.temperature),
        top_p=_first(fields.top_p, defaults.top_p),
        top_k=int(_first(fields.top_k, defaults.top_k)),
        min_p=_first(fields.min_p, defaults.min_p),
        presence_penalty=_first(fields.presence_penalty, defaults.presence_penalty),
        frequency_penalty=_first(fields.frequency_penalty, defaults.frequency_penalty),
        logit_bias=fields.logit_bias or defaults.logit_bias,
        seed=seed % 2**64,
    )


def _first(asked: float | None, otherwise: float) -> float:
    return otherwise if asked is None else asked


def refuse_unknown_tokens(biases: Sequence[tuple[int, float]], vocab_size: int) -> None:
    """Raise for a biased token that the model doesn't have."""
    for token, _ in biases:
        if token >= vocab_size:
            raise InvalidRequest(
                f"Invalid key in 'logit_bias': {token}. Maximum value is {vocab_size - 1}.",
                param="logit_bias",
            )
