"""Stored responses, conversations and pages of items as clients see them. Slow for large ones."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response as HttpResponse

from myna.core.stored_responses import ResponseItem, StoredConversation, StoredResponse


def response_object(row: StoredResponse) -> dict[str, Any]:
    """The response object, in its own order of keys."""
    body: dict[str, Any] = orjson.loads(row.body)
    body["output"] = [orjson.loads(item.json) for item in row.output]
    return body


def response_json(row: StoredResponse) -> bytes:
    return indented(response_object(row))


def page_json(items: Sequence[ResponseItem], *, has_more: bool) -> bytes:
    """A page of items."""
    return indented(
        {
            "object": "list",
            "data": [orjson.loads(item.json) for item in items],
            "first_id": items[0].id if items else None,
            "has_more": has_more,
            "last_id": items[-1].id if items else None,
        }
    )


def conversation_json(row: StoredConversation) -> bytes:
    return indented(
        {
            "id": row.id,
            "object": "conversation",
            "created_at": row.created,
            "metadata": dict(row.metadata),
        }
    )


def indented(value: object) -> bytes:
    """JSON as all bodies of this API: indented by two spaces."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def json_response(body: bytes) -> HttpResponse:
    return HttpResponse(body, media_type="application/json")
