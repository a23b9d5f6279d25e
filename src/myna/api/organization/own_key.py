"""The key of the request itself, which every key may read: who it is and what it may do."""

from typing import Final

from starlette.responses import Response

from myna.accounts.principal import KEY_SCOPES
from myna.api.organization.handling import json_response
from myna.request.context import Endpoint, RequestContext


async def retrieve_own_key(context: RequestContext) -> Response:
    principal = context.principal
    return json_response(
        {
            "object": "organization.own_key",
            "id": principal.key_id,
            "project_id": principal.project,
            "scopes": [name for name, scopes in KEY_SCOPES.items() if scopes <= principal.scopes],
            "models": None if principal.models is None else sorted(principal.models),
        }
    )


ENDPOINTS: Final = (Endpoint("GET", "/v1/organization/own_key", retrieve_own_key),)
