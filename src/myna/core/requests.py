"""Requests to models, independent of HTTP and of any engine: plain, frozen values."""

from typing import Final

import msgspec

from myna.core.constraints import Constraint


class Sampling(msgspec.Struct, frozen=True, array_like=True):
    """Sampling parameters. The defaults sample from the model's own distribution.

    `temperature` 0 is greedy (ties go to the lower token id). `top_k` 0 and `min_p` 0 are off.
    `seed`, the choice index and the token's position determine every random number.
    `logit_bias` holds (token id, bias) pairs, bias in [-100, 100]. `presence_penalty` and
    `frequency_penalty` are in [-2, 2] and count the tokens generated so far, as OpenAI documents them.
    `repetition_penalty` divides positive logits of tokens that the prompt or the answer already contains
    and multiplies negative ones, as in Transformers and vLLM; 1 is off.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int = 0


class Thought(msgspec.Struct, frozen=True, array_like=True):
    """How a model thinks before it answers: between two markers, the first of which may already be in the
    prompt (`is_open`). Under a constraint it must think, unless that `is_optional`, and for at most
    `max_tokens` (0: no limit). `answer` and `close` surround the answer, in formats that mark it, too;
    `ending` is what a model writes after that, up to the end of its turn. `is_harmony`: the answer consists
    of messages in channels, and the markers are those of the analysis."""

    begin: str
    end: str
    is_open: bool = False
    is_optional: bool = False
    max_tokens: int = 0
    answer: str = ""
    close: str = ""
    is_harmony: bool = False
    ending: str = ""

    @property
    def marks(self) -> tuple[str, ...]:
        """All marks that may occur in the model's text."""
        return tuple(filter(None, (self.begin, self.end, self.answer, self.close)))


class CallMarks(msgspec.Struct, frozen=True, array_like=True):
    """Where tool calls may begin in an answer: at one of the texts `anywhere`, or at its first character that
    isn't white space if that begins the text `at_start` ("": nothing). `has_recipients`: each part of an
    answer names its recipient, as in Functionary 3.2's format."""

    anywhere: tuple[str, ...] = ()
    at_start: str = ""
    has_recipients: bool = False


NO_CALLS: Final = CallMarks()
BACKGROUND: Final = -2
"""The priority of requests that only use what all others leave."""


class GenerationRequest(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """One prompt, in tokens, and what to generate for it.

    `max_tokens` is per choice and already limited by the context (prompt + answer <= context). `num_logprobs`
    None: none; 0: only the sampled token's; k: also the k most likely. `num_prompt_logprobs` is the same for
    the prompt's tokens (legacy `echo` with `logprobs`). `best_of` >= `num_choices` candidates are generated;
    those with the best mean log-probability are returned, and nothing is streamed before all have ended.
    `stop` strings end the choice and are not returned. `stop_token_ids` end it like end-of-text tokens;
    `ignore_eos` generates past the latter. Before `min_tokens`, none of these tokens is generated and no stop
    string is looked for. `cache_salt` isolates tenants: prefixes are only shared under equal salts. Higher
    `priority` is served first. `owner` is the key or project among which the queue is fair. `is_collected`
    means that no part of the answer is used before its end: it is then delivered at once, and survives the
    death of the model's worker. `constraint` is enforced on the answer; the generator compiles it, with the
    `thought`. A `thought` may precede the answer and counts toward `max_tokens`; `stop`, log-probabilities
    and the constraint only apply after its end. `session` is the same for all turns of a conversation, so
    that a fleet can send them where the prefix is cached; "" if there is none. `adapter` is the LoRA adapter
    that the model runs with, one of its `ModelInfo.adapters`; "" for none. With `return_token_ids`, events
    have the ids of their tokens. `output_token_ids` are those of an earlier run of the same request, by
    choice: the events are the same from the answer's beginning on, but these tokens needn't be generated
    again, and the values of their log-probabilities are void."""

    id: str
    prompt_tokens: tuple[int, ...]
    max_tokens: int
    num_choices: int = 1
    best_of: int = 1
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    num_logprobs: int | None = None
    num_prompt_logprobs: int | None = None
    constraint: Constraint | None = None
    ignore_eos: bool = False
    prediction_tokens: tuple[int, ...] = ()
    priority: int = 0
    owner: str = ""
    cache_salt: str = ""
    is_collected: bool = False
    thought: Thought | None = None
    calls: CallMarks = NO_CALLS
    session: str = ""
    adapter: str = ""
    return_token_ids: bool = False
    output_token_ids: tuple[tuple[int, ...], ...] = ()

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.prompt_tokens)


class EmbeddingRequest(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Texts, in tokens, each of which becomes a vector.

    `priority` and `owner` are those of a `GenerationRequest`. The vectors are always delivered together, so
    that the request survives the death of the model's worker."""

    id: str
    inputs: tuple[tuple[int, ...], ...]
    priority: int = 0
    owner: str = ""

    @property
    def num_prompt_tokens(self) -> int:
        return sum(map(len, self.inputs))

    @property
    def is_collected(self) -> bool:
        return True


ModelRequest = GenerationRequest | EmbeddingRequest
