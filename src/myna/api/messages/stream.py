"""Renders events as Anthropic's server-sent events."""

from dataclasses import replace
from typing import Final

import msgspec
import orjson

from myna.api.messages.output import BlockEnd, BlockStart, BlockText, OutputBlocks, Step
from myna.api.messages.response_spec import ResponseSpec
from myna.api.messages.signatures import seal, sign
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.generation.usage import TokenUsage, UsageCounter
from myna.http.event_format import KEEP_ALIVE
from myna.wire.anthropic import error_event
from myna.wire.ids import tool_use_id

_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_DELTAS: Final = {
    "text": b'{"type":"text_delta","text":',
    "thinking": b'{"type":"thinking_delta","thinking":',
    "tool_use": b'{"type":"input_json_delta","partial_json":',
}
_FIRST_TOKENS: Final = 1


class MessageFraming:
    """An `event_format.EventFormat`. Once the request is accepted, the first sign of life is the message's
    start: a long prompt may take a minute."""

    end: Final = b""

    def __init__(self) -> None:
        self._start = b""
        self.has_started = False

    def accept(self, start: bytes) -> None:
        """The request is accepted; `start` is the event that starts its message, if none does before."""
        self._start = start

    def keep_alive(self) -> bytes:
        if not self._start:
            return KEEP_ALIVE
        if self.has_started:
            return _PING
        self.has_started = True
        return self._start + _PING

    def error(self, exc: BaseException, request_id: str) -> bytes:
        return error_event(exc, request_id)


class MessageRenderer:
    """A `streaming.ChunkRenderer`. `framing` may have started the message already."""

    def __init__(self, spec: ResponseSpec, framing: MessageFraming) -> None:
        self._spec = spec
        self._framing = framing
        self._blocks = OutputBlocks(spec.new_reader())
        self._usage = UsageCounter()
        self._done = ChoiceDone(0, "stop", 0, 0)
        self._index = -1
        self._kind = ""
        self._thought: list[str] = []

    def feed(self, event: Event) -> bytes:
        """The events for this one."""
        match event:
            case TextDelta():
                return b"".join(map(self._render, self._blocks.feed(event)))
            case ChoiceDone():
                self._done = event
                return b"".join(map(self._render, self._blocks.end(event)))
        self._usage.feed(event)
        if isinstance(event, PromptDone):
            return self._start()
        return self._last() if isinstance(event, Done) else b""

    def end(self) -> bytes:
        return b""

    def _start(self) -> bytes:
        """The message's start, with what came from the cache, unless one was sent before that was known."""
        if self._framing.has_started:
            return b""
        self._framing.has_started = True
        return message_start(self._spec, self._usage.total())

    def _last(self) -> bytes:
        done = self._done
        reason = self._spec.stop_reason(done, has_called=self._blocks.has_called)
        delta = {"stop_reason": reason, "stop_sequence": done.stop or None}
        usage = msgspec.json.encode(self._spec.usage(self._usage.total()))
        body = b'"delta":%s,"usage":%s' % (msgspec.json.encode(delta), usage)
        return _event(b"message_delta", body) + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

    def _render(self, step: Step) -> bytes:
        match step:
            case BlockStart():
                return self._begin(step)
            case BlockText():
                return self._more(step.text)
            case BlockEnd():
                return self._finish()

    def _begin(self, start: BlockStart) -> bytes:
        self._index += 1
        self._kind = start.kind
        self._thought = []
        match start.kind:
            case "text":
                block = b'{"type":"text","text":""}'
            case "thinking":
                block = b'{"type":"thinking","thinking":"","signature":""}'
            case _:
                id = tool_use_id(self._spec.id, start.number).encode()
                name = orjson.dumps(start.name)
                block = b'{"type":"tool_use","id":"%s","name":%s,"input":{}}' % (id, name)
        began = _event(b"content_block_start", b'"index":%d,"content_block":%s' % (self._index, block))
        if self._index == 0:
            began += _PING
        return began + self._more("") if start.kind == "tool_use" else began

    def _more(self, text: str) -> bytes:
        if self._kind == "thinking":
            self._thought.append(text)
            if not self._spec.shows_thoughts:
                return b""
        return self._delta(_DELTAS[self._kind] + orjson.dumps(text) + b"}")

    def _finish(self) -> bytes:
        signed = b""
        if self._kind == "thinking":
            signature = (sign if self._spec.shows_thoughts else seal)("".join(self._thought))
            signed = self._delta(b'{"type":"signature_delta","signature":"%s"}' % signature.encode())
        return signed + _event(b"content_block_stop", b'"index":%d' % self._index)

    def _delta(self, delta: bytes) -> bytes:
        return _event(b"content_block_delta", b'"index":%d,"delta":%s' % (self._index, delta))


def message_start(spec: ResponseSpec, counts: TokenUsage) -> bytes:
    """The first event of a stream."""
    usage = msgspec.json.encode(spec.usage(replace(counts, completion_tokens=_FIRST_TOKENS)))
    head = b'"message":{"model":%s,"id":"%s","type":"message","role":"assistant","content":[],' % (
        orjson.dumps(spec.model),
        spec.id.encode(),
    )
    return _event(b"message_start", head + b'"stop_reason":null,"stop_sequence":null,"usage":%s}' % usage)


def _event(name: bytes, body: bytes) -> bytes:
    return b'event: %s\ndata: {"type":"%s",%s}\n\n' % (name, name, body)
