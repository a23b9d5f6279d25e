"""Presents sums of the ledger: money, means, and a CSV file. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from myna.core.ledger import Dimension, UsageSum

_NANO: Final = 1_000_000_000
_COLUMNS: Final = (
    "num_requests",
    "num_completed",
    "num_cancelled",
    "num_failed",
    "num_refused",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
)
# Prefixes that a spreadsheet interprets as a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def dollars(cost_nano: int) -> float:
    return cost_nano / _NANO


def mean_first_token_ms(part: UsageSum) -> float | None:
    return part.first_token_ms / part.num_first_tokens if part.num_first_tokens else None


def mean_duration_ms(part: UsageSum) -> float | None:
    return part.duration_ms / part.num_completed if part.num_completed else None


def csv_text(sums: Iterable[UsageSum], group_by: Sequence[Dimension]) -> str:
    """A header row, then one row per sum. Times are UTC."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    means = ("mean_first_token_ms", "mean_duration_ms")
    writer.writerow(["start", *group_by, *_COLUMNS, "cost_usd", *means])
    for part in sums:
        writer.writerow(
            [
                datetime.fromtimestamp(part.start_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                *(_escape_formula(str(getattr(part, name))) for name in group_by),
                *(getattr(part, name) for name in _COLUMNS),
                f"{dollars(part.cost_nano):.9f}",
                *(
                    "" if mean is None else f"{mean:.1f}"
                    for mean in (mean_first_token_ms(part), mean_duration_ms(part))
                ),
            ]
        )
    return out.getvalue()


def _escape_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
