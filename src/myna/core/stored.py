"""Stored chat completions (`store: true`), and the interface of their stores."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

Order = Literal["asc", "desc"]

MAX_PAGE_BYTES: Final = 16 << 20
"""A page ends before its items exceed this size together, whatever its limit."""
MAX_DELETED_ROWS: Final = 100
MAX_DELETED_BYTES: Final = 16 << 20
"""Old rows are deleted in pieces of at most this many and this size, so that nobody waits for a
lock."""


class StoredCompletion(msgspec.Struct, frozen=True):
    """A stored completion. It belongs to `project`: to others it doesn't exist.

    `item` and `messages` are JSON as the API returns them (`item` without its metadata, which may change);
    `replay` is the request's body with the seed that was used: sending it again reproduces the answer.
    """

    id: str
    project: str
    created: int
    model: str
    item: bytes
    messages: bytes
    replay: bytes
    metadata: Mapping[str, str]

    @property
    def num_bytes(self) -> int:
        labels = sum(len(name.encode()) + len(value.encode()) for name, value in self.metadata.items())
        return len(self.item) + len(self.messages) + len(self.replay) + labels


class StoredItem(msgspec.Struct, frozen=True):
    """What a list shows of a stored completion."""

    id: str
    item: bytes
    metadata: Mapping[str, str]


class StoredPage(msgspec.Struct, frozen=True):
    """Some of a project's completions in the requested order, and whether more follow."""

    rows: Sequence[StoredItem]
    has_more: bool


class StoredUsage(msgspec.Struct, frozen=True):
    """How much a project has stored."""

    num_rows: int = 0
    num_bytes: int = 0


class LimitedStore(Protocol):
    """What projects may fill up to a quota, and what is deleted when it is old. All methods are blocking and
    thread-safe; call them off the event loop."""

    def usage(self, project: str) -> StoredUsage: ...

    def delete_older(self, created_before: int) -> int:
        """Delete the oldest rows of all projects that were created before that time, a limited number.
        Returns how many were deleted; 0: no more are left."""
        ...

    def close(self) -> None: ...


class CompletionStore(LimitedStore, Protocol):
    """All methods are blocking and thread-safe; call them off the event loop."""

    def put(self, completion: StoredCompletion) -> None:
        """Store the completion. An existing one with the same id is replaced."""
        ...

    def get(self, project: str, completion_id: str) -> StoredCompletion | None: ...

    def page(
        self,
        project: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        model: str | None = None,
        metadata: Mapping[str, str] | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> StoredPage | None:
        """Rows after `after` (exclusive) that match all filters. None if `after` is not such a row. At least
        one row, if there is one, and no more than fit into `max_bytes`."""
        ...

    def set_metadata(self, project: str, completion_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the map; False if there is no such completion."""
        ...

    def delete(self, project: str, completion_id: str) -> bool:
        """Delete it; False if there is no such completion."""
        ...


def num_fitting(sizes: Sequence[int], max_bytes: int) -> int:
    """How many items of these sizes fit on a page; always at least the first."""
    num, total = 0, 0
    for size in sizes:
        total += size
        if num and total > max_bytes:
            break
        num += 1
    return num
