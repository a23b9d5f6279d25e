"""Conversations of placeholders, to find out what a template does with one: the same turns, but each text is
a placeholder, a word that occurs only once.

The placeholders in the rendered text are compared with those of the conversation: whether each shows exactly
once and in order.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from myna.core.conversation import Message, TextPart, ToolCall, ToolSpec
from myna.prompts.conversation import INSTRUCTIONS, map_json, parsed_arguments

_PLACEHOLDER: Final = re.compile(r"ndl(\d{6,})x")
# A dict as Python writes it: the template expects a text there.
_PYTHON: Final = re.compile(r"\{'(?:ndl\d+x'|type': 'text')")


@dataclass(frozen=True, slots=True)
class PlaceholderConversation:
    """`places` are the messages' indices by placeholder. A template may leave out or move `thoughts`, repeat
    `labels`, the names of calls and keys of arguments (in an end tag, in the name of a result), and repeat
    what was `declared`, the tools."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    places: dict[int, int]
    thoughts: frozenset[int]
    labels: frozenset[int]
    declared: frozenset[int]


@dataclass(frozen=True, slots=True)
class RenderedPlaceholders:
    """What a template shows of the placeholders. `lost` are those that it leaves out, `repeated` those that
    it shows more than once."""

    lost: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    is_ordered: bool = True
    is_python: bool = False

    @property
    def is_complete(self) -> bool:
        return not self.lost and not self.repeated and not self.is_python


def with_placeholders(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> PlaceholderConversation:
    """With a placeholder for each text: equal for conversations that differ only in their words."""
    return _PlaceholderWriter().write(messages, tools)


def compare(text: str, messages: Sequence[Message], marked: PlaceholderConversation) -> RenderedPlaceholders:
    """What `text`, rendered from `messages`, shows; `messages` are those of `marked`, or rewritten ones."""
    found = _placeholders_in(text)
    present = set(found)
    counts = Counter(
        placeholder for placeholder in found if placeholder not in marked.labels | marked.declared
    )
    shown = [placeholder for placeholder in dict.fromkeys(found) if placeholder not in marked.declared]
    expected = list[int]()
    mobile = set(marked.declared | marked.thoughts)
    for message in messages:
        placeholders = _placeholders_of(message)
        expected += placeholders
        if message.role in INSTRUCTIONS:  # where the template puts them
            mobile.update(placeholders)
    lost = (marked.declared.union(expected) - marked.thoughts) - present
    fixed = [n for n in expected if n in present and n not in mobile]
    return RenderedPlaceholders(
        lost=tuple(sorted(lost)),
        repeated=tuple(sorted(n for n, count in counts.items() if count > 1)),
        is_ordered=[n for n in shown if n not in mobile] == fixed,
        is_python=_PYTHON.search(text) is not None,
    )


def _placeholders_of(message: Message) -> list[int]:
    texts = [message.reasoning or "", message.text]
    for call in message.tool_calls:
        texts += [call.name, call.arguments]
    return [placeholder for text in texts for placeholder in _placeholders_in(text)]


def _placeholders_in(text: str) -> list[int]:
    return [int(number) for number in _PLACEHOLDER.findall(text)]


class _PlaceholderWriter:
    def __init__(self) -> None:
        self._next = 0
        self._places: dict[int, int] = {}
        self._thoughts: set[int] = set()
        self._labels: set[int] = set()
        self._declared: set[int] = set()

    def write(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> PlaceholderConversation:
        declared = tuple(self._tool(tool) for tool in tools)
        self._declared.update(range(self._next))
        return PlaceholderConversation(
            tuple(self._message(message, i) for i, message in enumerate(messages)),
            declared,
            self._places,
            frozenset(self._thoughts),
            frozenset(self._labels),
            frozenset(self._declared),
        )

    def _placeholder(self, text: str, place: int | None = None) -> str:
        """Blank texts remain: templates treat them differently."""
        if not text.strip():
            return text
        if place is not None:
            self._places[self._next] = place
        self._next += 1
        return f"ndl{self._next - 1:06}x"

    def _label(self, text: str, place: int) -> str:
        first = self._next
        label = self._placeholder(text, place)
        self._labels.update(range(first, self._next))
        return label

    def _tool(self, tool: ToolSpec) -> ToolSpec:
        return msgspec.structs.replace(
            tool, name=self._placeholder(tool.name), description=self._placeholder(tool.description)
        )

    def _message(self, message: Message, place: int) -> Message:
        first = self._next
        reasoning = None if message.reasoning is None else self._placeholder(message.reasoning, place)
        self._thoughts.update(range(first, self._next))
        return msgspec.structs.replace(
            message,
            reasoning=reasoning,
            content=tuple(TextPart(self._placeholder(part.text, place)) for part in message.content),
            tool_calls=tuple(self._call(call, place) for call in message.tool_calls),
        )

    def _call(self, call: ToolCall, place: int) -> ToolCall:
        name, arguments = self._label(call.name, place), parsed_arguments(call)
        if arguments is None or not call.arguments:
            return ToolCall(call.id, name, self._placeholder(call.arguments, place))
        marked = map_json(
            arguments, lambda text: self._placeholder(text, place), lambda text: self._label(text, place)
        )
        return ToolCall(call.id, name, json.dumps(marked))
