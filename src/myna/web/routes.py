"""The page at `/`, its files, and the exchange of a sign-in link's code for the key. Knows no models: the
page uses the API."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from myna.http.record import record_of
from myna.web.files import WebFile, static_files, web_file
from myna.web.modules import module_graph
from myna.web.policy import FILE_POLICY, PAGE_POLICY, frame_policy, headers_with
from myna.wire.errors import SIGN_IN_TEXT, InvalidSignInCode, UnknownUrl

_PAGE: Final = "index.html"
_ASKS_FOR_KEY: Final = b'data-asks-for-key="true"'
_OPEN: Final = b'data-asks-for-key="false"'
_FRAME: Final = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Python</title><script>%s</script></html>
"""
_UNCACHED: Final = {"cache-control": "no-store"}
_ENTRY: Final = "app/main.js"
_PRELOADED: Final = b"    <!-- modules -->\n"
# Files under the version of all of them never change, so that a browser asks for them once.
_VERSIONED: Final = "public, max-age=31536000, immutable"
_CHECKED: Final = "no-cache"
_MAX_SIGN_IN_BYTES: Final = 512
_FRAME_SCRIPT: Final = "runner/frame.js"


def site(
    *, asks_for_key: bool, python: Mapping[str, Path], redeem: Callable[[str], str | None] = lambda code: None
) -> list[BaseRoute]:
    """The routes of the page. `asks_for_key`: whether the page asks for a key. `python` maps the names of
    Pyodide's files to their paths, which exist once Pyodide is pulled. `redeem` exchanges a sign-in code for
    the key."""
    found = static_files()
    versioned = f"v-{_version(found)}/"
    page_file = _page(found, versioned, asks_for_key=asks_for_key)
    frame_file, frame_rules = _frame(found)

    async def page(request: Request) -> Response:
        return _file_response(request, page_file, PAGE_POLICY)

    async def frame(request: Request) -> Response:
        return _file_response(request, frame_file, frame_rules)

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        caching = _VERSIONED if name.startswith(versioned) else _CHECKED
        file = found.get(name.removeprefix(versioned))
        if file is None:
            raise UnknownUrl(f"The page has no file {request.url.path}.")
        return _file_response(request, file, FILE_POLICY, caching)

    async def python_file(request: Request) -> Response:
        name = request.path_params["name"]
        path = python.get(name)
        if path is None or not path.is_file():
            raise UnknownUrl("Python for the page is not installed; run: myna pull pyodide")
        data = await asyncio.to_thread(path.read_bytes)
        return _file_response(request, web_file(name, data), FILE_POLICY)

    async def sign_in(request: Request) -> Response:
        code = await _sign_in_code(request)
        key = redeem(code) if code is not None else None
        if key is None:
            raise InvalidSignInCode(SIGN_IN_TEXT)
        return Response(json.dumps({"key": key}), media_type="application/json", headers=_UNCACHED)

    return [
        Route("/", page),
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/static/runner/frame.html", frame),
        Route("/static/pyodide/{name}", python_file),
        Route("/static/{name:path}", static),
    ]


async def _sign_in_code(request: Request) -> str | None:
    """The body's code, if it has one. Who sends it has shown no key, so little of it is read."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_SIGN_IN_BYTES:
            return None
    try:
        code = json.loads(body)["code"]
    except (ValueError, LookupError, TypeError):
        return None
    return code if isinstance(code, str) else None


def _version(found: Mapping[str, WebFile]) -> str:
    """Changes whenever a file does."""
    etags = "".join(f"{name}{file.etag}" for name, file in sorted(found.items()))
    return hashlib.sha256(etags.encode()).hexdigest()[:16]


def _page(found: Mapping[str, WebFile], versioned: str, *, asks_for_key: bool) -> WebFile:
    """The document, which names every module, so that they are all fetched at once."""
    start = found[_PAGE].data if asks_for_key else found[_PAGE].data.replace(_ASKS_FOR_KEY, _OPEN)
    links = "".join(
        f'    <link rel="modulepreload" href="static/{name}">\n' for name in module_graph(found, _ENTRY)
    )
    document = start.replace(_PRELOADED, links.encode())
    for folder in (b"app", b"styles", b"vendor"):
        document = document.replace(b'"static/' + folder, b'"static/' + versioned.encode() + folder)
    return web_file(_PAGE, document)


def _frame(found: Mapping[str, WebFile]) -> tuple[WebFile, str]:
    """The frame's document, with its script inline since it must not fetch any, and its policy."""
    script = found[_FRAME_SCRIPT].data
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    return web_file("frame.html", _FRAME % script), frame_policy(f"sha256-{digest}")


def _file_response(request: Request, file: WebFile, policy: str, caching: str = _CHECKED) -> Response:
    """The file, or 304 if the browser's copy is current."""
    record_of(request.scope).is_quiet = True
    headers = headers_with(policy) | {"etag": file.etag, "cache-control": caching}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.content_type, headers=headers)
