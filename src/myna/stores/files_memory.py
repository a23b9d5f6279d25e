"""The rows of files and batches in memory, lost when the process ends."""

import secrets
import threading
from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import msgspec

from myna.core.batches import CANCELLABLE, Batch, BatchPage
from myna.core.files import MAX_EXPIRED, FilePage, StoredFile, exceeds_quota
from myna.core.stored import Order
from myna.stores.pages import rows_after


class MemoryFiles:
    """Files in a dict, in order of arrival; with the batches, whose contents are in use."""

    def __init__(self) -> None:
        self._folder = secrets.token_hex(8)
        self._rows: dict[str, StoredFile] = {}
        self.lock = threading.RLock()
        self.batches: dict[str, Batch] = {}

    def folder_name(self) -> str:
        return self._folder

    def add(self, file: StoredFile, max_bytes: int = 0) -> bool:
        with self.lock:
            own = [row for row in self._rows.values() if row.project == file.project]
            num_bytes = sum(row.num_bytes for row in own) + file.num_bytes
            if exceeds_quota(len(own) + 1, num_bytes, max_bytes):
                return False
            self._rows[file.id] = file
            return True

    def get(self, project: str, file_id: str) -> StoredFile | None:
        row = self._rows.get(file_id)
        return row if row is not None and row.project == project else None

    def page(
        self,
        project: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        purpose: str | None = None,
    ) -> FilePage | None:
        with self.lock:
            own = [row for row in self._rows.values() if row.project == project]
        following = rows_after(own, after, order)
        if following is None:
            return None
        rows = [row for row in following if purpose is None or row.purpose == purpose]
        return FilePage(rows[:limit], has_more=len(rows) > limit)

    def delete(self, project: str, file_id: str) -> bool:
        with self.lock:
            exists = self.get(project, file_id) is not None
            if exists:
                del self._rows[file_id]
            return exists

    def num_bytes(self, project: str) -> int:
        with self.lock:
            return sum(row.num_bytes for row in self._rows.values() if row.project == project)

    def deleted_inputs(self, project: str) -> Sequence[str]:
        with self.lock:
            return [
                batch.id
                for batch in self.batches.values()
                if batch.project == project
                and not batch.is_finished
                and batch.input_file_id not in self._rows
            ]

    def expired(self, now: int) -> Sequence[StoredFile]:
        with self.lock:
            old = (row for row in self._rows.values() if row.expires_at is not None and row.expires_at <= now)
            return list(islice(old, MAX_EXPIRED))

    def in_use(self, names: Collection[str]) -> set[str]:
        with self.lock:
            used = set(self._rows)
            for batch in self.batches.values():
                if not batch.is_finished:
                    used.update((batch.id, batch.output_work, batch.error_work))
        return used.intersection(names)

    def close(self) -> None:
        """Nothing to close."""


class MemoryBatches:
    """Batches in a dict, in order of arrival."""

    def __init__(self, files: MemoryFiles) -> None:
        self._files = files
        self._rows = files.batches
        self._lock = files.lock

    def add(self, batch: Batch) -> None:
        with self._lock:
            self._rows[batch.id] = batch

    def get(self, project: str, batch_id: str) -> Batch | None:
        row = self._rows.get(batch_id)
        return row if row is not None and row.project == project else None

    def page(self, project: str, *, after: str | None = None, limit: int = 20) -> BatchPage | None:
        with self._lock:
            rows = [row for row in reversed(self._rows.values()) if row.project == project]
        if after is not None:
            place = next((i for i, row in enumerate(rows) if row.id == after), None)
            if place is None:
                return None
            rows = rows[place + 1 :]
        return BatchPage(rows[:limit], has_more=len(rows) > limit)

    def cancel(self, project: str, batch_id: str, now: int) -> Batch | None:
        with self._lock:
            row = self.get(project, batch_id)
            if row is not None and row.status in CANCELLABLE:
                row = self._replace(row, {"status": "cancelling", "cancelling_at": now})
            return row

    def claim(self, now: float, lease_until: float, busy: Collection[str] = ()) -> Batch | None:
        with self._lock:
            for row in self._rows.values():
                if not row.is_finished and row.lease_until < now and row.project not in busy:
                    return self._replace(row, {"epoch": row.epoch + 1, "lease_until": lease_until})
        return None

    def change(self, batch: Batch, **values: object) -> Batch | None:
        with self._lock:
            row = self._held(batch)
            if row is not None and row.status == "cancelling":
                values.pop("status", None)
            return None if row is None else self._replace(row, values)

    def finish(self, batch: Batch, files: Sequence[StoredFile], values: Mapping[str, object]) -> Batch | None:
        with self._lock:
            row = self._held(batch)
            if row is None:
                return None
            for file in files:
                self._files.add(file)
            return self._replace(row, values)

    def close(self) -> None:
        """Nothing to close."""

    def _held(self, batch: Batch) -> Batch | None:
        row = self._rows.get(batch.id)
        return row if row is not None and row.epoch == batch.epoch else None

    def _replace(self, row: Batch, values: Mapping[str, object]) -> Batch:
        changed = self._rows[row.id] = msgspec.structs.replace(row, **values)
        return changed
