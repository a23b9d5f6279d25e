"""Reads the header of a GGUF file (metadata and tensor table), checking every count, length and offset.

Owns the file format; doesn't interpret the metadata. Never maps the file: if it is truncated while being
read, that must raise an error instead of SIGBUS."""

import contextlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.ggml_types import BLOCKS
from myna.prompts.string_arrays import read_strings

Numbers = npt.NDArray[np.generic]
Value = bool | int | float | str | list[bytes] | Numbers
T = TypeVar("T")

MAX_HEADER_BYTES: Final = 256 << 20
MAX_ENTRIES: Final = 1 << 16
MAX_KEY_BYTES: Final = 1 << 10
MAX_STRING_BYTES: Final = 16 << 20
MAX_ARRAY_ITEMS: Final = 4 << 20
MAX_ARRAY_ITEMS_TOTAL: Final = 16 << 20
MAX_TENSOR_NAME_BYTES: Final = 64
MAX_DIMENSIONS: Final = 4

_FIRST_READ_BYTES: Final = 8 << 20
_FIRST_ENTRIES_BYTES: Final = 64 << 10
_BOOL, _STRING, _ARRAY = 7, 8, 9
_NUMBERS: Final = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor. `shape` has the fastest dimension first; `offset` is relative to the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """A validated GGUF header. The getters raise `ModelFileError` if a value is missing or has another
    type."""

    path: str
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    file_bytes: int

    @property
    def architecture(self) -> str:
        return self.string("general.architecture")

    def string(self, key: str, default: str | None = None) -> str:
        return self._typed(key, str, default, "a string")

    def integer(self, key: str, default: int | None = None) -> int:
        value = self._typed(key, int, default, "an integer")
        if isinstance(value, bool):
            raise _error(self.path, f"{key} should be an integer")
        return value

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return self._typed(key, bool, default, "true or false")

    def strings(self, key: str, default: list[bytes] | None = None) -> list[bytes]:
        return self._typed(key, list, default, "an array of strings")

    def numbers(self, key: str, default: Numbers | None = None) -> Numbers:
        return self._typed(key, np.ndarray, default, "an array of numbers")

    def _typed(self, key: str, kind: type[T], default: T | None, name: str) -> T:
        value = self.metadata.get(key, default)
        if value is None:
            raise _error(self.path, f"its header lacks {key}")
        if not isinstance(value, kind):
            raise _error(self.path, f"{key} should be {name}")
        return value


def read_header(path: str | Path) -> Header:
    """Read and check the header of the GGUF file at `path` (of split shards: this file's own).

    Raises `ModelFileError` for a file that can't be read or is not a valid GGUF file.
    """
    name = str(path)
    try:
        with Path(path).open("rb", buffering=0) as file:
            size = file.seek(0, 2)
            file.seek(0)
            data, wanted = b"", min(_FIRST_READ_BYTES, size)
            while True:
                data += _read(file.read, wanted - len(data))
                try:
                    return _Parser(name, data, size).header()
                except _NeedMoreData as where:
                    if len(data) >= size:
                        raise _error(name, f"it ends inside {where}: the file is truncated") from None
                    if len(data) >= MAX_HEADER_BYTES:
                        limit = MAX_HEADER_BYTES >> 20
                        raise _error(name, f"its header is larger than {limit} MiB") from None
                    if len(data) < wanted:
                        raise _error(name, "it was truncated while being read") from None
                    wanted = min(wanted * 4, MAX_HEADER_BYTES, size)
    except OSError as exc:
        raise ModelFileError(
            N_("The model file {name} can't be read: {reason}.", name=name, reason=exc.strerror or exc)
        ) from exc


def read_first_metadata(path: str | Path) -> Mapping[str, Value]:
    """The entries at the start of the file, in about a millisecond: those before the vocabulary, which all
    known converters write last. Raises `ModelFileError`."""
    name = str(path)
    try:
        with Path(path).open("rb", buffering=0) as file:
            size = file.seek(0, 2)
            file.seek(0)
            parser = _Parser(name, _read(file.read, min(_FIRST_ENTRIES_BYTES, size)), size)
            with contextlib.suppress(_NeedMoreData):
                parser.header()
            return parser.metadata
    except OSError as exc:
        raise ModelFileError(
            N_("The model file {name} can't be read: {reason}.", name=name, reason=exc.strerror or exc)
        ) from exc


