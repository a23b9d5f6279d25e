"""Turns token ids into the events of one request: text, log-probabilities, finish reasons, totals.

Pure and independent of any scheduler's types: Myna's scheduler calls it in the worker; an engine that does
its own scheduling and yields token ids calls it in the server."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from myna.core.errors import GenerationFailed
from myna.core.events import ChoiceDone, Done, Event, FinishReason, PromptDone, TextDelta, TokenLogprob
from myna.core.requests import GenerationRequest
from myna.decoding.choice_output import ChoiceOutput, SampledLogprobs
from myna.decoding.grammar import Grammar
from myna.decoding.prediction import count_accepted
from myna.decoding.token_table import TokenTable

EngineFinish = Literal["stop", "length", "abort"]
_NO_EVENTS: Final[tuple[Event, ...]] = ()


class RequestOutput:
    """The output of one request, made from its engine's tokens. Not thread-safe.

    Call `prompt_done` once, then `push` each token of each of the `choices`, `max(best_of, num_choices)` of
    them. Each returns the events to send next. `push` ends a choice at an end token, at a stop string, at
    `max_tokens`, or where its grammar allows nothing more; its `reason` is then set, and no more tokens
    are needed for it. An engine that ends a choice by itself calls `finish`. The last event is always `Done`.
    """

    __slots__ = (
        "_is_ranked",
        "_kept",
        "_num_finished",
        "_pieces",
        "_prompt_logprobs",
        "_request",
        "choices",
        "end_tokens",
        "num_logprobs",
    )

    def __init__(
        self, request: GenerationRequest, tokens: TokenTable, grammar: Grammar | None = None
    ) -> None:
        """Each choice advances its own copy of the `grammar`, from which the caller may compute masks. An
        engine that applies the constraint itself passes None."""
        num_choices = max(request.best_of, request.num_choices)
        self._request = request
        self._pieces = tokens.pieces
        self._is_ranked = request.best_of > request.num_choices
        self._kept: list[list[TextDelta | ChoiceDone]] = [[] for _ in range(num_choices)]
        self._num_finished = 0
        # The tokens that end a choice.
        self.end_tokens = _end_tokens(request, tokens)
        self._prompt_logprobs: list[TokenLogprob] = []
        if request.num_prompt_logprobs is not None:
            first = request.prompt_tokens[0]
            self._prompt_logprobs.append(TokenLogprob(first, None, self._pieces[first]))
        # How many of the most likely tokens `push` needs with each token; None: no `SampledLogprobs` at all.
        self.num_logprobs = 0 if self._is_ranked and request.num_logprobs is None else request.num_logprobs
        self.choices = [
            ChoiceOutput(index, request, tokens, self.end_tokens, grammar and grammar.copy())
            for index in range(num_choices)
        ]

    @property
    def is_finished(self) -> bool:
        """All choices have ended: `Done` was returned."""
        return self._num_finished == len(self.choices)

    @property
    def num_prompt_logprobs(self) -> int:
        """How many of the prompt's tokens have their entry; the first token's needs no computation."""
        return len(self._prompt_logprobs)

    def add_prompt_logprobs(self, logprobs: Iterable[SampledLogprobs]) -> None:
        """Add those of the prompt's next tokens, if the request asked for them; before `prompt_done`."""
        request, entries = self._request, self._prompt_logprobs
        for entry in logprobs:
            token = request.prompt_tokens[len(entries)]
            entries.append(entry.entry(token, request.num_prompt_logprobs or 0, self._pieces))

    def prompt_done(self, cached_tokens: int) -> PromptDone:
        """The prompt is computed; `cached_tokens` of its tokens came from a prefix cache."""
        logprobs, self._prompt_logprobs = tuple(self._prompt_logprobs), []
        return PromptDone(len(self._request.prompt_tokens), cached_tokens, logprobs)

    def push(self, index: int, token: int, logprobs: SampledLogprobs | None = None) -> Sequence[Event]:
        """The next token of a choice, with its `logprobs` unless `num_logprobs` is None. Tokens after the
        choice's end are ignored, since engines may run ahead."""
        choice = self.choices[index]
        if choice.reason is not None:
            return _NO_EVENTS
        deltas = choice.push(token, logprobs)
        if choice.reason is not None:
            return self._finish(choice, deltas, choice.reason)
        if self._is_ranked:
            self._kept[index] += deltas
            return _NO_EVENTS
        return deltas

    def finish(self, index: int, reason: EngineFinish) -> Sequence[Event]:
        """The engine ended the choice; ignored if `push` already did. Raises `GenerationFailed` for "abort",
        since the answer is incomplete."""
        choice = self.choices[index]
        if choice.reason is not None:
            return _NO_EVENTS
        if reason == "abort":
            raise GenerationFailed("The engine aborted the request before its end.")
        return self._finish(choice, (), reason)

    def _finish(
        self, choice: ChoiceOutput, deltas: Sequence[TextDelta], reason: FinishReason
    ) -> Sequence[Event]:
        last = [*deltas, *choice.finish(reason)]
        events: list[Event] = []
        if self._is_ranked:
            self._kept[choice.index] += last
        else:
            events += last
        self._num_finished += 1
        if self.is_finished:
            events += self._best() if self._is_ranked else ()
            events.append(self._done())
        return events

    def _best(self) -> list[Event]:
        """The candidates with the best mean log-probability, as choices 0, 1, …, best first."""
        ranked = sorted(self.choices, key=lambda choice: -choice.sum_logprob / max(1, choice.num_tokens))
        return [
            msgspec.structs.replace(event, choice=place)
            for place, choice in enumerate(ranked[: self._request.num_choices])
            for event in self._kept[choice.index]
        ]

    def _done(self) -> Done:
        """Like OpenAI, counts predicted tokens that don't appear in the answer as completion tokens, too."""
        prediction, choices = self._request.prediction_tokens, self.choices
        accepted = sum(
            count_accepted(prediction, choice.answer) for choice in choices if choice.answer is not None
        )
        rejected = len(prediction) * len(choices) - accepted
        return Done(
            sum(choice.num_tokens for choice in choices) + rejected,
            accepted,
            rejected,
            sum(choice.num_reasoning_tokens for choice in choices),
        )


def _end_tokens(request: GenerationRequest, tokens: TokenTable) -> frozenset[int]:
    if not request.ignore_eos and not request.stop_token_ids:
        return tokens.end_tokens
    return frozenset(request.stop_token_ids) | (frozenset() if request.ignore_eos else tokens.end_tokens)
