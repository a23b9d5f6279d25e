"""The usage object of a chat completion, with OpenAI's details."""

import msgspec

from myna.generation.usage import TokenUsage


class PromptDetails(msgspec.Struct):
    """`cached_tokens` came from the prefix cache."""

    cached_tokens: int
    audio_tokens: int = 0


class CompletionDetails(msgspec.Struct):
    """Parts of the completion tokens."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Usage(msgspec.Struct):
    """The prompt is counted once; the completion tokens of all choices are summed."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


def to_usage(counts: TokenUsage) -> Usage:
    """The counts in OpenAI's format."""
    return Usage(
        counts.prompt_tokens,
        counts.completion_tokens,
        counts.total_tokens,
        PromptDetails(counts.cached_tokens),
        CompletionDetails(
            reasoning_tokens=counts.reasoning_tokens,
            accepted_prediction_tokens=counts.accepted_prediction_tokens,
            rejected_prediction_tokens=counts.rejected_prediction_tokens,
        ),
    )
