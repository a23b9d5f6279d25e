"""The output of one choice as it grows: text, reasoning, log-probabilities, and why it ended."""

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from myna.core.events import ChoiceDone, FinishReason, TextDelta, TokenLogprob
from myna.core.requests import NO_CALLS, GenerationRequest
from myna.decoding.detokenizing import ChoiceText
from myna.decoding.grammar import Grammar
from myna.decoding.harmony import HarmonyText
from myna.decoding.recipients import RecipientText
from myna.decoding.thinking import ThoughtReader, ThoughtText
from myna.decoding.token_table import TokenTable

_NO_DELTAS: Final[tuple[TextDelta, ...]] = ()


class SampledLogprobs(msgspec.Struct, frozen=True, gc=False):
    """What an engine computed for one token: its natural log-probability, and the ids and log-probabilities
    of the most likely tokens, most likely first."""

    logprob: float
    top_tokens: Sequence[int] = ()
    top_logprobs: Sequence[float] = ()

    def entry(self, token: int, num_top: int, pieces: Sequence[bytes]) -> TokenLogprob:
        """The form that events carry, with at most `num_top` of the most likely tokens."""
        most_likely = zip(self.top_tokens[:num_top], self.top_logprobs[:num_top], strict=True)
        top = tuple([(other, logprob, pieces[other]) for other, logprob in most_likely])
        return TokenLogprob(token, self.logprob, pieces[token], top)


def _thought_reader(request: GenerationRequest) -> ThoughtReader | None:
    if request.calls.has_recipients:
        return RecipientText(request.calls.anywhere)
    if request.thought is None:
        return None
    if request.thought.is_harmony:
        return HarmonyText(has_calls=request.calls != NO_CALLS)
    # A constrained answer begins with the token after the thought's end marker.
    is_constrained = request.constraint is not None
    return ThoughtText(request.thought, is_constrained=is_constrained, calls=request.calls)


