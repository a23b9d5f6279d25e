"""Parses numbers with units, as used in settings."""

from collections.abc import Callable, Mapping
from typing import Final

from myna.core.translatable import N_, Translatable

_BYTE_UNITS: Final = {
    unit + tail: 1024**power
    for power, unit in enumerate(["", "k", "m", "g", "t"])
    for tail in ("", "b", "ib")
    if unit or tail != "ib"
}


_MAX_BYTES: Final = 1 << 60
_MAX_S: Final = 1e9


def _scaled(units: Mapping[str, int], most: float, what: Translatable) -> Callable[[object], float]:
    def parse(raw: object) -> float:
        words = str(raw).strip().lower()
        unit = words.lstrip("0123456789.")
        try:
            number = float(words[: len(words) - len(unit)])
        except ValueError:
            raise ValueError(what) from None
        if unit.strip() not in units or isinstance(raw, bool):
            raise ValueError(what)
        value = number * units[unit.strip()]
        if value > most:
            raise ValueError(what)
        return value

    return parse


# They raise ValueError with a description of valid values.
parse_bytes: Final = _scaled(_BYTE_UNITS, _MAX_BYTES, N_('a size such as "4G" or "512M"'))
parse_seconds: Final = _scaled(
    {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}, _MAX_S, N_('a time such as "30s" or "5m"')
)
