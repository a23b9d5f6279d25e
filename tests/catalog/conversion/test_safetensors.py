"""Hostile safetensors: every one is read or refused in words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.catalog.conversion import safetensors
from myna.catalog.conversion.safetensors import StoredTensor, read_tensors
from myna.core.errors import ModelFileError


def file_of(header: Any, data: bytes = bytes(64)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def read(path: Path, content: bytes) -> dict[str, StoredTensor]:
    path.write_bytes(content)
    return read_tensors(path)


@pytest.mark.parametrize(("dtype", "width"), [("F32", 4), ("F16", 2), ("BF16", 2)])
def test_values_become_float32(dtype: str, width: int, tmp_path: Path) -> None:
    bits = np.array([1.0, -2.5, 0.0, 384.0], np.float32)
    data = {
        "F32": bits.tobytes(),
        "F16": bits.astype(np.float16).tobytes(),
        "BF16": (bits.view(np.uint32) >> 16).astype(np.uint16).tobytes(),
    }[dtype]
    tensors = read(tmp_path / "t", file_of({"t": entry([2, 2], 0, 4 * width, dtype)}, data))
    assert np.concatenate(list(tensors["t"].rows())).tolist() == [[1.0, -2.5], [0.0, 384.0]]
    assert np.concatenate(list(tensors["t"].rows(1))).tolist() == [[0.0, 384.0]]


def test_large_tensors_come_in_pieces_of_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "PIECE_VALUES", 7)
    data = np.arange(15, dtype=np.float32)
    tensors = read(tmp_path / "t", file_of({"t": entry([5, 3], 0, 60)}, data.tobytes()))
    pieces = list(tensors["t"].rows())
    assert [piece.shape for piece in pieces] == [(2, 3), (2, 3), (1, 3)]
    assert np.concatenate(pieces).ravel().tolist() == data.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file"),
        (b"PK\x03\x04" + bytes(40), "not a safetensors file|damaged"),
        ((2**63).to_bytes(8, "little") + bytes(64), "not a safetensors file"),
        (file_of(b"{"), "header is damaged"),
        (file_of(b"[" * 200_000), "header is damaged"),
        (file_of(b'{"t": ' * 100_000), "header is damaged"),
        (file_of([]), "header is damaged"),
        (file_of({"t": {"dtype": "F32"}}), "header is damaged"),
        (file_of({"t": entry([4], 0, 16, "F4")}), "unknown type 'F4'"),
        (file_of({"t": entry([-4], 0, 16)}), "impossible dimensions"),
        (file_of({"t": entry([1] * 9, 0, 4)}), "impossible dimensions"),
        (file_of({"t": entry([2**50], 0, 16)}), "impossible dimensions"),
        (file_of({"t": entry([2**40, 2**40], 0, 16)}), "isn't what its shape needs"),
        (file_of({"t": entry([4], 16, 0)}), "beyond the end"),
        (file_of({"t": entry([4], -16, 0)}), "beyond the end"),
        (file_of({"t": entry([4], 56, 72)}), "beyond the end"),
        (file_of({"t": entry([5], 0, 16)}), "isn't what its shape needs"),
        (file_of({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}), "a and b overlap"),
        (file_of({"\u202e": entry([4], 0, 16)}), "has the name"),
        (file_of({"x" * 300: entry([4], 0, 16)}), "has the name"),
    ],
)
def test_a_damaged_file_is_refused_in_words(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=message):
        read(tmp_path / "model.safetensors", content)


def test_headers_and_tables_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "MAX_TENSORS", 1)
    with pytest.raises(ModelFileError, match="more than 1 tensors"):
        read(tmp_path / "t", file_of({"a": entry([4], 0, 16), "b": entry([4], 16, 32)}))
    monkeypatch.setattr(safetensors, "MAX_HEADER_BYTES", 8)
    with pytest.raises(ModelFileError, match="header is larger than"):
        read(tmp_path / "t", file_of({"a": entry([4], 0, 16)}))


def test_other_types_are_refused_when_they_are_needed(tmp_path: Path) -> None:
    tensors = read(tmp_path / "t", file_of({"ids": entry([2], 0, 16, "I64")}))
    with pytest.raises(ModelFileError, match="ids is of type I64, not F32, F16, BF16"):
        next(tensors["ids"].rows())


def test_a_file_that_shrinks_meanwhile_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t"
    tensors = read(path, file_of({"t": entry([16], 0, 64)}))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelFileError, match="truncated while being read"):
        next(tensors["t"].rows())


@given(data=st.data())
def test_changed_bytes_never_crash(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(file_of({"a": entry([2, 4], 0, 32), "b": entry([8], 32, 64)}))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    try:
        for tensor in read(path, bytes(content)).values():
            list(tensor.rows())
    except ModelFileError:
        pass
