"""Projects: list, create, retrieve, rename, archive."""

from typing import Final

from starlette.responses import Response

from myna.accounts.administration import Administration, find_project
from myna.api.organization.handling import (
    json_response,
    load_accounts,
    page_response,
    perform,
    query_flag,
    read_body,
)
from myna.api.organization.schema import PROJECT, ProjectBody
from myna.api.organization.shapes import project_shape
from myna.request.context import Endpoint, RequestContext


async def list_projects(context: RequestContext) -> Response:
    accounts = await load_accounts(context)
    with_archived = query_flag(context.request.query_params, "include_archived")
    projects = [p for p in accounts.projects if with_archived or p.archived_at is None]
    return page_response(context, [project_shape(project) for project in projects], "include_archived")


async def create_project(context: RequestContext) -> Response:
    body = await read_body(context, ProjectBody, PROJECT)
    return json_response(project_shape(await perform(context, Administration.create_project, body.name)))


async def retrieve_project(context: RequestContext) -> Response:
    return json_response(project_shape(find_project(await load_accounts(context), project_id(context))))


async def modify_project(context: RequestContext) -> Response:
    body = await read_body(context, ProjectBody, PROJECT)
    return json_response(
        project_shape(await perform(context, Administration.rename_project, project_id(context), body.name))
    )


async def archive_project(context: RequestContext) -> Response:
    return json_response(
        project_shape(await perform(context, Administration.archive_project, project_id(context)))
    )


def project_id(context: RequestContext) -> str:
    return str(context.request.path_params["project_id"])


_PROJECTS: Final = "/v1/organization/projects"
ENDPOINTS: Final = (
    Endpoint("GET", _PROJECTS, list_projects),
    Endpoint("POST", _PROJECTS, create_project),
    Endpoint("GET", f"{_PROJECTS}/{{project_id}}", retrieve_project),
    Endpoint("POST", f"{_PROJECTS}/{{project_id}}", modify_project),
    Endpoint("POST", f"{_PROJECTS}/{{project_id}}/archive", archive_project),
)
