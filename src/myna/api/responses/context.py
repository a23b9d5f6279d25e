"""The items that a request is about: those that it continues, and its own with references resolved."""

from collections.abc import Sequence

from myna.core.errors import InvalidRequest, NotFound
from myna.request.context import RequestContext
from myna.wire.response_items import Item, ItemReference


async def context_items(
    context: RequestContext,
    items: Sequence[Item | ItemReference],
    *,
    previous_response_id: str | None,
    conversation_id: str | None,
) -> list[Item]:
    """All items, oldest first. Raises OpenAI's errors for what isn't stored."""
    del context
    if conversation_id is not None:
        raise NotFound(f"Conversation with id '{conversation_id}' not found.")
    if previous_response_id is not None:
        raise InvalidRequest(
            f"Previous response with id '{previous_response_id}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    for item in items:
        if isinstance(item, ItemReference):
            raise NotFound(f"Item with id '{item.id}' not found.")
    return [item for item in items if not isinstance(item, ItemReference)]
