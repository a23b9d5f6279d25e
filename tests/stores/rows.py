"""Rows of the ledger for tests."""

from typing import Any

from myna.core.ledger import UsageRow


def usage_row(number: int, **other: Any) -> UsageRow:
    values: dict[str, Any] = {
        "id": f"req_{number}",
        "project": "ours",
        "key_id": "key_a",
        "endpoint": "chat.completions",
        "arrived_ms": 1_700_000_000_000,
        "model": "tiny",
        "asked_model": "gpt-4o-mini",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "status": 200,
    }
    return UsageRow(**values | other)
