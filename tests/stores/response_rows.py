"""Responses, conversations and items for tests."""

from collections.abc import Sequence
from typing import Any

from myna.core.stored_responses import ResponseItem, ResponseStatus, StoredConversation, StoredResponse


def items(*names: str) -> list[ResponseItem]:
    return [
        ResponseItem(f"msg_{name}", f'{{"id":"msg_{name}","text":"喂 {name}"}}'.encode()) for name in names
    ]


def names(found: Sequence[ResponseItem]) -> str:
    return " ".join(item.id.removeprefix("msg_") for item in found)


def response(
    name: str,
    previous: str | None = None,
    *,
    status: ResponseStatus = "completed",
    conversation: str | None = None,
    **other: Any,
) -> StoredResponse:
    """One with the input `<name>i` and the output `<name>o`."""
    values: dict[str, Any] = {
        "id": f"resp_{name}",
        "project": "ours",
        "created": 1_700_000_000,
        "model": "tiny",
        "status": status,
        "body": f'{{"id":"resp_{name}","output":[]}}'.encode(),
        "input": items(f"{name}i"),
        "output": items(f"{name}o"),
        "previous_id": previous and f"resp_{previous}",
        "conversation_id": conversation and f"conv_{conversation}",
    }
    return StoredResponse(**values | other)


def conversation(name: str, **other: Any) -> StoredConversation:
    values: dict[str, Any] = {
        "id": f"conv_{name}",
        "project": "ours",
        "created": 1_700_000_000,
        "metadata": {},
    }
    return StoredConversation(**values | other)
