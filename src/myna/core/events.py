"""What a generation says while it runs. One stream of these serves streamed and whole answers."""

from typing import Final, Literal

import msgspec

FinishReason = Literal["stop", "length"]


LOWEST_LOGPROB: Final = -9999.0
"""What OpenAI shows for anything less likely, and instead of minus infinity, which JSON lacks."""


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A token with its natural-log probability under the raw distribution.

    `data` are the token's true bytes from the vocabulary (may be half a character). `logprob` is
    None only for a prompt's first token. `top` holds the k likeliest as (id, logprob, bytes),
    likeliest first. The garbage collector need not know it: it can't refer to itself.
    """

    token: int
    logprob: float | None
    data: bytes
    top: tuple[tuple[int, float, bytes], ...] = ()


class PromptDone(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The prompt is computed: sent once, before any text of the request.

    `cached_tokens` of the `prompt_tokens` came from the prefix cache. `logprobs` is filled when
    the request asked for `num_prompt_logprobs`: one entry a prompt token, in order. `prompt` tells
    the prompts apart where the streams of several requests were merged into one.
    """

    prompt_tokens: int
    cached_tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt: int = 0


class TextDelta(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Text of one choice that is safe to show: whole characters, no part of a stop string.

    `num_tokens` is how many tokens were generated since the choice's last event; `text` may be
    empty only where `logprobs` is not. With `is_thought` it is the model's thought before the answer.
    """

    choice: int
    text: str
    num_tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    is_thought: bool = False


class ChoiceDone(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A choice ended. `num_tokens` counts tokens since its last event that made no text
    (an end-of-text token, a stop string). `completion_tokens` is the choice's whole count."""

    choice: int
    reason: FinishReason
    num_tokens: int
    completion_tokens: int


class Done(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """All choices ended: the last event. `completion_tokens` counts every candidate's tokens,
    those that `best_of` threw away included, and the rejected ones of a prediction: those that did not
    appear in the answer, while the accepted ones did. Both depend on the texts alone, not on how the answer
    was computed. `reasoning_tokens` of them were thought, marks included."""

    completion_tokens: int
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    reasoning_tokens: int = 0


class WireChunk(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Bytes of a relayed answer, for the client as they are: whole server-sent events of a stream without
    its final `[DONE]`, or the whole body. `num_tokens` is how many tokens they hold at least, where the
    upstream does not say before its end; see `relay.Relay`."""

    data: bytes
    num_tokens: int


Event = PromptDone | TextDelta | ChoiceDone | Done | WireChunk
