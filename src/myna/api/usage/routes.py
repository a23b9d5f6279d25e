"""`/v1/organization/usage`, `costs` and `requests`: the ledger's contents."""

import time
from collections.abc import Sequence
from typing import Final, cast

import orjson
from starlette.responses import Response

from myna.api.usage import rendering
from myna.api.usage.query import GROUPS, NAMES, Query, Span, filter_of, span_of
from myna.core.errors import InvalidRequest, NotFound
from myna.core.ledger import OUTCOMES, Dimension, LedgerStore, Outcome, UsageFilter, UsageSum
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.usage.reports import csv_text

_DAY_S: Final = 86_400
# Width in seconds, buckets per page by default and at most.
_WIDTHS: Final = {"1m": (60, 60, 1440), "1h": (3600, 24, 168), "1d": (_DAY_S, 7, 31)}
_MAX_COST_DAYS: Final = 180
_MAX_EXPORTED: Final = 100_000  # buckets, or rows without grouping
_TIMES: Final = ("start_time", "end_time")
_SPAN: Final = (*_TIMES, "bucket_width", "group_by", *NAMES)
_EMBEDDING_GROUPS: Final = ("project_id", "user_id", "api_key_id", "model")


async def completions(context: RequestContext) -> Response:
    """OpenAI's usage of everything but embeddings: sums per bucket of time."""
    require(context.principal, "api.usage.read")
    query = Query(context.request.query_params, (*_SPAN, "batch", "limit", "page"))
    group_by = query.choices("group_by", (*GROUPS, "batch"))
    is_batch = query.flag("batch")
    if is_batch is None and "batch" not in group_by:
        span, sums = await _buckets(context, query, group_by, embeds=False)
    else:
        tiers = [*dict.fromkeys((*group_by, "service_tier"))]
        span, by_tier = await _buckets(context, query, tiers, embeds=False)
        sums = rendering.split_by_batch(by_tier, is_batch, keeps_tier="service_tier" in group_by)
    return _json(rendering.page(span, rendering.completion_results(sums, group_by)))


async def embeddings(context: RequestContext) -> Response:
    """OpenAI's usage of embeddings."""
    require(context.principal, "api.usage.read")
    query = Query(context.request.query_params, (*_SPAN, "limit", "page"))
    group_by = query.choices("group_by", _EMBEDDING_GROUPS)
    span, sums = await _buckets(context, query, group_by, embeds=True)
    return _json(rendering.page(span, rendering.embedding_results(sums)))


async def costs(context: RequestContext) -> Response:
    """OpenAI's costs: money per day. A model is a line item."""
    require(context.principal, "api.usage.read")
    known = (*_TIMES, "bucket_width", "group_by", "project_ids", "api_key_ids", "limit", "page")
    query = Query(context.request.query_params, known)
    query.choice("bucket_width", ("1d",), "1d")
    span = span_of(query, _DAY_S, query.integer("limit", 1, _MAX_COST_DAYS, 7), _now_s())
    group_by = query.choices("group_by", ("project_id", "api_key_id", "line_item"))
    wanted = filter_of(query, context.principal, span.start_s, span.end_s)
    names = ["model" if name == "line_item" else name for name in group_by]
    return _json(rendering.page(span, rendering.cost_results(await _sums(context, wanted, _DAY_S, names))))


async def export(context: RequestContext) -> Response:
    """The sums as one CSV file."""
    require(context.principal, "api.usage.read")
    query = Query(context.request.query_params, _SPAN)
    width_s, _, _ = _WIDTHS[query.choice("bucket_width", tuple(_WIDTHS), "1d")]
    span = span_of(query, width_s, None, _now_s())
    if span.count > _MAX_EXPORTED:
        raise InvalidRequest(
            f"These are {span.count} buckets, of at most {_MAX_EXPORTED}; choose a shorter time or a wider "
            "'bucket_width'.",
            param="bucket_width",
        )
    group_by = query.choices("group_by", tuple(GROUPS))
    wanted = filter_of(query, context.principal, span.start_s, span.end_s)
    sums = await _sums(context, wanted, width_s, group_by)
    text = await context.services.database_threads.run(csv_text, sums, _dimensions(group_by))
    headers = {"content-disposition": 'attachment; filename="usage.csv"'}
    return Response(text.encode(), media_type="text/csv; charset=utf-8", headers=headers)


async def requests(context: RequestContext) -> Response:
    """Our extension: the single requests, newest first."""
    require(context.principal, "api.usage.read")
    query = Query(context.request.query_params, (*_TIMES, *NAMES, "outcomes", "limit", "after"))
    start_s, end_s = query.time_s("start_time", 0), query.time_s("end_time", 1 << 40)
    outcomes = cast("Sequence[Outcome]", query.choices("outcomes", OUTCOMES))
    after = query.text("after")
    page = await context.services.database_threads.run(
        _store(context).page,
        filter_of(query, context.principal, start_s, end_s),
        outcomes=outcomes,
        after=after,
        limit=query.integer("limit", 1, 100, 20),
    )
    if page is None:
        raise NotFound(f"No request {after!r} in the ledger.", param="after", code="not_found")
    data = [rendering.request_item(row) for row in page.rows]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return _json(
        {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": page.has_more}
    )


ENDPOINTS: Final = (
    Endpoint("GET", "/v1/organization/usage/completions", completions),
    Endpoint("GET", "/v1/organization/usage/embeddings", embeddings),
    Endpoint("GET", "/v1/organization/usage/export", export),
    Endpoint("GET", "/v1/organization/costs", costs),
    Endpoint("GET", "/v1/organization/requests", requests),
)


def _store(context: RequestContext) -> LedgerStore:
    if context.services.ledger is None:
        raise NotFound("This server records no usage: it was started with usage = false.", code="not_found")
    return context.services.ledger.store


async def _buckets(
    context: RequestContext, query: Query, group_by: Sequence[str], *, embeds: bool
) -> tuple[Span, Sequence[UsageSum]]:
    """The page of buckets that was asked for, and its sums of embeddings or of everything else."""
    width_s, default, most = _WIDTHS[query.choice("bucket_width", tuple(_WIDTHS), "1d")]
    span = span_of(query, width_s, query.integer("limit", 1, most, default), _now_s())
    wanted = filter_of(query, context.principal, span.start_s, span.end_s)
    by_endpoint = await context.services.database_threads.run(
        _store(context).sums, wanted, width_s, [*_dimensions(group_by), "endpoint"]
    )
    return span, rendering.split_by_endpoint(by_endpoint, embeds=embeds)


async def _sums(
    context: RequestContext, wanted: UsageFilter, width_s: int, group_by: Sequence[str]
) -> Sequence[UsageSum]:
    return await context.services.database_threads.run(
        _store(context).sums, wanted, width_s, _dimensions(group_by)
    )


def _dimensions(group_by: Sequence[str]) -> Sequence[Dimension]:
    return cast("Sequence[Dimension]", [GROUPS[name] for name in group_by if name in GROUPS])


def _now_s() -> int:
    return int(time.time())


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
