"""Estimates a model's memory from its GGUF header."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from myna.core.backend import ModelSize
from myna.prompts.gguf import Header
from myna.prompts.pooling import is_encoder

_HALF_BYTES: Final = 2  # keys and values are stored as 16-bit floats
_FLOAT_BYTES: Final = 4  # states are stored as 32-bit floats
# Types that the native engine packs into a wider layout: by which factor. The others are as large as in the
# file within a few per cent.
PACKING: Final = {
    "Q2_K": 1.19,
    "IQ1_S": 2.32,
    "IQ1_M": 2.07,
    "IQ2_XXS": 1.76,
    "IQ2_XS": 1.57,
    "IQ2_S": 1.41,
    "IQ3_XXS": 1.43,
    "IQ3_S": 1.27,
    "TQ1_0": 1.41,
    "TQ2_0": 1.15,
    "NVFP4": 1.11,
}


def model_size(header: Header, paths: Sequence[Path], *, is_packed: bool) -> ModelSize:
    """The size of a model with those files. Weights count with the size of their files, and if `is_packed`
    with what the native engine makes of them. Encoders keep no keys and values, and neither do layers that
    only guess further tokens. Raises `OSError`."""
    name = header.architecture
    recurrent = len(_recurrent_layers(header))
    wider = sum(tensor.num_bytes * (PACKING.get(tensor.type, 1) - 1) for tensor in header.tensors)
    return ModelSize(
        sum(path.stat().st_size for path in paths) + (int(wider) if is_packed else 0),
        0 if is_encoder(name) else _HALF_BYTES * _numbers_of_a_token(header, name),
        header.integer(f"{name}.context_length"),
        _FLOAT_BYTES * recurrent * _state_floats(header) if recurrent else 0,
    )


def _recurrent_layers(header: Header) -> set[int]:
    """Which layers of a model that has such ones keep a state instead of keys and values."""
    name = header.architecture
    layers = max(0, header.integer(f"{name}.block_count") - header.integer(f"{name}.nextn_predict_layers", 0))
    if not {f"{name}.{key}" for key in ("shortconv.l_cache", "ssm.state_size")} & header.metadata.keys():
        return set()
    heads = _of_layers(header, f"{name}.attention.head_count_kv", layers, 1)
    if not all(heads):
        widths = _of_layers(header, f"{name}.feed_forward_length", layers, 0)
        is_lone = not all(widths)  # a layer is a feed-forward or something else
        return {layer for layer, count in enumerate(heads) if not count and not (is_lone and widths[layer])}
    if f"{name}.attention.recurrent_layers" in header.metadata:
        flags = _of_layers(header, f"{name}.attention.recurrent_layers", layers, 0)
        return {layer for layer, flag in enumerate(flags) if flag}
    interval = max(1, header.integer(f"{name}.full_attention_interval", 4))
    return {layer for layer in range(layers) if (layer + 1) % interval}


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


def _numbers_of_a_token(header: Header, name: str) -> int:
    """Of its keys and values in all layers that have some of their own."""
    guessing = header.integer(f"{name}.nextn_predict_layers", 0)
    sharing = header.integer(f"{name}.attention.shared_kv_layers", 0)
    layers = max(0, header.integer(f"{name}.block_count") - guessing - sharing)
    num_heads = max(1, *_of_layers(header, f"{name}.attention.head_count", layers, 1))
    width = header.integer(f"{name}.embedding_length") // num_heads
    usual = {kind: header.integer(f"{name}.attention.{kind}_length", width) for kind in ("key", "value")}
    windowed = (header.integer(f"{name}.attention.{kind}_length_swa", usual[kind]) for kind in usual)
    if f"{name}.attention.kv_lora_rank" in header.metadata:  # values are the keys
        usual["value"] = usual["key"]
    widths = sum(usual.values()), sum(windowed)
    kv_heads = _of_layers(header, f"{name}.attention.head_count_kv", layers, num_heads)
    recurrent = _recurrent_layers(header)
    kv_heads = [0 if layer in recurrent else count for layer, count in enumerate(kv_heads)]
    is_windowed = _of_layers(header, f"{name}.attention.sliding_window_pattern", layers, 0)
    return sum(heads * widths[bool(local)] for heads, local in zip(kv_heads, is_windowed, strict=True))


def _of_layers(header: Header, key: str, layers: int, default: int) -> list[int]:
    """Some numbers are one for all layers, or one for each."""
    value = header.metadata.get(key, default)
    if isinstance(value, np.ndarray) and len(value) >= max(1, layers):
        return [int(number) for number in value[:layers]]
    return [int(value) if isinstance(value, bool) else header.integer(key, default)] * layers
