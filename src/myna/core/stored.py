"""Chat completions that their sender asked to keep, and the seam of the stores that keep them."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

Order = Literal["asc", "desc"]


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


class StoredPage(msgspec.Struct, frozen=True):
    """Some of a project's completions in the order asked for, and whether more follow."""

    rows: Sequence[StoredCompletion]
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
    ) -> StoredPage | None:
        """Rows behind `after` (exclusive); all of the filters hold. None if `after` is no row of theirs."""
        ...

    def set_metadata(self, project: str, completion_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the map; False if there is no such completion."""
        ...

    def delete(self, project: str, completion_id: str) -> bool:
        """Forget it; False if there is no such completion."""
        ...

    def close(self) -> None: ...
