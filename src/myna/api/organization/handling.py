"""Shared steps of the administration API's endpoints."""

from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, Final, ParamSpec, TypeVar

import orjson
from starlette.datastructures import QueryParams
from starlette.responses import Response

from myna.accounts.administration import Actor, Administration
from myna.core.accounts import Accounts
from myna.core.errors import InvalidRequest, NotFound
from myna.request.auth import require
from myna.request.context import RequestContext
from myna.wire.paging import listed, page_limit
from myna.wire.parameters import Parameter
from myna.wire.validation import WireModel

_NO_OBJECT_TEXT: Final = "The body of this request must be a JSON object."

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=WireModel)


async def load_accounts(context: RequestContext) -> Accounts:
    """The current accounts; requires an administrator."""
    require(context.principal, "api.management.read")
    return await context.services.database_threads.run(context.services.accounts.store.load)


async def read_body(context: RequestContext, schema: type[M], parameters: Mapping[str, Parameter]) -> M:
    """The validated body of an administrator's request."""
    require(context.principal, "api.management.write")
    return await context.validated(schema, await context.json_object(_NO_OBJECT_TEXT), parameters)


async def perform(
    context: RequestContext,
    work: Callable[Concatenate[Administration, Actor, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Carry out an administrator's change. This server applies it before it responds."""
    require(context.principal, "api.management.write")
    accounts = context.services.accounts
    done = await context.services.database_threads.run(
        work, accounts.administration, context.actor, *args, **kwargs
    )
    await accounts.catch_up()
    return done


def json_response(shape: Mapping[str, object]) -> Response:
    return Response(orjson.dumps(shape), media_type="application/json")


def page_response(
    context: RequestContext, shapes: Sequence[dict[str, object]], *filters: str, default: int = 20
) -> Response:
    """The page of a list that the query requests; `filters` are the other parameters it may have."""
    query = context.request.query_params
    check_query(query, "limit", "after", *filters)
    limit, after = page_limit(query, default), query.get("after")
    if after is not None:
        positions = [position for position, shape in enumerate(shapes) if shape["id"] == after]
        if not positions:
            raise NotFound(
                f"No item in this list has the id '{after[:64]}'.", param="after", code="not_found"
            )
        shapes = shapes[positions[0] + 1 :]
    return listed(shapes[:limit], has_more=len(shapes) > limit)


def check_query(query: QueryParams, *known: str) -> None:
    """Reject unknown parameters, which would be ignored."""
    for name in query:
        if name not in known:
            raise InvalidRequest(
                f"Unknown parameter: '{name[:64]}'.", param=name[:64], code="unknown_parameter"
            )


def query_flag(query: QueryParams, name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidRequest(f"Invalid value for '{name}': expected true or false.", param=name)
    return value == "true"
