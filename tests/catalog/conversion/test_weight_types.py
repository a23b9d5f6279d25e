"""Weights as `myna import` writes them, read back by the `gguf` package."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from myna.catalog.conversion.gguf_writer import NewTensor, Value, file_bytes, write_gguf
from myna.catalog.conversion.weight_types import ENCODERS, type_of
from myna.prompts.gguf import read_header

VALUES = np.random.default_rng(3).standard_normal((6, 64)).astype(np.float32)


@pytest.mark.parametrize("kind", ENCODERS)
def test_weights_are_what_the_format_says(kind: str) -> None:
    ours = np.frombuffer(ENCODERS[kind](VALUES), np.uint8)
    values = gguf.dequantize(ours, gguf.GGMLQuantizationType[kind.upper()]).reshape(VALUES.shape)
    theirs = gguf.quantize(VALUES, gguf.GGMLQuantizationType[kind.upper()])
    expected = gguf.dequantize(theirs, gguf.GGMLQuantizationType[kind.upper()])
    assert np.abs(values - expected).max() <= np.abs(expected).max() * 1e-3
    assert np.abs(values - VALUES).max() < {"f32": 1e-9, "f16": 2e-3, "bf16": 2e-2, "q8_0": 2e-2}[kind]


def test_zeros_and_values_beyond_a_half_keep_finite() -> None:
    block = np.zeros((1, 32), np.float32)
    assert not any(ENCODERS["q8_0"](block))
    assert np.frombuffer(ENCODERS["f16"](block + 1e6), np.float16).max() == 65504
    huge = np.frombuffer(ENCODERS["q8_0"](block - 1e38), np.uint8)
    assert gguf.dequantize(huge, gguf.GGMLQuantizationType.Q8_0).min() == -65504 * 127


def test_only_products_are_quantised() -> None:
    assert type_of("q8_0", (64,), is_exact=False) == "f32"
    assert type_of("q8_0", (3, 64), is_exact=True) == "f32"
    assert type_of("q8_0", (3, 33), is_exact=False) == "f32"
    assert type_of("f16", (3, 33), is_exact=False) == "f16"


def test_a_file_says_what_was_written(tmp_path: Path) -> None:
    metadata: dict[str, Value] = {
        "general.architecture": "bert",
        "a.flag": True,
        "a.number": 7,
        "a.fraction": 0.5,
        "a.list": ["x", "本"],
        "an.array": np.array([1, -2], np.int32),
    }
    tensors = [
        NewTensor("t", VALUES.shape, "Q8_0", lambda: iter([ENCODERS["q8_0"](row) for row in VALUES])),
        NewTensor("bias", (3,), "F32", lambda: iter([bytes(12)])),
    ]
    path, reported = tmp_path / "t.gguf", list[int]()
    write_gguf(path, metadata, tensors, reported.append)
    header = read_header(path)
    assert header.metadata["a.list"] == [b"x", "本".encode()]
    assert header.numbers("an.array").tolist() == [1, -2]
    assert header.boolean("a.flag") is True
    assert (header.integer("a.number"), header.metadata["a.fraction"]) == (7, 0.5)
    assert [(tensor.name, tensor.shape, tensor.type) for tensor in header.tensors] == [
        ("t", (64, 6), "Q8_0"),
        ("bias", (3,), "F32"),
    ]
    assert path.stat().st_size == file_bytes(metadata, tensors)
    assert reported == sorted(reported)
    stored = gguf.GGUFReader(path).tensors[0].data
    assert stored.tobytes() == ENCODERS["q8_0"](VALUES)
