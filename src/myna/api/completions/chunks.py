"""Renders events as completion chunks. The constant parts of a chunk are rendered once per stream."""

from collections.abc import Iterator, Sequence

import msgspec
import orjson

from myna.api.completions.convert import CompletionSpec, EncodedPrompt
from myna.api.completions.logprobs import OffsetCounter, prompt_offsets
from myna.api.completions.schema import Logprobs
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, TokenLogprob
from myna.generation.logprobs import per_slice, slices

_NO_LOGPROBS = Logprobs([], [], [], [])
_END = b"\n\n"


class CompletionChunkRenderer:
    """A `streaming.ChunkRenderer` for the events of all prompts.

    A choice that ends by its length reports that in its last chunk of text, so the chunk with the last token
    is held until the choice is done; all others are sent at once.
    """

    def __init__(
        self, id: str, created: int, model: str, prompts: list[EncodedPrompt], spec: CompletionSpec
    ) -> None:
        self._spec = spec
        self._prompts = prompts
        self._wants_logprobs = spec.num_logprobs is not None
        name = orjson.dumps(model)
        usage = b',"usage":null' if spec.include_usage else b""
        self._head = b'data: {"id":"%s","object":"text_completion","created":%d,"choices":[' % (
            id.encode(),
            created,
        )
        self._tail = b'],"model":%s%s}%s' % (name, usage, _END)
        self._usage_tail = b'],"model":%s,"usage":' % name
        self._text_head = self._head + b'{"text":'
        num_choices = len(prompts) * spec.num_choices
        self._text_tails = [
            b',"index":%d,"logprobs":null,"finish_reason":null}%s' % (index, self._tail)
            for index in range(num_choices)
        ]
        self._left = [spec.max_tokens] * num_choices
        self._held: dict[int, tuple[str, Logprobs | None]] = {}
        self._offsets = [
            OffsetCounter(len(prompts[index // spec.num_choices].text)) for index in range(num_choices)
        ]
        self._prompt_tokens = self._completion_tokens = 0

    def feed(self, event: Event) -> bytes | Iterator[bytes]:
        """The chunks for this event, if any; an iterator if it has many log-probabilities."""
        if type(event) is TextDelta:
            choice = event.choice
            left = self._left[choice] = self._left[choice] - event.num_tokens
            if event.is_thought:
                return b""
            if left > 0 and not self._wants_logprobs:
                return self._text_head + orjson.dumps(event.text) + self._text_tails[choice]
            chunks = self._text(choice, event.text, event.logprobs, self._offsets[choice])
            return chunks if _is_large(event) else b"".join(chunks)
        if type(event) is ChoiceDone:
            return self._end(event)
        if type(event) is PromptDone:
            self._prompt_tokens += event.prompt_tokens
            if not self._spec.echo:
                return b""
            return self._echo(event) if _is_large(event) else b"".join(self._echo(event))
        if type(event) is Done:
            self._completion_tokens += event.completion_tokens
        return b""

    def end(self) -> bytes:
        """The usage chunk, if requested."""
        if not self._spec.include_usage:
            return b""
        total = self._prompt_tokens + self._completion_tokens
        counts = b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}' % (
            self._prompt_tokens,
            self._completion_tokens,
            total,
        )
        return self._head + self._usage_tail + counts + _END

    def _text(
        self, choice: int, text: str, entries: Sequence[TokenLogprob], offsets: OffsetCounter
    ) -> Iterator[bytes]:
        """One chunk; with many log-probabilities several, of which only the first has text."""
        if not self._wants_logprobs:
            yield self._send_or_hold(choice, text, None)
            return
        for part in slices(entries):
            yield self._send_or_hold(choice, text, offsets.render(part))
            text = ""

    def _send_or_hold(self, choice: int, text: str, logprobs: Logprobs | None) -> bytes:
        """Send the held chunk, and the new one unless it may be the last."""
        sent = self._release(choice, None)
        if self._left[choice] > 0:
            return sent + self._chunk(choice, text, logprobs, None)
        self._held[choice] = (text, logprobs)
        return sent

    def _release(self, choice: int, reason: str | None) -> bytes:
        held = self._held.pop(choice, None)
        return self._chunk(choice, *held, reason) if held else b""

    def _echo(self, event: PromptDone) -> Iterator[bytes]:
        text = self._prompts[event.prompt].text
        first = event.prompt * self._spec.num_choices
        for choice in range(first, first + self._spec.num_choices):
            yield from self._text(choice, text, event.logprobs, prompt_offsets(event.logprobs, text))

    def _end(self, event: ChoiceDone) -> bytes:
        if event.reason == "length" and event.choice in self._held:
            return self._release(event.choice, event.reason)
        empty = _NO_LOGPROBS if self._wants_logprobs else None
        return self._release(event.choice, None) + self._chunk(event.choice, "", empty, event.reason)

    def _chunk(self, choice: int, text: str, logprobs: Logprobs | None, reason: str | None) -> bytes:
        return b'%s%s,"index":%d,"logprobs":%s,"finish_reason":%s}%s' % (
            self._text_head,
            orjson.dumps(text),
            choice,
            msgspec.json.encode(logprobs),
            orjson.dumps(reason),
            self._tail,
        )


def _is_large(event: TextDelta | PromptDone) -> bool:
    """Whether rendering its log-probabilities takes long."""
    return len(event.logprobs) > per_slice(event.logprobs)
