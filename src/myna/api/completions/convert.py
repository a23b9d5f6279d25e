"""Converts a completion request to `core`'s types, and checks its combinations of parameters. Pure."""

from dataclasses import dataclass
from typing import Final

from myna.api.completions.schema import CompletionRequest
from myna.core.constraints import Constraint
from myna.core.errors import InvalidRequest
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest, Sampling
from myna.generation.budgets import NO_LIMITS, AnswerLimits, check_min_tokens, completion_tokens
from myna.generation.reasoning import NO_REASONING, Reasoning
from myna.generation.sampling import check_biased_tokens, check_stop_tokens, to_sampling
from myna.generation.tenant import Tenant, context_length
from myna.wire import validation_errors

DEFAULT_MAX_TOKENS: Final = 16
MAX_CANDIDATES: Final = 4096
"""For all prompts of one request together: each takes memory until the request ends."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt's tokens for the model, and its text for the client (echo, offsets). After a prompt in a chat
    template, there may be `reasoning`, which is not returned."""

    tokens: tuple[int, ...]
    text: str
    reasoning: Reasoning = NO_REASONING


@dataclass(frozen=True, slots=True)
class CompletionSpec:
    """The format of the response, fixed before its first token, for streamed and whole responses."""

    num_choices: int
    max_tokens: int
    echo: bool
    num_logprobs: int | None
    include_usage: bool


def check(request: CompletionRequest, info: ModelInfo, limits: AnswerLimits) -> None:
    """Raise for parameters that are valid on their own but not together, or not with this model or server."""
    num_choices, best_of = request.n or 1, request.best_of or 0
    limits.check("max_tokens", request.max_tokens)
    if best_of and num_choices > best_of:
        raise InvalidRequest(
            "You requested that the server return more choices than it will generate (HINT: you must set "
            f"'n' (currently {num_choices}) to be at most 'best_of' (currently {best_of}), or omit either "
            "parameter if you don't specifically want to use them.)",
            param="best_of",
        )
    if request.stream and best_of > num_choices:
        raise InvalidRequest("You cannot stream results when best_of > n", param="best_of")
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    most = MAX_CANDIDATES // max(num_choices, best_of)
    if len(request.prompt) > most:
        raise validation_errors.too_long("array", most, len(request.prompt)).at_param("prompt")
    check_biased_tokens(request.logit_bias, info.vocab_size)
    check_stop_tokens(request.stop_token_ids, info.vocab_size)
    _check_tokens(request, info.vocab_size)


def _check_tokens(request: CompletionRequest, vocab_size: int) -> None:
    is_single = len(request.prompt) == 1
    for i, prompt in enumerate(request.prompt):
        if isinstance(prompt, str):
            continue
        if request.suffix:
            raise validation_errors.invalid_type("a string, as 'suffix' is set", []).at_param("prompt")
        highest = max(prompt)
        if highest >= vocab_size:
            place = f"[{prompt.index(highest)}]" if is_single else f"[{i}][{prompt.index(highest)}]"
            raise validation_errors.out_of_range("integer", "above", vocab_size - 1, highest).at_param(
                f"prompt{place}"
            )


def limits_of(request: CompletionRequest, limits: AnswerLimits) -> AnswerLimits:
    """The server's limits, or less for many log-probabilities."""
    return limits.within((request.n or 1) * len(request.prompt), request.logprobs)


def to_spec(request: CompletionRequest) -> CompletionSpec:
    """The format of the response."""
    options = request.stream_options
    return CompletionSpec(
        num_choices=request.n or 1,
        max_tokens=DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens,
        echo=bool(request.echo),
        num_logprobs=request.logprobs,
        include_usage=bool(options and options.include_usage),
    )


def to_generation(
    request: CompletionRequest,
    prompt: EncodedPrompt,
    info: ModelInfo,
    tenant: Tenant,
    *,
    id: str,
    defaults: Sampling,
    limits: AnswerLimits = NO_LIMITS,
    constraint: Constraint | None = None,
) -> GenerationRequest:
    """The generation request of one prompt. Raises `ContextLengthExceeded` if it doesn't fit the model."""
    spec = to_spec(request)
    max_tokens = completion_tokens(len(prompt.tokens), spec.max_tokens, context_length(info), limits)
    check_min_tokens(request.min_tokens or 0, max_tokens)
    return GenerationRequest(
        id=id,
        prompt_tokens=prompt.tokens,
        max_tokens=max_tokens,
        num_choices=spec.num_choices,
        best_of=max(request.best_of or 0, spec.num_choices),
        sampling=to_sampling(request, defaults),
        stop=request.stop,
        stop_token_ids=request.stop_token_ids,
        min_tokens=request.min_tokens or 0,
        num_logprobs=request.logprobs,
        num_prompt_logprobs=request.logprobs if request.echo else None,
        constraint=prompt.reasoning.constraint(constraint),
        ignore_eos=bool(request.ignore_eos),
        priority=tenant.priority(),
        owner=tenant.owner,
        cache_salt=tenant.cache_salt,
        is_collected=not request.stream,
        thought=prompt.reasoning.thought,
    )
