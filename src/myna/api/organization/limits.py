"""Limits of a project, a key or everyone: one object per model, and one for all models together."""

from typing import Final

from starlette.responses import Response

from myna.accounts.administration import Administration, check_owner, find_key, find_limit
from myna.accounts.checks import check_model
from myna.api.organization.handling import json_response, load_accounts, page_response, perform, read_body
from myna.api.organization.schema import LIMIT, LIMIT_FIELDS, LimitBody
from myna.api.organization.shapes import limit_shape
from myna.core.accounts import ALL_MODELS, EVERYONE, Accounts
from myna.core.errors import NotFound
from myna.request.context import Endpoint, RequestContext
from myna.wire.paging import MAX_LIMIT


async def list_limits(context: RequestContext) -> Response:
    """All models together, then every model, then other names that have limits."""
    accounts = await load_accounts(context)
    owner = _owner(context, accounts)
    models = [card.id for card in context.services.pool.cards() if card.kind == "model"]
    limited = [limit.model for limit in accounts.limits if limit.owner == owner]
    names = dict.fromkeys([ALL_MODELS, *models, *limited])
    shapes = [limit_shape(find_limit(accounts, owner, name)) for name in names]
    return page_response(context, shapes, default=MAX_LIMIT)


async def modify_limit(context: RequestContext) -> Response:
    body = await read_body(context, LimitBody, LIMIT)
    owner = _owner(context, await load_accounts(context))
    changes = {LIMIT_FIELDS[name]: getattr(body, name) for name in body.model_fields_set}
    return json_response(
        limit_shape(await perform(context, Administration.set_limit, owner, _model(context), changes))
    )


async def retrieve_limit(context: RequestContext) -> Response:
    accounts = await load_accounts(context)
    return json_response(limit_shape(find_limit(accounts, _owner(context, accounts), _model(context))))


def _owner(context: RequestContext, accounts: Accounts) -> str:
    """The owner of the limits in the path."""
    places = context.request.path_params
    if "key_id" in places:
        return find_key(accounts, places["key_id"], places["project_id"]).id
    owner = str(places.get("project_id", EVERYONE))
    check_owner(accounts, owner)
    return owner


def _model(context: RequestContext) -> str:
    limit_id = str(context.request.path_params["limit_id"])
    if not limit_id.startswith("rl-"):
        raise NotFound(
            f"No rate limit found with id '{limit_id[:64]}'; ids are rl-all and rl- with a model's name.",
            param="rate_limit_id",
            code="not_found",
        )
    name = limit_id.removeprefix("rl-")
    return ALL_MODELS if name == "all" else check_model(name, "rate_limit_id")


_ORGANIZATION: Final = "/v1/organization"
_OWNERS: Final = (
    _ORGANIZATION,
    f"{_ORGANIZATION}/projects/{{project_id}}",
    f"{_ORGANIZATION}/projects/{{project_id}}/api_keys/{{key_id}}",
)
ENDPOINTS: Final = tuple(
    endpoint
    for owner in _OWNERS
    for endpoint in (
        Endpoint("GET", f"{owner}/rate_limits", list_limits),
        Endpoint("GET", f"{owner}/rate_limits/{{limit_id:path}}", retrieve_limit),
        Endpoint("POST", f"{owner}/rate_limits/{{limit_id:path}}", modify_limit),
    )
)
