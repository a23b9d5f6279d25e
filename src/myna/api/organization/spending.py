"""Budgets as in OpenAI's API: the spend limit of a project, or of everyone, per calendar month."""

from typing import Final

from starlette.responses import Response

from myna.accounts.administration import Administration, find_limit, find_project
from myna.api.organization.handling import json_response, load_accounts, perform, read_body
from myna.api.organization.projects import project_id
from myna.api.organization.schema import SPENDING, SpendingBody
from myna.core.accounts import ALL_MODELS, EVERYONE, Accounts, Limit
from myna.core.errors import NotFound
from myna.request.context import Endpoint, RequestContext


async def retrieve_spend_limit(context: RequestContext) -> Response:
    accounts = await load_accounts(context)
    limit = find_limit(accounts, _owner(context, accounts), ALL_MODELS)
    if limit.budget_cents is None:
        raise NotFound("No spend limit is set.", code="not_found")
    return await _spend_limit_response(context, limit)


async def set_spend_limit(context: RequestContext) -> Response:
    body = await read_body(context, SpendingBody, SPENDING)
    owner = _owner(context, await load_accounts(context))
    changes = {"budget_cents": body.threshold_amount}
    return await _spend_limit_response(
        context, await perform(context, Administration.set_limit, owner, ALL_MODELS, changes)
    )


async def delete_spend_limit(context: RequestContext) -> Response:
    owner = _owner(context, await load_accounts(context))
    await perform(context, Administration.set_limit, owner, ALL_MODELS, {"budget_cents": None})
    return json_response({"object": f"{_kind(owner)}.deleted", "deleted": True})


def _owner(context: RequestContext, accounts: Accounts) -> str:
    return (
        find_project(accounts, project_id(context)).id
        if "project_id" in context.request.path_params
        else EVERYONE
    )


def _kind(owner: str) -> str:
    return "project.spend_limit" if owner else "organization.spend_limit"


async def _spend_limit_response(context: RequestContext, limit: Limit) -> Response:
    is_spent = await context.services.limiter.is_spent(limit, ALL_MODELS)
    return json_response(
        {
            "object": _kind(limit.owner),
            "threshold_amount": limit.budget_cents,
            "currency": "USD",
            "interval": "month",
            "enforcement": {"status": "enforcing" if is_spent else "inactive"},
        }
    )


ENDPOINTS: Final = tuple(
    Endpoint(method, f"{owner}/spend_limit", handler)
    for owner in ("/v1/organization", "/v1/organization/projects/{project_id}")
    for method, handler in (
        ("GET", retrieve_spend_limit),
        ("POST", set_spend_limit),
        ("DELETE", delete_spend_limit),
    )
)
