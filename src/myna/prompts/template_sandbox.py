"""Runs a model's chat template, which is an untrusted program: no unsafe attributes, no mutation, bounded
output.

Owns the jinja2 environment, set up as templates expect it (like transformers').
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from myna.prompts.template_bounds import (
    BOUNDED_FILTERS,
    MAX_CHARS,
    MAX_INDENT,
    TemplateOutOfBounds,
    check_call,
    check_operator,
    check_size,
)

MAX_SOURCE_CHARS: Final = 1 << 20


class TemplateRefusal(Exception):
    """The template called `raise_exception`: it doesn't support these messages."""


class CompiledTemplate:
    """A compiled template, usable from any thread. Raises jinja2's `TemplateError` for invalid source.

    Time is not bounded here: untrusted templates must be rendered by `render_process`.
    """

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SOURCE_CHARS:
            raise TemplateOutOfBounds(f"it is longer than {MAX_SOURCE_CHARS} characters")
        environment = _Environment()
        tree = _Concatenations().visit(environment.parse(source))
        self._template = environment.from_string(tree)

    def render(self, variables: Mapping[str, object]) -> str:
        """The text. Raises `TemplateRefusal`, `TemplateOutOfBounds`, or any of `RENDER_ERRORS` if the
        template fails on these variables."""
        parts: list[str] = []
        room = MAX_CHARS
        for part in self._template.generate(**variables):
            room -= len(part)
            if room < 0:
                raise TemplateOutOfBounds(f"it wrote more than {MAX_CHARS} characters")
            parts.append(part)
        return "".join(parts)


class _Environment(ImmutableSandboxedEnvironment):
    """Checks calls and arithmetic, with which a template could create huge values from small ones."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols])
        self.filters.update(BOUNDED_FILTERS)
        self.filters["tojson"] = _to_json
        self.globals["raise_exception"] = _refuse
        self.globals["strftime_now"] = _strftime_now

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Lists may change: some families' templates need it, and no variable is used after a render."""
        is_lists = attr in ("append", "pop") and isinstance(obj, list)
        return is_lists or super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        return super().call(context, obj, *check_call(obj, args), **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_operator(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def concatenate(self, *parts: object) -> str:
        """The operator `~`."""
        texts = [str(part) for part in parts]
        check_size(sum(map(len, texts)))
        return "".join(texts)


class _Concatenations(NodeTransformer):
    """Makes `~` call the environment, so that its result's size is checked, too."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return nodes.Call(nodes.EnvironmentAttribute("concatenate"), node.nodes, [], None, None)


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` marks the assistant's part for training; here only its body
    matters."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    if isinstance(indent, int) and indent > MAX_INDENT:
        raise SecurityError("an indentation is out of range")
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=_iterated,
    )


def _iterated(value: object) -> list[object]:
    """The results of filters such as `map`, which llama.cpp's templates write as JSON."""
    if isinstance(value, Iterator):
        return list(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


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
