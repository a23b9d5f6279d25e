"""Token counts of a chat completion, with the details that OpenAI lists."""

import msgspec

from myna.core.events import Done, Event, PromptDone


class PromptDetails(msgspec.Struct):
    """`cached_tokens` came from the prefix cache."""

    cached_tokens: int
    audio_tokens: int = 0


class CompletionDetails(msgspec.Struct):
    """What the completion tokens were."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Usage(msgspec.Struct):
    """The prompt is counted once, the completions of all choices are summed."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class UsageCounter:
    """A fold over the events."""

    def __init__(self) -> None:
        self._prompt = PromptDone(0, 0)
        self._done = Done(0)

    def feed(self, event: Event) -> None:
        """Take in what carries counts."""
        if isinstance(event, PromptDone):
            self._prompt = event
        elif isinstance(event, Done):
            self._done = event

    def total(self) -> Usage:
        """The counts so far."""
        prompt, done = self._prompt, self._done
        return Usage(
            prompt.prompt_tokens,
            done.completion_tokens,
            prompt.prompt_tokens + done.completion_tokens,
            PromptDetails(prompt.cached_tokens),
            CompletionDetails(
                reasoning_tokens=done.reasoning_tokens,
                accepted_prediction_tokens=done.accepted_prediction_tokens,
                rejected_prediction_tokens=done.rejected_prediction_tokens,
            ),
        )
