"""Uploaded files and the results of batches: their rows, and the interface of the stores of these rows."""

from collections.abc import Collection, Sequence
from typing import Final, Literal, Protocol

import msgspec

from myna.core import base62
from myna.core.stored import Order

FilePurpose = Literal["batch", "batch_output"]

MAX_EXPIRED: Final = 100
"""Expired files are deleted in pieces of at most this many."""

_BYTES_PER_FILE: Final = 4096
_SMALL_FILES: Final = 1000


def exceeds_quota(num_files: int, num_bytes: int, max_bytes: int) -> bool:
    """Whether files are too large together, or too many: 1,000, and one for each 4 KiB of the quota. A file
    system runs out of names before millions of tiny files fill it. `max_bytes` 0: unlimited."""
    return max_bytes > 0 and (
        num_bytes > max_bytes or num_files > _SMALL_FILES + max_bytes // _BYTES_PER_FILE
    )


class StoredFile(msgspec.Struct, frozen=True):
    """A file. It belongs to `project`: to others it doesn't exist. Its content lies in a folder
    (`stores.file_folder`) under its id; only a content that has a row belongs to a file. Times are Unix time;
    `expires_at` None: it is kept until it is deleted."""

    id: str
    project: str
    purpose: FilePurpose
    filename: str
    num_bytes: int
    created_at: int
    expires_at: int | None = None


class FilePage(msgspec.Struct, frozen=True):
    """Some of a project's files in the requested order, and whether more follow."""

    rows: Sequence[StoredFile]
    has_more: bool


class FileStore(Protocol):
    """All methods are blocking and thread-safe; call them off the event loop."""

    def folder_name(self) -> str:
        """The name of the folder of this database's contents: the same for all servers on the database, and
        another one for each database."""
        ...

    def add(self, file: StoredFile, max_bytes: int = 0) -> bool:
        """Add the file, unless its project's files would then exceed a quota of `max_bytes`."""
        ...

    def get(self, project: str, file_id: str) -> StoredFile | None: ...

    def page(
        self,
        project: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        purpose: str | None = None,
    ) -> FilePage | None:
        """Files after `after` (exclusive). None if that is not a file of the project."""
        ...

    def delete(self, project: str, file_id: str) -> bool:
        """Delete the row; False if there is no such file."""
        ...

    def num_bytes(self, project: str) -> int:
        """The size of the project's files."""
        ...

    def deleted_inputs(self, project: str) -> Sequence[str]:
        """The project's batches that have not ended, but whose input file is deleted."""
        ...

    def expired(self, now: int) -> Sequence[StoredFile]:
        """Some of the files, of all projects, that have expired."""
        ...

    def in_use(self, names: Collection[str]) -> set[str]:
        """Those of these contents that belong to a file or to a batch that has not ended."""
        ...

    def close(self) -> None: ...


def new_file_id() -> str:
    """`file-` and 22 random letters and digits."""
    return f"file-{base62.random_text(22)}"
