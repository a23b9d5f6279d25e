"""Values of arguments that are written without JSON's quotes: what a schema makes of their text."""

import json
import re
from typing import Any, Final

ANY: Final = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
STRING: Final = frozenset({"string"})
_MAX_REFERENCES: Final = 8
_MAX_BOUND: Final = 1 << 31
# A string or a word of Python.
_PYTHON: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[A-Za-z_]\w*", re.DOTALL)
_CONSTANTS: Final = {"True": "true", "False": "false", "None": "null"}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r"}


def types_of(node: Any, root: dict[str, Any], depth: int = _MAX_REFERENCES) -> frozenset[str]:
    """The JSON types that a part of the schema `root` allows."""
    if not isinstance(node, dict) or depth == 0:
        return ANY
    allowed = ANY
    if isinstance(reference := node.get("$ref"), str):
        allowed &= types_of(resolved(reference, root), root, depth - 1)
    named = node.get("type")
    if isinstance(named, str | list):
        allowed &= frozenset([named] if isinstance(named, str) else map(str, named))
    values = [node["const"]] if "const" in node else node.get("enum")
    if isinstance(values, list):
        allowed &= frozenset(map(type_of, values))
    for key in ("anyOf", "oneOf"):
        if isinstance(options := node.get(key), list):
            allowed &= frozenset().union(*(types_of(option, root, depth - 1) for option in options))
    for part in node["allOf"] if isinstance(node.get("allOf"), list) else ():
        allowed &= types_of(part, root, depth - 1)
    return allowed | {"integer"} if "number" in allowed else allowed


def listed(node: dict[str, Any]) -> list[Any] | None:
    """The only values that the schema's `const` or `enum` allows; None if it has neither."""
    options = [node["const"]] if "const" in node else node.get("enum")
    if not isinstance(options, list):
        return None
    named = node.get("type")
    kinds = ANY if named is None else types_of({"type": named}, {})
    return [option for option in options if type_of(option) in kinds]


def bound(node: dict[str, Any], key: str) -> int | None:
    """The number that limits a length; None if there is none."""
    value = node.get(key)
    return int(value) if isinstance(value, int | float) and 0 <= value < _MAX_BOUND else None


def mapping(node: dict[str, Any], key: str) -> dict[str, Any]:
    """What the keyword maps names to; empty if it maps none."""
    value = node.get(key)
    return value if isinstance(value, dict) else {}


def required_names(node: dict[str, Any]) -> list[str]:
    """The properties that an object requires, each once."""
    required = node.get("required")
    names = required if isinstance(required, list) else ()
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def resolved(reference: str, root: dict[str, Any]) -> Any:
    """The part of the schema that an internal reference names; None if there is none."""
    node: Any = root if reference.startswith("#") else None
    for step in reference[2:].split("/") if len(reference) > 1 else ():
        step = step.replace("~1", "/").replace("~0", "~")
        node = node.get(step) if isinstance(node, dict) else None
    return node


def type_of(value: object) -> str:
    """The JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def to_json(text: str, types: frozenset[str]) -> str:
    """The JSON of a value that isn't quoted: of another type than string if it reads as such and that is
    allowed, otherwise of a string."""
    if types == STRING:
        return encoded(text)
    found, value = parsed(text.strip(" \t\r\n"))
    if found is None:
        return encoded(text)
    kind = type_of(value)
    is_text = types != ANY and "string" in types and (kind == "string" or kind not in types)
    return encoded(text) if is_text else found


def parsed(text: str) -> tuple[str | None, object]:
    """The JSON of a text that is JSON or a literal of Python, as some templates write them, and its value;
    None for any other text."""
    for candidate in (text, _PYTHON.sub(_token_to_json, text)):
        try:
            return candidate, json.loads(candidate, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
    return None, None


def _token_to_json(token: re.Match[str]) -> str:
    """A string or a constant of Python as JSON; any other word unchanged."""
    found = token[0]
    if found[0] not in "'\"":
        return _CONSTANTS.get(found, found)
    return encoded(_ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), found[1:-1]))


def encoded(value: object) -> str:
    """The value's JSON."""
    return json.dumps(value, ensure_ascii=False)


def object_of(arguments: str) -> dict[str, Any]:
    """The object that arguments, given as JSON text, are; empty if they aren't one."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refuse(text: str) -> None:
    raise ValueError(text)
