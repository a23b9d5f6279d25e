"""Lark terminals of values that are written without JSON's quotes and escapes, as a schema allows them."""

import hashlib
from typing import Any, Final

from myna.prompts.call_formats import values
from myna.prompts.call_formats.layout import escaped, quoted
from myna.prompts.call_formats.schema_merging import conjuncts
from myna.prompts.call_formats.schema_parts import Node, leaves
from myna.prompts.call_formats.text_formats import FORMATS
from myna.prompts.ecma_regex import UnsupportedPattern, translate_whole

SHARED: Final = "TEXT_"
_ANY: Final = "/(.|\\n)*/"
_INTEGER: Final = "-?(0|[1-9][0-9]{0,15})"
_NUMBER: Final = _INTEGER + "(\\.[0-9]{1,15})?([eE][-+]?[0-9]{1,2})?"
LIMITS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
"""Keywords that limit numbers."""
_NUMBERS: Final = frozenset({"integer", "number"})
_WHITE: Final = "[ \\t\\r\\n]*"
# Texts that a reader takes for a value of that type, or that begin like one.
_LOOK: Final = {
    "array": f"{_WHITE}\\[(.|\\n)*",
    "object": f"{_WHITE}\\{{(.|\\n)*",
    "integer": f"{_WHITE}[0-9\\-](.|\\n)*",
    "number": f"{_WHITE}[0-9\\-](.|\\n)*",
    "null": f"{_WHITE}(null|None){_WHITE}",
    "boolean": f"{_WHITE}(true|false|True|False){_WHITE}",
}


def text_terminal(parts: list[str], *, stop: str, closing: str) -> tuple[str, str]:
    """The terminal of texts of one of the `parts`, followed by `closing`: its name, the same for equal ones,
    and its line. `stop`, where a reader would end the text, is not in them."""
    body = f"({_either(parts)} & ~/(.|\\n)*{escaped(stop)}(.|\\n)*/) {quoted(closing)}"
    name = f"{SHARED}{hashlib.sha256(body.encode()).hexdigest()[:16].upper()}"
    return name, f"{name}: {body}\n"


def without_repetitions(lark: str) -> str:
    """The grammar with each shared terminal only once: they are what makes large grammars too large."""
    lines, known = list[str](), set[str]()
    for line in lark.splitlines(keepends=True):
        if line not in known:
            lines.append(line)
        if line.startswith(SHARED):
            known.add(line)
    return "".join(lines)


def string_parts(node: Any, root: Node, *, with_listed: bool = True) -> list[str]:
    """The texts of the strings that the schema allows, for `text_terminal`."""
    found = list[str]()
    for leaf in leaves(node, root):
        options = values.listed(leaf)
        if options is not None:
            found += (_literal(option) for option in options if with_listed and isinstance(option, str))
        elif "string" in values.types_of(leaf, root):
            found.append(_string(leaf))
    return list(dict.fromkeys(found))


class Unquoted:
    """A schema's values where a reader finds the type of a text by `values.to_json`.

    `parts` are those for `text_terminal`: strings, listed values, and those of types without limits. `rest`
    are the other alternatives, with their types; no string begins like these. `seen` is the schema by which
    the reader knows the types; `node` may be one alternative of it."""

    def __init__(self, node: Any, seen: Any, root: Node) -> None:
        self._types = values.types_of(seen, root)
        self.parts = list[str]()
        self.rest = list[tuple[Node, frozenset[str]]]()
        free, strings = set[str](), list[Node]()
        for leaf in leaves(node, root):
            types, options = values.types_of(leaf, root), values.listed(leaf)
            if options is not None:
                self._add_listed(options)
                continue
            if "string" in types:
                strings.append(leaf)
            plain = _plain(leaf, types)
            free |= plain
            self.parts += (_PLAIN[kind] for kind in sorted(plain))
            if limited := types - plain - {"string"}:
                self.rest.append((leaf, limited))
        if any(types & _NUMBERS for _, types in self.rest):
            free -= _NUMBERS
        looks = dict.fromkeys(_LOOK[kind] for kind in sorted(self._types - free - {"string"}))
        unlike = "".join(f" & ~/{look}/" for look in looks)
        self.parts += (f"({_string(leaf)}{unlike})" for leaf in strings)

    def _add_listed(self, options: list[Any]) -> None:
        """Those that are read as they are meant."""
        meant = set(map(values.encoded, options))
        for option in options:
            text = option if isinstance(option, str) else values.encoded(option)
            if values.to_json(text, self._types) in meant:
                self.parts.append(_literal(text))


_PLAIN: Final = {
    "null": '"null"',
    "boolean": '("true" | "false")',
    "integer": f"/{_INTEGER}/",
    "number": f"/{_NUMBER}/",
}


def _plain(leaf: Node, types: frozenset[str]) -> frozenset[str]:
    """The types of which any value is allowed, and that are written as plain text."""
    is_limited = any(LIMITS & part.keys() for part in conjuncts(leaf))
    return types & ({"null", "boolean"} if is_limited else _PLAIN.keys())


def _string(leaf: Node) -> str:
    parts = []
    for part in conjuncts(leaf):
        if isinstance(pattern := part.get("pattern"), str):
            parts += _pattern(pattern)
        if (expression := FORMATS.get(str(part.get("format")))) is not None:
            parts.append(f"/{expression}/")
    least, most = values.bound(leaf, "minLength") or 0, values.bound(leaf, "maxLength")
    if least or most is not None:
        parts.append(f"/(.|\\n){{{least},{'' if most is None else most}}}/")
    return f"({' & '.join(parts)})" if parts else _ANY


def _pattern(pattern: str) -> list[str]:
    try:
        return [f"/{translate_whole(pattern)}/"]
    except UnsupportedPattern:  # `enforceable` has removed these
        return []


def _literal(text: str) -> str:
    return quoted(text) or "/()/"


def _either(parts: list[str]) -> str:
    return f"({' | '.join(parts)})"
