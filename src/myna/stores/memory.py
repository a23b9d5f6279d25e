"""Stored completions in memory, lost when the process ends."""

import threading
from collections.abc import Mapping

import msgspec

from myna.core.stored import (
    MAX_DELETED_ROWS,
    MAX_PAGE_BYTES,
    Order,
    StoredCompletion,
    StoredItem,
    StoredPage,
    StoredUsage,
    num_fitting,
)
from myna.stores.pages import rows_after


class MemoryCompletions:
    """Completions in a dict, in order of arrival."""

    def __init__(self) -> None:
        self._rows: dict[str, StoredCompletion] = {}
        self._lock = threading.Lock()

    def put(self, completion: StoredCompletion) -> None:
        with self._lock:
            self._rows.pop(completion.id, None)
            self._rows[completion.id] = completion

    def get(self, project: str, completion_id: str) -> StoredCompletion | None:
        row = self._rows.get(completion_id)
        return row if row is not None and row.project == project else None

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
        with self._lock:
            own = [row for row in self._rows.values() if row.project == project]
        following = rows_after(own, after, order)
        if following is None:
            return None
        wanted = (metadata or {}).items()
        rows = [
            row
            for row in following
            if (model is None or row.model == model) and wanted <= dict(row.metadata).items()
        ]
        num = num_fitting([len(row.item) for row in rows[:limit]], max_bytes)
        items = [StoredItem(row.id, row.item, row.metadata) for row in rows[:num]]
        return StoredPage(items, has_more=len(rows) > num)

    def set_metadata(self, project: str, completion_id: str, metadata: Mapping[str, str]) -> bool:
        with self._lock:
            row = self.get(project, completion_id)
            if row is not None:
                self._rows[completion_id] = msgspec.structs.replace(row, metadata=dict(metadata))
            return row is not None

    def delete(self, project: str, completion_id: str) -> bool:
        with self._lock:
            exists = self.get(project, completion_id) is not None
            if exists:
                del self._rows[completion_id]
            return exists

    def usage(self, project: str) -> StoredUsage:
        with self._lock:
            rows = [row for row in self._rows.values() if row.project == project]
        num_bytes = sum(len(row.item) + len(row.messages) + len(row.replay) for row in rows)
        return StoredUsage(len(rows), num_bytes)

    def delete_older(self, created_before: int) -> int:
        with self._lock:
            old = [row.id for row in self._rows.values() if row.created < created_before][:MAX_DELETED_ROWS]
            for completion_id in old:
                del self._rows[completion_id]
            return len(old)

    def close(self) -> None:
        """Nothing to close."""
