"""Which service tier serves a request: the priority tier needs a right of the key, and has its own limit."""

from myna.catalog.registry import ModelCard
from myna.generation.service_tier import requested_tier
from myna.request.context import RequestContext


async def served_tier(context: RequestContext, requested: str | None, card: ModelCard) -> str:
    """The tier that serves the request, which the response reports. As at OpenAI, a request that may not use
    the priority tier, or no longer, is served at the default tier. Requests of batches have no other tier."""
    tier = requested_tier(requested)
    if context.principal.is_background:
        return "default"
    if tier != "priority":
        return tier
    if not context.principal.may("model.request.priority"):
        why = "This key doesn't have the scope `priority`, so the request was served at the default tier."
    elif not await context.services.limiter.may_use_priority(context.principal, card):
        why = "The limit of priority requests is used up, so the request was served at the default tier."
    else:
        return tier
    context.record.hint(why)
    context.recorder.service_tier = "default"
    return "default"
