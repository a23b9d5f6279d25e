"""What a batch needs of the server: how a line is answered as a request, and which model answers it."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

MAX_ATTEMPTS: Final = 6
_MAX_WAIT_S: Final = 60.0
_OVERLOADED: Final = b'"server_is_overloaded"'


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a line; `body` is JSON. `should_retry` and `retry_after_s` are what its headers tell
    clients."""

    status: int
    request_id: str
    body: bytes
    should_retry: bool = False
    retry_after_s: float | None = None

    def wait_s(self, attempt: int) -> float | None:
        """When to try the line again, after so many attempts; None if this is its answer.

        A limit of the key passes, and so does a full queue, so the line waits for as long as its batch may
        run; what fails in another way fails permanently after some attempts."""
        backoff_s = min(2.0 ** (attempt - 1), _MAX_WAIT_S)
        if self.status == 429:
            return None if self.retry_after_s is None else min(max(self.retry_after_s, 0.1), _MAX_WAIT_S)
        if self.status < 500 or not self.should_retry:
            return None
        is_busy = self.status == 503 and _OVERLOADED in self.body
        return backoff_s if is_busy or attempt < MAX_ATTEMPTS else None


@dataclass(frozen=True, slots=True)
class LineRequest:
    """A line as a request: `body`, sent to `path` by the key with that id. `id` is the line's: the same for
    each attempt, also after a restart, so that the ledger has the line once."""

    id: str
    path: str
    key_id: str
    body: bytes


Dispatch = Callable[[LineRequest], Coroutine[Any, Any, Answer]]
"""Answers a line as a request of the lowest priority."""
FindModel = Callable[[str, str], str | None]
"""The model that answers requests of the key with that id to the model of that name; None: none does."""
