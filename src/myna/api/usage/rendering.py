"""Renders sums and rows of the ledger as API objects. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from myna.api.usage.query import Span, page_name
from myna.core.ledger import BATCH_TIER, EMBEDDINGS, UsageRow, UsageSum
from myna.stores.usage_sums import added_up
from myna.usage.reports import dollars, mean_duration_ms, mean_first_token_ms


def page(span: Span, results: Mapping[int, Sequence[Mapping[str, object]]]) -> dict[str, object]:
    """A page with every bucket of the span and its results."""
    buckets = [
        {
            "object": "bucket",
            "start_time": start_s,
            "end_time": start_s + span.width_s,
            "results": list(results.get(start_s, ())),
        }
        for start_s in span.starts()
    ]
    next_page = None if span.next_s is None else page_name(span.next_s)
    return {"object": "page", "data": buckets, "has_more": next_page is not None, "next_page": next_page}


def completion_results(
    sums: Iterable[UsageSum], group_by: Sequence[str]
) -> Mapping[int, Sequence[Mapping[str, object]]]:
    return _by_start((part, _completion_result(part, group_by)) for part in sums)


def embedding_results(sums: Iterable[UsageSum]) -> Mapping[int, Sequence[Mapping[str, object]]]:
    return _by_start((part, _embedding_result(part)) for part in sums)


def split_by_endpoint(by_endpoint: Iterable[UsageSum], *, embeds: bool) -> Sequence[UsageSum]:
    """The sums of embeddings, or those of all other requests, from sums that are grouped by endpoint."""
    return added_up(
        msgspec.structs.replace(part, endpoint=None)
        for part in by_endpoint
        if (part.endpoint == EMBEDDINGS) is embeds
    )


def split_by_batch(
    by_tier: Iterable[UsageSum], is_batch: bool | None, *, keeps_tier: bool
) -> Sequence[UsageSum]:
    """The sums of batches, those of other requests, or (None) both, from sums that are grouped by tier. What
    isn't kept of the tier is whether it is that of batches."""
    chosen = [part for part in by_tier if is_batch is None or _is_batch(part) is is_batch]
    if keeps_tier:
        return chosen
    return added_up(
        msgspec.structs.replace(part, service_tier=part.service_tier if _is_batch(part) else None)
        for part in chosen
    )


def _is_batch(part: UsageSum) -> bool:
    return part.service_tier == BATCH_TIER


def cost_results(sums: Iterable[UsageSum]) -> Mapping[int, Sequence[Mapping[str, object]]]:
    return _by_start((part, _cost_result(part)) for part in sums)


def request_item(row: UsageRow) -> dict[str, object]:
    return {
        "object": "organization.request",
        "id": row.id,
        "project_id": row.project,
        "api_key_id": row.key_id,
        "endpoint": row.endpoint,
        "model": row.model or None,
        "asked_model": row.asked_model,
        "created_at": row.arrived_ms // 1000,
        "first_token_ms": row.first_token_ms,
        "duration_ms": row.duration_ms,
        "input_tokens": row.prompt_tokens,
        "input_cached_tokens": row.cached_tokens,
        "output_tokens": row.completion_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "outcome": row.outcome,
        "status": row.status or None,
        "error": row.error or None,
        "stream": row.is_stream,
        "service_tier": row.service_tier or None,
        "user_id": row.user or None,
        "cost_usd": dollars(row.cost_nano),
    }


def _by_start(
    results: Iterable[tuple[UsageSum, Mapping[str, object]]],
) -> Mapping[int, Sequence[Mapping[str, object]]]:
    by_start: dict[int, list[Mapping[str, object]]] = {}
    for part, result in results:
        by_start.setdefault(part.start_s, []).append(result)
    return by_start


def _cost_result(part: UsageSum) -> Mapping[str, object]:
    return {
        "object": "organization.costs.result",
        "amount": {"value": dollars(part.cost_nano), "currency": "usd"},
        "line_item": part.model or None,
        "project_id": part.project,
        "api_key_id": part.key_id,
    }


def _completion_result(part: UsageSum, group_by: Sequence[str]) -> Mapping[str, object]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": part.prompt_tokens,
        "output_tokens": part.completion_tokens,
        "input_cached_tokens": part.cached_tokens,
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        **_shared(part),
        "batch": _is_batch(part) if "batch" in group_by else None,
        "service_tier": (part.service_tier or None) if "service_tier" in group_by else None,
    }


def _embedding_result(part: UsageSum) -> Mapping[str, object]:
    return {
        "object": "organization.usage.embeddings.result",
        "input_tokens": part.prompt_tokens,
        **_shared(part),
    }


def _shared(part: UsageSum) -> Mapping[str, object]:
    """What results of all kinds have. `myna` is our extension."""
    return {
        "num_model_requests": part.num_requests,
        "project_id": part.project,
        "user_id": part.user or None,
        "api_key_id": part.key_id,
        "model": part.model or None,
        "myna": {
            "reasoning_tokens": part.reasoning_tokens,
            "num_completed": part.num_completed,
            "num_cancelled": part.num_cancelled,
            "num_failed": part.num_failed,
            "num_refused": part.num_refused,
            "mean_first_token_ms": mean_first_token_ms(part),
            "mean_duration_ms": mean_duration_ms(part),
            "cost_usd": dollars(part.cost_nano),
        },
    }
