"""`/v1/files`: upload, list, retrieve, content, delete."""

import json
import os
import re
from collections.abc import Mapping
from typing import BinaryIO, Final, get_args

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Send
from starlette.types import Scope as HttpScope

from myna.accounts.principal import Scope
from myna.api.files.upload import receive_file
from myna.core.errors import InvalidRequest
from myna.core.files import FilePurpose, StoredFile
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.stores.files import no_such_file
from myna.wire import validation_errors
from myna.wire.errors import error_body
from myna.wire.paging import page_limit, page_order

_SCOPE: Final[Scope] = "model.request"
_MAX_LIMIT: Final = 10_000
_RANGE_TEXTS: Final = {
    400: "Invalid 'Range' header: expected ranges of bytes, such as 'bytes=0-99'.",
    416: "Invalid 'Range' header: the file has no such bytes.",
}
_ID: Final = re.compile(r"file-[0-9A-Za-z]{1,40}")


async def upload_file(context: RequestContext) -> Response:
    require(context.principal, _SCOPE)
    return _json(_shape(await receive_file(context, context.services.files)))


async def list_files(context: RequestContext) -> Response:
    """Newest first by default."""
    require(context.principal, _SCOPE)
    query = context.request.query_params
    for name in query:
        if name not in ("purpose", "limit", "order", "after"):
            raise InvalidRequest(
                f"Unknown parameter: '{name[:64]}'.", param=name[:64], code="unknown_parameter"
            )
    after, purpose = query.get("after"), query.get("purpose")
    if purpose is not None and purpose not in get_args(FilePurpose):
        raise validation_errors.not_one_of(get_args(FilePurpose), purpose).at_param("purpose")
    page = await context.services.files.page(
        context.principal.project,
        after=None if after is None else _checked_id(after),
        limit=page_limit(query, _MAX_LIMIT, maximum=_MAX_LIMIT),
        order=page_order(query, "desc"),
        purpose=purpose,
    )
    rows = page.rows
    first, last = (rows[0].id, rows[-1].id) if rows else (None, None)
    shapes = [_shape(row) for row in rows]
    envelope = {
        "object": "list",
        "data": shapes,
        "has_more": page.has_more,
        "first_id": first,
        "last_id": last,
    }
    return Response(await context.in_text_thread(_body, envelope), media_type="application/json")


async def retrieve_file(context: RequestContext) -> Response:
    return _json(_shape(await _find(context)))


async def delete_file(context: RequestContext) -> Response:
    file = await _find(context)
    await context.services.files.delete(file.project, file.id)
    return _json({"object": "file", "deleted": True, "id": file.id})


class ContentResponse(FileResponse):
    """The bytes of an open file, which it closes; also those of one that is deleted meanwhile."""

    def __init__(self, content: BinaryIO, filename: str) -> None:
        path, status = f"/dev/fd/{content.fileno()}", os.fstat(content.fileno())
        super().__init__(path, media_type="application/octet-stream", filename=filename, stat_result=status)
        self._content = content

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        with self._content:
            await super().__call__(scope, receive, _RangeErrors(send))


class _RangeErrors:
    """Sends a file's response; Starlette's answer to a wrong `Range`, a plain text, gets an error body."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_replaced = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] in _RANGE_TEXTS:
            self._is_replaced = True
            await self._send_error(message["status"], Headers(raw=message["headers"]))
        elif not self._is_replaced:
            await self._send(message)

    async def _send_error(self, status: int, headers: Headers) -> None:
        body = _body(error_body(InvalidRequest(_RANGE_TEXTS[status], code="invalid_range"), ""))
        kept = {name: headers[name] for name in ("content-range",) if name in headers}
        response = Response(body, status, headers=kept, media_type="application/json")
        await self._send({"type": "http.response.start", "status": status, "headers": response.raw_headers})
        await self._send({"type": "http.response.body", "body": body})


async def file_content(context: RequestContext) -> Response:
    """The bytes, whatever the request accepts; also parts of them."""
    file = await _find(context)
    files = context.services.files
    try:
        content = await files.disk.open(files.folder.open, file.id)
    except FileNotFoundError:  # deleted just now, or this server doesn't share its folder
        raise no_such_file(file.id) from None
    return ContentResponse(content, file.filename)


async def _find(context: RequestContext) -> StoredFile:
    require(context.principal, _SCOPE)
    file_id = _checked_id(str(context.request.path_params["file_id"]))
    return await context.services.files.get(context.principal.project, file_id)


def _checked_id(file_id: str) -> str:
    """The id, if it looks like one: a database can't even look up some texts."""
    if _ID.fullmatch(file_id) is None:
        raise no_such_file(file_id)
    return file_id


def _shape(file: StoredFile) -> dict[str, object]:
    return {
        "object": "file",
        "id": file.id,
        "purpose": file.purpose,
        "filename": file.filename,
        "bytes": file.num_bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "status": "processed",
        "status_details": None,
    }


def _json(shape: Mapping[str, object]) -> Response:
    return Response(_body(shape), media_type="application/json")


def _body(shape: Mapping[str, object]) -> bytes:
    return json.dumps(shape, indent=2, ensure_ascii=False).encode() + b"\n"


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/files", upload_file),
    Endpoint("GET", "/v1/files", list_files),
    Endpoint("GET", "/v1/files/{file_id}", retrieve_file),
    Endpoint("DELETE", "/v1/files/{file_id}", delete_file),
    Endpoint("GET", "/v1/files/{file_id}/content", file_content),
)
