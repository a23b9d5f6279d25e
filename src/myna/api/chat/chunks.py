"""Renders events as chat completion chunks. The constant parts of a chunk are rendered once per stream."""

from collections.abc import Iterator, Sequence

import msgspec
import orjson

from myna.api.chat.call_deltas import CallDeltas
from myna.api.chat.response_spec import ResponseSpec
from myna.api.chat.usage import to_usage
from myna.core.events import ChoiceDone, Event, TextDelta, TokenLogprob
from myna.generation.logprobs import per_slice, slices, token_entry
from myna.generation.tool_parsing import ParsedPiece, ToolCallParser
from myna.generation.usage import UsageCounter
from myna.prompts.call_formats.base import CallArguments, CallStarted, TextPiece
from myna.wire.obfuscation import Obfuscator, num_characters

_EMPTY_DELTA = b"{}"
_ROLE_DELTA = b'{"role":"assistant","content":"","refusal":null}'
_NULL = b"null"


class ChatChunkRenderer:
    """A `streaming.ChunkRenderer`.

    A choice starts with a chunk with its role, right before its first text. With several choices, the final
    chunks are sent at the end, in order.
    """

    def __init__(self, spec: ResponseSpec) -> None:
        self._spec = spec
        self._head = (
            b'{"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,"service_tier":%s,'
            b'"system_fingerprint":%s,"choices":['
            % (
                orjson.dumps(spec.id),
                spec.created,
                orjson.dumps(spec.model),
                orjson.dumps(spec.service_tier),
                orjson.dumps(spec.fingerprint),
            )
        )
        self._usage_null = b',"usage":null' if spec.include_usage else b""
        self._text_heads = [
            self._head + b'{"index":%d,"delta":{"content":' % index for index in range(spec.num_choices)
        ]
        self._text_tail = b'},"logprobs":null,"finish_reason":null}]' + self._usage_null
        # The closing brace counts; the obfuscation key doesn't.
        self._text_overheads = [num_characters(head + self._text_tail) + 1 for head in self._text_heads]
        self._obfuscator = Obfuscator() if spec.obfuscate else None
        self._has_begun = [False] * spec.num_choices
        self._final_chunks: dict[int, bytes] = {}
        self._parsers = (
            [ToolCallParser(spec.new_reader()) for _ in range(spec.num_choices)] if spec.tools else []
        )
        self._calls = [CallDeltas(spec, index) for index in range(spec.num_choices)]
        self._usage = UsageCounter()

    def feed(self, event: Event) -> bytes | Iterator[bytes]:
        """The chunks for this event; an iterator if it has many log-probabilities."""
        if type(event) is TextDelta:
            index = event.choice
            if event.is_thought:
                delta = b'{"reasoning_content":%s}' % orjson.dumps(event.text)
                role = b"" if self._has_begun[index] else self._begin(index)
                return role + self._chunk(index, delta, _NULL, _NULL)
            if self._parsers:
                return self._render_parsed(index, self._parsers[index].feed(event.text, event.logprobs))
            if self._spec.wants_logprobs:
                return self._render_parsed(index, [ParsedPiece(TextPiece(event.text), event.logprobs)])
            role = b"" if self._has_begun[index] else self._begin(index)
            text = orjson.dumps(event.text)
            length = self._text_overheads[index] + num_characters(text)
            return role + self._close_event(self._text_heads[index] + text + self._text_tail, length)
        if type(event) is ChoiceDone:
            return self._end_choice(event)
        self._usage.feed(event)
        return b""

    def end(self) -> bytes:
        """The usage chunk, if requested."""
        if not self._spec.include_usage:
            return b""
        usage = msgspec.json.encode(to_usage(self._usage.total()))
        return self._event(self._head + b'],"usage":' + usage)

    def _begin(self, index: int) -> bytes:
        self._has_begun[index] = True
        logprobs = b'{"content":[],"refusal":null}' if self._spec.wants_logprobs else _NULL
        return self._chunk(index, _ROLE_DELTA, logprobs, _NULL)

    def _render_parsed(self, index: int, parsed: list[ParsedPiece]) -> bytes | Iterator[bytes]:
        chunks = self._pieces(index, parsed)
        return chunks if _is_large(parsed) else b"".join(chunks)

    def _pieces(self, index: int, parsed: list[ParsedPiece]) -> Iterator[bytes]:
        """The chunks of content and calls."""
        for piece, entries in parsed:
            match piece:
                case TextPiece():
                    if not self._has_begun[index]:
                        yield self._begin(index)
                    yield from self._text(index, piece.text, entries)
                case CallStarted():
                    yield self._begin_call(index, piece)
                case CallArguments():
                    yield self._chunk(index, self._calls[index].more(piece), _NULL, _NULL)

    def _text(self, index: int, text: str, entries: Sequence[TokenLogprob]) -> Iterator[bytes]:
        """One chunk; with many log-probabilities several, of which only the first has text."""
        if not self._spec.wants_logprobs:
            yield self._chunk(index, b'{"content":%s}' % orjson.dumps(text), _NULL, _NULL)
            return
        for part in slices(entries):
            logprobs = b'{"content":%s,"refusal":null}' % msgspec.json.encode([*map(token_entry, part)])
            yield self._chunk(index, b'{"content":%s}' % orjson.dumps(text), logprobs, _NULL)
            text = ""

    def _begin_call(self, index: int, call: CallStarted) -> bytes:
        """The chunk that starts a call; if there was no content before, it also has the role."""
        self._calls[index].num_calls += 1
        header = self._calls[index].header(call)
        delta = b"{%s}" % header
        if not self._has_begun[index]:
            self._has_begun[index] = True
            delta = b'{"role":"assistant","content":null,%s,"refusal":null}' % header
        return self._chunk(index, delta, _NULL, _NULL)

    def _end_choice(self, event: ChoiceDone) -> bytes | Iterator[bytes]:
        parsed = self._parsers[event.choice].end(event.reason) if self._parsers else []
        chunks = self._last_chunks(event, parsed)
        return chunks if _is_large(parsed) else b"".join(chunks)

    def _last_chunks(self, event: ChoiceDone, parsed: list[ParsedPiece]) -> Iterator[bytes]:
        """Held-back text, and the final chunk; with several choices, the last one to end sends all final
        chunks."""
        index = event.choice
        yield from self._pieces(index, parsed)
        if not self._has_begun[index]:
            yield self._begin(index)
        is_cut = bool(self._parsers) and self._parsers[index].is_in_call
        has_called = self._calls[index].num_calls > 0 and not is_cut
        reason = self._spec.finish_reason(event.reason, has_called=has_called)
        self._final_chunks[index] = self._chunk(index, _EMPTY_DELTA, _NULL, orjson.dumps(reason))
        if len(self._final_chunks) == self._spec.num_choices:
            yield from (self._final_chunks[index] for index in sorted(self._final_chunks))

    def _chunk(self, index: int, delta: bytes, logprobs: bytes, reason: bytes) -> bytes:
        return self._event(
            b'%s{"index":%d,"delta":%s,"logprobs":%s,"finish_reason":%s}]%s'
            % (self._head, index, delta, logprobs, reason, self._usage_null)
        )

    def _event(self, body: bytes) -> bytes:
        return self._close_event(body, num_characters(body) + 1)

    def _close_event(self, body: bytes, length: int) -> bytes:
        """The event for a body without its last brace; `length` is in characters, including the brace."""
        if self._obfuscator is None:
            return b"data: %s}\n\n" % body
        return b'data: %s,"obfuscation":"%s"}\n\n' % (body, self._obfuscator.padding(length))


def _is_large(parsed: list[ParsedPiece]) -> bool:
    """Whether rendering these takes long."""
    return any(len(entries) > per_slice(entries) for _, entries in parsed)
