"""`POST /v1/moderations`: one function from the request to the last byte of the response."""

from typing import Final

from myna.api.moderations.answer import ModerationAccumulator
from myna.api.moderations.convert import guard_codes, to_generation
from myna.api.moderations.schema import ModerationRequest
from myna.catalog.registry import ModelCard
from myna.core.errors import ModelNotFound, WrongEndpoint
from myna.generation.tenant import tenant_of
from myna.http.streaming import collect
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.request.relaying import answer_relayed
from myna.wire.errors import UnknownPath
from myna.wire.ids import moderation_id
from myna.wire.parameters import MODERATIONS

DEFAULT_MODEL: Final = "omni-moderation-latest"
"""As at OpenAI; an alias of the guard model."""
NO_GUARD_TEXT: Final = (
    "Invalid URL (POST /v1/moderations). This server has no model that classifies texts, so it can't say "
    "whether one is harmful. Its owner can name one with the setting `moderation`: a guard model such as "
    "Llama Guard or Qwen3Guard-Gen. Otherwise leave out the moderation, ask a chat model with a "
    "response_format of your own, or send this request to a service that has such a model."
)


async def create_moderation(context: RequestContext) -> None:
    """Everything that can be rejected is rejected before anything is computed."""
    require(context.principal, "model.request")
    body = await context.json_object()
    if body.get("model") is None:
        body = {**body, "model": DEFAULT_MODEL}
    card = _requested_guard(context, body)
    if card.is_relayed:
        await answer_relayed(context, card, body, "moderations")
        return
    request = await context.validated(ModerationRequest, body, MODERATIONS, may_ignore=True)
    async with context.response_sender(is_stream=False, headers={"openai-model": card.id}) as response:
        model = await context.open_model(card)
        renderer, info, tenant = model.renderer, model.generator.info, tenant_of(context.principal)
        codes = await context.in_text_thread(guard_codes, renderer)
        generations = [
            await context.in_text_thread(
                to_generation, text, renderer, info, tenant, id=f"{context.id}-{i}", hint=context.record.hint
            )
            for i, text in enumerate(request.input)
        ]
        events = await context.generate(model, generations)
        accumulator = ModerationAccumulator(moderation_id(), card, len(generations), codes)
        await response.send_body((await collect(events, accumulator)).parts())


def _requested_guard(context: RequestContext, body: dict[str, object]) -> ModelCard:
    """The card of the guard model, or of a model on another server. Raises `UnknownPath` if there is neither,
    `WrongEndpoint` for any other model."""
    has_guard = any(card.is_guard for card in context.services.pool.cards())
    try:
        card = context.requested_card(body)
    except ModelNotFound:
        if not has_guard:
            raise UnknownPath(NO_GUARD_TEXT) from None
        raise
    if card.is_relayed or card.is_guard:
        return card
    if not has_guard:
        raise UnknownPath(NO_GUARD_TEXT)
    raise WrongEndpoint(
        f"The model {card.id!r} does not classify texts, and is thus not supported in the v1/moderations "
        f"endpoint. Use {DEFAULT_MODEL!r}.",
        param="model",
    )


ENDPOINTS: Final = (Endpoint("POST", "/v1/moderations", create_moderation, recorded_as="moderations"),)
