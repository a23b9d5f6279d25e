"""Renders a streamed response as server-sent events, numbered without a gap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson
from msgspec.structs import replace

from myna.api.responses.answer import ResponseAccumulator, failed
from myna.api.responses.open_items import OpenItem
from myna.api.responses.output import Change, ItemAdded, ItemDelta, ItemDone
from myna.api.responses.shapes import OutputMessage, OutputReasoning, Response, has_encoded_echoes
from myna.core.events import Done, Event, TextDelta
from myna.generation.json_parts import json_parts
from myna.generation.logprobs import per_slice, slices, token_entry
from myna.http.event_format import KEEP_ALIVE
from myna.wire.errors import error_body
from myna.wire.obfuscation import Obfuscator

_LARGE_TEXT: Final = 1 << 18
"""What repeats a longer text is rendered in parts."""
_EMPTY_TEXT: Final = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
_CALLS: Final = {"function_call": "function_call_arguments", "custom_tool_call": "custom_tool_call_input"}
_CALL_TEXTS: Final = {"function_call": "arguments", "custom_tool_call": "input"}


@dataclass(frozen=True, slots=True)
class _Frame:
    """An item's delta, without its text, its number and what depends on the text: `head`, text, `item`,
    log-probabilities, padding, `index`, number, `end`."""

    head: bytes
    item: bytes
    index: bytes
    end: bytes


class ResponseRenderer:
    """A `streaming.ChunkRenderer`. `accumulator` is set before the first event."""

    def __init__(self, response: Response, *, is_obfuscated: bool = False) -> None:
        self.accumulator: ResponseAccumulator | None = None
        self._response = response
        self._has_long_echo = has_encoded_echoes(response)
        self._obfuscator = Obfuscator() if is_obfuscated else None
        self._number = 0
        self._has_begun = False
        self._frame = _Frame(b"", b"", b"", b"")
        self._plain: OpenItem | None = None  # the current message, if all text is added to it as it is

    def feed(self, event: Event) -> bytes | Iterator[bytes]:
        """The server-sent events for this one; an iterator if they take long to render."""
        plain = self._plain
        if plain is not None and type(event) is TextDelta and not event.is_thought:
            plain.texts.append(event.text)
            return self._delta(event.text, b',"logprobs":[]')
        accumulator = self.accumulator
        if accumulator is None:
            raise RuntimeError("the renderer has no accumulator yet")
        changes = accumulator.feed(event)
        parts = self._rendered(accumulator, changes, event)
        shows_response = type(event) is Done or not self._has_begun
        is_large = (self._has_long_echo and shows_response) or _is_large(accumulator, changes, event)
        return parts if is_large else b"".join(parts)

    def end(self) -> bytes:
        """Nothing: the last event has ended the stream."""
        return b""

    def queued(self) -> bytes:
        """The events of a background response that waits to be generated."""
        waiting = replace(self._response, status="queued")
        parts = (
            *self._event("response.created", response=waiting),
            *self._event("response.queued", response=waiting),
        )
        return b"".join(parts)

    def failure(self, exc: BaseException, request_id: str) -> bytes:
        """The error, which the SDKs raise, and the failed response, which Codex looks for."""
        body: Any = error_body(exc, request_id)["error"]
        error = {key: body[key] for key in ("type", "code", "message", "param")}
        response = self.accumulator.response if self.accumulator is not None else self._response
        end = failed(response, exc, error["message"])
        parts = [
            *self._begin(response),
            *self._event("error", error=error),
            *self._event("response.failed", response=end),
        ]
        return b"".join(parts)

    def _rendered(
        self, accumulator: ResponseAccumulator, changes: Sequence[Change], event: Event
    ) -> Iterator[bytes]:
        yield from self._begin(accumulator.response)
        for change in changes:
            match change:
                case ItemAdded():
                    yield from self._added(accumulator, change.item)
                case ItemDelta():
                    yield from self._grown(change)
                case ItemDone():
                    yield from self._closed(change.item)
        if type(event) is Done:
            end = accumulator.finished()
            yield from self._event(f"response.{end.status}", response=end)

    def _begin(self, response: Response) -> Iterator[bytes]:
        """The events that come first."""
        if self._has_begun:
            return
        self._has_begun = True
        if self._number == 0:
            yield from self._event("response.created", response=response)
        yield from self._event("response.in_progress", response=response)

    def _added(self, accumulator: ResponseAccumulator, item: OpenItem) -> Iterator[bytes]:
        yield from self._event("response.output_item.added", item=item.begun(), output_index=item.index)
        if item.kind == "message":
            yield from self._part("response.content_part.added", item, part=_EMPTY_TEXT)
            self._plain = item if accumulator.output.is_plain else None
            self._frame = _frame("output_text", item, b'"content_index":0,')
        elif item.kind in _CALLS:
            self._frame = _frame(_CALLS[item.kind], item)
        elif item.is_summary:
            part = {"type": "summary_text", "text": ""}
            yield from self._summary("response.reasoning_summary_part.added", item, part=part)
            self._frame = _frame("reasoning_summary_text", item, end=b',"summary_index":0')
        else:
            part = {"type": "reasoning_text", "text": ""}
            yield from self._part("response.content_part.added", item, part=part)
            self._frame = _frame("reasoning_text", item, b'"content_index":0,')

    def _grown(self, change: ItemDelta) -> Iterator[bytes]:
        text = change.text
        if change.item.kind != "message":
            yield self._delta(text)
            return
        for entries in slices(change.entries):
            logprobs = msgspec.json.encode([*map(token_entry, entries)])
            yield self._delta(text, b',"logprobs":%s' % logprobs)
            text = ""

    def _delta(self, text: str, logprobs: bytes = b"") -> bytes:
        frame, number = self._frame, self._number
        self._number = number + 1
        if self._obfuscator is not None:
            logprobs += b',"obfuscation":"%s"' % self._obfuscator.padding(len(text))
        return b"%s%s%s%s%s%d%s}\n\n" % (
            frame.head, orjson.dumps(text), frame.item, logprobs, frame.index, number, frame.end,
        )  # fmt: skip

    def _closed(self, item: OpenItem) -> Iterator[bytes]:
        """What ends an item: its text, its part if it has parts, and the item itself."""
        self._plain = None
        shown = item.rendered()
        match shown:
            case OutputMessage():
                part = shown.content[0]
                yield from self._part(
                    "response.output_text.done", item, logprobs=part.logprobs, text=part.text
                )
                yield from self._part("response.content_part.done", item, part=part)
            case OutputReasoning() if item.is_summary:
                yield from self._summary("response.reasoning_summary_text.done", item, text=item.text)
                yield from self._summary("response.reasoning_summary_part.done", item, part=shown.summary[0])
            case OutputReasoning():
                yield from self._part("response.reasoning_text.done", item, text=item.text)
                yield from self._part("response.content_part.done", item, part=shown.content[0])
            case _:
                text = {_CALL_TEXTS[item.kind]: item.text}
                yield from self._event(
                    f"response.{_CALLS[item.kind]}.done", item_id=item.id, output_index=item.index, **text
                )
        yield from self._event("response.output_item.done", item=shown, output_index=item.index)

    def _part(self, name: str, item: OpenItem, **body: object) -> Iterator[bytes]:
        """An event about the only part of an item's content."""
        return self._event(name, content_index=0, item_id=item.id, output_index=item.index, **body)

    def _summary(self, name: str, item: OpenItem, **body: object) -> Iterator[bytes]:
        """An event about the only part of an item's summary."""
        return self._event(name, item_id=item.id, output_index=item.index, summary_index=0, **body)

    def _event(self, name: str, **body: object) -> Iterator[bytes]:
        """An event with its number; its keys are sorted, after `type`."""
        body["sequence_number"] = self._number
        self._number += 1
        yield b"event: %s\ndata: " % name.encode()
        yield from json_parts({"type": name, **dict(sorted(body.items()))}, is_indented=False)
        yield b"\n\n"


