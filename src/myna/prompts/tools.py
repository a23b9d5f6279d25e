"""The tool-call formats of model families."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from myna.core.renderer import ToolFormat

NO_PARAMETERS: Final = '{"type":"object","properties":{},"additionalProperties":false}'


FENCE: Final = "```json"
RAW_HEAD: Final = '{"input": "'  # an input that follows a grammar is not JSON and extends to the answer's end
TAGGED: Final = ToolFormat(
    "tagged", "<tool_call>", "\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>", is_loose=True
)
LISTED: Final = ToolFormat("listed", "[TOOL_CALLS]", "[", ", ", "]")
NAMED_PARAMETERS: Final = ToolFormat("parameters", "", arguments="parameters")
BARE: Final = ToolFormat("bare", "")
FORMATS: Final[Mapping[str, ToolFormat]] = MappingProxyType(
    {form.name: form for form in (TAGGED, LISTED, NAMED_PARAMETERS, BARE)}
)

# Texts that identify the format in a family's chat template; the first match counts.
_SIGNS: Final = (
    ("<tool_call>", TAGGED),
    ("[TOOL_CALLS]", LISTED),
    ("<|python_tag|>", NAMED_PARAMETERS),
    ('"parameters": dictionary of argument', NAMED_PARAMETERS),
)


def find_format(template_source: str) -> ToolFormat:
    """The tool-call format of a chat template; plain JSON if it has none."""
    return next((found for sign, found in _SIGNS if sign in template_source), BARE)
