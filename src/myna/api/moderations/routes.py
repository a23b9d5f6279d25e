"""`POST /v1/moderations`: refused, since without a classifier every verdict would be a false promise."""

from typing import Final

from myna.request.context import ASGIResponse, Endpoint, RequestContext
from myna.wire.errors import UnknownPath


async def create_moderation(context: RequestContext) -> ASGIResponse:
    raise UnknownPath(
        "Invalid URL (POST /v1/moderations). This server has no model that classifies texts, so it can't say "
        "whether one is harmful. Leave out the moderation, ask a chat model with a response_format of your "
        "own, or send this request to a service that has such a model."
    )


ENDPOINTS: Final = (Endpoint("POST", "/v1/moderations", create_moderation),)
