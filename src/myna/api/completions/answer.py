"""The whole ending: a fold over the same events as the chunks."""

from dataclasses import dataclass, field

import msgspec

from myna.api.completions.convert import EncodedPrompt, ResponseSpec
from myna.api.completions.logprobs import OffsetCounter, joined, prompt_logprobs
from myna.api.completions.schema import Choice, Completion, Logprobs, Usage
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta


@dataclass(slots=True)
class _Growing:
    """A choice while it grows."""

    offsets: OffsetCounter
    texts: list[str] = field(default_factory=list)
    logprobs: list[Logprobs] = field(default_factory=list)
    reason: str = ""


class AnswerFold:
    """Events of all prompts in, one body out."""

    def __init__(
        self, id: str, created: int, model: str, prompts: list[EncodedPrompt], spec: ResponseSpec
    ) -> None:
        self._id, self._created, self._model = id, created, model
        self._spec = spec
        self._prompts = prompts
        self._wants_logprobs = spec.num_logprobs is not None
        self._choices = [
            _Growing(OffsetCounter(len(prompt.text))) for prompt in prompts for _ in range(spec.num_choices)
        ]
        self._prompt_tokens = self._completion_tokens = 0

    def feed(self, event: Event) -> None:
        """Take the next event in."""
        match event:
            case TextDelta():
                choice = self._choices[event.choice]
                choice.texts.append(event.text)
                if self._wants_logprobs:
                    choice.logprobs.append(choice.offsets.render(event.logprobs))
            case PromptDone():
                self._prompt_tokens += event.prompt_tokens
                if self._spec.echo:
                    self._echo(event)
            case ChoiceDone():
                self._choices[event.choice].reason = event.reason
            case Done():
                self._completion_tokens += event.completion_tokens

    def _echo(self, event: PromptDone) -> None:
        text = self._prompts[event.prompt].text
        first = event.prompt * self._spec.num_choices
        for choice in self._choices[first : first + self._spec.num_choices]:
            choice.texts.append(text)
            if self._wants_logprobs:
                choice.logprobs.append(prompt_logprobs(event.logprobs, text))

    def body(self) -> bytes:
        """The answer's JSON, laid out as OpenAI does."""
        choices = [
            Choice(
                text="".join(choice.texts),
                index=index,
                logprobs=joined(choice.logprobs) if self._wants_logprobs else None,
                finish_reason=choice.reason,
            )
            for index, choice in enumerate(self._choices)
        ]
        total = self._prompt_tokens + self._completion_tokens
        usage = Usage(self._prompt_tokens, self._completion_tokens, total)
        answer = Completion(self._id, "text_completion", self._created, self._model, choices, usage)
        return msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n"
