"""Writes GGUF files: metadata and a table of tensors, then their bytes, in one pass and in pieces."""

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from myna.prompts.ggml_types import BLOCKS

Value = str | bool | int | float | Sequence[str] | npt.NDArray[np.generic]

ALIGNMENT: Final = 32
_VERSION: Final = 3
_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 6, 7, 8, 9
_ARRAY_TYPES: Final = {"uint8": 0, "int32": 5, "float32": 6}
_TYPES: Final = {name: (number, values, size) for number, (name, values, size) in BLOCKS.items()}


@dataclass(frozen=True, slots=True)
class NewTensor:
    """One tensor to write. `shape` has the slowest dimension first; `pieces` yields its bytes in order."""

    name: str
    shape: tuple[int, ...]
    type: str
    pieces: Callable[[], Iterator[bytes]]

    @property
    def num_bytes(self) -> int:
        _, values, size = _TYPES[self.type]
        num_values = 1
        for length in self.shape:
            num_values *= length
        return num_values // values * size


def file_bytes(metadata: Mapping[str, Value], tensors: Sequence[NewTensor]) -> int:
    """The size of the file that `write_gguf` makes of the same arguments."""
    return len(_header(metadata, tensors)) + sum(_padded(tensor.num_bytes) for tensor in tensors)


def write_gguf(
    path: Path,
    metadata: Mapping[str, Value],
    tensors: Sequence[NewTensor],
    report: Callable[[int], None] = lambda num_bytes: None,
) -> None:
    """Write the file and make it survive a power failure; `report` hears the bytes written so far."""
    with path.open("wb") as file:
        file.write(_header(metadata, tensors))
        for tensor in tensors:
            _write_tensor(file, tensor, report)
        file.flush()
        os.fsync(file.fileno())


def _write_tensor(file: BinaryIO, tensor: NewTensor, report: Callable[[int], None]) -> None:
    written = 0
    for piece in tensor.pieces():
        written += file.write(piece)
        report(file.tell())
    assert written == tensor.num_bytes, f"{tensor.name}: {written} bytes instead of {tensor.num_bytes}"
    file.write(bytes(_padded(written) - written))


def _header(metadata: Mapping[str, Value], tensors: Sequence[NewTensor]) -> bytes:
    parts = [struct.pack("<4sIQQ", b"GGUF", _VERSION, len(tensors), len(metadata))]
    for key, value in metadata.items():
        parts += (_string(key), _value(value))
    offset = 0
    for tensor in tensors:
        dimensions = tensor.shape[::-1]
        parts.append(_string(tensor.name))
        parts.append(struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions))
        parts.append(struct.pack("<IQ", _TYPES[tensor.type][0], offset))
        offset += _padded(tensor.num_bytes)
    header = b"".join(parts)
    return header + bytes(_padded(len(header)) - len(header))


def _value(value: Value) -> bytes:
    match value:
        case bool():
            return struct.pack("<IB", _BOOL, value)
        case int():
            return struct.pack("<II", _UINT32, value)
        case float():
            return struct.pack("<If", _FLOAT32, value)
        case str():
            return struct.pack("<I", _STRING) + _string(value)
        case np.ndarray():
            return struct.pack("<IIQ", _ARRAY, _ARRAY_TYPES[value.dtype.name], len(value)) + value.tobytes()
    strings = b"".join(map(_string, value))
    return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + strings


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(num_bytes: int) -> int:
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT
