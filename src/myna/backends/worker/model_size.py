"""Estimates a model's memory from its GGUF header."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from myna.core.backend import ModelSize
from myna.prompts.gguf import Header
from myna.prompts.pooling import is_encoder

_HALF_BYTES: Final = 2  # keys and values are stored as 16-bit floats
# Types that the native engine packs into a wider layout: by which factor. The others are as large as in the
# file within a few per cent.
PACKING: Final = {
    "Q2_K": 1.95,
    "Q3_K": 1.95,
    "IQ4_NL": 1.89,
    "IQ4_XS": 2.03,
    "TQ1_0": 2.67,
    "TQ2_0": 2.18,
    "MXFP4": 2.0,
}


def model_size(header: Header, paths: Sequence[Path], *, is_packed: bool) -> ModelSize:
    """The size of a model with those files. Weights count with the size of their files, and if `is_packed`
    with what the native engine makes of them. Encoders keep no keys and values, and neither do layers that
    only guess further tokens. Raises `OSError`."""
    name = header.architecture
    num_heads = max(1, _largest(header, f"{name}.attention.head_count", 1))
    width = header.integer(f"{name}.embedding_length") // num_heads
    key_width = header.integer(f"{name}.attention.key_length", width)
    value_width = header.integer(f"{name}.attention.value_length", width)
    kv_heads = _largest(header, f"{name}.attention.head_count_kv", num_heads)
    layers = header.integer(f"{name}.block_count") - header.integer(f"{name}.nextn_predict_layers", 0)
    blocks = 0 if is_encoder(name) else layers
    wider = sum(tensor.num_bytes * (PACKING.get(tensor.type, 1) - 1) for tensor in header.tensors)
    return ModelSize(
        sum(path.stat().st_size for path in paths) + (int(wider) if is_packed else 0),
        _HALF_BYTES * blocks * kv_heads * (key_width + value_width),
        header.integer(f"{name}.context_length"),
    )


def _largest(header: Header, key: str, default: int) -> int:
    """Head counts are one number, or one per block."""
    value = header.metadata.get(key, default)
    return int(np.max(value)) if isinstance(value, np.ndarray) else header.integer(key, default)
