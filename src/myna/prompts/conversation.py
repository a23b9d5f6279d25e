"""Converts a conversation to the variables of a chat template.

Owns the shapes that templates expect (HuggingFace's).
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from myna.core.conversation import Message, TextPart, ToolCall, ToolSpec
from myna.core.errors import InvalidRequest
from myna.core.translatable import N_

Wrap = Callable[[str], str]
Content = Literal["text", "parts"]
NoTools = Literal["none", "undefined"]
ToolsName = Literal["tools", "xml_tools"]

INSTRUCTIONS: Final = ("system", "developer")
SHORT_ID_LENGTH: Final = 9  # Mistral's
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MAX_DEPTH: Final = 200


class TemplateForms(msgspec.Struct, frozen=True):
    """The form in which a template takes each value, where families differ.

    `content`: a text, or a list of typed parts. `no_content`: of a turn that only has calls. `arguments`: of
    earlier calls (HuggingFace's templates: an object). `ids`: as clients have them, or nine letters and
    digits. `no_tools`: the variable `tools` without any (transformers: none). `thought`: the key of an
    earlier turn's thought. `names_results`: a result carries the name of the called function.
    `tools_name`: the variable with the tools; in any but `tools` they are plain functions. `has_functions`:
    the tools are also passed as `functions`, a JSON text, together with `datetime`.
    `describes_parameters`: each parameter of a tool has a description, if only an empty one."""

    content: Content = "text"
    no_content: Literal["text", "null"] = "text"
    arguments: Literal["object", "text"] = "object"
    ids: Literal["any", "short"] = "any"
    no_tools: NoTools = "none"
    thought: Literal["reasoning_content", "reasoning", "thinking"] = "reasoning_content"
    names_results: bool = False
    tools_name: ToolsName = "tools"
    has_functions: bool = False
    describes_parameters: bool = False


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


def wrapped(
    messages: Sequence[Message], tools: Sequence[ToolSpec], wrap: Wrap
) -> tuple[list[Message], list[ToolSpec]]:
    """The conversation with each text passed through `wrap`, also what JSON hides in escapes."""
    return [_wrapped_message(message, wrap) for message in messages], [
        replace(
            tool,
            name=wrap(tool.name),
            description=wrap(tool.description),
            parameters=_wrapped_json(tool.parameters, wrap),
        )
        for tool in tools
    ]


def _wrapped_message(message: Message, wrap: Wrap) -> Message:
    return replace(
        message,
        content=tuple(TextPart(wrap(part.text)) for part in message.content),
        name=_wrapped_text(message.name, wrap),
        tool_calls=tuple(
            ToolCall(wrap(call.id), wrap(call.name), _wrapped_json(call.arguments, wrap))
            for call in message.tool_calls
        ),
        tool_call_id=_wrapped_text(message.tool_call_id, wrap),
        reasoning=_wrapped_text(message.reasoning, wrap),
    )


def _wrapped_text(text: str | None, wrap: Wrap) -> str | None:
    return None if text is None else wrap(text)


def _wrapped_json(text: str, wrap: Wrap) -> str:
    if "\\u" in text:
        with contextlib.suppress(ValueError, RecursionError):  # passed on as text
            text = json.dumps(map_json(json.loads(text), wrap, wrap), ensure_ascii=False)
    return wrap(text)


def chat_variables(
    messages: Sequence[Message], tools: Sequence[ToolSpec], forms: TemplateForms
) -> dict[str, object]:
    """A template's variables for the conversation."""
    called = {call.id: call.name for message in messages for call in message.tool_calls}
    declared = [_tool_values(tool, forms) for tool in tools]
    variables: dict[str, object] = {
        "messages": [_message_values(message, forms, called) for message in messages]
    }
    if declared or forms.no_tools == "none":
        variables["tools"] = declared or None
    if declared and forms.tools_name != "tools":
        variables[forms.tools_name] = [tool["function"] for tool in declared]
    if forms.has_functions:
        functions = [tool["function"] for tool in declared]
        variables["functions"] = json.dumps(functions, ensure_ascii=False, indent=4)
        variables["datetime"] = datetime.now().astimezone().strftime("%Y-%m-%d")
    return variables


def check_tools(tools: Sequence[ToolSpec]) -> None:
    """Raises `InvalidRequest` for parameters that are not JSON."""
    for tool in tools:
        _tool_values(tool, TemplateForms())


def _message_values(message: Message, forms: TemplateForms, called: dict[str, str]) -> dict[str, object]:
    values: dict[str, object] = {"role": message.role, "content": _content(message, forms)}
    name = message.name
    if name is None and message.role == "tool" and forms.names_results:
        name = called.get(message.tool_call_id or "")
    if name is not None:
        values["name"] = name
    if message.tool_call_id is not None:
        values["tool_call_id"] = _id(message.tool_call_id, forms)
    if message.reasoning is not None:
        values[forms.thought] = message.reasoning
    if message.tool_calls:
        values["tool_calls"] = [_call_values(call, forms) for call in message.tool_calls]
    return values


def _content(message: Message, forms: TemplateForms) -> object:
    if not message.text and message.tool_calls and forms.no_content == "null":
        return None
    if forms.content == "parts":
        return [{"type": "text", "text": part.text} for part in message.content]
    return message.text


def _tool_values(tool: ToolSpec, forms: TemplateForms) -> dict[str, object]:
    parameters = _plain(_json(tool.parameters, f"the parameters of the function {tool.name!r}"))
    if forms.describes_parameters:
        parameters = _described(parameters)
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _described(schema: object) -> object:
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return schema
    properties = {
        name: {"description": "", **value} if isinstance(value, dict) else value
        for name, value in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _call_values(call: ToolCall, forms: TemplateForms) -> dict[str, object]:
    arguments: object = call.arguments
    if forms.arguments == "object":
        parsed = parsed_arguments(call)
        if parsed is not None:
            arguments = _plain(parsed)
    function = {"name": call.name, "arguments": arguments}
    return {"id": _id(call.id, forms), "type": "function", "function": function}


def _plain(value: object) -> object:
    """Raises `InvalidRequest` if it is too deeply nested."""
    return map_json(value, str, str)


def parsed_arguments(call: ToolCall) -> dict[str, Any] | None:
    """None if they aren't a JSON object, as models sometimes write: those are passed on as text."""
    try:
        parsed = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _id(id: str, forms: TemplateForms) -> str:
    return short_id(id) if forms.ids == "short" else id


def short_id(id: str) -> str:
    """The id as Mistral's templates take it: nine letters and digits, the same for a call and its result."""
    if len(id) == SHORT_ID_LENGTH and id.isascii() and id.isalnum():
        return id
    number = int.from_bytes(hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest())
    return "".join(_DIGITS[number // 62**i % 62] for i in range(SHORT_ID_LENGTH))


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text or '{"type": "object", "properties": {}}')
    except (ValueError, RecursionError):
        raise InvalidRequest(N_("The JSON of {what} can't be parsed.", what=what), param="tools") from None


def map_json(value: object, text: Wrap, key: Wrap, depth: int = 0) -> object:
    """The value with each text and each key replaced. Raises `InvalidRequest` if it is too deeply nested."""
    if depth > _MAX_DEPTH:
        raise InvalidRequest(N_("A JSON value is too deeply nested."), param="tools")
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {key(str(name)): map_json(item, text, key, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [map_json(item, text, key, depth + 1) for item in value]
    return value


def _unescaped(text: str) -> str:
    return "".join(chr(int(code, 16)) for code in re.findall(r"\\u([0-9a-fA-F]{4})", text))
