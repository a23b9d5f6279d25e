"""Adapts a conversation to what a model's template supports, and converts it to the template's variables.

Owns the shapes that templates expect (HuggingFace's); every text from the client passes through `wrap`.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from myna.core.conversation import Message, TextPart, ToolCall, ToolSpec
from myna.core.errors import InvalidRequest
from myna.core.translatable import N_
from myna.prompts.template_probe import TemplateFeatures

Wrap = Callable[[str], str]
_INSTRUCTIONS = ("system", "developer")
_BETWEEN = "\n\n"


def fit(messages: Sequence[Message], features: TemplateFeatures) -> list[Message]:
    """The conversation in the roles that the template supports: developer becomes system; initial
    instructions are merged into one message, later ones too if the template doesn't support them; without a
    system role, they are prepended to the first user message."""
    if features.has_developer:
        return list(messages)
    renamed = [_with(m, role="system") if m.role == "developer" else m for m in messages]
    lead = next((i for i, m in enumerate(renamed) if m.role != "system"), len(renamed))
    early, rest = renamed[:lead], renamed[lead:]
    if not (features.has_system and features.has_late_system):
        early += [m for m in rest if m.role == "system"]
        rest = [m for m in rest if m.role != "system"]
    instructions = _BETWEEN.join(m.text for m in early if m.text)
    if not early:
        return rest
    if features.has_system:
        return [_with(early[0], content=instructions), *rest]
    return _fold(instructions, rest)


def _fold(instructions: str, rest: list[Message]) -> list[Message]:
    for i, message in enumerate(rest):
        if message.role == "user":
            text = _BETWEEN.join(part for part in (instructions, message.text) if part)
            return [*rest[:i], _with(message, content=text), *rest[i + 1 :]]
    return [Message.of("user", instructions), *rest]


def _with(message: Message, *, role: str | None = None, content: str | None = None) -> Message:
    return Message(
        role=role or message.role,
        content=message.content if content is None else (TextPart(content),),
        name=message.name,
        tool_calls=message.tool_calls,
        tool_call_id=message.tool_call_id,
        reasoning=message.reasoning,
    )


def client_texts(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[str]:
    """All texts from the client that a template may output."""
    texts: list[str] = []
    for m in messages:
        texts += [m.text, m.name or "", m.tool_call_id or "", m.reasoning or ""]
        for call in m.tool_calls:
            texts += [call.id, call.name, call.arguments]
    for tool in tools:
        texts += [tool.name, tool.description, tool.parameters]
    # JSON may hide a character in an escape that only parsing reveals.
    return [*texts, *(_unescaped(text) for text in texts if "\\u" in text)]


def message_values(message: Message, features: TemplateFeatures, wrap: Wrap) -> dict[str, object]:
    values: dict[str, object] = {"role": message.role, "content": wrap(message.text)}
    if message.name is not None:
        values["name"] = wrap(message.name)
    if message.tool_call_id is not None:
        values["tool_call_id"] = wrap(message.tool_call_id)
    if message.reasoning is not None:
        values["reasoning_content"] = wrap(message.reasoning)
    if message.tool_calls:
        values["tool_calls"] = [_call_values(call, features, wrap) for call in message.tool_calls]
    return values


def tool_values(tool: ToolSpec, wrap: Wrap) -> dict[str, object]:
    parameters = _json(tool.parameters, f"the parameters of the function {tool.name!r}")
    function = {
        "name": wrap(tool.name),
        "description": wrap(tool.description),
        "parameters": _deep(parameters, wrap),
    }
    return {"type": "function", "function": function}


def _call_values(call: ToolCall, features: TemplateFeatures, wrap: Wrap) -> dict[str, object]:
    arguments: object = wrap(call.arguments)
    if features.arguments == "object":
        try:
            parsed = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            parsed = None  # invalid JSON, as models sometimes write: passed on as text
        if isinstance(parsed, dict):
            arguments = _deep(parsed, wrap)
    function = {"name": wrap(call.name), "arguments": arguments}
    return {"id": wrap(call.id), "type": "function", "function": function}


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text or '{"type": "object", "properties": {}}')
    except (ValueError, RecursionError):
        raise InvalidRequest(N_("The JSON of {what} can't be parsed.", what=what), param="tools") from None


def _deep(value: object, wrap: Wrap, depth: int = 0) -> object:
    if depth > 200:
        raise InvalidRequest(N_("A JSON value is too deeply nested."), param="tools")
    if isinstance(value, str):
        return wrap(value)
    if isinstance(value, dict):
        return {wrap(str(key)): _deep(item, wrap, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_deep(item, wrap, depth + 1) for item in value]
    return value


def _unescaped(text: str) -> str:
    return "".join(chr(int(code, 16)) for code in re.findall(r"\\u([0-9a-fA-F]{4})", text))
