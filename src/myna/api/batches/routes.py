"""`/v1/batches`: create, retrieve, list, cancel."""

import json
import re
import time
from collections.abc import Mapping
from typing import Final

import orjson
from starlette.responses import Response

from myna.accounts.principal import Scope
from myna.api.batches.schema import BATCH, BatchRequest
from myna.api.batches.shapes import batch_shape
from myna.core.batches import WINDOW_S, Batch, new_batch_id
from myna.core.errors import BatchEnded, FileNotFound, InvalidRequest, NotFound
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.wire.paging import page_limit

_SCOPE: Final[Scope] = "model.request"
_ID: Final = re.compile(r"batch_[0-9a-f]{32}")
_FILE_ID: Final = re.compile(r"file-[0-9A-Za-z]{1,40}")
_NO_OBJECT_TEXT: Final = "The body of this request must be a JSON object."


async def create_batch(context: RequestContext) -> Response:
    """The batch, which is validated later: as at OpenAI, any file is accepted now."""
    require(context.principal, _SCOPE)
    body = await context.json_object(_NO_OBJECT_TEXT)
    request = await context.validated(BatchRequest, body, BATCH)
    await _check_input(context, request.input_file_id)
    now, expiry = int(time.time()), request.output_expires_after
    batch = Batch(
        id=new_batch_id(now),
        project=context.principal.project,
        key_id=context.principal.key_id,
        endpoint=request.endpoint,
        input_file_id=request.input_file_id,
        created_at=now,
        expires_at=now + WINDOW_S,
        output_expires_s=expiry.seconds if expiry else 0,
        metadata=orjson.dumps(dict(request.metadata)) if request.metadata else b"",
    )
    try:
        await context.services.batches.create(batch)
    except FileNotFoundError:
        raise _no_input(request.input_file_id) from None
    return _pretty(batch_shape(batch))


async def list_batches(context: RequestContext) -> Response:
    """Newest first."""
    require(context.principal, _SCOPE)
    query = context.request.query_params
    for name in query:
        if name not in ("after", "limit"):
            raise InvalidRequest(
                f"Unknown parameter: '{name[:64]}'.", param=name[:64], code="unknown_parameter"
            )
    after = query.get("after")
    page = await context.services.batches.page(
        context.principal.project,
        after=None if after is None else _checked_id(after),
        limit=page_limit(query),
    )
    if page is None:
        raise _not_found(str(after))
    rows = page.rows
    first, last = (rows[0].id, rows[-1].id) if rows else (None, None)
    data = [batch_shape(row) for row in rows]
    return _pretty(
        {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": page.has_more}
    )


async def retrieve_batch(context: RequestContext) -> Response:
    require(context.principal, _SCOPE)
    batch_id = _checked_id(str(context.request.path_params["batch_id"]))
    batch = await context.services.batches.get(context.principal.project, batch_id)
    if batch is None:
        raise _not_found(batch_id)
    return _pretty(batch_shape(batch))


async def cancel_batch(context: RequestContext) -> Response:
    """What is done stays; the rest is not run."""
    require(context.principal, _SCOPE)
    batch_id = _checked_id(str(context.request.path_params["batch_id"]))
    batch = await context.services.batches.cancel(context.principal.project, batch_id)
    if batch is None:
        raise _not_found(batch_id)
    if batch.status != "cancelling":
        raise BatchEnded(f"Cannot cancel a batch with status '{batch.status}'.")
    return Response(orjson.dumps(batch_shape(batch)), media_type="application/json")


async def _check_input(context: RequestContext, file_id: str) -> None:
    try:
        if _FILE_ID.fullmatch(file_id) is None:
            raise _no_input(file_id)
        file = await context.services.files.get(context.principal.project, file_id)
    except FileNotFound:
        raise _no_input(file_id) from None
    if file.purpose != "batch":
        raise InvalidRequest(
            f"Invalid input file. The file purpose must be 'batch', but it is '{file.purpose}'.",
            param="input_file_id",
        )


def _no_input(file_id: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid input file. No such File object: {file_id[:64]}", param="input_file_id")


def _checked_id(batch_id: str) -> str:
    """The id, if it looks like one: a database can't even look up some texts."""
    if _ID.fullmatch(batch_id) is None:
        raise _not_found(batch_id)
    return batch_id


def _not_found(batch_id: str) -> NotFound:
    return NotFound(f"No batch found with id '{batch_id[:64]}'.")


def _pretty(shape: Mapping[str, object]) -> Response:
    return Response(json.dumps(shape, indent=2, ensure_ascii=False).encode(), media_type="application/json")


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/batches", create_batch),
    Endpoint("GET", "/v1/batches", list_batches),
    Endpoint("GET", "/v1/batches/{batch_id}", retrieve_batch),
    Endpoint("POST", "/v1/batches/{batch_id}/cancel", cancel_batch),
)
