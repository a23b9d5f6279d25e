"""The sampling parameters that a model's requests have unless they set their own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from myna.core.requests import Sampling

RANGES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "temperature": (0, 2),
        "top_p": (0, 1),
        "top_k": (-1, 2**31 - 1),
        "min_p": (0, 1),
        "repetition_penalty": (0.01, 10),
        "presence_penalty": (-2, 2),
        "frequency_penalty": (-2, 2),
    }
)
"""The lowest and highest value of each parameter that has a default."""


class SamplingDefaults(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one source says; None: nothing about this parameter."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    def over(self, other: "SamplingDefaults") -> "SamplingDefaults":
        """These, and the other's where these say nothing."""
        return SamplingDefaults(**(other.values() | self.values()))  # type: ignore[arg-type]

    def values(self) -> dict[str, float]:
        """Those that are set, by the names that requests use."""
        values: dict[str, float] = msgspec.to_builtins(self)
        return values

    def changes(self) -> dict[str, float]:
        """Those that differ from OpenAI's."""
        openai = OPENAI.values()
        return {name: value for name, value in self.values().items() if value != openai[name]}

    def sampling(self) -> Sampling:
        """The parameters of a request that sets none of its own."""
        return Sampling(**self.values())  # type: ignore[arg-type]


NO_DEFAULTS: Final = SamplingDefaults()
_NEUTRAL: Final = Sampling()
OPENAI: Final = SamplingDefaults(**{name: getattr(_NEUTRAL, name) for name in RANGES})
"""OpenAI's defaults: the model's own distribution."""


def read_defaults(values: Mapping[str, object]) -> SamplingDefaults:
    """Raises ValueError for an unknown name or a value out of range."""
    read: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(name)
        low, high = RANGES.get(name, (0, -1))
        if not low <= value <= high or (name == "top_k" and not isinstance(value, int)):
            raise ValueError(name)
        read[name] = max(0, value) if name == "top_k" else float(value)
    return SamplingDefaults(**read)  # type: ignore[arg-type]
