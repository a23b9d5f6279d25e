"""Reads responses of OpenAI's and Anthropic's formats as they come: what to pass on, and the usage. Pure."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Protocol, TypeVar

import msgspec

from myna.core.errors import UpstreamFailed
from myna.core.events import ChoiceDone, Done, Event, PromptDone, WireChunk

_MAX_EVENT_BYTES: Final = 1 << 20
_DONE: Final = b"[DONE]"
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_NO_USAGE: Final = re.compile(rb',\s*"usage"\s*:\s*null')
# Quotes inside JSON strings are escaped, so this matches a property, and the first one is the response's.
_MODEL: Final = re.compile(rb'("model"\s*:\s*)"(?:[^"\\]|\\.)*"')


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class _Usage(msgspec.Struct):
    """Counts, in the names of completions or in those of the Responses API."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _PromptDetails | None = None
    output_tokens_details: _CompletionDetails | None = None


class _Text(msgspec.Struct):
    """A message or a delta; only whether its fields are empty matters. Nearly all have a content, which is
    checked first, without calling `__bool__`."""

    content: object = None
    reasoning_content: object = None
    reasoning: object = None
    refusal: object = None
    tool_calls: object = None
    function_call: object = None

    def __bool__(self) -> bool:
        thoughts = self.reasoning_content or self.reasoning
        return bool(self.content or self.tool_calls or thoughts or self.refusal or self.function_call)


class _Choice(msgspec.Struct):
    index: int = 0
    text: str | None = None
    delta: _Text | None = None
    message: _Text | None = None
    finish_reason: str | None = None


class _Response(msgspec.Struct):
    """The response in an event of the Responses API."""

    usage: _Usage | None = None


class _Answer(msgspec.Struct):
    """The fields that are read. Everything else in the JSON is skipped, but must be well-formed. `type` is
    that of an event of the Responses API, `status` that of a whole response."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None
    type: object = None
    response: _Response | None = None
    status: object = None


_RESPONSE_ENDS: Final = {
    "response.completed": "stop",
    "response.incomplete": "length",
    "response.failed": "stop",
    "response.cancelled": "stop",
}
_STATUS_ENDS: Final = {"completed": "stop", "incomplete": "length"}


class _MayFail(Protocol):
    @property
    def error(self) -> object: ...


D = TypeVar("D", bound=_MayFail)
_decode: Final = msgspec.json.Decoder(_Answer).decode
_decode_lines: Final = msgspec.json.Decoder(_Answer).decode_lines


class _MessageUsage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None


class _MessageDelta(msgspec.Struct):
    stop_reason: str | None = None


class _StartedMessage(msgspec.Struct):
    usage: _MessageUsage | None = None


class _MessageEvent(msgspec.Struct):
    """The fields that are read of an event of Anthropic's, or of a whole message."""

    type: str = ""
    message: _StartedMessage | None = None
    delta: _MessageDelta | None = None
    usage: _MessageUsage | None = None
    stop_reason: str | None = None
    error: object = None


_decode_message: Final = msgspec.json.Decoder(_MessageEvent).decode
_CUT: Final = ("max_tokens", "model_context_window_exceeded")


