"""The parameters that `/set` knows: their meanings, ranges, and how a typed value is read."""

import difflib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from myna.core.errors import InvalidRequest
from myna.core.translatable import N_, Translatable

Value = float | int | bool | str | list[str] | list[int] | dict[str, float]
MAX_STOPS: Final = 16
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a request. `read` turns text into a value or raises ValueError; `is_extension` marks
    what OpenAI's own servers don't know."""

    name: str
    read: Callable[[str], Value]
    range: Translatable
    meaning: Translatable
    is_extension: bool = False


def _decimal(low: float, high: float) -> Callable[[str], Value]:
    def read(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(text)
        return value

    return read


def _whole(low: int, high: int = (1 << 63) - 1) -> Callable[[str], Value]:
    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return read


def _flag(text: str) -> bool:
    words = {"on": True, "true": True, "off": False, "false": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _effort(text: str) -> str:
    if text not in EFFORTS:
        raise ValueError(text)
    return text


def _stops(text: str) -> list[str]:
    """One text as it is (with \\n for a line break), or several as a JSON list."""
    value = json.loads(text) if text.startswith("[") else [text.replace("\\n", "\n")]
    if not (0 < len(value) <= MAX_STOPS and all(isinstance(stop, str) and stop for stop in value)):
        raise ValueError(text)
    return list(value)


def _tokens(text: str) -> list[int]:
    value = json.loads(text)
    if not isinstance(value, list) or not all(type(token) is int and token >= 0 for token in value):
        raise ValueError(text)
    return value


def _biases(text: str) -> dict[str, float]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    bound = _decimal(-100, 100)
    for token, bias in value.items():
        if not (token.isascii() and token.isdigit()) or isinstance(bias, bool):
            raise ValueError(text)
        bound(str(bias))
    return value


PARAMETERS: Final = (
    Parameter(
        "temperature",
        _decimal(0, 2),
        range=N_("0 to 2"),
        meaning=N_("randomness of sampling; 0 always takes the most likely token"),
    ),
    Parameter(
        "top_p",
        _decimal(0, 1),
        range=N_("0 to 1"),
        meaning=N_("sample only from the most likely tokens that together have this probability"),
    ),
    Parameter(
        "top_k",
        _whole(0),
        range=N_("0 or more"),
        meaning=N_("sample only from this many of the most likely tokens; 0: from all"),
        is_extension=True,
    ),
    Parameter(
        "min_p",
        _decimal(0, 1),
        range=N_("0 to 1"),
        meaning=N_("drop tokens less likely than this fraction of the most likely one"),
        is_extension=True,
    ),
    Parameter(
        "repetition_penalty",
        _decimal(0.01, 10),
        range=N_("0.01 to 10"),
        meaning=N_("above 1: avoid tokens that the prompt or the answer already contains"),
        is_extension=True,
    ),
    Parameter(
        "presence_penalty",
        _decimal(-2, 2),
        range=N_("-2 to 2"),
        meaning=N_("above 0: avoid tokens that have already occurred"),
    ),
    Parameter(
        "frequency_penalty",
        _decimal(-2, 2),
        range=N_("-2 to 2"),
        meaning=N_("above 0: avoid tokens the more, the more often they have occurred"),
    ),
    Parameter(
        "logit_bias",
        _biases,
        range=N_('JSON such as {"42": -100}'),
        meaning=N_("make tokens, by id, more or less likely: -100 to 100"),
    ),
    Parameter(
        "seed",
        _whole(-(1 << 63)),
        range=N_("a whole number"),
        meaning=N_("the same seed gives the same answer"),
    ),
    Parameter(
        "max_tokens", _whole(1), range=N_("1 or more"), meaning=N_("maximum length of an answer in tokens")
    ),
    Parameter(
        "stop",
        _stops,
        range=N_("text, or a JSON list of up to 16"),
        meaning=N_("text that ends the answer where it occurs"),
    ),
    Parameter(
        "min_tokens",
        _whole(0),
        range=N_("0 or more"),
        meaning=N_("minimum length of an answer in tokens"),
        is_extension=True,
    ),
    Parameter(
        "stop_token_ids",
        _tokens,
        range=N_("JSON such as [42, 7]"),
        meaning=N_("tokens, by id, that end the answer"),
        is_extension=True,
    ),
    Parameter(
        "ignore_eos",
        _flag,
        range=N_("on or off"),
        meaning=N_("continue where the model would end its answer"),
        is_extension=True,
    ),
    Parameter(
        "reasoning_effort",
        _effort,
        range=N_("none, minimal, low, medium, high or xhigh"),
        meaning=N_("how long a reasoning model may think before it answers"),
    ),
)
BY_NAME: Final = {parameter.name: parameter for parameter in PARAMETERS}


def find_parameter(name: str) -> Parameter:
    """Raises `InvalidRequest` with the nearest known name."""
    if found := BY_NAME.get(name.lower().replace("-", "_")):
        return found
    nearest = difflib.get_close_matches(name.lower(), BY_NAME, n=1, cutoff=0.5)
    hint = (
        N_("did you mean {name}?", name=nearest[0])
        if nearest
        else N_("choose one of {names}.", names=", ".join(BY_NAME))
    )
    raise InvalidRequest(N_("There is no parameter {name}; {hint}", name=name, hint=hint))


def read_value(parameter: Parameter, text: str) -> Value:
    """Raises `InvalidRequest` with the range."""
    try:
        return parameter.read(text.strip())
    except (ValueError, TypeError, RecursionError):
        raise InvalidRequest(
            N_(
                "{parameter} takes {range}, not {value}.",
                parameter=parameter.name,
                range=parameter.range,
                value=text.strip(),
            )
        ) from None


def shown_value(value: Value) -> str:
    """In the form in which it is typed."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list) and len(value) == 1:
        only = value[0]
        if isinstance(only, str) and not only.startswith("["):
            return only.replace("\n", "\\n")
    return json.dumps(value, ensure_ascii=False)
