"""Admits requests that fit the model while the queue has room. Knows no engine."""

from collections import Counter
from typing import Final

import msgspec

from myna.core.errors import ContextLengthExceeded, InvalidRequest, Overloaded
from myna.core.generator import ModelInfo
from myna.core.requests import EmbeddingRequest, GenerationRequest, ModelRequest

MAX_BIASES: Final = 1024  # per request, vLLM's limit; each is applied at every step
_FEW: Final = 8
_EXTRA: Final = 2


class QueueLimits(msgspec.Struct):
    """Limits of the queue, which holds requests until their first event. Mutable: changes apply to the next
    request."""

    max_waiting_requests: int = 1024
    max_waiting_tokens: int = 4_000_000


class Admission:
    """Call `admit` before a request is queued, and `release` at its first event or its end."""

    __slots__ = ("_limits", "_requests", "_tokens", "num_requests", "num_tokens")

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._requests: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self.num_requests = 0
        self.num_tokens = 0

    def admit(self, request: ModelRequest, info: ModelInfo) -> None:
        """Raises `InvalidRequest`, `ContextLengthExceeded` or `Overloaded`."""
        if isinstance(request, EmbeddingRequest):
            _check_inputs(request, info)
        else:
            _check_values(request, info)
            _check_length(request, info)
        if not self._has_room(request):
            raise Overloaded(
                f"The model's queue is full ({self.num_requests} requests waiting). Please try again later."
            )
        self._count(request, 1)

    def release(self, request: ModelRequest) -> None:
        self._count(request, -1)

    def _has_room(self, request: ModelRequest) -> bool:
        """An owner who has few requests waiting is admitted to a queue that others have filled, up to twice
        the limits."""
        limits, owner, size = self._limits, request.owner, request.num_prompt_tokens
        has_few = (
            self._requests[owner] < limits.max_waiting_requests // _FEW
            and self._tokens[owner] + size <= limits.max_waiting_tokens // _FEW
        )
        factor = _EXTRA if has_few and self._requests[owner] < self.num_requests else 1
        if self.num_requests >= factor * limits.max_waiting_requests:
            return False
        return not self.num_requests or self.num_tokens + size <= factor * limits.max_waiting_tokens

    def _count(self, request: ModelRequest, sign: int) -> None:
        owner, num_tokens = request.owner, sign * request.num_prompt_tokens
        self.num_requests += sign
        self.num_tokens += num_tokens
        self._requests[owner] += sign
        self._tokens[owner] += num_tokens
        if not self._requests[owner]:
            del self._requests[owner], self._tokens[owner]


def _check_inputs(request: EmbeddingRequest, info: ModelInfo) -> None:
    if not request.inputs or not all(request.inputs):
        raise InvalidRequest("The input is empty: each text needs at least one token.", param="input")
    if any(not 0 <= min(text) <= max(text) < info.vocab_size for text in request.inputs):
        raise InvalidRequest(f"The input has token ids outside 0 to {info.vocab_size - 1}.", param="input")
    longest = max(map(len, request.inputs))
    if longest > info.context_tokens:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {info.context_tokens} tokens, however you requested "
            f"{longest} tokens ({longest} in your prompt; 0 for the completion). Please reduce your prompt; "
            "or completion length."
        )


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
    limit = min(info.context_tokens, info.kv_tokens)
    if total <= limit:
        return
    what = "context length" if info.context_tokens <= info.kv_tokens else "KV cache size on this server"
    raise ContextLengthExceeded(
        f"This model's maximum {what} is {limit} tokens. However, you requested {total} tokens "
        f"({num_prompt} in the prompt, {request.max_tokens} in the completion).",
        param="messages",
        code="context_length_exceeded",
    )
