"""Reads safetensors files: a JSON header, then the tensors' bytes.

Files come from strangers, so every size and offset is checked before it is used, and weights are read in
pieces of bounded size. Not mapped: a file that is truncated meanwhile must raise an error, not SIGBUS."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt

from myna.core.errors import ModelFileError
from myna.core.translatable import N_

Floats = npt.NDArray[np.float32]

MAX_HEADER_BYTES: Final = 16 << 20
MAX_TENSORS: Final = 1 << 16
MAX_NAME_CHARS: Final = 256
MAX_DIMENSIONS: Final = 8
PIECE_VALUES: Final = 4 << 20
_LENGTH_BYTES: Final = 8
_TYPE_BYTES: Final = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
READABLE: Final = ("F32", "F16", "BF16")


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor. `shape` has the slowest dimension first; `start` is relative to the start of the file."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    def without_first(self, count: int) -> "StoredTensor":
        """The tensor from row `count` on; there must be more rows than that."""
        start = self.start + count * math.prod(self.shape[1:]) * _TYPE_BYTES[self.dtype]
        return replace(self, shape=(self.shape[0] - count, *self.shape[1:]), start=start)

    def rows(self, first: int = 0) -> Iterator[Floats]:
        """The values from row `first` on as float32, in pieces of whole rows. Raises `ModelFileError`."""
        row_values = math.prod(self.shape[1:])
        rows_per_piece = max(1, PIECE_VALUES // max(1, row_values))
        row_bytes = row_values * _TYPE_BYTES[self.dtype]
        if self.dtype not in READABLE:
            raise _error(
                self.path, f"the tensor {self.name} is of type {self.dtype}, not {', '.join(READABLE)}"
            )
        with _opened(self.path) as file:
            file.seek(self.start + first * row_bytes)
            for row in range(first, self.shape[0], rows_per_piece):
                count = min(rows_per_piece, self.shape[0] - row)
                data = file.read(count * row_bytes)
                if len(data) != count * row_bytes:
                    raise _error(self.path, "it was truncated while being read")
                yield _floats(data, self.dtype).reshape(count, *self.shape[1:])


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """All tensors of a file by name. Raises `ModelFileError`."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or length > size - _LENGTH_BYTES:
            raise _error(path, "it is not a safetensors file, or truncated")
        if length > MAX_HEADER_BYTES:
            raise _error(path, f"its header is larger than {MAX_HEADER_BYTES >> 20} MiB")
        header = file.read(length)
    entries = _entries(path, header)
    start = _LENGTH_BYTES + length
    tensors = {name: _checked(path, name, entry, start, size) for name, entry in entries.items()}
    _refuse_overlaps(path, entries)
    return tensors


def _entries(path: Path, header: bytes) -> Mapping[str, _Entry]:
    try:
        raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        if len(raw) > MAX_TENSORS:
            raise _error(path, f"it has more than {MAX_TENSORS} tensors")
        return {name: msgspec.json.decode(entry, type=_Entry) for name, entry in raw.items()}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise _error(path, f"its header is damaged ({exc})") from None


def _checked(path: Path, name: str, entry: _Entry, start: int, size: int) -> StoredTensor:
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise _error(path, f"a tensor has the name {name[:40]!r}")
    if entry.dtype not in _TYPE_BYTES:
        raise _error(path, f"the tensor {name} has the unknown type {entry.dtype[:20]!r}")
    if len(entry.shape) > MAX_DIMENSIONS or any(not 0 <= length < 1 << 48 for length in entry.shape):
        raise _error(path, f"the tensor {name} has impossible dimensions")
    begin, end = entry.data_offsets
    if not 0 <= begin <= end <= size - start:
        raise _error(path, f"the tensor {name} lies beyond the end of the file")
    if end - begin != math.prod(entry.shape) * _TYPE_BYTES[entry.dtype]:
        raise _error(path, f"the tensor {name} has {end - begin} bytes, which isn't what its shape needs")
    return StoredTensor(path, name, entry.dtype, tuple(entry.shape), start + begin)


def _refuse_overlaps(path: Path, entries: Mapping[str, _Entry]) -> None:
    ordered = sorted((entry.data_offsets, name) for name, entry in entries.items())
    for (before, name), (after, other) in pairwise(ordered):
        if before[1] > after[0]:
            raise _error(path, f"the tensors {name} and {other} overlap")


def _floats(data: bytes, dtype: str) -> Floats:
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, "<f4" if dtype == "F32" else "<f2").astype(np.float32)


def _opened(path: Path) -> BinaryIO:
    try:
        if not path.is_file():
            raise _error(path, "it doesn't exist or is not a file")
        return path.open("rb")
    except OSError as exc:
        raise _error(path, str(exc.strerror or exc)) from exc


def _error(path: Path, what: str) -> ModelFileError:
    return ModelFileError(N_("{path} can't be imported: {what}.", path=path, what=what))
