"""A whole answer, checked against what every answer must be when it is made."""

from collections.abc import Sequence
from dataclasses import dataclass

from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, TokenLogprob
from myna.core.requests import GenerationRequest


@dataclass(frozen=True)
class Answer:
    """All events of one request, in order."""

    request: GenerationRequest
    events: Sequence[Event]

    def __post_init__(self) -> None:
        first, *middle, last = self.events
        assert isinstance(first, PromptDone)
        assert isinstance(last, Done)
        assert all(isinstance(event, TextDelta | ChoiceDone) for event in middle)
        assert first.prompt_tokens == len(self.request.prompt_tokens)
        assert 0 <= first.cached_tokens < first.prompt_tokens
        ended = [event.choice for event in middle if isinstance(event, ChoiceDone)]
        assert sorted(ended) == list(range(self.request.num_choices))
        for choice in ended:
            self._check_choice(choice)
        self._check_totals(last)

    @property
    def prompt(self) -> PromptDone:
        assert isinstance(self.events[0], PromptDone)
        return self.events[0]

    @property
    def done(self) -> Done:
        assert isinstance(self.events[-1], Done)
        return self.events[-1]

    def of(self, choice: int) -> list[TextDelta | ChoiceDone]:
        return [e for e in self.events if isinstance(e, TextDelta | ChoiceDone) and e.choice == choice]

    def deltas(self, choice: int = 0) -> list[TextDelta]:
        return [event for event in self.of(choice) if isinstance(event, TextDelta)]

    def text(self, choice: int = 0) -> str:
        return "".join(delta.text for delta in self.deltas(choice) if not delta.is_thought)

    def thought(self, choice: int = 0) -> str:
        return "".join(delta.text for delta in self.deltas(choice) if delta.is_thought)

    def texts(self) -> list[str]:
        return [self.text(choice) for choice in range(self.request.num_choices)]

    def logprobs(self, choice: int = 0) -> list[TokenLogprob]:
        return [entry for delta in self.deltas(choice) for entry in delta.logprobs]

    def end(self, choice: int = 0) -> ChoiceDone:
        event = self.of(choice)[-1]
        assert isinstance(event, ChoiceDone)
        return event

    def _check_choice(self, choice: int) -> None:
        *deltas, end = self.of(choice)
        assert isinstance(end, ChoiceDone)
        assert all(isinstance(delta, TextDelta) for delta in deltas)
        assert all(delta.text or delta.logprobs for delta in self.deltas(choice))
        assert sum(event.num_tokens for event in self.of(choice)) == end.completion_tokens
        assert end.completion_tokens <= self.request.max_tokens
        if end.reason == "length":
            assert end.completion_tokens == self.request.max_tokens
        is_thought = [delta.is_thought for delta in self.deltas(choice)]
        assert is_thought == sorted(is_thought, reverse=True), "the thought comes before the answer"
        if self.request.num_logprobs is None:
            assert not self.logprobs(choice)

    def _check_totals(self, done: Done) -> None:
        rejected = done.rejected_prediction_tokens
        shown = sum(self.end(choice).completion_tokens for choice in range(self.request.num_choices))
        if self.request.best_of > self.request.num_choices:
            assert done.completion_tokens - rejected >= shown
        else:
            assert done.completion_tokens - rejected == shown
        assert 0 <= done.reasoning_tokens <= done.completion_tokens
