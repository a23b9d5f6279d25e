"""Checks, before a template's calls and operators run, how large a text or a number they would create.

Gives better errors than the limits of the template's process, which apply in any case.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from jinja2.exceptions import SecurityError
from jinja2.filters import do_format, do_indent, do_join, do_replace
from jinja2.nodes import EvalContext
from jinja2.utils import pass_eval_context

MAX_CHARS: Final = 32 << 20
MAX_EXPONENT: Final = 64
MAX_BITS: Final = 4096
MAX_INDENT: Final = 64
# A width or precision of four digits, or one taken from an argument.
_WIDE_PERCENT: Final = re.compile(r"%(\([^)]*\))?[-+ #0]*(\d{4}|\*|\d*\.(\d{4}|\*))")
_WIDE_BRACES: Final = re.compile(r"\{[^{}]*:[^{}]*(\d{4}|\{)")


class TemplateOutOfBounds(Exception):
    """The template took too long, used too much memory or wrote too much."""


def check_size(size: int) -> None:
    if size > MAX_CHARS:
        raise TemplateOutOfBounds("it created a text that is too long")


def check_operator(operator: str, left: Any, right: Any) -> None:
    """Check a binary operator and its operands."""
    if operator == "**" and (abs(right) > MAX_EXPONENT or abs(left) > 1 << 32):
        raise SecurityError("an exponent is out of range")
    if operator == "*":
        _check_product(left, right)
    elif operator == "+" and isinstance(left, Sequence) and isinstance(right, Sequence):
        check_size(len(left) + len(right))
    elif operator == "%" and isinstance(left, str):
        _check_format(_WIDE_PERCENT, left)


def check_call(function: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments to call it with. Only methods of strings can create large results from small values."""
    function = getattr(function, "__wrapped__", function)  # the sandbox wraps `format`
    text = getattr(function, "__self__", None)
    if not isinstance(text, str) or not arguments:
        return arguments
    name, first = function.__name__, arguments[0]
    if name in ("ljust", "rjust", "center", "zfill"):
        check_size(first)
    elif name == "expandtabs":
        check_size(len(text) + text.count("\t") * first)
    elif name == "replace" and len(arguments) > 1:
        _check_replace(text, first, arguments[1])
    elif name == "join":
        parts = list(first)
        _check_join(text, parts)
        return (parts, *arguments[1:])
    elif name in ("format", "format_map"):
        _check_format(_WIDE_BRACES, text.replace("{{", "").replace("}}", ""))
    return arguments


def _check_product(left: object, right: object) -> None:
    for sequence, factor in ((left, right), (right, left)):
        if isinstance(sequence, Sequence) and isinstance(factor, int):
            check_size(len(sequence) * factor)
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MAX_BITS:
        raise SecurityError("a number is out of range")


def _check_format(wide: re.Pattern[str], text: str) -> None:
    if wide.search(text):
        raise SecurityError("a format width is out of range")


def _check_replace(text: str, old: str, new: str) -> None:
    check_size(len(text) + text.count(old) * len(new))


def _check_join(between: str, parts: list[object]) -> None:
    check_size(len(between) * len(parts) + sum(len(part) for part in parts if isinstance(part, str)))


# --- filters ---


def _center(value: object, width: int = 80) -> str:
    check_size(width)
    return str(value).center(width)


def _format(value: object, *arguments: Any, **named: Any) -> str:
    _check_format(_WIDE_PERCENT, str(value))
    text: str = do_format(str(value), *arguments, **named)
    return text


def _indent(value: object, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    text = str(value)
    step = len(width) if isinstance(width, str) else width
    check_size(len(text) + (text.count("\n") + 1) * step)
    return do_indent(text, width, first, blank)


@pass_eval_context
def _join(
    context: EvalContext, value: Iterable[object], between: str = "", attribute: str | int | None = None
) -> str:
    parts = list(value)
    _check_join(between, parts)
    text: str = do_join(context, parts, between, attribute)
    return text


@pass_eval_context
def _replace(context: EvalContext, value: object, old: str, new: str, count: int | None = None) -> str:
    _check_replace(str(value), str(old), str(new))
    text: str = do_replace(context, str(value), old, new, count)
    return text


BOUNDED_FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "center": _center,
    "format": _format,
    "indent": _indent,
    "join": _join,
    "replace": _replace,
}
