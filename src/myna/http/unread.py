"""Whole answers that clients have not read yet: counted, and bounded overall and for each key."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

_MAX_BYTES: Final = 256 << 20
_MAX_KEY_BYTES: Final = 64 << 20


@dataclass(slots=True, eq=False)
class UnreadAnswer:
    """An answer being sent. `drop` disconnects its client."""

    key_id: str
    num_bytes: int
    drop: Callable[[], None]


class UnreadAnswers:
    """If too much is held, the answers whose clients have read nothing for the longest time are dropped; the
    latest one stays, however large. All methods must be called in one event loop."""

    def __init__(self, max_bytes: int = _MAX_BYTES, max_key_bytes: int = _MAX_KEY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._max_key_bytes = max_key_bytes
        self._held: dict[UnreadAnswer, None] = {}  # the longest unread first

    def __len__(self) -> int:
        return len(self._held)

    @property
    def num_bytes(self) -> int:
        return sum(answer.num_bytes for answer in self._held)

    @contextmanager
    def hold(self, key_id: str, num_bytes: int, drop: Callable[[], None]) -> Iterator[Callable[[], None]]:
        """Count an answer of about this size in the block. Yields a function to call whenever the client has
        read a part."""
        answer = UnreadAnswer(key_id, num_bytes, drop)
        self._held[answer] = None
        own = [other for other in self._held if other.key_id == key_id]
        self._drop_excess(own, self._max_key_bytes)
        self._drop_excess(list(self._held), self._max_bytes)
        try:
            yield lambda: self._touch(answer)
        finally:
            self._held.pop(answer, None)

    def _drop_excess(self, answers: list[UnreadAnswer], max_bytes: int) -> None:
        total = sum(answer.num_bytes for answer in answers)
        for answer in answers[:-1]:
            if total <= max_bytes:
                return
            total -= answer.num_bytes
            del self._held[answer]
            answer.drop()

    def _touch(self, answer: UnreadAnswer) -> None:
        if answer in self._held:
            del self._held[answer]
            self._held[answer] = None
