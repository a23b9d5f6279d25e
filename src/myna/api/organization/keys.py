"""The keys of a project, as keys and as OpenAI's service accounts, which have one key each."""

import time
from typing import Final

from starlette.responses import Response

from myna.accounts.administration import Administration, NewKey, find_key, find_project
from myna.api.organization.handling import (
    json_response,
    load_accounts,
    page_response,
    perform,
    query_flag,
    read_body,
)
from myna.api.organization.projects import project_id
from myna.api.organization.schema import (
    KEY,
    KEY_CHANGES,
    ROTATION,
    SERVICE_ACCOUNT,
    KeyBody,
    KeyChanges,
    NamedKeyBody,
    RotationBody,
)
from myna.api.organization.shapes import (
    account_key_shape,
    account_shape,
    deleted,
    is_project_active,
    key_shape,
)
from myna.core.accounts import Accounts, ApiKey
from myna.request.context import Endpoint, RequestContext
from myna.wire import validation_errors

_ACCESS: Final = ("active", "inactive", "any")


async def list_keys(context: RequestContext) -> Response:
    accounts = await load_accounts(context)
    query = context.request.query_params
    access = query.get("owner_project_access", "any")
    if access not in _ACCESS:
        raise validation_errors.not_one_of(_ACCESS, access).at_param("owner_project_access")
    keys = _keys(accounts, project_id(context), with_revoked=query_flag(query, "include_revoked"))
    keys = [
        key for key in keys if access == "any" or (access == "active") == is_project_active(key, accounts)
    ]
    shapes = [key_shape(key, accounts, time.time()) for key in keys]
    return page_response(context, shapes, "owner_project_access", "include_revoked")


async def create_key(context: RequestContext) -> Response:
    body = await read_body(context, KeyBody, KEY)
    new_key = await perform(
        context,
        Administration.create_key,
        project_id(context),
        body.name,
        scopes=body.scopes,
        models=body.models,
        expires_in_s=body.expires_in_seconds,
        unknown_parameters=body.unknown_parameters,
    )
    return await _with_value(context, new_key)


async def retrieve_key(context: RequestContext) -> Response:
    accounts = await load_accounts(context)
    key = find_key(accounts, key_id(context), project_id(context))
    return json_response(key_shape(key, accounts, time.time()))


async def modify_key(context: RequestContext) -> Response:
    body = await read_body(context, KeyChanges, KEY_CHANGES)
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    key = await perform(context, Administration.change_key, project_id(context), key_id(context), changes)
    return json_response(key_shape(key, await load_accounts(context), time.time()))


async def rotate_key(context: RequestContext) -> Response:
    body = RotationBody()
    if await context.request.body():
        body = await read_body(context, RotationBody, ROTATION)
    new_key = await perform(
        context, Administration.rotate_key, project_id(context), key_id(context), body.overlap_seconds
    )
    return await _with_value(context, new_key)


async def revoke_key(context: RequestContext) -> Response:
    key = await perform(context, Administration.revoke_key, project_id(context), key_id(context))
    return json_response(deleted("organization.project.api_key", key.id))


async def list_accounts(context: RequestContext) -> Response:
    keys = _keys(await load_accounts(context), project_id(context))
    return page_response(context, [account_shape(key) for key in keys])


async def create_account(context: RequestContext) -> Response:
    body = await read_body(context, NamedKeyBody, SERVICE_ACCOUNT)
    new_key = await perform(
        context,
        Administration.create_key,
        project_id(context),
        body.name,
        expires_in_s=body.expires_in_seconds,
    )
    return json_response(
        {**account_shape(new_key.key), "api_key": account_key_shape(new_key.key, new_key.value)}
    )


async def retrieve_account(context: RequestContext) -> Response:
    return json_response(
        account_shape(find_key(await load_accounts(context), _key_of_account(context), project_id(context)))
    )


async def delete_account(context: RequestContext) -> Response:
    await perform(context, Administration.revoke_key, project_id(context), _key_of_account(context))
    account = str(context.request.path_params["account_id"])
    return json_response(deleted("organization.project.service_account", account))


def key_id(context: RequestContext) -> str:
    return str(context.request.path_params["key_id"])


def _key_of_account(context: RequestContext) -> str:
    account = str(context.request.path_params["account_id"])
    return f"key_{account.removeprefix('svc_acct_')}"


def _keys(accounts: Accounts, project: str, *, with_revoked: bool = False) -> list[ApiKey]:
    find_project(accounts, project)
    keys = [key for key in accounts.keys if key.project == project]
    return [key for key in keys if with_revoked or key.revoked_at is None]


async def _with_value(context: RequestContext, new_key: NewKey) -> Response:
    accounts = await load_accounts(context)
    return json_response({**key_shape(new_key.key, accounts, time.time()), "value": new_key.value})


_PROJECT: Final = "/v1/organization/projects/{project_id}"
ENDPOINTS: Final = (
    Endpoint("GET", f"{_PROJECT}/api_keys", list_keys),
    Endpoint("POST", f"{_PROJECT}/api_keys", create_key),
    Endpoint("GET", f"{_PROJECT}/api_keys/{{key_id}}", retrieve_key),
    Endpoint("POST", f"{_PROJECT}/api_keys/{{key_id}}", modify_key),
    Endpoint("DELETE", f"{_PROJECT}/api_keys/{{key_id}}", revoke_key),
    Endpoint("POST", f"{_PROJECT}/api_keys/{{key_id}}/rotate", rotate_key),
    Endpoint("GET", f"{_PROJECT}/service_accounts", list_accounts),
    Endpoint("POST", f"{_PROJECT}/service_accounts", create_account),
    Endpoint("GET", f"{_PROJECT}/service_accounts/{{account_id}}", retrieve_account),
    Endpoint("DELETE", f"{_PROJECT}/service_accounts/{{account_id}}", delete_account),
)
