"""Validation of administrators' input. Knows no HTTP."""

from collections.abc import Sequence
from typing import Final, get_args

from myna.accounts.principal import KeyScope
from myna.core.errors import InvalidRequest
from myna.core.translatable import N_, Translatable

MAX_NAME: Final = 256
MAX_MODELS: Final = 1000
MAX_LIFE_S: Final = 100 * 366 * 86400
MAX_LIMIT: Final = 2**53
"""The largest integers that JSON numbers represent exactly."""
UNKNOWN_PARAMETERS: Final = ("reject", "ignore")
SCOPES: Final[tuple[KeyScope, ...]] = get_args(KeyScope)


def check_name(name: str) -> str:
    """The name without surrounding whitespace."""
    name = name.strip()
    if not name:
        raise _invalid("name", N_("A name needs at least one character."))
    if len(name) > MAX_NAME:
        raise _invalid(
            "name",
            N_("A name has at most {limit} characters, not {length}.", limit=MAX_NAME, length=len(name)),
        )
    if not name.isprintable():
        raise _invalid("name", N_("A name must not contain line breaks or control characters."))
    return name


def check_scopes(scopes: Sequence[str]) -> tuple[KeyScope, ...]:
    """The scopes without duplicates, in a fixed order."""
    for scope in scopes:
        if scope not in SCOPES:
            raise _invalid(
                "scopes",
                N_(
                    "There is no scope {scope}; choose from {known}.",
                    scope=_quoted(scope),
                    known=", ".join(SCOPES),
                ),
            )
    if not scopes:
        raise _invalid(
            "scopes", N_("A key needs at least one scope; choose from {known}.", known=", ".join(SCOPES))
        )
    return tuple(scope for scope in SCOPES if scope in scopes)


def check_models(models: Sequence[str] | None) -> tuple[str, ...] | None:
    """The models' names, which needn't exist yet. None: all models."""
    if models is None:
        return None
    if not models:
        raise _invalid("models", N_("A list of models needs at least one; omit it to allow all."))
    if len(models) > MAX_MODELS:
        raise _invalid(
            "models",
            N_(
                "A list of models has at most {limit} names, not {length}.",
                limit=MAX_MODELS,
                length=len(models),
            ),
        )
    return tuple(dict.fromkeys(check_model(model) for model in models))


def check_model(model: str, param: str = "models") -> str:
    if not model or len(model) > MAX_NAME or not model.isprintable():
        raise _invalid(param, N_("{name} can't be the name of a model.", name=_quoted(model)))
    return model


def check_unknown_parameters(choice: str | None) -> str | None:
    """What to do with unknown parameters. None: as the server is set."""
    if choice is not None and choice not in UNKNOWN_PARAMETERS:
        raise _invalid(
            "unknown_parameters",
            N_(
                "Unknown parameters can't be {choice}; choose from {known}.",
                choice=_quoted(choice),
                known=", ".join(UNKNOWN_PARAMETERS),
            ),
        )
    return choice


def check_life(seconds: int) -> int:
    """A key's lifetime from now."""
    if seconds < 1:
        raise _invalid("expires_in_seconds", N_("A key can't expire in the past; set at least one second."))
    if seconds > MAX_LIFE_S:
        raise _invalid(
            "expires_in_seconds", N_("That is more than a hundred years; omit the expiry instead.")
        )
    return seconds


def check_overlap(seconds: int) -> int:
    """How long a rotated key's old plain text stays valid."""
    if not 0 <= seconds <= MAX_LIFE_S:
        raise _invalid("overlap_seconds", N_("An overlap can't be negative, nor more than a hundred years."))
    return seconds


def check_limit(name: str, value: int | None) -> int | None:
    if value is not None and not 1 <= value <= MAX_LIMIT:
        raise _invalid(
            name,
            N_(
                "{name} takes a whole number from 1 to {limit}, not {value}.",
                name=name,
                limit=MAX_LIMIT,
                value=value,
            ),
        )
    return value


def _quoted(text: str) -> str:
    """A client's text, quoted and shortened."""
    return repr(text if len(text) <= 64 else f"{text[:60]}...")


def _invalid(param: str, message: Translatable) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="invalid_value")