def shard_paths(path: str | Path, header: Header) -> list[Path]:
    """The files of a split model, given its first shard; `[path]` for a model in one file."""
    first = Path(path)
    count = header.integer("split.count", 1)
    if count <= 1:
        return [first]
    number = header.integer("split.no", 0)
    ending = f"-{number + 1:05d}-of-{count:05d}.gguf"
    if number != 0 or count > MAX_ENTRIES or not first.name.endswith(ending):
        raise _error(
            str(path), f"it is shard {number + 1} of {count}; open the one named …-00001-of-{count:05d}.gguf"
        )
    stem = first.name[: -len(ending)]
    shards = [first.with_name(f"{stem}-{i + 1:05d}-of-{count:05d}.gguf") for i in range(count)]
    missing = next((shard for shard in shards if not shard.is_file()), None)
    if missing is not None:
        raise ModelFileError(
            N_(
                "The model {path} is split into {count} files, and {missing} is missing.",
                path=path,
                count=count,
                missing=missing.name,
            )
        )
    return shards


class _NeedMoreData(Exception):
    """The data ends before the header does; the message says inside what."""


class _Parser:
    """One pass over the bytes read so far."""

    def __init__(self, path: str, data: bytes, file_bytes: int) -> None:
        self._path, self._data, self._file_bytes = path, data, file_bytes
        self.metadata: dict[str, Value] = {}  # what was read of it, also if the data ends inside the header
        self._pos = 0
        self._items_total = 0

    def header(self) -> Header:
        if self._file_bytes < 4 or self._take(4, "its first bytes") != b"GGUF":
            raise self._error("it is not a GGUF file")
        version = self._u32("the version")
        if version not in (2, 3):
            if int.from_bytes(version.to_bytes(4, "little"), "big") in (2, 3):
                raise self._error("it is big-endian, which is not supported")
            raise self._error(f"its GGUF version {version} is not supported; versions 2 and 3 are")
        num_tensors, num_entries = self._u64("the tensor count"), self._u64("the entry count")
        if num_tensors > MAX_ENTRIES or num_entries > MAX_ENTRIES:
            raise self._error(
                f"it declares {num_tensors} tensors and {num_entries} entries, more than {MAX_ENTRIES}"
            )
        self._read_metadata(num_entries)
        tensors = self._tensors(num_tensors, _alignment(self._path, self.metadata))
        return Header(self._path, version, self.metadata, tensors, self._file_bytes)

    def _read_metadata(self, count: int) -> None:
        for _ in range(count):
            key = self._name(MAX_KEY_BYTES, "a key")
            if key in self.metadata:
                raise self._error(f"its header contains {key} twice")
            self.metadata[key] = self._value(self._u32(key), key)

    def _value(self, kind: int, key: str) -> Value:
        if kind == _STRING:
            return self._string(MAX_STRING_BYTES, key).decode("utf-8", "replace")
        if kind == _BOOL:
            return self._take(1, key) != b"\0"
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _NUMBERS:
            raise self._error(f"{key} has the unknown type {kind}")
        dtype = np.dtype(_NUMBERS[kind])
        number: int | float = np.frombuffer(self._take(dtype.itemsize, key), dtype)[0].item()
        return number

    def _array(self, key: str) -> list[bytes] | Numbers:
        kind, count = self._u32(key), self._u64(key)
        self._items_total += count
        if count > MAX_ARRAY_ITEMS or self._items_total > MAX_ARRAY_ITEMS_TOTAL:
            raise self._error(f"{key} declares {count} items, over the limit of {MAX_ARRAY_ITEMS}")
        if kind == _STRING:
            return self._strings(count, key)
        if kind == _BOOL:
            return np.frombuffer(self._take(count, key), np.bool_)
        if kind not in _NUMBERS:
            raise self._error(f"{key} is an array of the unsupported type {kind}")
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self._take(count * dtype.itemsize, key), dtype)

    def _strings(self, count: int, key: str) -> list[bytes]:
        """Performance-critical: a vocabulary and its merges have about 300,000 strings."""
        self._need(count * 8, key)
        out, end = read_strings(self._data, self._pos, count)
        if len(out) < count:
            if (
                end + 8 <= len(self._data)
                and (length := _U64.unpack_from(self._data, end)[0]) > MAX_STRING_BYTES
            ):
                raise self._error(f"a string of {key} declares {length} bytes")
            raise _NeedMoreData(key)
        self._pos = end
        return out

    def _tensors(self, count: int, alignment: int) -> tuple[TensorInfo, ...]:
        raw = [self._tensor() for _ in range(count)]
        start = -(-self._pos // alignment) * alignment
        infos, seen = [], set()
        for name, shape, kind, offset, num_bytes in raw:
            if name in seen:
                raise self._error(f"it contains the tensor {name} twice")
            seen.add(name)
            if offset % alignment:
                raise self._error(
                    f"the tensor {name} is at offset {offset}, which is not a multiple of {alignment}"
                )
            if start + offset + num_bytes > self._file_bytes:
                raise self._error(
                    f"the tensor {name} ends at byte {start + offset + num_bytes} of {self._file_bytes}: "
                    "the file is truncated or corrupt"
                )
            infos.append(TensorInfo(name, shape, kind, start + offset, num_bytes))
        ordered = sorted(infos, key=lambda info: info.offset)
        for before, after in pairwise(ordered):
            if before.offset + before.num_bytes > after.offset:
                raise self._error(f"the tensors {before.name} and {after.name} overlap")
        return tuple(infos)

    def _tensor(self) -> tuple[str, tuple[int, ...], str, int, int]:
        name = self._name(MAX_TENSOR_NAME_BYTES, "a tensor's name")
        num_dimensions = self._u32(name)
        if not 1 <= num_dimensions <= MAX_DIMENSIONS:
            raise self._error(f"the tensor {name} has {num_dimensions} dimensions")
        shape = tuple(self._u64(name) for _ in range(num_dimensions))
        kind = self._u32(name)
        if kind not in BLOCKS:
            raise self._error(f"the tensor {name} has the unknown type {kind}")
        type_name, block_items, block_bytes = BLOCKS[kind]
        offset, items = self._u64(name), 1
        for dimension in shape:
            items *= dimension
        if items == 0 or items >> 48 or shape[0] % block_items:
            raise self._error(
                f"the tensor {name} has the shape {list(shape)}, which is invalid for {type_name}"
            )
        return name, shape, type_name, offset, items // block_items * block_bytes

    def _name(self, limit: int, what: str) -> str:
        try:
            name = self._string(limit, what).decode("utf-8")
        except UnicodeDecodeError:
            raise self._error(f"{what} is not UTF-8") from None
        if not name or not name.isprintable():
            raise self._error(f"{what} is {name!r}")
        return name

    def _string(self, limit: int, what: str) -> bytes:
        length = self._u64(what)
        if length > limit:
            raise self._error(f"{what} declares {length} bytes, over the limit of {limit}")
        return self._take(length, what)

    def _u32(self, what: str) -> int:
        value: int = _U32.unpack(self._take(4, what))[0]
        return value

    def _u64(self, what: str) -> int:
        value: int = _U64.unpack(self._take(8, what))[0]
        return value

    def _take(self, count: int, what: str) -> bytes:
        self._need(count, what)
        start = self._pos
        self._pos = start + count
        return self._data[start : self._pos]

    def _need(self, count: int, what: str) -> None:
        """Fail early if the file itself can't hold `count` more bytes."""
        if self._pos + count > len(self._data):
            if self._pos + count > self._file_bytes:
                raise self._error(f"it ends inside {what}: the file is truncated or corrupt")
            raise _NeedMoreData(what)

    def _error(self, what: str) -> ModelFileError:
        return _error(self._path, what)


def _read(read: object, count: int) -> bytes:
    """`count` bytes, or fewer at the end of the file."""
    assert callable(read)
    parts = []
    while count > 0 and (part := read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _alignment(path: str, metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", 32)
    if not isinstance(value, int) or not 1 <= value <= 1 << 16 or value & (value - 1):
        raise _error(path, f"general.alignment is {str(value)[:40]}, which is not a small power of two")
    return value


def _error(path: str, what: str) -> ModelFileError:
    return ModelFileError(N_("The model file {path} can't be used: {what}.", path=path, what=what))
