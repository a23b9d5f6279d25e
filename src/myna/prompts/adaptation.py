"""Rewrites a conversation for a template that can't take it as it is, changing as little as possible.

A rewritten conversation has the same words. `adaptations` lists the ways, `adapt` applies one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import pairwise, product
from typing import Final

import msgspec

from myna.core.conversation import Message, TextPart, ToolSpec
from myna.prompts.call_formats.base import CallFormat
from myna.prompts.conversation import INSTRUCTIONS
from myna.prompts.tool_text import call_as_text, result_as_text, tools_as_text

_BETWEEN: Final = "\n\n"


def _step(*costs: int) -> int:
    """A field with these values and what they cost: cheap rewritings are tried first."""
    number: int = field(default=0, metadata={"costs": costs})
    return number


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How a conversation is rewritten; in each field 0 is unchanged."""

    # 1: neighbours of the same role are one message
    neighbours: int = _step(0, 1)
    # 1: without turns that have neither text nor calls
    blanks: int = _step(0, 3)
    # 1: initial instructions are one message; 2: all are, at the beginning; 3: each is at the beginning of
    # the next user message
    instructions: int = _step(0, 1, 2, 5)
    # 1: a turn's text and its calls are two messages; 2: each call is a turn, followed by its result; 3: both
    calls: int = _step(0, 2, 3, 5)
    # 1: results are spelled as user messages; 2: calls are spelled as the assistant's text; 3: both
    spelling: int = _step(0, 20, 20, 20)
    # 1: without the thoughts of earlier turns
    thoughts: int = _step(0, 10)
    # 1: spelled as an instruction
    tools: int = _step(0, 100)


def adaptations(
    messages: Sequence[Message], tools: Sequence[ToolSpec], *, has_tools: bool, has_calls: bool
) -> Sequence[Adaptation]:
    """Those that may help this conversation; the one that changes least first. The template shows tools and
    earlier calls only if `has_tools` and `has_calls`."""
    roles = {message.role for message in messages}
    calls = [message for message in messages if message.tool_calls]
    has_blanks = any(_is_blank(m) for m in messages)
    alternates = roles <= {"user", "assistant"} and all(a.role != b.role for a, b in pairwise(messages))
    unchanged = {
        "neighbours": alternates and not has_blanks,
        "blanks": not has_blanks,
        "instructions": not tools and roles.isdisjoint(INSTRUCTIONS),
        "calls": not calls,
        "spelling": not calls and "tool" not in roles,
        "thoughts": all(m.reasoning is None for m in messages),
        "tools": not tools,
    }
    changed = {"spelling": bool(calls) and not has_calls, "tools": bool(tools) and not has_tools}
    return _by_cost(
        frozenset(name for name, is_so in unchanged.items() if is_so),
        frozenset(name for name, is_so in changed.items() if is_so),
    )


@cache
def _by_cost(unchanged: frozenset[str], changed: frozenset[str]) -> Sequence[Adaptation]:
    """All whose fields are unchanged, or changed, in those."""
    steps = {step.name: step.metadata["costs"] for step in fields(Adaptation)}
    found = [Adaptation(*values) for values in product(*(range(len(costs)) for costs in steps.values()))]

    def is_possible(way: Adaptation) -> bool:
        return not any(getattr(way, name) for name in unchanged) and all(
            getattr(way, name) for name in changed
        )

    def cost(way: Adaptation) -> int:
        return sum(costs[getattr(way, name)] for name, costs in steps.items())

    return tuple(sorted(filter(is_possible, found), key=cost))


