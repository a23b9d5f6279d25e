"""Counts an answer's tokens from its events."""

from dataclasses import dataclass

from myna.core.events import Done, Event, PromptDone


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Totals over all prompts and choices. `cached_tokens` of the prompt tokens came from the prefix cache;
    the last three are parts of the completion tokens."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class UsageCounter:
    """Accepts events in any order; events without counts are ignored."""

    def __init__(self) -> None:
        self._prompt_tokens = self._cached_tokens = 0
        self._done = Done(0)

    def feed(self, event: Event) -> None:
        """Add the counts of an event."""
        if isinstance(event, PromptDone):
            self._prompt_tokens += event.prompt_tokens
            self._cached_tokens += event.cached_tokens
        elif isinstance(event, Done):
            self._done = event

    def total(self) -> TokenUsage:
        """The counts so far."""
        done = self._done
        return TokenUsage(
            self._prompt_tokens,
            self._cached_tokens,
            done.completion_tokens,
            done.reasoning_tokens,
            done.accepted_prediction_tokens,
            done.rejected_prediction_tokens,
        )
