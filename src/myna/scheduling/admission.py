"""Which requests may enter: those that fit the model, while the line is short. Knows no engine."""

from typing import Final

import msgspec

from myna.core.errors import ContextLengthExceeded, InvalidRequest, Overloaded
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest

MAX_BIASES: Final = 1024  # of one request: as many as vLLM takes; every step applies each


class Limits(msgspec.Struct):
    """How long the line of requests that were told nothing yet may become. Whoever made it may change it:
    the next request goes by the new numbers."""

    max_waiting_requests: int = 1024
    max_waiting_tokens: int = 4_000_000


class Admission:
    """`enter` before a request is queued, `leave` when it is first told something or ends."""

    __slots__ = ("_limits", "num_requests", "num_tokens")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.num_requests = 0
        self.num_tokens = 0

    def enter(self, request: GenerationRequest, info: ModelInfo) -> None:
        """Raises `InvalidRequest`, `ContextLengthExceeded` or `Overloaded`."""
        _check_values(request, info)
        _check_length(request, info)
        if self.num_requests >= self._limits.max_waiting_requests or (
            self.num_requests
            and self.num_tokens + len(request.prompt_tokens) > self._limits.max_waiting_tokens
        ):
            raise Overloaded(
                f"The model has {self.num_requests} requests waiting, as many as it takes; try again soon."
            )
        self.num_requests += 1
        self.num_tokens += len(request.prompt_tokens)

    def leave(self, request: GenerationRequest) -> None:
        self.num_requests -= 1
        self.num_tokens -= len(request.prompt_tokens)


def _check_values(request: GenerationRequest, info: ModelInfo) -> None:
    tokens, vocab_size = request.prompt_tokens, info.vocab_size
    if not tokens:
        raise InvalidRequest("The prompt is empty: it needs at least one token.", param="prompt")
    if not 0 <= min(tokens) <= max(tokens) < vocab_size:
        raise InvalidRequest(f"The prompt has token ids outside 0 to {vocab_size - 1}.", param="prompt")
    if len(request.sampling.logit_bias) > MAX_BIASES:
        raise InvalidRequest(f"logit_bias has more than {MAX_BIASES} entries.", param="logit_bias")
    if any(not 0 <= token < vocab_size for token, _ in request.sampling.logit_bias):
        raise InvalidRequest(f"logit_bias has token ids outside 0 to {vocab_size - 1}.", param="logit_bias")
    if request.max_tokens < 0:
        raise InvalidRequest("max_tokens must not be negative.", param="max_tokens")
    if not request.num_choices >= 1:
        raise InvalidRequest("n must be at least 1.", param="n")


def _check_length(request: GenerationRequest, info: ModelInfo) -> None:
    num_prompt = len(request.prompt_tokens)
    total = num_prompt + request.max_tokens
    room = min(info.context_tokens, info.kv_tokens)
    if total <= room:
        return
    why = "context length" if info.context_tokens <= info.kv_tokens else "room in this server's KV cache"
    raise ContextLengthExceeded(
        f"This model's maximum {why} is {room} tokens. However, you requested {total} tokens "
        f"({num_prompt} in the prompt, {request.max_tokens} in the completion).",
        param="messages",
        code="context_length_exceeded",
    )
