"""What a chat template itself makes of a conversation: rendered with plain jinja2 as transformers configures
it, from the forms in which templates may take the same values."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import product
from typing import Any

import jinja2.ext
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tests.prompts.conversations import Conversation

from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.prompts.conversation import short_id

BOS, EOS = "<s>", "</s>"
THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking")
WORD = re.compile(r"word\d\d")
# A dict as Python writes it; some templates declare tools, whose words begin with 9, like that.
_REPR = re.compile(r"\{'(word[0-8]\d'|type': 'text')")


class OwnTemplate:
    """A template as its authors run it."""

    def __init__(self, source: str) -> None:
        environment = _Environment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
        self._template = environment.from_string(source)
        self._knows_developer = "developer" in source
        self._has_functions = "+ functions" in source
        greeting = Conversation((Message.of("user", "word10"),))
        # Of the variable `tools` without any: a few templates fail on None.
        self._no_tools: dict[str, Any] = {"tools": None}
        self._has_parts, self._thought = False, ""
        for self._no_tools, self._has_parts in product(({"tools": None}, {}), (False, True)):
            if next(self.renderings(greeting), None) is not None:
                break
        else:
            raise AssertionError("The template doesn't show a simple message.")
        self._thought = next((key for key in THOUGHT_KEYS if self._shows_thoughts(key)), "")

    def _shows_thoughts(self, key: str) -> bool:
        self._thought = key
        called = ToolCall("call_1", "word20", "{}")
        thinking = Message.of("assistant", None, tool_calls=(called,), reasoning="word31")
        asked, result = Message.of("user", "word10"), Message.of("tool", "word30", tool_call_id="call_1")
        ended = Message.of("assistant", "word11", reasoning="word31")
        turns = ((asked, thinking, result), (asked, ended))
        return any("word31" in text for turn in turns for text in self.renderings(Conversation(turn)))

    def renderings(
        self, conversation: Conversation, *, moving: frozenset[str] = frozenset()
    ) -> Iterator[str]:
        """The texts in which everything shows, from each form of the same values; the most usual first. For
        `moving` see `shows_all`."""
        if not self._knows_developer and any(m.role == "developer" for m in conversation.messages):
            return
        for variables in _forms(conversation, self._thought, has_parts=self._has_parts):
            if self._has_functions:
                functions = [tool["function"] for tool in variables.get("tools") or ()]
                variables["functions"] = json.dumps(functions, ensure_ascii=False, indent=4)
                variables["datetime"] = _now("%Y-%m-%d")
            try:
                text = self._template.render(
                    self._no_tools | variables, bos_token=BOS, eos_token=EOS, add_generation_prompt=True
                )
            except (jinja2.TemplateError, TypeError, AttributeError, LookupError, ValueError):
                continue
            if shows_all(text, conversation, moving=moving) and not _REPR.search(text):
                yield text


def shows_all(text: str, conversation: Conversation, *, moving: frozenset[str] = frozenset()) -> bool:
    """Whether each word of the conversation shows exactly once, and in order except those of `moving` roles.

    Names of calls and keys of arguments may be repeated, in an end tag or in the name of a result. Thoughts
    may be left out, and be in another place."""
    thoughts, labels = list[str](), set[str]()
    expected, unordered = list[str](), set[str]()
    for message in conversation.messages:
        thoughts += WORD.findall(message.reasoning or "")
        words = WORD.findall(message.text)
        for call in message.tool_calls:
            labels.update(WORD.findall(call.name), re.findall(r'(word\d\d)"\s*:', call.arguments))
            words += WORD.findall(f"{call.name} {call.arguments}")
        expected += words
        unordered.update(words if message.role in moving else ())
    found = WORD.findall(text)
    declared = {tool.name for tool in conversation.tools}
    if any(found.count(word) > 1 for word in thoughts) or not declared <= set(found):
        return False
    shown = [word for word in found if word not in thoughts and not word.startswith("word9")]
    once = [word for i, word in enumerate(shown) if word not in labels or word not in shown[:i]]
    ordered = [word for word in once if word not in unordered]
    return ordered == [word for word in expected if word not in unordered] and sorted(once) == sorted(
        expected
    )


def _forms(conversation: Conversation, thought: str, *, has_parts: bool) -> Iterator[dict[str, Any]]:
    messages = conversation.messages
    has_calls = any(m.tool_calls for m in messages)
    for short, named, no_content, arguments in product(
        (False, True) if has_calls else (False,),
        (False, True) if has_calls else (False,),
        ("", None) if has_calls else ("",),
        (json.loads, str) if has_calls else (str,),
    ):
        identify: Callable[[str], str] = short_id if short else str
        functions = {call.id: call.name for m in messages for call in m.tool_calls} if named else {}
        values = list[dict[str, Any]]()
        for m in messages:
            content: object = m.text
            if has_parts:
                content = [{"type": "text", "text": part.text} for part in m.content]
            if not m.text and m.tool_calls and no_content is None:
                content = None
            value = {"role": m.role, "content": content}
            if name := m.name or functions.get(m.tool_call_id or ""):
                value["name"] = name
            if m.reasoning and thought:
                value[thought] = m.reasoning
            if m.tool_call_id:
                value["tool_call_id"] = identify(m.tool_call_id)
            if m.tool_calls:
                value["tool_calls"] = [
                    {
                        "id": identify(call.id),
                        "type": "function",
                        "function": {"name": call.name, "arguments": arguments(call.arguments)},
                    }
                    for call in m.tool_calls
                ]
            values.append(value)
        variables: dict[str, Any] = {"messages": values}
        if conversation.tools:
            variables["tools"] = [_tool(tool) for tool in conversation.tools]
        yield variables


def _tool(tool: ToolSpec) -> dict[str, Any]:
    parameters = json.loads(tool.parameters)
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


class _Environment(ImmutableSandboxedEnvironment):
    """Some authors' own programs allow templates to change their lists."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return isinstance(obj, list) or super().is_safe_attribute(obj, attr, value)


class _Generation(Extension):
    """`{% generation %}`, which marks the assistant's turns for training."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    value = list(value) if isinstance(value, Iterator) else value  # as in llama.cpp
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
