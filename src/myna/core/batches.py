"""Batches: requests of a file that are answered in the background, and the interface of their stores."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from myna.core.files import StoredFile

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
UNFINISHED: Final[tuple[BatchStatus, ...]] = ("validating", "in_progress", "finalizing", "cancelling")
CANCELLABLE: Final[tuple[BatchStatus, ...]] = ("validating", "in_progress")
WINDOW_S: Final = 86_400
"""What has not run this long after the creation of its batch never will."""


class Batch(msgspec.Struct, frozen=True):
    """A batch. It belongs to `project`: to others it doesn't exist. Its requests are those of the key
    `key_id`.

    `errors` is a JSON list of what is wrong with the input file, empty if nothing is; `metadata` is a JSON
    object, empty for none. `model` is the model that answers, once the input is validated. The results have
    an expiry of `output_expires_s` (0: none). Counts and tokens are those of the lines that have been
    answered.

    While it runs, the results are in the contents `output_work` and `error_work`, which become files at its
    end, and the input is in the content `id`. Whichever server runs it has claimed `epoch` and holds it until
    `lease_until`: changes made under an earlier epoch have no effect."""

    id: str
    project: str
    key_id: str
    endpoint: str
    input_file_id: str
    created_at: int
    expires_at: int
    output_expires_s: int = 0
    metadata: bytes = b""
    status: BatchStatus = "validating"
    model: str = ""
    errors: bytes = b""
    output_file_id: str = ""
    error_file_id: str = ""
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    num_lines: int = 0
    num_completed: int = 0
    num_failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_work: str = ""
    error_work: str = ""
    epoch: int = 0
    lease_until: float = 0.0

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED


class BatchPage(msgspec.Struct, frozen=True):
    """Some of a project's batches, newest first, and whether more follow."""

    rows: Sequence[Batch]
    has_more: bool


class BatchStore(Protocol):
    """All methods are blocking and thread-safe; call them off the event loop. Each is one transaction."""

    def add(self, batch: Batch) -> None: ...

    def get(self, project: str, batch_id: str) -> Batch | None: ...

    def page(self, project: str, *, after: str | None = None, limit: int = 20) -> BatchPage | None:
        """Batches after `after` (exclusive). None if that is not a batch of the project."""
        ...

    def cancel(self, project: str, batch_id: str, now: int) -> Batch | None:
        """Let a batch be cancelled by the server that runs it, unless its end is being written already.
        Returns the batch as it is then; None if there is none."""
        ...

    def claim(self, now: float, lease_until: float, busy: Collection[str] = ()) -> Batch | None:
        """Claim the oldest unfinished batch that nobody holds now, under a new epoch; none of the projects
        that are `busy`. For a while after an outage of the database, leases last longer."""
        ...

    def change(self, batch: Batch, **values: object) -> Batch | None:
        """Change columns of a batch as the holder of its epoch. Returns the batch as it is then; None if
        another server has claimed it. A batch that is being cancelled keeps that status."""
        ...

    def finish(self, batch: Batch, files: Sequence[StoredFile], values: Mapping[str, object]) -> Batch | None:
        """Change columns, the status among them, and add the files of the results: both or neither."""
        ...

    def close(self) -> None: ...


def new_batch_id(now: int) -> str:
    """`batch_` and 32 hexadecimal digits, the first eight of which are the time."""
    return f"batch_{now:08x}{secrets.token_hex(12)}"
