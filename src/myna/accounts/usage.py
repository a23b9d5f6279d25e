"""What a request cost and how it ended, and who is told. Knows no store and no HTTP."""

from dataclasses import dataclass
from typing import Literal, Protocol

Outcome = Literal["completed", "cancelled", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Usage:
    """One request's tokens. `completion_tokens` is never less than what its client got."""

    request_id: str
    key_id: str
    model: str
    outcome: Outcome
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


class UsageSink(Protocol):
    """Told once of every request that was admitted, whatever ended it. Must not block and not raise."""

    def record(self, usage: Usage) -> None: ...