class ResponseEvents:
    """The `EventFormat` of a renderer's stream, which has no `[DONE]`."""

    end: Final = b""

    def __init__(self, renderer: ResponseRenderer) -> None:
        self._renderer = renderer

    def keep_alive(self) -> bytes:
        """A comment, which clients skip."""
        return KEEP_ALIVE

    def error(self, exc: BaseException, request_id: str) -> bytes:
        return self._renderer.failure(exc, request_id)


def _frame(kind: str, item: OpenItem, start: bytes = b"", end: bytes = b"") -> _Frame:
    name = f"response.{kind}.delta".encode()
    return _Frame(
        b'event: %s\ndata: {"type":"%s",%s"delta":' % (name, name, start),
        b',"item_id":"%s"' % item.id.encode(),
        b',"output_index":%d,"sequence_number":' % item.index,
        end,
    )


def _is_large(accumulator: ResponseAccumulator, changes: Sequence[Change], event: Event) -> bool:
    """Whether rendering this takes long."""
    if type(event) is Done:
        return any(_is_large_item(item) for item in accumulator.output.items)
    for change in changes:
        match change:
            case ItemDelta() if len(change.entries) > per_slice(change.entries):
                return True
            case ItemDone() if _is_large_item(change.item):
                return True
    return False


def _is_large_item(item: OpenItem) -> bool:
    return len(item.logprobs) > per_slice(item.logprobs) or sum(map(len, item.texts)) > _LARGE_TEXT
