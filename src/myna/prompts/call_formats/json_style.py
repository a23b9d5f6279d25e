"""Arguments as a JSON object, exactly as the model writes it."""

import json
from typing import Any, Final

from myna.core.conversation import ToolSpec
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.closed_schema import closed
from myna.prompts.tools import NO_PARAMETERS

# One space or one indented line between tokens: otherwise small models may write white space endlessly.
WHITE_SPACE: Final = "[ ]?|\\n[ ]{0,40}"
JSON_OPTIONS: Final = {"whitespace_pattern": WHITE_SPACE, "lenient": True}


class JsonStyle:
    """An `ArgumentStyle`."""

    openings = ("{",)
    literals: tuple[str, ...] = ()
    raw_head = '{"input": "'

    def write(self, arguments: str) -> str:
        return arguments or "{}"

    def rules(self, name: str, tool: GrammarTool) -> str:
        return f"{name}: {json_rule(parameters_of(tool))}\n"

    def reader(self, tool: ToolSpec) -> "ObjectReader":
        return ObjectReader()


class ObjectReader:
    """Passes on a JSON object and finds its end."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._is_escaped = False

    def feed(self, text: str) -> tuple[str, str | None]:
        end = self._find_end(text)
        return text[:end], None if end is None else text[end:]

    def _find_end(self, text: str) -> int | None:
        for i, char in enumerate(text):
            if self._in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif char == "\\":
                    self._is_escaped = True
                elif char == '"':
                    self._in_string = False
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return i + 1
        return None


def json_rule(schema: dict[str, Any]) -> str:
    """JSON of the schema, as the right side of a Lark rule."""
    return "%json " + json.dumps({**schema, "x-guidance": JSON_OPTIONS}, ensure_ascii=False)


def parameters_of(tool: GrammarTool) -> dict[str, Any]:
    """The schema of a call's arguments; a function without parameters takes none."""
    schema: dict[str, Any] = closed(json.loads(tool.parameters or NO_PARAMETERS))
    if schema.keys() <= {"type", "properties", "title", "description"} and not schema.get("properties", True):
        return {**schema, "additionalProperties": False}
    return schema


def moved(schema: Any, place: str) -> Any:
    """The schema with its internal references adjusted for embedding it at `place` in another."""
    if isinstance(schema, list):
        return [moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: moved(value, place) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        out["$ref"] = f"#{place}{reference[1:]}"
    return out


def any_of(schemas: list[dict[str, Any]]) -> str:
    """JSON of one of the schemas, as the right side of a Lark rule."""
    return json_rule({"anyOf": [moved(schema, f"/anyOf/{i}") for i, schema in enumerate(schemas)]})
