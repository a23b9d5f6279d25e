"""Admin keys: those with the scope `admin`, in any project."""

import time
from typing import Final

from starlette.responses import Response

from myna.accounts.administration import Administration, find_key
from myna.api.organization.handling import json_response, load_accounts, page_response, perform, read_body
from myna.api.organization.keys import key_id
from myna.api.organization.schema import ADMIN_KEY, NamedKeyBody
from myna.api.organization.shapes import admin_key_shape, deleted
from myna.core.accounts import DEFAULT_PROJECT, Accounts, ApiKey
from myna.core.errors import NotFound
from myna.request.context import Endpoint, RequestContext
from myna.wire.paging import page_order


async def list_admin_keys(context: RequestContext) -> Response:
    accounts = await load_accounts(context)
    keys = [key for key in accounts.keys if _is_admin(key) and key.revoked_at is None]
    if page_order(context.request.query_params, "asc") == "desc":
        keys.reverse()
    return page_response(context, [admin_key_shape(key, time.time()) for key in keys], "order")


async def create_admin_key(context: RequestContext) -> Response:
    body = await read_body(context, NamedKeyBody, ADMIN_KEY)
    new_key = await perform(
        context,
        Administration.create_key,
        DEFAULT_PROJECT,
        body.name,
        scopes=("admin",),
        expires_in_s=body.expires_in_seconds,
    )
    return json_response({**admin_key_shape(new_key.key, time.time()), "value": new_key.value})


async def retrieve_admin_key(context: RequestContext) -> Response:
    return json_response(admin_key_shape(_find(await load_accounts(context), key_id(context)), time.time()))


async def delete_admin_key(context: RequestContext) -> Response:
    key = _find(await load_accounts(context), key_id(context))
    await perform(context, Administration.revoke_key, None, key.id)
    return json_response(deleted("organization.admin_api_key", key.id))


def _is_admin(key: ApiKey) -> bool:
    return "admin" in key.scopes


def _find(accounts: Accounts, wanted: str) -> ApiKey:
    key = find_key(accounts, wanted)
    if not _is_admin(key):
        raise NotFound(f"The key '{key.id}' is not an admin key.", param="key_id", code="not_found")
    return key


_ADMIN_KEYS: Final = "/v1/organization/admin_api_keys"
ENDPOINTS: Final = (
    Endpoint("GET", _ADMIN_KEYS, list_admin_keys),
    Endpoint("POST", _ADMIN_KEYS, create_admin_key),
    Endpoint("GET", f"{_ADMIN_KEYS}/{{key_id}}", retrieve_admin_key),
    Endpoint("DELETE", f"{_ADMIN_KEYS}/{{key_id}}", delete_admin_key),
)
