"""Background responses that no server generates any more: they have failed, which is recorded when one is
read."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from myna.core.stored_responses import ACTIVE, ResponseStatus, StoredResponse
from myna.request.context import RequestContext

STOPPED_TEXT: Final = "The server stopped before the response was complete."


async def find_response(context: RequestContext, response_id: str) -> StoredResponse | None:
    """The project's response. One whose server has died has failed, and so has one that this server doesn't
    generate, although it once began to."""
    services, project = context.services, context.principal.project
    run = services.database_threads.run
    row = await run(services.responses.get, project, response_id)
    if row is None or row.status not in ACTIVE or services.background_runs.get(response_id) is not None:
        return row
    is_ours = row.runner == services.background_runs.server
    if not is_ours and await run(services.background.is_alive, row.runner):
        return row
    error = {"code": "server_error", "message": STOPPED_TEXT}
    failed = await context.in_text_thread(ended, row, "failed", error=error)
    await run(services.background.finish, failed)
    return await run(services.responses.get, project, response_id)


async def status_of(context: RequestContext, response_id: str) -> ResponseStatus | None:
    """The response's status now."""
    row = await find_response(context, response_id)
    return None if row is None else row.status


def ended(
    row: StoredResponse, status: ResponseStatus, *, error: Mapping[str, str] | None = None
) -> StoredResponse:
    """An active response that ends without an output."""
    body: dict[str, Any] = orjson.loads(row.body)
    body |= {"status": status, "error": error, "output": [], "usage": None, "completed_at": None}
    return msgspec.structs.replace(row, status=status, body=orjson.dumps(body), output=())
