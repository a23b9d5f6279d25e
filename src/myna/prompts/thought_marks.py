"""Finds the marks around thoughts, and around the answers after them, in what a chat template writes for an
assistant's turn."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from myna.core.renderer import Switches

Message = Mapping[str, object]
Render = Callable[[Sequence[Message], Switches, bool], str]

_THOUGHT, _ANSWER, _QUESTION = "probe-thought", "probe-answer", "probe-question"
_USER: Final[Message] = {"role": "user", "content": _QUESTION}
_CALL: Final[Mapping[str, object]] = {
    "id": "call00001", "type": "function", "function": {"name": "probe_tool", "arguments": {"key": "value"}}
}  # fmt: skip
_RESULT: Final[Message] = {
    "role": "tool", "content": "probe-result", "tool_call_id": "call00001", "name": "probe_tool"
}  # fmt: skip
# The names under which templates look for the thought of a message.
_FIELDS: Final = ("reasoning_content", "reasoning", "thinking", "thought")
_TAG: Final = re.compile(r"<[^<>\s][^<>\n]{0,60}>|\[[^\[\]\n]{1,40}\]")


@dataclass(frozen=True, slots=True)
class ThoughtMarks:
    """The marks, without the white space around them. `answer` and `close` surround an answer; "" if nothing
    does. `ending` follows `close`."""

    begin: str
    end: str
    answer: str = ""
    close: str = ""
    ending: str = ""


def find_marks(render: Render, think: Switches, skip: Switches) -> ThoughtMarks | None:
    """`render` renders messages with additional variables, with or without the beginning of an answer, and
    returns "" where that fails. `think` and `skip` ask for a thought, and for none. None if the template
    shows no thought."""
    prompt = _after_question(render([_USER], think, True))
    for turn in _turns():
        text = _after_question(render(turn, think, False))
        before, found, after = text.partition(_THOUGHT)
        if not found or _ANSWER in before:
            continue
        end = _leading(after)
        begin = _beginning(before, prompt, after, end)
        if not begin or not end:
            continue
        answer, close, ending = _around_answer(render, skip, before, begin, end)
        between = after.partition(_ANSWER)[0].strip()
        if answer and between.endswith(answer) and len(between) > len(answer):
            end = between.removesuffix(answer).strip()
        return ThoughtMarks(begin, end, answer, close, ending)
    return None


def is_opened(prompt: str, begin: str) -> bool:
    """The prompt ends inside a thought."""
    return prompt.rstrip().endswith(begin)


def is_closed(prompt: str, marks: ThoughtMarks) -> bool:
    """The prompt ends after a thought that is empty, or says that there is none."""
    tail = _after_question(prompt).rstrip().removesuffix(marks.answer).rstrip()
    return marks.begin in tail and tail.endswith(marks.end)


def question() -> Message:
    return _USER


def _turns() -> Iterator[list[Message]]:
    """Conversations with a thought, wherever templates keep one."""
    for field in _FIELDS:
        yield [_USER, {"role": "assistant", "content": _ANSWER, field: _THOUGHT}]
    for field in _FIELDS:
        call = {"role": "assistant", "content": "", field: _THOUGHT, "tool_calls": [_CALL]}
        yield [_USER, call, _RESULT]
    part = {"type": "thinking", "thinking": _THOUGHT}
    yield [_USER, {"role": "assistant", "content": [part, {"type": "text", "text": _ANSWER}]}]
    blocks = [{"type": "thoughts", "text": _THOUGHT}, {"type": "response", "text": _ANSWER}]
    yield [_USER, {"role": "assistant", "content": {"blocks": blocks}}]


def _after_question(text: str) -> str:
    return text.rpartition(_QUESTION)[2]


def _beginning(before: str, prompt: str, after: str, end: str) -> str:
    """What the model writes, or the prompt ends with, before a thought."""
    before, prompt = before.rstrip(), prompt.rstrip()
    if prompt and before != prompt:
        if before.startswith(prompt):
            return before[len(prompt) :].strip()
        rest = prompt.removeprefix(before).strip()
        if prompt.startswith(before) and not rest.startswith(end):
            return rest  # the prompt continues with words of the thought
    return _trailing(before, after)


def _leading(text: str) -> str:
    """The shortest text up to the end of a tag with which this one begins, and which doesn't recur; "" if
    it doesn't begin with a tag."""
    text = text.lstrip()
    if not _TAG.match(text):
        return ""
    ends = (tag.end() for tag in _TAG.finditer(text))
    return next((text[:end] for end in ends if text.count(text[:end]) == 1), "")


def _trailing(text: str, after: str) -> str:
    """The shortest text from the beginning of a tag with which this one ends, and which doesn't recur in it
    or `after`."""
    starts = [tag.start() for tag in _TAG.finditer(text)]
    ends = (text[start:] for start in reversed(starts))
    return next((mark for mark in ends if (text + after).count(mark) == 1), "")


def _around_answer(render: Render, skip: Switches, before: str, begin: str, end: str) -> tuple[str, str, str]:
    """The marks of an answer without a thought, and what follows them."""
    text = _after_question(render([_USER, {"role": "assistant", "content": _ANSWER}], skip, False))
    head, found, tail = text.partition(_ANSWER)
    start = before.rstrip().removesuffix(begin).rstrip()
    if not found or not head.startswith(start):
        return "", "", ""
    answer = head[len(start) :].rpartition(end)[2].strip()
    if (not _TAG.match(answer) and not answer.endswith(">")) or begin in answer:
        return "", "", ""
    close = _leading(tail)
    return answer, close, tail.strip().removeprefix(close).strip() if close else ""
