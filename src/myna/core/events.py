"""The events of a request to a model. The same stream serves streaming and non-streaming responses."""

from typing import Final, Literal

import msgspec

FinishReason = Literal["stop", "length"]


LOWEST_LOGPROB: Final = -9999.0
"""What OpenAI reports for anything less likely, and for minus infinity, which JSON can't represent."""


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A token with its natural log-probability under the raw distribution.

    `data` are the token's exact bytes from the vocabulary (possibly part of a character). `logprob` is None
    only for a prompt's first token. `top` holds the k most likely tokens as (id, logprob, bytes), most likely
    first. Not tracked by the garbage collector, since it can't be part of a cycle.
    """

    token: int
    logprob: float | None
    data: bytes
    top: tuple[tuple[int, float, bytes], ...] = ()


class PromptDone(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The prompt is computed: sent once, before any text of the request.

    `cached_tokens` of the `prompt_tokens` came from the prefix cache. `logprobs` has one
    entry per prompt token, in order, if the request asked for `num_prompt_logprobs`. `prompt` is the index of
    the prompt if the streams of several requests were merged into one.
    """

    prompt_tokens: int
    cached_tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt: int = 0


class TextDelta(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Text of one choice that is safe to send: whole characters, no part of a stop string.

    `num_tokens` is how many tokens were generated since the choice's last event; `text` may only be empty if
    `logprobs` is not. With `is_thought` it belongs to the model's thought before the answer. `token_ids`, if
    the request asked for them, are the choice's next tokens, but none while log-probabilities are held back:
    nothing of these tokens is then still to come but text that later tokens decide about.
    """

    choice: int
    text: str
    num_tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    is_thought: bool = False
    token_ids: tuple[int, ...] = ()


class ChoiceDone(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A choice ended. `num_tokens` counts the tokens since its last event, which produced no text (an
    end-of-text token, a stop string). `completion_tokens` is the choice's total, `stop` the stop string that
    ended it, if one did. `token_ids` are those that no `TextDelta` had, if the request asked for them."""

    choice: int
    reason: FinishReason
    num_tokens: int
    completion_tokens: int
    stop: str = ""
    token_ids: tuple[int, ...] = ()


class Done(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """All choices ended: the last event. `completion_tokens` counts the tokens of all candidates, including
    those that `best_of` discarded, and the rejected tokens of a prediction: those that don't appear in the
    answer, while the accepted ones do. Both depend only on the texts, not on how the answer was computed.
    `reasoning_tokens` of them belong to thoughts, markers included."""

    completion_tokens: int
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    reasoning_tokens: int = 0


class WireChunk(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Bytes of a relayed response, to be sent to the client unchanged: complete server-sent events of a
    stream, without the final `[DONE]`, or the whole body. `num_tokens` is a lower bound of their tokens, for
    upstreams that report no usage until the end; see `relay.Relay`."""

    data: bytes
    num_tokens: int


class Embedded(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The vectors of some inputs of an `EmbeddingRequest`, in order from the input `first` on: little-endian
    float32, one after another, each of unit length. Its other events are a `PromptDone` before the first of
    these, with the tokens of all inputs, and `Done`."""

    first: int
    vectors: bytes


Event = PromptDone | TextDelta | ChoiceDone | Done | WireChunk | Embedded
