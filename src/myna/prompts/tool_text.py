"""Tools for models whose template doesn't support them: writes tools and calls into the conversation as
text."""

import json
from collections.abc import Sequence

from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.prompts.call_formats.base import CallFormat
from myna.prompts.template_probe import TemplateFeatures
from myna.prompts.tools import NO_PARAMETERS

_PREAMBLE = (
    "You can call these functions, one JSON object a line:\n{tools}\n"
    "To call one, answer with nothing but {call}. "
    "Where no function helps, answer in words."
)
_EXAMPLE = ToolCall("call00001", "its_name", '{"an_argument": "its value"}')


def spell_out(
    messages: Sequence[Message], tools: Sequence[ToolSpec], features: TemplateFeatures, form: CallFormat
) -> tuple[Sequence[Message], Sequence[ToolSpec]]:
    """The conversation and tools in a form that the template supports."""
    has_calls = any(message.tool_calls for message in messages)
    has_results = any(message.role == "tool" for message in messages)
    knows_all = (
        (features.has_tools or not tools)
        and (features.has_tool_calls or not has_calls)
        and (features.has_tool_messages or not has_results)
    )
    if knows_all:
        return messages, tools
    spelled = [_spelled(message, features, form) for message in messages]
    if tools and not features.has_tools:
        listed = "\n".join(_line(tool) for tool in tools)
        return [
            Message.of("system", _PREAMBLE.format(tools=listed, call=form.write([_EXAMPLE]))),
            *spelled,
        ], ()
    return spelled, tools


def _line(tool: ToolSpec) -> str:
    parameters = json.loads(tool.parameters or NO_PARAMETERS)
    spec = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return json.dumps(spec, ensure_ascii=False)


def _spelled(message: Message, features: TemplateFeatures, form: CallFormat) -> Message:
    if message.tool_calls and not features.has_tool_calls:
        parts = [*([message.text] if message.text else []), form.write(message.tool_calls)]
        return Message.of("assistant", "\n".join(parts))
    if message.role == "tool" and not features.has_tool_messages:
        return Message.of("user", f"The function's result: {message.text}")
    return message