def adapt(
    messages: Sequence[Message], tools: Sequence[ToolSpec], way: Adaptation, form: CallFormat
) -> tuple[tuple[Message, ...], tuple[ToolSpec, ...]]:
    """The conversation and tools, rewritten. `form` is how calls are spelled."""
    adapted = list(messages)
    if way.blanks:
        adapted = [m for m in adapted if not _is_blank(m)]
    if way.thoughts:
        adapted = [_with(m, reasoning=None) if m.reasoning is not None else m for m in adapted]
    if way.calls & 2:
        adapted = list(_one_by_one(adapted))
    if way.calls & 1:
        adapted = [part for message in adapted for part in _divided(message)]
    if way.spelling & 2:
        adapted = [call_as_text(m, form) if m.tool_calls else m for m in adapted]
    if way.spelling & 1:
        adapted = [result_as_text(m) if m.role == "tool" else m for m in adapted]
    if way.tools and tools:
        adapted = [Message.of("system", tools_as_text(tools, form)), *adapted]
        tools = ()
    adapted = _INSTRUCTION_STEPS[way.instructions](adapted)
    if way.neighbours:
        adapted = _merged(adapted)
    return tuple(adapted), tuple(tools)


def without_developer(messages: Sequence[Message]) -> tuple[Message, ...]:
    """For templates that don't know this role."""
    return tuple(_with(m, role="system") if m.role == "developer" else m for m in messages)


def _is_blank(message: Message) -> bool:
    """Results count even without text."""
    return message.role != "tool" and not (message.text.strip() or message.tool_calls or message.reasoning)


# --- instructions ---


def _kept(messages: list[Message]) -> list[Message]:
    return messages


def _early_joined(messages: list[Message]) -> list[Message]:
    lead = next((i for i, m in enumerate(messages) if m.role not in INSTRUCTIONS), len(messages))
    return [*_joined(messages[:lead]), *messages[lead:]]


def _all_joined(messages: list[Message]) -> list[Message]:
    instructions = [m for m in messages if m.role in INSTRUCTIONS]
    return [*_joined(instructions), *(m for m in messages if m.role not in INSTRUCTIONS)]


def _folded(messages: list[Message]) -> list[Message]:
    folded, pending = list[Message](), list[Message]()
    for message in messages:
        if message.role in INSTRUCTIONS:
            pending.append(message)
        elif message.role == "user":
            folded += _joined([*pending, message], message)
            pending = []
        else:
            folded.append(message)
    return [*folded, *_joined([_with(m, role="user") for m in pending])]


_INSTRUCTION_STEPS: Final = (_kept, _early_joined, _all_joined, _folded)


def _merged(messages: list[Message]) -> list[Message]:
    merged = list[Message]()
    for message in messages:
        last = merged[-1] if merged else None
        if last is None or last.role != message.role or last.tool_calls or message.role == "tool":
            merged.append(message)
        else:
            merged[-1:] = _joined([last, message], message)
    return merged


def _joined(messages: Sequence[Message], base: Message | None = None) -> list[Message]:
    """A single message like `base`, by default like the first; [] for none."""
    if not messages:
        return []
    thoughts = [m.reasoning for m in messages if m.reasoning]
    text = _BETWEEN.join(m.text for m in messages if m.text)
    base = base or messages[0]
    return [_with(base, content=(TextPart(text),), reasoning=_BETWEEN.join(thoughts) or base.reasoning)]


# --- calls ---


def _divided(message: Message) -> Iterator[Message]:
    if message.tool_calls and message.text:
        yield _with(message, tool_calls=(), reasoning=None)
        message = _with(message, content=())
    yield message


def _one_by_one(messages: Sequence[Message]) -> Iterator[Message]:
    """Each call in a turn of its own, its result after it."""
    i = 0
    while i < len(messages):
        message, i = messages[i], i + 1
        if len(message.tool_calls) < 2:
            yield message
            continue
        end = next((j for j in range(i, len(messages)) if messages[j].role != "tool"), len(messages))
        results, i = list(messages[i:end]), end
        for number, call in enumerate(message.tool_calls):
            if number == 0:
                yield _with(message, tool_calls=(call,))
            else:
                yield Message(message.role, name=message.name, tool_calls=(call,))
            own = next((m for m in results if m.tool_call_id == call.id), None)
            if own is not None:
                results.remove(own)
                yield own
        yield from results


_with = msgspec.structs.replace
