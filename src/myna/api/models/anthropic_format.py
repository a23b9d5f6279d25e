"""The Models API in Anthropic's format."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import orjson
from starlette.datastructures import QueryParams
from starlette.responses import Response

from myna.catalog.registry import ModelCard
from myna.core.errors import InvalidRequest

_DEFAULT_LIMIT: Final = 20
_MAX_LIMIT: Final = 1000
_MAX_DIGITS: Final = 19


def model_page(cards: Sequence[ModelCard], query: QueryParams) -> Response:
    """One page of the models: after `after_id`, or right before `before_id`. Raises `InvalidRequest`."""
    limit, ids = _limit(query), [card.id for card in cards]
    start, end = 0, len(cards)
    if (after := query.get("after_id")) is not None:
        start = _index(ids, "after_id", after) + 1
    if (before := query.get("before_id")) is not None:
        end = _index(ids, "before_id", before)
    if before is not None and after is None:
        page, has_more = cards[max(0, end - limit) : end], end > limit
    else:
        page, has_more = cards[start : min(end, start + limit)], end > start + limit
    body = {
        "data": [_model(card) for card in page],
        "has_more": has_more,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }
    return _json(body)


def model_response(card: ModelCard) -> Response:
    """One model."""
    return _json(_model(card))


def _limit(query: QueryParams) -> int:
    raw = query.get("limit", str(_DEFAULT_LIMIT))
    if not (raw.isascii() and raw.isdigit() and len(raw) <= _MAX_DIGITS):
        raise InvalidRequest("limit: Input should be a valid integer, unable to parse string as an integer")
    if not 1 <= int(raw) <= _MAX_LIMIT:
        raise InvalidRequest(f"limit: Input should be between 1 and {_MAX_LIMIT}")
    return int(raw)


def _index(ids: Sequence[str], name: str, id: str) -> int:
    if id not in ids:
        raise InvalidRequest(f"{name}: there is no such model")
    return ids.index(id)


def _model(card: ModelCard) -> dict[str, object]:
    created = datetime.fromtimestamp(card.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": card.id, "display_name": card.id, "created_at": created}


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
