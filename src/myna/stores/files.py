"""The files of all projects: contents in a folder, rows in a store, limits on both."""

import asyncio
import contextlib
import errno
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from myna.core.errors import DatabaseUnavailable, FileNotFound, FileTooLarge, InvalidFile, StorageFailed
from myna.core.files import FilePage, FileStore, StoredFile
from myna.core.stored import Order
from myna.core.supervision import SupervisedTask
from myna.core.translatable import N_
from myna.stores.database_threads import DatabaseThreads
from myna.stores.disk_threads import DiskThreads
from myna.stores.file_folder import FileFolder, OpenContent

_EVERY_S: Final = 60.0
_WRITE_BYTES: Final = 1 << 20

log = logging.getLogger("myna.serving")


@dataclass(frozen=True, slots=True)
class FileLimits:
    """The largest file, and the size of a project's files, those being uploaded included; 0: unlimited."""

    max_file_bytes: int = 200 << 20
    max_project_bytes: int = 10 << 30


class Files:
    """All methods must be called in one event loop; `__init__` reads the store and may block. Disk and store
    are used in threads."""

    def __init__(
        self,
        store: FileStore,
        root: Path,
        threads: DatabaseThreads,
        limits: FileLimits | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`root` has a folder for each database."""
        self.store = store
        self.folder = FileFolder(root / store.folder_name())
        self.limits = limits or FileLimits()
        self.clock = clock
        self._database_threads = threads
        self.disk = DiskThreads()
        self._uploading: Counter[str] = Counter()
        self._task = SupervisedTask("deleting expired files", self._run)

    def start(self) -> None:
        """Delete what a server that was killed has left behind, and from now on what has expired."""
        self._task.start()

    async def aclose(self) -> None:
        await self._task.aclose()
        with contextlib.suppress(DatabaseUnavailable):
            await self._database_threads.run(self.store.close)
        self.disk.close()

    async def get(self, project: str, file_id: str) -> StoredFile:
        """Raises `FileNotFound`."""
        file = await self._database_threads.run(self.store.get, project, file_id)
        if file is None or (file.expires_at is not None and file.expires_at <= self.clock()):
            raise no_such_file(file_id)
        return file

    async def page(
        self, project: str, *, after: str | None, limit: int, order: Order, purpose: str | None
    ) -> FilePage:
        """Raises `FileNotFound` for an unknown `after`."""
        page = await self._database_threads.run(
            self.store.page, project, after=after, limit=limit, order=order, purpose=purpose
        )
        if page is None:
            raise no_such_file(str(after))
        return page

    async def delete(self, project: str, file_id: str) -> None:
        """Raises `FileNotFound`."""
        if not await self._database_threads.run(self.store.delete, project, file_id):
            raise no_such_file(file_id)
        await self.disk.run(self.folder.delete, file_id)

    async def link(self, file_id: str, name: str) -> None:
        """Keep the content under another name, too. Raises `FileNotFoundError` and `StorageFailed`."""
        try:
            await self.disk.run(self.folder.link, file_id, name)
        except FileNotFoundError:
            raise
        except OSError as exc:  # a folder, and the number of a content's names, can be full as well
            raise _failed(exc) from exc

    async def upload(self, project: str, file_id: str) -> "Upload":
        """Begin an upload, which must be closed. Raises `StorageFailed`."""
        used = await self._database_threads.run(
            lambda: self.store.num_bytes(project) + self._deleted_bytes(project)
        )
        try:
            content = await self.disk.open(self.folder.create, file_id)
        except OSError as exc:
            raise _failed(exc) from exc
        return Upload(self, project, content, used)

    async def keep(self, file: StoredFile, content: OpenContent) -> bool:
        """Add the row of a content that is on disk; False if the project's files become too large."""
        return await self._database_threads.run(content.keep, partial(self._add, file))

    def count(self, project: str, num_bytes: int) -> int:
        """Count what is being uploaded; returns how much that is now."""
        self._uploading[project] += num_bytes
        return self._uploading[project]

    async def delete_expired(self) -> None:
        """Delete what has expired by now."""
        while expired := await self._database_threads.run(self.store.expired, int(self.clock())):
            for file in expired:
                with contextlib.suppress(FileNotFound):  # another server was faster
                    await self.delete(file.project, file.id)
            log.info("deleted %d expired files", len(expired))

    def _add(self, file: StoredFile) -> bool:
        most = self.limits.max_project_bytes
        if not most:
            return self.store.add(file)
        left = most - self._deleted_bytes(file.project)
        return left > 0 and self.store.add(file, left)

    def _deleted_bytes(self, project: str) -> int:
        """The size of deleted files that unfinished batches still read. Otherwise a project could fill the
        disk: upload, create a batch, delete, and so on."""
        return self.folder.num_bytes(self.store.deleted_inputs(project))

    async def _run(self) -> None:
        if num_deleted := await self.disk.run(self.folder.delete_orphans, self.store.in_use):
            log.warning("deleted %d incomplete files of a server that died", num_deleted)
        while True:
            with contextlib.suppress(DatabaseUnavailable):  # already logged
                await self.delete_expired()
            await asyncio.sleep(_EVERY_S)


class Upload:
    """A file that is being uploaded. What is too large or finds no room is dropped, and `finish` raises the
    error: a client receives it only once it has sent everything."""

    def __init__(self, files: Files, project: str, content: OpenContent, used_bytes: int) -> None:
        self._files = files
        self._project = project
        self._content = content
        self._used_bytes = used_bytes
        self._buffer = bytearray()
        self._error: Exception | None = None
        self._num_counted = 0
        self.num_bytes = 0

    async def write(self, data: bytes) -> None:
        self.num_bytes += len(data)
        if self._error is None:
            self._check()
        if self._error is None:
            self._buffer += data
            if len(self._buffer) >= _WRITE_BYTES:
                await self._flush()

    async def finish(self, file: StoredFile) -> None:
        """Keep the upload as this file. Raises `FileTooLarge`, `InvalidFile` or `StorageFailed`."""
        await self._flush()
        if self._error is not None:
            raise self._error
        try:
            await self._files.disk.run(self._sync)
        except OSError as exc:
            raise _failed(exc) from exc
        if not await self._files.keep(file, self._content):
            raise self._over_quota()

    async def aclose(self) -> None:
        """Delete the content, unless it was kept."""
        self._files.count(self._project, -self._num_counted)
        self._num_counted = 0
        await self._files.disk.run(self._content.discard)

    def _check(self) -> None:
        limits, counted = self._files.limits, self.num_bytes - self._num_counted
        self._num_counted = self.num_bytes
        uploading = self._files.count(self._project, counted)
        if limits.max_file_bytes and self.num_bytes > limits.max_file_bytes:
            self._error = FileTooLarge(
                N_(
                    "The file is larger than this server accepts ({limit:,} bytes).",
                    limit=limits.max_file_bytes,
                ),
                param="file",
                code="file_too_large",
            )
        elif limits.max_project_bytes and self._used_bytes + uploading > limits.max_project_bytes:
            self._error = self._over_quota()

    def _over_quota(self) -> InvalidFile:
        return InvalidFile(
            N_(
                "The files of this project may have {limit:,} bytes on this server. Delete some first.",
                limit=self._files.limits.max_project_bytes,
            ),
            param="file",
            code="storage_quota_exceeded",
        )

    async def _flush(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        if self._error is None and data:
            try:
                await self._files.disk.run(self._content.append, data)
            except OSError as exc:
                self._error = _failed(exc)

    def _sync(self) -> None:
        self._content.sync()
        self._files.folder.sync()


def no_such_file(file_id: str) -> FileNotFound:
    return FileNotFound(N_("No such File object: {id}", id=file_id[:64]), param="id")


def _failed(exc: OSError) -> StorageFailed:
    log.error("a file can't be written: %s", exc)
    is_full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
    if is_full:
        return StorageFailed(N_("The disk of this server is full, so the file can't be stored."))
    return StorageFailed(N_("The file can't be stored: the disk of this server failed."))
