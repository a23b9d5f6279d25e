"""Whole completions: accumulates the same events as the chunks to OpenAI's response body."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from myna.api.completions.convert import CompletionSpec, EncodedPrompt
from myna.api.completions.logprobs import lazy_logprobs
from myna.api.completions.schema import Choice, Completion, Usage
from myna.core.events import ChoiceDone, Event, PromptDone, TextDelta, TokenLogprob
from myna.generation.json_parts import LazyArray, json_parts
from myna.generation.usage import UsageCounter

_CHOICES_PER_SLICE: Final = 8


@dataclass(slots=True)
class _PartialChoice:
    """A choice during its generation. Log-probabilities are kept unrendered, since rendering them takes
    long."""

    prompt: str
    is_echoed: bool = False
    texts: list[str] = field(default_factory=list)
    prompt_logprobs: Sequence[TokenLogprob] = ()
    logprobs: list[TokenLogprob] = field(default_factory=list)
    reason: str = ""


class CompletionAccumulator:
    """Folds the events of all prompts into one response body."""

    def __init__(
        self, id: str, created: int, model: str, prompts: list[EncodedPrompt], spec: CompletionSpec
    ) -> None:
        self._id, self._created, self._model = id, created, model
        self._spec = spec
        self._choices = [_PartialChoice(prompt.text) for prompt in prompts for _ in range(spec.num_choices)]
        self._usage = UsageCounter()

    def feed(self, event: Event) -> None:
        """Process the next event."""
        if isinstance(event, TextDelta):
            if event.is_thought:
                return
            choice = self._choices[event.choice]
            choice.texts.append(event.text)
            if event.logprobs:
                choice.logprobs += event.logprobs
        elif isinstance(event, ChoiceDone):
            self._choices[event.choice].reason = event.reason
        else:
            self._usage.feed(event)
            if isinstance(event, PromptDone) and self._spec.echo:
                self._echo(event)

    def _echo(self, event: PromptDone) -> None:
        first = event.prompt * self._spec.num_choices
        for choice in self._choices[first : first + self._spec.num_choices]:
            choice.is_echoed, choice.prompt_logprobs = True, event.logprobs

    def parts(self) -> Iterator[bytes]:
        """The body's JSON, indented as OpenAI's."""
        counts = self._usage.total()
        answer = Completion(
            self._id,
            "text_completion",
            self._created,
            self._model,
            LazyArray(list(enumerate(self._choices)), self._choice, _CHOICES_PER_SLICE),
            Usage(counts.prompt_tokens, counts.completion_tokens, counts.total_tokens),
        )
        yield from json_parts(answer, is_indented=True)
        yield b"\n"

    def _choice(self, numbered: tuple[int, _PartialChoice]) -> Choice:
        index, choice = numbered
        echoed = choice.prompt if choice.is_echoed else ""
        logprobs = None
        if self._spec.num_logprobs is not None:
            logprobs = lazy_logprobs(choice.prompt, choice.prompt_logprobs, choice.logprobs)
        return Choice(echoed + "".join(choice.texts), index, logprobs, choice.reason)