class AnswerReader:
    """Reads one response. `upstream` names the server in errors. `model` replaces the model's name in the
    response, unless it is empty. With `hides_usage`, usage that only Myna asked for is not passed to the
    client."""

    _last_events: Collection[str] = tuple(_RESPONSE_ENDS)
    _knows_plain: bool = True

    def __init__(self, upstream: str, *, model: str = "", hides_usage: bool = False) -> None:
        self.upstream = upstream
        self._model = msgspec.json.encode(model) if model else b""
        self._hides_usage = hides_usage
        self._may_be_plain = self._knows_plain and not model
        self._buffer = bytearray()
        self._num_searched = 0
        self._usage: _Usage | None = None
        self._num_tokens: dict[int, int] = {}
        self._num_counted = 0
        self._ends: dict[int, str] = {}
        self.is_done = False
        self.failure: UpstreamFailed | None = None

    def feed(self, data: bytes) -> WireChunk | None:
        """The events that are now complete; `[DONE]` ends the stream, and so does the last event of a
        response. Invalid events, invalid JSON and errors
        reported by the upstream set `failure`, after the events before them."""
        if self.is_done:
            return None
        num_before = self._num_counted
        if (answers := self._plain_answers(data)) is not None:
            for answer in answers:
                self._note(answer)
            return WireChunk(data, self._num_counted - num_before)
        events = self._complete_events(data)
        if not events:
            return None
        kept: list[bytes] = []
        try:
            kept.extend(map(self._take, events))  # including those before one that fails
        except UpstreamFailed as exc:
            self.failure = exc
        chunk = b"".join(kept)
        return WireChunk(chunk, self._num_counted - num_before) if chunk else None

    def finish(self) -> list[Event]:
        """The final events of a stream. Raises `UpstreamFailed` if it broke off."""
        if not (self.is_done or self._ends):
            raise self.failed("ended its stream early")
        return self._totals()

    def whole(self, body: bytes) -> list[Event]:
        """All events of a non-streaming response. Blocks for 3 ms per megabyte. Raises `UpstreamFailed`."""
        if body.lstrip()[:1] != b"{":
            raise self.failed("sent an answer that is not a JSON object")
        self._note(self._read(body))
        if self._model:
            body = self._renamed(body)
        return [WireChunk(body, 0), *self._totals()]

    def failed(self, how: str) -> UpstreamFailed:
        return UpstreamFailed(f"The upstream {self.upstream!r} {how}.")

    def _plain_answers(self, data: bytes) -> list[_Answer] | None:
        """The answers in data that consists of whole events which are passed on as they are, one line of JSON
        each, as nearly always: read all at once, in a fraction of the time. None if there is anything else,
        an error included."""
        if not self._may_be_plain or self._buffer or not data.startswith(b"data: {"):
            return None
        if b"\r" in data or (self._hides_usage and b'"usage"' in data):
            return None
        # No value goes on after a line that ends with a brace before one that begins with one.
        lines = data[6:-2].replace(b"}\n\ndata: {", b"}\n{")
        num_events = data.count(b"\n\n")
        if not data.endswith(b"}\n\n") or lines.count(b"\n") != num_events - 1:
            return None
        try:
            answers = _decode_lines(lines)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(answers) != num_events:
            return None  # a line has several values
        for answer in answers:
            if answer.error or answer.type is not None:
                return None
        return answers

    def _complete_events(self, data: bytes) -> list[bytes]:
        """The events that end with this data, without the empty line between them."""
        buffer = self._buffer
        if not buffer and data.endswith(b"\n\n") and b"\r" not in data:  # as nearly always
            return data[:-2].split(b"\n\n")
        may_end_line = b"\r" in data or buffer.endswith(b"\r")
        buffer += data
        if may_end_line:
            buffer[:] = buffer.replace(b"\r\n", b"\n")
            self._num_searched = 0
        end = buffer.rfind(b"\n\n", max(0, self._num_searched - 1))
        if end < 0:
            self._num_searched = len(buffer)
            if len(buffer) > _MAX_EVENT_BYTES:
                self.failure = self.failed("sent an event that does not end")
            return []
        events = bytes(buffer[:end])
        del buffer[: end + 2]
        self._num_searched = 0
        return events.split(b"\n\n")

    def _take(self, event: bytes) -> bytes:
        """The event to pass to the client; may be empty."""
        if self.is_done:
            return b""
        # Nearly all events are of this form.
        is_plain = event.startswith(b"data: {") and b"\n" not in event
        payload = event[6:] if is_plain else self._payload(event)
        if payload is None:
            return event + b"\n\n"
        if payload == _DONE:
            self.is_done = True
            return b""
        answer = self._read(payload)
        self._note(answer)
        if self._hides_usage:
            if answer.usage is not None and not answer.choices:
                return b""
            if b'"usage"' in event:
                event = _NO_USAGE.sub(b"", event, count=1)
        if self._model:
            event = self._renamed(event)
        if answer.type is not None:
            self.is_done = answer.type in self._last_events
        return event + b"\n\n"

    def _renamed(self, text: bytes) -> bytes:
        """The text with the model's name that the client used."""
        found = _MODEL.search(text)
        return text if found is None else text[: found.end(1)] + self._model + text[found.end() :]

    def _payload(self, event: bytes) -> bytes | None:
        """An event's data; None if it has none, such as a comment."""
        lines = [line for line in event.split(b"\n") if line]
        if not all(line.startswith(_FIELDS) for line in lines):
            raise self.failed("sent an invalid event stream")
        data = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        return b"\n".join(data) if data else None

    def _read(self, text: bytes) -> _Answer:
        return self._decoded(_decode, text) or _Answer()

    def _decoded(self, decode: Callable[[bytes], D], text: bytes) -> D | None:
        """The JSON; None if it has another shape, which the client may understand."""
        try:
            answer = decode(text)
        except msgspec.ValidationError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise self.failed("sent invalid JSON") from exc
        if answer.error:
            said = answer.error.get("message") if isinstance(answer.error, Mapping) else answer.error
            raise self.failed(f"reports an error: {str(said)[:500]}")
        return answer

    def _note(self, answer: _Answer) -> None:
        if answer.usage is not None:
            self._usage = answer.usage
        if isinstance(answer.type, str):
            self._note_event(answer, answer.type)
        if isinstance(answer.status, str) and answer.status in _STATUS_ENDS:
            self._ends[0] = _STATUS_ENDS[answer.status]
        for choice in answer.choices or ():
            delta, index = choice.delta, choice.index
            if (delta is not None and (delta.content or delta)) or choice.text or choice.message:
                self._num_tokens[index] = self._num_tokens.get(index, 0) + 1
                self._num_counted += 1
            if choice.finish_reason:
                self._ends[index] = choice.finish_reason

    def _note_event(self, answer: _Answer, kind: str) -> None:
        """Count an event of the Responses API."""
        if answer.response is not None and answer.response.usage is not None:
            self._usage = answer.response.usage
        if kind.endswith(".delta"):
            self._num_tokens[0] = self._num_tokens.get(0, 0) + 1
            self._num_counted += 1
        elif kind in _RESPONSE_ENDS:
            self._ends[0] = _RESPONSE_ENDS[kind]

    def _totals(self) -> list[Event]:
        events: list[Event] = []
        usage, num_tokens = self._usage, self._num_counted
        if usage is not None:
            prompt = usage.prompt_tokens_details or usage.input_tokens_details or _PromptDetails()
            num_prompt_tokens = max(0, usage.prompt_tokens, usage.input_tokens)
            events.append(PromptDone(num_prompt_tokens, max(0, prompt.cached_tokens or 0)))
            num_tokens = max(0, usage.completion_tokens, usage.output_tokens)
        events += _choices_done(self._ends, self._num_tokens)
        details = (
            usage and (usage.completion_tokens_details or usage.output_tokens_details)
        ) or _CompletionDetails()
        events.append(
            Done(
                num_tokens,
                details.accepted_prediction_tokens or 0,
                details.rejected_prediction_tokens or 0,
                details.reasoning_tokens or 0,
            )
        )
        return events


