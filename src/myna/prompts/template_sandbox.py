"""Runs a model's chat template, which is a stranger's program: no attributes, no mutation, bounded output.

Owns the jinja2 environment, furnished as the templates' authors (transformers) expect it.
"""

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_SOURCE_CHARS: Final = 1 << 20
MAX_OUTPUT_CHARS: Final = 32 << 20
MAX_EXPONENT: Final = 64
RENDER_DEADLINE_S: Final = 10.0
_WIDE_FORMAT: Final = re.compile(r"\d{4}|\*")


class TemplateRefusal(Exception):
    """The template called `raise_exception`: these messages are not what it was made for."""


class TemplateOutOfBounds(Exception):
    """The template ran too long or wrote too much."""


class CompiledTemplate:
    """A template ready to render, from any thread. Raises jinja2's `TemplateError` for bad source."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SOURCE_CHARS:
            raise TemplateOutOfBounds(f"it is over {MAX_SOURCE_CHARS} characters long")
        self._environment = _Environment()
        tree = _Watch().visit(self._environment.parse(source))
        self._template = self._environment.from_string(tree)

    def render(self, variables: Mapping[str, object]) -> str:
        """The text. Raises `TemplateRefusal`, `TemplateOutOfBounds`, or `TemplateError` and the usual
        built-in errors where the template fails on these variables."""
        self._environment.start_clock(RENDER_DEADLINE_S)
        parts: list[str] = []
        room = MAX_OUTPUT_CHARS
        for part in self._template.generate(**variables):
            room -= len(part)
            if room < 0:
                raise TemplateOutOfBounds(f"it wrote over {MAX_OUTPUT_CHARS} characters")
            self._environment.check_clock()
            parts.append(part)
        return "".join(parts)


class _Environment(ImmutableSandboxedEnvironment):
    """Calls and arithmetic are where a template can spend without bound, so both are watched."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols])
        self._clock = threading.local()
        self.filters["tojson"] = _to_json
        self.filters["center"] = _center
        self.globals["raise_exception"] = _refuse
        self.globals["strftime_now"] = _strftime_now

    def start_clock(self, deadline_s: float) -> None:
        self._clock.ends = time.monotonic() + deadline_s

    def check_clock(self) -> None:
        if time.monotonic() > getattr(self._clock, "ends", float("inf")):
            raise TemplateOutOfBounds("it ran too long")

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.check_clock()
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.check_clock()
        if operator == "**" and (abs(right) > MAX_EXPONENT or abs(left) > 1 << 32):
            raise SecurityError("an exponent is out of bounds")
        if operator == "*":
            _check_product(left, right)
        elif operator == "+" and isinstance(left, Sequence) and isinstance(right, Sequence):
            _check_size(len(left) + len(right))
        elif operator == "%" and isinstance(left, str) and _WIDE_FORMAT.search(left):
            raise SecurityError("a format is out of bounds")
        return super().call_binop(context, operator, left, right)

    def tick(self) -> str:
        """What every turn of a loop calls."""
        return ""

    def concatenate(self, *parts: object) -> str:
        """The operator `~`."""
        texts = [str(part) for part in parts]
        _check_size(sum(map(len, texts)))
        return "".join(texts)


class _Watch(NodeTransformer):
    """Makes loops and `~` call the environment, so that the clock and the sizes are checked there too."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_own_call("tick", []), lineno=node.lineno))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _own_call("concatenate", node.nodes)


def _own_call(name: str, arguments: list[nodes.Expr]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` marks the assistant's part for training; here it is its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _check_product(left: object, right: object) -> None:
    for sequence, factor in ((left, right), (right, left)):
        if isinstance(sequence, Sequence) and isinstance(factor, int):
            _check_size(len(sequence) * factor)


def _check_size(size: int) -> None:
    if size > MAX_OUTPUT_CHARS:
        raise TemplateOutOfBounds("it made a text that is too long")


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _center(value: object, width: int = 80) -> str:
    _check_size(width)
    return str(value).center(width)


def _refuse(message: object) -> None:
    raise TemplateRefusal(str(message)[:500])


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


RENDER_ERRORS: Final[tuple[type[Exception], ...]] = (
    TemplateError,
    TemplateRefusal,
    TemplateOutOfBounds,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
