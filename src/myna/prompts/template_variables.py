"""A client's own variables for a chat template (`chat_template_kwargs`): which names they may have, and how
their texts stay text. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

RESERVED: Final = frozenset(
    {
        *("messages", "tools", "add_generation_prompt", "bos_token", "eos_token"),  # Myna's own
        *("raise_exception", "strftime_now"),  # functions of templates
        *("range", "dict", "lipsum", "cycler", "joiner", "namespace"),  # jinja2's
        *("self", "loop", "caller", "varargs", "kwargs"),
    }
)
"""Names that mean something else in a template."""
MAX_DEPTH: Final = 32

# Templates compare such a value with names of their own; it can't contain a control token.
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]*")


def with_wrapped_texts(variables: Mapping[str, object], wrap: Callable[[str], str]) -> dict[str, object]:
    """The variables, with every text that is more than a word passed through `wrap`."""
    return {name: _wrapped(value, wrap) for name, value in variables.items()}


def texts_of(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield str(key)
            yield from texts_of(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts_of(part)


def is_deep(value: object, depth: int = MAX_DEPTH) -> bool:
    """Whether a JSON value is nested more than `depth` levels deep."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return bool(parts) and (depth == 0 or any(is_deep(part, depth - 1) for part in parts))


def _wrapped(value: object, wrap: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else wrap(value)
    if isinstance(value, dict):
        return {str(_wrapped(key, wrap)): _wrapped(part, wrap) for key, part in value.items()}
    if isinstance(value, list):
        return [_wrapped(part, wrap) for part in value]
    return value
