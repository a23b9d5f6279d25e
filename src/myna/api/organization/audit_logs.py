"""The audit log: who changed what, when, and from where."""

from typing import Final

from starlette.datastructures import QueryParams
from starlette.responses import Response

from myna.api.organization.handling import check_query, load_accounts
from myna.api.organization.shapes import audit_log_shape
from myna.core.accounts import AuditQuery
from myna.core.errors import NotFound
from myna.request.context import Endpoint, RequestContext
from myna.wire.paging import listed, page_limit, query_integer

_LISTS: Final = ("event_types", "project_ids", "actor_ids", "resource_ids")
_TIMES: Final = tuple(f"effective_at[{bound}]" for bound in ("gt", "gte", "lt", "lte"))


async def list_audit_logs(context: RequestContext) -> Response:
    accounts = await load_accounts(context)
    query = context.request.query_params
    check_query(query, "limit", "after", "before", *_LISTS, *(f"{name}[]" for name in _LISTS), *_TIMES)
    found = await context.services.database_threads.run(
        context.services.accounts.store.events, _audit_query(query)
    )
    if found is None:
        raise NotFound("No audit log found with the id of 'after' or 'before'.", code="not_found")
    names = {project.id: project.name for project in accounts.projects}
    return listed([audit_log_shape(event, names) for event in found.events], has_more=found.has_more)


def _audit_query(query: QueryParams) -> AuditQuery:
    types, projects, actors, subjects = (_values(query, name) for name in _LISTS)
    return AuditQuery(
        limit=page_limit(query),
        after=query.get("after"),
        before=query.get("before"),
        types=types,
        projects=projects,
        actors=actors,
        subjects=subjects,
        since=_bound(query, "gte", "gt", 1),
        until=_bound(query, "lte", "lt", -1),
    )


def _values(query: QueryParams, name: str) -> tuple[str, ...]:
    """A list as the official clients send it (`name[]=a&name[]=b`), or without brackets."""
    return tuple(query.getlist(f"{name}[]") + query.getlist(name))


def _bound(query: QueryParams, inclusive: str, exclusive: str, step: int) -> int | None:
    """The tighter of the two bounds, as an inclusive one: times are whole seconds."""
    bounds = []
    for bound, change in ((inclusive, 0), (exclusive, step)):
        name = f"effective_at[{bound}]"
        if name in query:
            bounds.append(query_integer(query[name], name) + change)
    return max(bounds, key=lambda bound: bound * step) if bounds else None


ENDPOINTS: Final = (Endpoint("GET", "/v1/organization/audit_logs", list_audit_logs),)