class MessagesReader(AnswerReader):
    """Reads one response in Anthropic's format, which ends with `message_stop`."""

    _last_events = ("message_stop",)
    _knows_plain = False
    _counts = _MessageUsage()

    def _read(self, text: bytes) -> _Answer:
        event = self._decoded(_decode_message, text)
        if event is None:
            return _Answer()
        usage = event.message.usage if event.message is not None else event.usage
        if usage is not None:
            self._counts = _merged(self._counts, usage)
        reason = event.stop_reason or (event.delta.stop_reason if event.delta is not None else None)
        has_text = event.type in ("content_block_delta", "message")
        choice = _Choice(
            text="?" if has_text else None, finish_reason=("length" if reason in _CUT else reason) or None
        )
        return _Answer([choice], None if usage is None else _as_openais(self._counts), type=event.type)


def _merged(before: _MessageUsage, after: _MessageUsage) -> _MessageUsage:
    """Later counts are totals, too, but may leave out those of the prompt."""
    return _MessageUsage(
        *(
            getattr(before if getattr(after, name) is None else after, name)
            for name in _MessageUsage.__struct_fields__
        )
    )


def _as_openais(usage: _MessageUsage) -> _Usage:
    cached = usage.cache_read_input_tokens or 0
    prompt = (usage.input_tokens or 0) + (usage.cache_creation_input_tokens or 0) + cached
    return _Usage(prompt, usage.output_tokens or 0, _PromptDetails(cached))


def _choices_done(ends: Mapping[int, str], num_tokens: Mapping[int, int]) -> Iterable[ChoiceDone]:
    for choice, reason in ends.items():
        yield ChoiceDone(choice, "length" if reason == "length" else "stop", 0, num_tokens.get(choice, 0))
