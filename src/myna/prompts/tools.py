"""How model families write tool calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

NO_PARAMETERS: Final = '{"type":"object","properties":{},"additionalProperties":false}'


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """A call is `{"name": …, <arguments>: …}`; around it stands what the family writes.

    `trigger` begins the calls and can't be the beginning of a plain answer; "" where an answer that is
    such an object is the call. `between` None: one call an answer. `is_loose`: small models of the
    family also write the bare object as their whole answer, or in a block of code (`FENCE`).
    """

    name: str
    trigger: str
    before: str = ""
    between: str | None = None
    after: str = ""
    arguments: str = "arguments"
    is_loose: bool = False


FENCE: Final = "```json"
RAW_HEAD: Final = '{"input": "'  # what follows a grammar is no JSON any more, and goes on to the answer's end
TAGGED: Final = ToolFormat(
    "tagged", "<tool_call>", "\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>", is_loose=True
)
LISTED: Final = ToolFormat("listed", "[TOOL_CALLS]", "[", ", ", "]")
NAMED_PARAMETERS: Final = ToolFormat("parameters", "", arguments="parameters")
BARE: Final = ToolFormat("bare", "")
FORMATS: Final[Mapping[str, ToolFormat]] = MappingProxyType(
    {form.name: form for form in (TAGGED, LISTED, NAMED_PARAMETERS, BARE)}
)

# What the chat template of a family that writes calls so says somewhere; the first found counts.
_SIGNS: Final = (
    ("<tool_call>", TAGGED),
    ("[TOOL_CALLS]", LISTED),
    ("<|python_tag|>", NAMED_PARAMETERS),
    ('"parameters": dictionary of argument', NAMED_PARAMETERS),
)


def find_format(template_source: str) -> ToolFormat:
    """The format that a chat template speaks of; plain JSON if it knows none."""
    return next((found for sign, found in _SIGNS if sign in template_source), BARE)
