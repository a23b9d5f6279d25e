"""Chat completions that their sender asked to keep, and the seam of the stores that keep them."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

Order = Literal["asc", "desc"]

MAX_PAGE_BYTES: Final = 16 << 20
"""A page ends before its items are larger together, whatever its limit."""


class StoredCompletion(msgspec.Struct, frozen=True):
    """A kept answer. `project` owns it: nobody else may see that it exists.

    `item` and `messages` are JSON as the API shows them (`item` without its metadata, which may
    change); `replay` is the request's body with the seed that was drawn: sent again, it makes the
    answer again.
    """

    id: str
    project: str
    created: int
    model: str
    item: bytes
    messages: bytes
    replay: bytes
    metadata: Mapping[str, str]


class StoredItem(msgspec.Struct, frozen=True):
    """What a list shows of a kept answer."""

    id: str
    item: bytes
    metadata: Mapping[str, str]


class StoredPage(msgspec.Struct, frozen=True):
    """Some of a project's completions in the order asked for, and whether more follow."""

    rows: Sequence[StoredItem]
    has_more: bool


class CompletionStore(Protocol):
    """All methods are blocking and thread-safe; call them off the event loop."""

    def put(self, completion: StoredCompletion) -> None:
        """Keep it. An id that is there already is replaced."""
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
        """Rows behind `after` (exclusive); all of the filters hold. None if `after` is no row of theirs. At
        least one row, if there is one, and no more than fit into `max_bytes`."""
        ...

    def set_metadata(self, project: str, completion_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the map; False if there is no such completion."""
        ...

    def delete(self, project: str, completion_id: str) -> bool:
        """Forget it; False if there is no such completion."""
        ...

    def close(self) -> None: ...


def num_fitting(sizes: Sequence[int], max_bytes: int) -> int:
    """How many items of these sizes a page takes: the first always, then while they fit."""
    num, total = 0, 0
    for size in sizes:
        total += size
        if num and total > max_bytes:
            break
        num += 1
    return num
