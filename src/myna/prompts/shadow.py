"""Shadows of conversations, to find out what a template does with one: the same turns, but each text is a
needle, a word that occurs only once.

The needles in a rendered shadow are compared with those of the conversation: whether each shows exactly once
and in order.
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

_NEEDLE: Final = re.compile(r"ndl(\d{6,})x")
# A dict as Python writes it: the template expects a text there.
_PYTHON: Final = re.compile(r"\{'(?:ndl\d+x'|type': 'text')")


@dataclass(frozen=True, slots=True)
class Shadow:
    """`places` are the messages' indices by needle. A template may leave out or move `thoughts`, repeat
    `labels`, the names of calls and keys of arguments (in an end tag, in the name of a result), and repeat
    what was `declared`, the tools."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    places: dict[int, int]
    thoughts: frozenset[int]
    labels: frozenset[int]
    declared: frozenset[int]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a template makes of a shadow. `lost` are needles that it leaves out, `repeated` those that it
    shows more than once."""

    lost: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    is_ordered: bool = True
    is_python: bool = False

    @property
    def is_complete(self) -> bool:
        return not self.lost and not self.repeated and not self.is_python


def cast(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> Shadow:
    """The conversation's shadow: equal for conversations that differ only in their words."""
    return _Caster().cast(messages, tools)


def compare(text: str, messages: Sequence[Message], shadow: Shadow) -> Shown:
    """What `text`, rendered from `messages`, shows: the shadow's own messages, or rewritten ones."""
    found = _needles(text)
    present = set(found)
    counts = Counter(needle for needle in found if needle not in shadow.labels | shadow.declared)
    shown = [needle for needle in dict.fromkeys(found) if needle not in shadow.declared]
    expected = list[int]()
    mobile = set(shadow.declared | shadow.thoughts)
    for message in messages:
        needles = _needles_of(message)
        expected += needles
        if message.role in INSTRUCTIONS:  # where the template puts them
            mobile.update(needles)
    lost = (shadow.declared.union(expected) - shadow.thoughts) - present
    fixed = [n for n in expected if n in present and n not in mobile]
    return Shown(
        lost=tuple(sorted(lost)),
        repeated=tuple(sorted(n for n, count in counts.items() if count > 1)),
        is_ordered=[n for n in shown if n not in mobile] == fixed,
        is_python=_PYTHON.search(text) is not None,
    )


def _needles_of(message: Message) -> list[int]:
    texts = [message.reasoning or "", message.text]
    for call in message.tool_calls:
        texts += [call.name, call.arguments]
    return [needle for text in texts for needle in _needles(text)]


def _needles(text: str) -> list[int]:
    return [int(number) for number in _NEEDLE.findall(text)]


class _Caster:
    def __init__(self) -> None:
        self._next = 0
        self._places: dict[int, int] = {}
        self._thoughts: set[int] = set()
        self._labels: set[int] = set()
        self._declared: set[int] = set()

    def cast(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Shadow:
        declared = tuple(self._tool(tool) for tool in tools)
        self._declared.update(range(self._next))
        return Shadow(
            tuple(self._message(message, i) for i, message in enumerate(messages)),
            declared,
            self._places,
            frozenset(self._thoughts),
            frozenset(self._labels),
            frozenset(self._declared),
        )

    def _needle(self, text: str, place: int | None = None) -> str:
        """Blank texts remain: templates treat them differently."""
        if not text.strip():
            return text
        if place is not None:
            self._places[self._next] = place
        self._next += 1
        return f"ndl{self._next - 1:06}x"

    def _label(self, text: str, place: int) -> str:
        first = self._next
        label = self._needle(text, place)
        self._labels.update(range(first, self._next))
        return label

    def _tool(self, tool: ToolSpec) -> ToolSpec:
        return msgspec.structs.replace(
            tool, name=self._needle(tool.name), description=self._needle(tool.description)
        )

    def _message(self, message: Message, place: int) -> Message:
        first = self._next
        reasoning = None if message.reasoning is None else self._needle(message.reasoning, place)
        self._thoughts.update(range(first, self._next))
        return msgspec.structs.replace(
            message,
            reasoning=reasoning,
            content=tuple(TextPart(self._needle(part.text, place)) for part in message.content),
            tool_calls=tuple(self._call(call, place) for call in message.tool_calls),
        )

    def _call(self, call: ToolCall, place: int) -> ToolCall:
        name, arguments = self._label(call.name, place), parsed_arguments(call)
        if arguments is None or not call.arguments:
            return ToolCall(call.id, name, self._needle(call.arguments, place))
        shadow = map_json(
            arguments, lambda text: self._needle(text, place), lambda text: self._label(text, place)
        )
        return ToolCall(call.id, name, json.dumps(shadow))
