"""Whole messages: accumulates events to Anthropic's response body."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from pydantic_core import from_json

from myna.api.messages.output import BlockEnd, BlockStart, BlockText, OutputBlocks, Step
from myna.api.messages.response_spec import ResponseSpec, Usage
from myna.api.messages.signatures import seal, sign
from myna.core.events import ChoiceDone, Event, TextDelta
from myna.generation.json_parts import json_parts
from myna.generation.usage import UsageCounter
from myna.wire.ids import tool_use_id


class MessageResponse(msgspec.Struct):
    """The response body, in the order of 2026."""

    model: str
    id: str
    type: str
    role: str
    content: list[dict[str, Any]]
    stop_reason: str
    stop_sequence: str | None
    stop_details: None
    usage: Usage


class MessageAccumulator:
    """Folds events into one response body."""

    def __init__(self, spec: ResponseSpec) -> None:
        self._spec = spec
        self._blocks = OutputBlocks(spec.new_reader())
        self._content: list[dict[str, Any]] = []
        self._texts: list[str] = []
        self._usage = UsageCounter()
        self._done = ChoiceDone(0, "stop", 0, 0)

    def feed(self, event: Event) -> None:
        """Process the next event."""
        match event:
            case TextDelta():
                self._take(self._blocks.feed(event))
            case ChoiceDone():
                self._take(self._blocks.end(event))
                self._done = event
            case _:
                self._usage.feed(event)

    def parts(self) -> Iterator[bytes]:
        """The body's JSON."""
        spec, done = self._spec, self._done
        message = MessageResponse(
            model=spec.model,
            id=spec.id,
            type="message",
            role="assistant",
            content=self._content,
            stop_reason=spec.stop_reason(done, has_called=self._blocks.has_called),
            stop_sequence=done.stop or None,
            stop_details=None,
            usage=spec.usage(self._usage.total()),
        )
        return json_parts(message, is_indented=False)

    def _take(self, steps: Iterator[Step]) -> None:
        for step in steps:
            match step:
                case BlockStart():
                    self._content.append(self._started(step))
                    self._texts = []
                case BlockText():
                    self._texts.append(step.text)
                case BlockEnd():
                    self._finish(self._content[-1], "".join(self._texts))

    def _started(self, start: BlockStart) -> dict[str, Any]:
        if start.kind != "tool_use":
            return {"type": start.kind}
        return {"type": "tool_use", "id": tool_use_id(self._spec.id, start.number), "name": start.name}

    def _finish(self, block: dict[str, Any], text: str) -> None:
        match block["type"]:
            case "text":
                block["text"] = text
            case "thinking" if self._spec.shows_thoughts:
                block |= {"thinking": text, "signature": sign(text)}
            case "thinking":
                block |= {"thinking": "", "signature": seal(text)}
            case _:
                block["input"] = input_json(text)


def input_json(text: str) -> msgspec.Raw:
    """The input of a call as the model wrote it, keys in its order. Of one that was cut, what the SDKs read
    from its stream."""
    try:
        if isinstance(msgspec.json.decode(text), dict):
            return msgspec.Raw(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        read = from_json(text, allow_partial=True)
    except ValueError:
        read = {}
    return msgspec.Raw(json.dumps(read if isinstance(read, dict) else {}).encode())
