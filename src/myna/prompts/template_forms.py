"""Finds the form in which a chat template takes each value, by rendering conversations of
placeholders in every form. Runs the template, so only `render_process` may use it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Final

import msgspec

from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.prompts.conversation import Content, NoTools, TemplateForms, ToolsName, chat_variables
from myna.prompts.placeholders import PlaceholderConversation, compare, with_placeholders

# Renders the variables of a conversation; None if the template fails.
Write = Callable[[Mapping[str, object]], str | None]

_USER: Final = Message.of("user", "q")
_ANSWER: Final = Message.of("assistant", "a")
_CALL: Final = Message.of("assistant", None, tool_calls=(ToolCall("call_" + "x" * 24, "f", '{"k": "v"}'),))
_RESULT: Final = Message.of("tool", "r", tool_call_id="call_" + "x" * 24)
_PARAMETERS: Final = (
    '{"type": "object", "properties": {"k": {"type": "string", "description": "e"}}, "required": ["k"]}'
)
_TOOLS: Final = (ToolSpec("f", "d", _PARAMETERS),)
_UNDESCRIBED: Final = (ToolSpec("f", "d", '{"type": "object", "properties": {"k": {"type": "string"}}}'),)
# Which thoughts a template keeps depends on what follows.
_THOUGHTS: Final = (
    (_USER, msgspec.structs.replace(_CALL, reasoning="t"), _RESULT),
    (_USER, msgspec.structs.replace(_ANSWER, reasoning="t"), _USER),
)


def find_basic_forms(write: Write) -> TemplateForms | None:
    """The forms of a simple message; None if the template doesn't show its text in any."""
    contents: tuple[Content, ...] = ("text", "parts")
    no_tools_forms: tuple[NoTools, ...] = ("none", "undefined")
    marked = with_placeholders([_USER])
    for has_functions, no_tools, content in product((False, True), no_tools_forms, contents):
        forms = TemplateForms(content=content, no_tools=no_tools, has_functions=has_functions)
        if _shows(write, marked, forms):
            return forms
    return None


def find_call_forms(write: Write, basic: TemplateForms, *, has_tools: bool) -> TemplateForms | None:
    """The forms of calls and their results; None if the template doesn't show calls in any."""
    whole = with_placeholders([_USER, _CALL, _RESULT, _ANSWER, _USER], _TOOLS if has_tools else ())
    for marked in (whole, with_placeholders([_USER, _CALL, _RESULT]), with_placeholders([_USER, _CALL])):
        for forms in _call_forms(basic):
            if _shows(write, marked, forms):
                return forms
    return None


def find_thought_key(write: Write, forms: TemplateForms) -> TemplateForms:
    """The forms with the key under which the template shows thoughts."""
    for messages, key in product(_THOUGHTS, ("reasoning_content", "reasoning", "thinking")):
        marked, found = with_placeholders(messages), msgspec.structs.replace(forms, thought=key)
        text = _rendered(write, marked, found)
        if text is not None and not compare(text, marked.messages, _strict(marked)).lost:
            return found
    return forms


def find_tools_name(write: Write, forms: TemplateForms) -> TemplateForms | None:
    """The forms with the variable in which the template takes tools; None if it doesn't show them."""
    names: tuple[ToolsName, ...] = ("tools", "xml_tools")
    for name in names:
        found = msgspec.structs.replace(forms, tools_name=name)
        if _shows(write, with_placeholders([_USER], _TOOLS), found):
            return found
    return None


def find_tool_forms(write: Write, forms: TemplateForms) -> TemplateForms:
    """The forms with that of declared tools: a few templates fail on a parameter without a description."""
    described = msgspec.structs.replace(forms, describes_parameters=True)
    marked = with_placeholders([_USER], _UNDESCRIBED)
    fails = _rendered(write, marked, forms) is None
    return described if fails and _rendered(write, marked, described) is not None else forms


def _call_forms(basic: TemplateForms) -> Iterator[TemplateForms]:
    for ids, named, no_content, arguments in product(
        ("any", "short"), (False, True), ("text", "null"), ("object", "text")
    ):
        yield msgspec.structs.replace(
            basic, ids=ids, names_results=named, no_content=no_content, arguments=arguments
        )


def _strict(marked: PlaceholderConversation) -> PlaceholderConversation:
    """Where thoughts count, too."""
    return replace(marked, thoughts=frozenset())


def _shows(write: Write, marked: PlaceholderConversation, forms: TemplateForms) -> bool:
    text = _rendered(write, marked, forms)
    if text is None:
        return False
    shown = compare(text, marked.messages, marked)
    return shown.is_complete and shown.is_ordered


def _rendered(write: Write, marked: PlaceholderConversation, forms: TemplateForms) -> str | None:
    return write(chat_variables(marked.messages, marked.tools, forms))
