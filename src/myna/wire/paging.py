"""Pagination as in OpenAI's lists: limit, order, and the envelope of a page."""

from collections.abc import Sequence
from typing import Final, cast

import orjson
from starlette.datastructures import QueryParams
from starlette.responses import Response

from myna.core.stored import Order
from myna.wire import validation_errors

MAX_LIMIT: Final = 100


def page_limit(query: QueryParams, default: int = 20, *, maximum: int = MAX_LIMIT) -> int:
    """The `limit` of the query."""
    raw = query.get("limit", str(default))
    limit = query_integer(raw, "limit")
    if limit < 1:
        raise validation_errors.out_of_range("integer", "below", 1, limit).at_param("limit")
    if limit > maximum:
        raise validation_errors.out_of_range("integer", "above", maximum, limit).at_param("limit")
    return limit


def query_integer(raw: str, name: str) -> int:
    """An integer in a query, of at most 19 characters."""
    try:
        return int(raw) if len(raw) < 20 else int("")
    except ValueError:
        raise validation_errors.invalid_type("an integer", raw).at_param(name) from None


def page_order(query: QueryParams, default: Order) -> Order:
    """The `order` of the query."""
    order = query.get("order", default)
    if order not in ("asc", "desc"):
        raise validation_errors.not_one_of(("asc", "desc"), order).at_param("order")
    return cast("Order", order)


def listed(data: Sequence[dict[str, object]], *, has_more: bool) -> Response:
    """A page of objects that have an `id`."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    page = {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}
    return Response(orjson.dumps(page), media_type="application/json")
