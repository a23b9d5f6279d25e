"""What a generation is asked to do, after HTTP and before any engine: plain, frozen values."""

import msgspec

from myna.core.constraints import Constraint


class Sampling(msgspec.Struct, frozen=True, array_like=True):
    """How the next token is drawn. Defaults draw from the model's own distribution.

    `temperature` 0 is greedy (ties go to the lower token id). `top_k` 0 and `min_p` 0 are off.
    `seed` with the choice index and the token's position decides every random number.
    `logit_bias` holds (token id, bias) pairs, bias in [-100, 100]; penalties are in [-2, 2] and
    count the tokens generated so far, as OpenAI documents them.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int = 0


class Thought(msgspec.Struct, frozen=True, array_like=True):
    """How a model thinks before it answers: between two marks, the first of which may stand in the prompt
    already (`is_open`). Under a constraint it must think, unless that `is_optional`, and for at most
    `max_tokens` (0: no limit)."""

    begin: str
    end: str
    is_open: bool = False
    is_optional: bool = False
    max_tokens: int = 0


class GenerationRequest(msgspec.Struct, frozen=True, array_like=True):
    """One prompt and the answers wanted for it, in tokens.

    `max_tokens` is per choice and already bounded by the context (prompt + answer <= context).
    `num_logprobs` None: none; 0: the sampled token's alone; k: the k likeliest beside it.
    `num_prompt_logprobs` the same for the prompt's own tokens (legacy `echo` with `logprobs`).
    `best_of` >= `num_choices` candidates are drawn; the best by mean log-probability are kept and
    nothing is streamed before all have ended. `ignore_eos` generates past end-of-text tokens.
    `cache_salt` parts tenants: a prefix is shared only under an equal salt. Higher `priority`
    is served first. `owner` is the key or project that the queue is fair between.
    `stop` strings end the choice and are not returned. `is_collected` says that nobody sees a part of
    the answer before its end: it then comes at once, and survives the death of the model's worker.
    `constraint` is what the answer must follow; whoever runs the request compiles it, with the `thought`.
    A `thought` may stand before the answer: it counts into `max_tokens`; neither `stop`, log-probabilities
    nor the constraint begin before its end.
    """

    id: str
    prompt_tokens: tuple[int, ...]
    max_tokens: int
    num_choices: int = 1
    best_of: int = 1
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
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
