"""Says which parts of a request's schemas aren't enforced, for a response header. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Final

from myna.core.constraints import Constraint, JsonSchema, Origin, ToolCalls
from myna.prompts.enforceable_schema import MAX_SCHEMA_CHARS, enforceable

_MAX_LISTED: Final = 4
_MAX_PLACE_CHARS: Final = 120
# Most schemas have none of the keywords that can't always be enforced; they needn't be parsed.
_SUSPICIOUS: Final = re.compile(
    r'"(pattern|format|not|if|uniqueItems|contains|propertyNames|depend|unevaluated|\$dynamic|\$recursive|'
    r"minProp|maxProp|oneOf)"
)


def unenforced_hint(constraint: Constraint | None) -> str:
    """Which keywords of the constraint's schemas are left to the model, where and why; empty if none are.
    Reads schemas, which is slow: call it in a thread."""
    found = [text for schema, origin in _loose_schemas(constraint) for text in _unenforced(schema, origin)]
    if not found:
        return ""
    listed = "; ".join(found[:_MAX_LISTED])
    others = f"; and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
    return f"Not enforced: {listed}{others}"


def _loose_schemas(constraint: Constraint | None) -> Iterator[tuple[str, Origin]]:
    """The schemas that aren't strict; strict ones are enforced completely or rejected."""
    match constraint:
        case JsonSchema(is_strict=False):
            yield constraint.schema, constraint.origin
        case ToolCalls():
            yield from ((tool.parameters, tool.origin) for tool in constraint.tools if not tool.is_strict)
            yield from _loose_schemas(constraint.answer)


def _unenforced(schema: str, origin: Origin) -> Iterator[str]:
    if len(schema) > MAX_SCHEMA_CHARS or not _SUSPICIOUS.search(schema):
        return
    _, unenforced = enforceable(json.loads(schema))
    for fault in unenforced:
        place = ".".join((origin.param or "", *fault.path))
        yield f"'{fault.keyword}' at {place[:_MAX_PLACE_CHARS]} ({fault.reason})"
