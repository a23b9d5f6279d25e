"""The keys of a project, as keys and as OpenAI's service accounts, of which each has one."""

import time
from typing import Final

from starlette.responses import Response

from myna.accounts.administration import Administration, NewKey, find_key, find_project
from myna.api.organization.handling import accounts_of, act, answer, body_of, page, query_flag
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
from myna.api.organization.shapes import account_key_shape, account_shape, deleted, is_open, key_shape
from myna.core.accounts import Accounts, ApiKey
from myna.request.context import Endpoint, RequestContext
from myna.wire import validation_errors

_ACCESS: Final = ("active", "inactive", "any")


async def list_keys(context: RequestContext) -> Response:
    accounts = await accounts_of(context)
    query = context.request.query_params
    access = query.get("owner_project_access", "any")
    if access not in _ACCESS:
        raise validation_errors.not_one_of(_ACCESS, access).at_param("owner_project_access")
    keys = _keys(accounts, project_id(context), with_revoked=query_flag(query, "include_revoked"))
    keys = [key for key in keys if access == "any" or (access == "active") == is_open(key, accounts)]
    shapes = [key_shape(key, accounts, time.time()) for key in keys]
    return page(context, shapes, "owner_project_access", "include_revoked")


async def create_key(context: RequestContext) -> Response:
    body = await body_of(context, KeyBody, KEY)
    made = await act(
        context,
        Administration.create_key,
        project_id(context),
        body.name,
        scopes=body.scopes,
        models=body.models,
        expires_in_s=body.expires_in_seconds,
    )
    return await _shown_once(context, made)


async def retrieve_key(context: RequestContext) -> Response:
    accounts = await accounts_of(context)
    key = find_key(accounts, key_id(context), project_id(context))
    return answer(key_shape(key, accounts, time.time()))


async def modify_key(context: RequestContext) -> Response:
    body = await body_of(context, KeyChanges, KEY_CHANGES)
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    key = await act(context, Administration.change_key, project_id(context), key_id(context), changes)
    return answer(key_shape(key, await accounts_of(context), time.time()))


async def rotate_key(context: RequestContext) -> Response:
    body = RotationBody()
    if await context.request.body():
        body = await body_of(context, RotationBody, ROTATION)
    made = await act(
        context, Administration.rotate_key, project_id(context), key_id(context), body.overlap_seconds
    )
    return await _shown_once(context, made)


async def revoke_key(context: RequestContext) -> Response:
    key = await act(context, Administration.revoke_key, project_id(context), key_id(context))
    return answer(deleted("organization.project.api_key", key.id))


async def list_accounts(context: RequestContext) -> Response:
    keys = _keys(await accounts_of(context), project_id(context))
    return page(context, [account_shape(key) for key in keys])


async def create_account(context: RequestContext) -> Response:
    body = await body_of(context, NamedKeyBody, SERVICE_ACCOUNT)
    made = await act(
        context,
        Administration.create_key,
        project_id(context),
        body.name,
        expires_in_s=body.expires_in_seconds,
    )
    return answer({**account_shape(made.key), "api_key": account_key_shape(made.key, made.value)})


async def retrieve_account(context: RequestContext) -> Response:
    return answer(
        account_shape(find_key(await accounts_of(context), _key_of_account(context), project_id(context)))
    )


async def delete_account(context: RequestContext) -> Response:
    await act(context, Administration.revoke_key, project_id(context), _key_of_account(context))
    account = str(context.request.path_params["account_id"])
    return answer(deleted("organization.project.service_account", account))


def key_id(context: RequestContext) -> str:
    return str(context.request.path_params["key_id"])


def _key_of_account(context: RequestContext) -> str:
    account = str(context.request.path_params["account_id"])
    return f"key_{account.removeprefix('svc_acct_')}"


def _keys(accounts: Accounts, project: str, *, with_revoked: bool = False) -> list[ApiKey]:
    find_project(accounts, project)
    keys = [key for key in accounts.keys if key.project == project]
    return [key for key in keys if with_revoked or key.revoked_at is None]


async def _shown_once(context: RequestContext, made: NewKey) -> Response:
    accounts = await accounts_of(context)
    return answer({**key_shape(made.key, accounts, time.time()), "value": made.value})


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
