"""The sequences in llama.cpp's memory: an exact account of the cells in use, and a recurrent model's
snapshots."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from myna.engines.base import BatchRow
from myna.engines.cells import CellAllocator
from myna.engines.llamacpp_library import llama_cpp
from myna.engines.snapshots import Snapshots


class Sequences:
    """What a context holds. With a `grid`, states are kept after its multiples, under the ids that the
    scheduler doesn't use; without one, sequences can be shared and truncated anywhere."""

    def __init__(self, context: Any, num_cells: int, snapshot_ids: Iterable[int], grid: int) -> None:
        self._memory: Final = llama_cpp.llama_get_memory(context)
        self._cells = CellAllocator(num_cells)
        self._snapshots = Snapshots(snapshot_ids)
        self.grid: Final = grid

    @property
    def num_free(self) -> int:
        return self._cells.num_free

    def length(self, sequence: int) -> int:
        return self._cells.length(sequence)

    def extend(self, rows: Sequence[BatchRow]) -> None:
        """The rows were computed; none goes beyond a multiple of the grid."""
        for row in rows:
            self._cells.extend(row.sequence, len(row.tokens))
            end = row.start + len(row.tokens)
            if self.grid and end % self.grid == 0:
                kept = self._snapshots.add(row.sequence, end)
                self._release([kept])
                self._cells.fork(row.sequence, kept, end)
                llama_cpp.llama_memory_seq_cp(self._memory, row.sequence, kept, 0, end)

    def undo(self, row: BatchRow) -> None:
        """The row was computed perhaps, or a part of it; not for recurrent models."""
        if row.start < self._cells.length(row.sequence):
            self._cells.trim(row.sequence, row.start)
        llama_cpp.llama_memory_seq_rm(self._memory, row.sequence, row.start, -1)

    def reusable(self, sequence: int, num_tokens: int) -> int:
        length = self._cells.length(sequence)
        if not self.grid or num_tokens >= length:
            return min(num_tokens, length)
        return self._snapshots.reusable(sequence, num_tokens)

    def fork(self, source: int, target: int, num_tokens: int) -> None:
        donor = self._donor(source, num_tokens)
        self._cells.fork(source, target, num_tokens)
        self._snapshots.share(source, target, num_tokens)
        llama_cpp.llama_memory_seq_cp(self._memory, donor, target, 0, num_tokens)

    def trim(self, sequence: int, num_tokens: int) -> None:
        if num_tokens >= self._cells.length(sequence):
            return
        if not self.grid or num_tokens == 0:
            llama_cpp.llama_memory_seq_rm(self._memory, sequence, num_tokens, -1)
        else:
            donor = self._donor(sequence, num_tokens)
            llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1)
            llama_cpp.llama_memory_seq_cp(self._memory, donor, sequence, 0, num_tokens)
        self._cells.trim(sequence, num_tokens)
        self._release(self._snapshots.trim(sequence, num_tokens))

    def free(self, sequence: int) -> None:
        if self._cells.free(sequence):
            llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1)
            self._release(self._snapshots.trim(sequence, 0))

    def _donor(self, sequence: int, num_tokens: int) -> int:
        """Whose state is the one after the sequence's first `num_tokens`."""
        if not self.grid or num_tokens == self._cells.length(sequence):
            return sequence
        if self.reusable(sequence, num_tokens) != num_tokens:
            raise ValueError(f"sequence {sequence} has no state after {num_tokens} tokens")
        return self._snapshots.at(sequence, num_tokens)

    def _release(self, ids: Iterable[int]) -> None:
        """Free the cells and states of snapshots."""
        for kept in ids:
            if self._cells.free(kept):
                llama_cpp.llama_memory_seq_rm(self._memory, kept, -1, -1)
