"""The page at `/` and the files that it is made of. Knows no model and no key: the page asks the API."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from myna.serving.errors import UnknownUrl
from myna.serving.record import record_of
from myna.web.files import WebFile, static_files, web_file
from myna.web.policy import FILE_POLICY, PAGE_POLICY, headers_with

_PAGE: Final = "index.html"
_ASKS_FOR_KEY: Final = b'data-asks-for-key="true"'


def site(*, asks_for_key: bool) -> list[BaseRoute]:
    """The routes of the page, which is told whether this server lets anyone in."""
    found = static_files()
    start = found[_PAGE].data
    index = start if asks_for_key else start.replace(_ASKS_FOR_KEY, b'data-asks-for-key="false"')
    start_page = web_file(_PAGE, index)

    async def page(request: Request) -> Response:
        return _answer(request, start_page, PAGE_POLICY)

    async def static(request: Request) -> Response:
        return _answer(request, _find(request, found), FILE_POLICY)

    return [Route("/", page), Route("/static/{name:path}", static)]


def _find(request: Request, found: Mapping[str, WebFile]) -> WebFile:
    file = found.get(request.path_params["name"])
    if file is None:
        raise UnknownUrl(f"The page has no file {request.url.path}.")
    return file


def _answer(request: Request, file: WebFile, policy: str) -> Response:
    """The file, or word that the browser's copy is still right."""
    record_of(request.scope).is_quiet = True
    headers = headers_with(policy) | {"etag": file.etag, "cache-control": "no-cache"}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.content_type, headers=headers)
