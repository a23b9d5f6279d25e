"""Adds up ledger rows. Pure; used by every store."""

from collections.abc import Iterable
from typing import Final

import msgspec

from myna.core.ledger import Dimension, UsageRow, UsageSum

HOUR_S: Final = 3600
DIMENSIONS: Final[tuple[Dimension, ...]] = (
    "project",
    "key_id",
    "endpoint",
    "model",
    "user",
    "service_tier",
)
COUNTS: Final = tuple(name for name in UsageSum.__struct_fields__ if name not in ("start_s", *DIMENSIONS))


def as_sum(row: UsageRow) -> UsageSum:
    """One row as a sum of one row, at its own second."""
    return UsageSum(
        start_s=row.arrived_ms // 1000,
        num_requests=1,
        num_completed=int(row.outcome == "completed"),
        num_cancelled=int(row.outcome == "cancelled"),
        num_failed=int(row.outcome in ("failed", "lost")),
        num_refused=int(row.outcome == "refused"),
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        completion_tokens=row.completion_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cost_nano=row.cost_nano,
        num_first_tokens=int(row.first_token_ms is not None),
        first_token_ms=row.first_token_ms or 0,
        duration_ms=row.duration_ms if row.outcome == "completed" else 0,
        project=row.project,
        key_id=row.key_id,
        endpoint=row.endpoint,
        model=row.model,
        user=row.user,
        service_tier=row.service_tier,
    )


def by_hour(part: UsageSum) -> UsageSum:
    return msgspec.structs.replace(part, start_s=part.start_s // HOUR_S * HOUR_S)


def added_up(parts: Iterable[UsageSum]) -> list[UsageSum]:
    sums: dict[tuple[object, ...], UsageSum] = {}
    for part in parts:
        place = (part.start_s, *(getattr(part, name) or "" for name in DIMENSIONS))
        before = sums.get(place)
        if before is not None:
            part = msgspec.structs.replace(
                part, **{name: getattr(before, name) + getattr(part, name) for name in COUNTS}
            )
        sums[place] = part
    return [sums[place] for place in sorted(sums)]


def in_order(sums: Iterable[UsageSum]) -> list[UsageSum]:
    """Sorted by time, then by dimension. Not left to the database, whose order of texts depends on its
    locale."""
    return sorted(sums, key=lambda part: (part.start_s, *(getattr(part, name) or "" for name in DIMENSIONS)))
