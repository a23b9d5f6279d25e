"""Texts as requests to a guard model, whose own chat template asks it to classify them. Slow: runs in a
thread."""

from collections.abc import Callable
from typing import Final

from myna.api.moderations.hazards import codes_in
from myna.api.moderations.verdict import MAX_TOKENS, NUM_LOGPROBS
from myna.core.conversation import Message
from myna.core.generator import ModelInfo
from myna.core.renderer import Renderer
from myna.core.requests import GenerationRequest, Sampling
from myna.generation import conversation
from myna.generation.budgets import NO_LIMITS
from myna.generation.tenant import Tenant

_GREEDY: Final = Sampling(temperature=0)


def to_generation(
    text: str, renderer: Renderer, info: ModelInfo, tenant: Tenant, *, id: str, hint: Callable[[str], object]
) -> GenerationRequest:
    """The request that classifies the text. Raises as `conversation.to_generation` does."""
    asked = conversation.ConversationRequest(
        messages=[Message.of("user", text)],
        sampling=_GREEDY,
        requested_tokens=MAX_TOKENS,
        num_logprobs=NUM_LOGPROBS,
        thinks=False,
        messages_param="input",
    )
    generation, _ = conversation.to_generation(
        asked, renderer, info, tenant, id=id, limits=NO_LIMITS, hint=hint
    )
    return generation


def guard_codes(renderer: Renderer) -> dict[str, str]:
    """The hazards that the guard's prompt lists by code, read where it has no client's text."""
    return codes_in(renderer.decode(renderer.encode_chat([Message.of("user", "-")])))
