"""The streamed ending: events to chunks. The constant parts of a chunk are rendered once a stream."""

import msgspec
import orjson

from myna.api.chat.logprobs import ChoiceLogprobs, token_entries
from myna.api.chat.plan import Plan
from myna.api.chat.usage import UsageCounter
from myna.core.events import ChoiceDone, Event, TextDelta
from myna.serving.obfuscation import Obfuscator, num_characters

_EMPTY_DELTA = b"{}"
_ROLE_DELTA = b'{"role":"assistant","content":"","refusal":null}'
_NULL = b"null"


class ChunkRenderer:
    """Events in, bytes of the stream out.

    A choice begins with its role, right before its first text. Of several choices the finals come at
    the end, in their order.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._head = (
            b'{"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,"service_tier":%s,'
            b'"system_fingerprint":%s,"choices":['
            % (
                orjson.dumps(plan.id),
                plan.created,
                orjson.dumps(plan.model),
                orjson.dumps(plan.service_tier),
                orjson.dumps(plan.fingerprint),
            )
        )
        self._usage_null = b',"usage":null' if plan.include_usage else b""
        self._text_heads = [
            self._head + b'{"index":%d,"delta":{"content":' % index for index in range(plan.num_choices)
        ]
        self._text_tail = b'},"logprobs":null,"finish_reason":null}]' + self._usage_null
        # The closing brace counts; the obfuscation key doesn't.
        self._text_overheads = [num_characters(head + self._text_tail) + 1 for head in self._text_heads]
        self._obfuscator = Obfuscator() if plan.obfuscate else None
        self._has_begun = [False] * plan.num_choices
        self._ends: dict[int, bytes] = {}
        self._usage = UsageCounter()

    def feed(self, event: Event) -> bytes:
        """The chunks that this event makes."""
        if type(event) is TextDelta:
            index = event.choice
            role = b"" if self._has_begun[index] else self._begin(index)
            if self._plan.wants_logprobs:
                return role + self._text_with_logprobs(event)
            text = orjson.dumps(event.text)
            length = self._text_overheads[index] + num_characters(text)
            return role + self._closed(self._text_heads[index] + text + self._text_tail, length)
        if type(event) is ChoiceDone:
            return self._end_choice(event)
        self._usage.feed(event)
        return b""

    def end(self) -> bytes:
        """The usage, if it was asked for."""
        if not self._plan.include_usage:
            return b""
        usage = msgspec.json.encode(self._usage.total())
        return self._whole(self._head + b'],"usage":' + usage)

    def _begin(self, index: int) -> bytes:
        self._has_begun[index] = True
        logprobs = b'{"content":[],"refusal":null}' if self._plan.wants_logprobs else _NULL
        return self._chunk(index, _ROLE_DELTA, logprobs, _NULL)

    def _text_with_logprobs(self, event: TextDelta) -> bytes:
        logprobs = msgspec.json.encode(ChoiceLogprobs(token_entries(event.logprobs)))
        return self._chunk(event.choice, b'{"content":%s}' % orjson.dumps(event.text), logprobs, _NULL)

    def _end_choice(self, event: ChoiceDone) -> bytes:
        role = b"" if self._has_begun[event.choice] else self._begin(event.choice)
        self._ends[event.choice] = self._chunk(event.choice, _EMPTY_DELTA, _NULL, orjson.dumps(event.reason))
        if len(self._ends) < self._plan.num_choices:
            return role
        return role + b"".join(self._ends[index] for index in sorted(self._ends))

    def _chunk(self, index: int, delta: bytes, logprobs: bytes, reason: bytes) -> bytes:
        return self._whole(
            b'%s{"index":%d,"delta":%s,"logprobs":%s,"finish_reason":%s}]%s'
            % (self._head, index, delta, logprobs, reason, self._usage_null)
        )

    def _whole(self, body: bytes) -> bytes:
        return self._closed(body, num_characters(body) + 1)

    def _closed(self, body: bytes, length: int) -> bytes:
        """An event of the body, which lacks its last brace; `length` is in characters, brace included."""
        if self._obfuscator is None:
            return b"data: %s}\n\n" % body
        return b'data: %s,"obfuscation":"%s"}\n\n' % (body, self._obfuscator.padding(length))