class ChoiceOutput:
    """Used through `RequestOutput`. `reason` is None until the choice has ended."""

    __slots__ = (
        "_end_tokens",
        "_held_logprobs",
        "_max_tokens",
        "_min_tokens",
        "_num_logprobs",
        "_num_reported",
        "_num_reported_logprobs",
        "_pieces",
        "_shown_pieces",
        "_text",
        "_thought",
        "_thought_marks",
        "_undecided_logprobs",
        "_unreported",
        "answer",
        "grammar",
        "index",
        "num_reasoning_tokens",
        "num_tokens",
        "reason",
        "sum_logprob",
    )

    def __init__(
        self,
        index: int,
        request: GenerationRequest,
        tokens: TokenTable,
        end_tokens: frozenset[int],
        grammar: Grammar | None,
    ) -> None:
        shown = tokens.shown_pieces
        self.index = index
        self.grammar = grammar
        self.reason: FinishReason | None = None
        self.num_tokens = 0
        self.num_reasoning_tokens = 0
        self.sum_logprob = 0.0
        # The tokens so far; only needed to compare them with a prediction.
        self.answer: list[int] | None = [] if request.prediction_tokens else None
        self._pieces = tokens.pieces
        self._end_tokens = end_tokens
        self._min_tokens = request.min_tokens
        self._max_tokens = request.max_tokens
        self._num_logprobs = request.num_logprobs
        self._text = ChoiceText(
            shown, request.stop, request.calls, is_tracking=request.num_logprobs is not None
        )
        self._shown_pieces = shown
        self._thought = _thought_reader(request)
        self._thought_marks = "\0".join(request.thought.marks if request.thought else ()).encode()
        self._num_reported = 0
        self._num_reported_logprobs = 0
        self._held_logprobs: list[TokenLogprob] = []  # of the answer's tokens that have not been shown
        self._undecided_logprobs = deque[TokenLogprob]()  # of those that may belong to a thought
        # The tokens whose ids no event had; None: no event has any.
        self._unreported: list[int] | None = [] if request.return_token_ids else None

    def push(self, token: int, logprobs: SampledLogprobs | None) -> Sequence[TextDelta]:
        """Add the next token; return the text that can be shown now, including text held back before. Sets
        `reason` if the token ends the choice."""
        self.num_tokens += 1
        if self._unreported is not None:
            self._unreported.append(token)
        if self.answer is not None:
            self.answer.append(token)
        is_end = token in self._end_tokens
        if logprobs is not None:
            self.sum_logprob += logprobs.logprob
            if self._num_logprobs is not None and not is_end:
                held = self._held_logprobs if self._thought is None else self._undecided_logprobs
                held.append(logprobs.entry(token, self._num_logprobs, self._pieces))
        if is_end:
            self.reason = "stop"
            return _NO_DELTAS
        deltas: Sequence[TextDelta] = _NO_DELTAS
        if self._thought is not None:
            deltas = self._think(self._thought, token)
        elif text := self._text.push(token, may_stop=self.num_tokens > self._min_tokens):
            deltas = (self._delta(text),)
        grammar = self.grammar
        if self._text.is_stopped or (grammar is not None and grammar.advance(token) and grammar.must_stop):
            self.reason = "stop"
        elif self.num_tokens >= self._max_tokens:
            self.reason = "length"
        return deltas

    def finish(self, reason: FinishReason) -> list[TextDelta | ChoiceDone]:
        """All text that was held back, and the choice's last event."""
        self.reason = reason
        events: list[TextDelta | ChoiceDone] = []
        if self._thought is not None:
            events += self._finish_thought(self._thought)
        if self._text.is_stopped:
            self.reason = "stop"
        else:
            text = self._text.finish()
            is_stopped = self._text.is_stopped
            if is_stopped:
                self.reason = "stop"
            if text or (self._held_logprobs and not is_stopped):
                events.append(self._delta(text, is_last=not is_stopped))
        events.append(
            ChoiceDone(
                self.index,
                self.reason,
                self.num_tokens - self._num_reported,
                self.num_tokens,
                self._text.stop,
                tuple(self._unreported or ()),
            )
        )
        return events

    def _think(self, thought: ThoughtReader, token: int) -> list[TextDelta]:
        """Add a token while it may belong to a thought."""
        deltas = []
        data = self._shown_pieces[token]
        if not data and self._pieces[token] in self._thought_marks:
            data = self._pieces[token]  # a control token that is, or is part of, a mark
        shown, text = thought.push(data), self._take_answer(thought)
        if shown:
            deltas.append(self._thought_delta(shown))
        if text:
            deltas.append(self._delta(text))
        if thought.is_over:
            self._thought = None
        return deltas

    def _finish_thought(self, thought: ThoughtReader) -> list[TextDelta]:
        """The choice ends inside its thought, or before it is known whether it has one."""
        deltas = []
        if shown := thought.finish():
            deltas.append(self._thought_delta(shown))
        if text := self._take_answer(thought):
            deltas.append(self._delta(text))
        self._thought = None
        return deltas

    def _take_answer(self, thought: ThoughtReader) -> str:
        """The text of the tokens that turned out to belong to the answer."""
        text, may_stop = "", self.num_tokens > self._min_tokens
        for data in thought.classifier.take():
            entry = self._undecided_logprobs.popleft() if self._undecided_logprobs else None
            if data is None:
                continue  # the thought's log-probabilities are not reported
            if entry is not None:
                self._held_logprobs.append(entry)
            text += self._text.push_bytes(data, may_stop=may_stop)
        self.num_reasoning_tokens = thought.classifier.num_thought_tokens
        return text

    def _thought_delta(self, text: str) -> TextDelta:
        num_new, self._num_reported = self.num_tokens - self._num_reported, self.num_tokens
        return TextDelta(self.index, text, num_new, is_thought=True, token_ids=self._take_token_ids())

    def _delta(self, text: str, *, is_last: bool = False) -> TextDelta:
        """A delta with the log-probabilities of the tokens whose text has been shown; of all tokens, if
        `is_last`."""
        num_new, self._num_reported = self.num_tokens - self._num_reported, self.num_tokens
        held = self._held_logprobs
        if not held:
            return TextDelta(self.index, text, num_new, token_ids=self._take_token_ids())
        num_ready = len(held) if is_last else self._text.num_shown - self._num_reported_logprobs
        ready = tuple(held[:num_ready])
        del held[:num_ready]
        self._num_reported_logprobs += len(ready)
        return TextDelta(self.index, text, num_new, ready, token_ids=self._take_token_ids())

    def _take_token_ids(self) -> tuple[int, ...]:
        """The ids to report. A run that begins with them can't know log-probabilities that are held back."""
        if not self._unreported or self._held_logprobs or self._undecided_logprobs:
            return ()
        token_ids = tuple(self._unreported)
        self._unreported.clear()
        return token_ids
