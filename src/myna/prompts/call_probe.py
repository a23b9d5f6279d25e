"""Finds the format in which a chat template writes tool calls, by rendering known ones. Runs the template, so
only `render_process` may use it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from myna.core.conversation import ToolCall, ToolSpec
from myna.prompts.call_formats.base import CallArguments, CallFormat, CallStarted
from myna.prompts.call_formats.table import FORMATS
from myna.prompts.template_sandbox import RENDER_ERRORS

_USER: Final = {"role": "user", "content": "probe-user"}
_TOOL: Final = "probe_tool"
_PROPERTIES: Final = {
    "text": {"type": "string", "description": "probe"},
    "count": {"type": "integer", "description": "probe"},
    "place": {"type": "object", "description": "probe"},
}
_PARAMETERS: Final = {"type": "object", "properties": _PROPERTIES, "required": ["text"]}
# Of one call and of two. The latter need no escapes, which templates write differently.
_ARGUMENTS: Final[tuple[tuple[dict[str, Any], ...], ...]] = (
    ({"text": "Köln 北京", "count": 3, "place": {"deep": ["x", 1.5]}},),
    (
        {"text": "Rome", "count": 4, "place": {"deep": ["y", 2]}},
        {"text": "Oslo", "count": 5, "place": {"deep": []}},
    ),
)
_IDS: Final = ("call00001", "call00002")


class _Turn(NamedTuple):
    """What a template writes for an assistant's turn, and the prompt before it."""

    prompt: str
    text: str

    def of(self, form: CallFormat) -> str:
        """The text with the form's mark, if the prompt already ends with that."""
        mark = "".join(form.marks.anywhere[:1])
        return mark + self.text if mark and self.prompt.endswith(mark) else self.text


class Render(Protocol):
    """Renders messages with additional variables; raises any of `RENDER_ERRORS`."""

    def __call__(self, *messages: Mapping[str, object], **more: object) -> str: ...


def find_call_format(render: Render) -> str:
    """The name of the format; "" if the template writes no calls, or in no known form.

    Of formats that read back what the template wrote, the one counts that writes the same text, white space
    included. A template that writes no calls may still describe a format where it lists the tools."""
    for turns in _written(render):
        fitting = [(_fit(form, turns), form.name) for form in FORMATS.values()]
        best, name = max(fitting, key=lambda found: found[0])
        if best[0]:
            return name
    return _described(render)


def _written(render: Render) -> Iterator[Sequence[_Turn]]:
    """The template's turns with one call and with two, in each way in which it may accept them; their texts
    are empty where it refuses."""
    spec = {"name": _TOOL, "description": "probe", "parameters": _PARAMETERS}
    tools = [{"type": "function", "function": spec}]
    for more in ({"tools": tools}, {}):
        for content in ("", None):
            for as_text in (False, True):
                turns = [_turn(render, arguments, content, as_text, more) for arguments in _ARGUMENTS]
                if _TOOL in turns[0].text:
                    yield turns


def _turn(
    render: Render,
    arguments: Sequence[Mapping[str, object]],
    content: str | None,
    as_text: bool,
    more: Mapping[str, object],
) -> _Turn:
    """What the template writes for an answer with these calls, after the beginning of any answer."""
    calls = [
        {
            "id": id,
            "type": "function",
            "function": {"name": _TOOL, "arguments": json.dumps(one, ensure_ascii=False) if as_text else one},
        }
        for id, one in zip(_IDS, arguments, strict=False)
    ]
    try:
        before = render(_USER, **more)
        whole = render(
            _USER,
            {"role": "assistant", "content": content, "tool_calls": calls},
            **{**more, "add_generation_prompt": False},
        )
    except RENDER_ERRORS:
        return _Turn("", "")
    pairs = enumerate(zip(before, whole, strict=False))
    start = next((i for i, pair in pairs if pair[0] != pair[1]), len(before))
    if (tag := whole.rfind("<", 0, start)) > whole.rfind(">", 0, start):
        start = tag  # two tags that begin alike
    return _Turn(whole[:start], whole[start:])


def _fit(form: CallFormat, turns: Sequence[_Turn]) -> tuple[int, int]:
    """How well a format fits: how many of the texts it reads, and how much of them it would write just so."""
    num_read = num_same = 0
    for turn, arguments in zip(turns, _ARGUMENTS, strict=True):
        calls = [
            ToolCall(id, _TOOL, json.dumps(one, ensure_ascii=False))
            for id, one in zip(_IDS, arguments, strict=False)
        ]
        written, text = form.write(calls), turn.of(form)
        num_same += len(written) if written in text else 0
        num_read += _reads(form, text, arguments)
    return num_read, num_same


def _reads(form: CallFormat, text: str, arguments: Sequence[Mapping[str, object]]) -> bool:
    """Whether the format's reader finds just these calls in the text."""
    reader = form.reader([ToolSpec(_TOOL, "", json.dumps(_PARAMETERS))])
    found: list[str] = []
    for piece in [*reader.feed(text), *reader.end()]:
        if isinstance(piece, CallStarted):
            found.append("")
        elif isinstance(piece, CallArguments):
            found[-1] += piece.text
    try:
        return [json.loads(one) for one in found] == list(arguments)
    except ValueError:
        return False


def _described(render: Render) -> str:
    """The first format whose trigger is in the prompt because tools are."""
    spec = {"name": _TOOL, "description": "probe", "parameters": _PARAMETERS}
    try:
        without, listing = render(_USER), render(_USER, tools=[{"type": "function", "function": spec}])
    except RENDER_ERRORS:
        return ""
    return next(
        (
            form.name
            for form in FORMATS.values()
            if any(mark in listing and mark not in without for mark in form.marks.anywhere[:1])
        ),
        "",
    )
