"""Tools for models whose template doesn't support them: writes tools, calls and results as text."""

import json
from collections.abc import Sequence

import msgspec

from myna.core.conversation import Message, TextPart, ToolCall, ToolSpec
from myna.prompts.call_formats.base import CallFormat
from myna.prompts.call_formats.table import BARE
from myna.prompts.conversation import parsed_arguments
from myna.prompts.tools import NO_PARAMETERS

_PREAMBLE = (
    "You can call these functions, one JSON object a line:\n{tools}\n"
    "To call one, answer with nothing but {call}. "
    "Where no function helps, answer in words."
)
_EXAMPLE = ToolCall("call00001", "its_name", '{"an_argument": "its value"}')


def tools_as_text(tools: Sequence[ToolSpec], form: CallFormat) -> str:
    """The instruction that declares the tools, and how to call them."""
    listed = "\n".join(_line(tool) for tool in tools)
    return _PREAMBLE.format(tools=listed, call=form.write([_EXAMPLE]))


def _line(tool: ToolSpec) -> str:
    parameters = json.loads(tool.parameters or NO_PARAMETERS)
    spec = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return json.dumps(spec, ensure_ascii=False)


def call_as_text(message: Message, form: CallFormat) -> Message:
    """The assistant's turn with its calls as text, in the format in which they are parsed; arguments that
    aren't an object, as models sometimes write, have a place in JSON only."""
    if any(parsed_arguments(call) is None for call in message.tool_calls):
        form = BARE
    text = "\n".join([*([message.text] if message.text else []), form.write(message.tool_calls)])
    return msgspec.structs.replace(message, content=(TextPart(text),), tool_calls=())


def result_as_text(message: Message) -> Message:
    """The result as a turn of the user."""
    return Message.of("user", f"The function's result: {message.text}")
