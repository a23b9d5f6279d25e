"""Estimates a model's memory from its GGUF header."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from myna.core.backend import ModelSize
from myna.prompts.gguf import Header
from myna.prompts.pooling import is_encoder

_HALF_BYTES: Final = 2  # keys and values are stored as 16-bit floats
_MAX_LAYERS: Final = 1024  # engines refuse files with more
_FLOAT_BYTES: Final = 4  # states are stored as 32-bit floats
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
    layers = header.integer(f"{name}.block_count") - header.integer(f"{name}.nextn_predict_layers", 0)
    layers = min(max(layers, 0), _MAX_LAYERS)
    kv_heads = _of_layers(header, f"{name}.attention.head_count_kv", layers, num_heads)
    recurrent = _recurrent_layers(header, layers)
    kv_heads[recurrent] = 0
    state_floats = len(recurrent) * _state_floats(header)
    wider = sum(tensor.num_bytes * (PACKING.get(tensor.type, 1) - 1) for tensor in header.tensors)
    return ModelSize(
        sum(path.stat().st_size for path in paths) + (int(wider) if is_packed else 0),
        0 if is_encoder(name) else _HALF_BYTES * int(kv_heads.sum()) * (key_width + value_width),
        header.integer(f"{name}.context_length"),
        _FLOAT_BYTES * state_floats,
    )


def _of_layers(header: Header, key: str, layers: int, default: int) -> npt.NDArray[np.int64]:
    """A number for each layer, if the file has only one for all of them, too."""
    value = header.metadata.get(key, default)
    if isinstance(value, np.ndarray):
        return np.resize(value.astype(np.int64), layers)
    return np.full(layers, header.integer(key, default), np.int64)


def _recurrent_layers(header: Header, layers: int) -> npt.NDArray[np.int64]:
    """Which layers of a model that has such ones keep a state instead of keys and values."""
    name = header.architecture
    if not {f"{name}.{key}" for key in ("shortconv.l_cache", "ssm.state_size")} & header.metadata.keys():
        return np.arange(0)
    heads = _of_layers(header, f"{name}.attention.head_count_kv", layers, 1)
    if not heads.all():
        return np.flatnonzero(heads == 0)
    if f"{name}.attention.recurrent_layers" in header.metadata:
        return np.flatnonzero(_of_layers(header, f"{name}.attention.recurrent_layers", layers, 0))
    interval = max(1, header.integer(f"{name}.full_attention_interval", 4))
    return np.flatnonzero(np.arange(1, layers + 1) % interval)


def _state_floats(header: Header) -> int:
    """Of one recurrent layer: the last inputs of its convolution, and the matrices of its heads."""
    name = header.architecture
    if f"{name}.shortconv.l_cache" in header.metadata:
        return (header.integer(f"{name}.shortconv.l_cache") - 1) * header.integer(f"{name}.embedding_length")
    taps, groups, length, width = (
        header.integer(f"{name}.ssm.{key}", 0)
        for key in ("conv_kernel", "group_count", "state_size", "inner_size")
    )
    return max(0, taps - 1) * (width + 2 * groups * length) + width * length


def _largest(header: Header, key: str, default: int) -> int:
    """Head counts are one number, or one per block."""
    value = header.metadata.get(key, default)
    return int(np.max(value)) if isinstance(value, np.ndarray) else header.integer(key, default)
