"""Estimates a model's memory from its GGUF header."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np

from myna.core.backend import KV_CACHE_TYPES, ModelSize
from myna.prompts.gguf import Header, TensorInfo, read_header
from myna.prompts.pooling import find_pooling, is_encoder

_FLOAT_BYTES: Final = 4  # states are stored as 32-bit floats
# Of a worker process, measured: Python and its libraries, each token of a vocabulary, each merge of one.
_BASE_BYTES: Final = 32 << 20
_TOKEN_BYTES: Final = 720
_MERGE_BYTES: Final = 360
# The native engine's: rows that pass through all layers together, and the longest text that it embeds
# (`graph.cpp`, `encoder_graph.cpp`, `native_embedding.py`); rows of logits for some sequences at once.
_ROWS: Final = 256
_MIXTURE_ROWS: Final = 1024
_MAX_TEXT_TOKENS: Final = 8192
_LOGIT_ROWS: Final = 16
# llama.cpp's: rows of a micro-batch, rows of logits for all sequences at once (of which recurrent models have
# few, since each has a state), and a token in its vocabulary (`llamacpp_library.py`, `llamacpp_sizes.py`).
_LLAMA_ROWS: Final = 512
_LLAMA_SEQUENCES: Final = 256
_LLAMA_FEW_SEQUENCES: Final = 8
_LLAMA_TOKEN_BYTES: Final = 160
_EMBEDDINGS: Final = "token_embd.weight"
_OUTPUT: Final = "output.weight"
_TABLES: Final = ("per_layer_token_embd.weight", "position_embd.weight")
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


def model_size(
    header: Header, paths: Sequence[Path], *, is_packed: bool, kv_cache_type: str = "auto"
) -> ModelSize:
    """The size of a model with those files and that type of KV cache. `is_packed`: in the native engine,
    which maps what it only looks up rows of and packs the rest; others map whole files. Raises `OSError` and
    `ModelFileError`."""
    name = header.architecture
    recurrent = len(_recurrent_layers(header))
    is_cached = not (is_encoder(name) or (is_packed and find_pooling(header)))
    context_tokens = header.integer(f"{name}.context_length")
    weights = _packed_tensors(header, paths)
    if is_packed:
        weights_bytes = sum(int(tensor.num_bytes * PACKING.get(tensor.type, 1)) for tensor in weights)
        step_bytes = _step_bytes(header, weights, context_tokens)
    else:
        weights_bytes = sum(path.stat().st_size for path in paths)
        step_bytes = _llama_step_bytes(header, weights, has_states=recurrent > 0)
    return ModelSize(
        weights_bytes,
        ceil(KV_CACHE_TYPES[kv_cache_type] * _numbers_of_a_token(header, name)) if is_cached else 0,
        context_tokens,
        _FLOAT_BYTES * recurrent * _state_floats(header) if recurrent else 0,
        _BASE_BYTES + _vocabulary_bytes(header) + step_bytes,
    )


def draft_size(header: Header, paths: Sequence[Path], *, is_packed: bool, kv_cache_type: str) -> ModelSize:
    """`model_size` of a draft model, which is in its model's process, and needs no vocabulary of its own."""
    size = model_size(header, paths, is_packed=is_packed, kv_cache_type=kv_cache_type)
    return replace(size, process_bytes=size.process_bytes - _BASE_BYTES - _vocabulary_bytes(header))


def _packed_tensors(header: Header, paths: Sequence[Path]) -> list[TensorInfo]:
    """Those that the native engine keeps in memory of its own: no tables of embeddings, and no layers that
    only guess further tokens."""
    name, tensors = header.architecture, list(header.tensors)
    for shard in paths[1:]:
        tensors += read_header(shard).tensors
    mapped = set(_TABLES)
    if is_encoder(name) or find_pooling(header):
        mapped |= {_EMBEDDINGS, _OUTPUT}
    elif any(tensor.name == _OUTPUT for tensor in tensors):
        mapped.add(_EMBEDDINGS)
    used = _num_layers(header)
    return [tensor for tensor in tensors if tensor.name not in mapped and _layer_of(tensor) < used]


def _num_layers(header: Header) -> int:
    """Without those that only guess further tokens."""
    name = header.architecture
    return header.integer(f"{name}.block_count") - header.integer(f"{name}.nextn_predict_layers", 0)


def _layer_of(tensor: TensorInfo) -> int:
    """-1 for a tensor of the whole model."""
    prefix, _, rest = tensor.name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if prefix == "blk" and number.isdecimal() else -1


def _step_bytes(header: Header, weights: Sequence[TensorInfo], context_tokens: int) -> int:
    """What the native engine computes in: the values of as many rows as pass through the layers together,
    and some rows of logits."""
    num_used = header.integer(f"{header.architecture}.expert_used_count", 0)
    rows, logits = _MIXTURE_ROWS if num_used else _ROWS, _LOGIT_ROWS * _num_tokens(header)
    if find_pooling(header):  # a text is computed at once
        rows, logits = max(rows, min(context_tokens, _MAX_TEXT_TOKENS)), 0
    return _FLOAT_BYTES * (rows * _row_floats(header, weights) + logits)


def _llama_step_bytes(header: Header, weights: Sequence[TensorInfo], *, has_states: bool) -> int:
    """What llama.cpp computes in, and its vocabulary."""
    tokens, sequences = _num_tokens(header), _LLAMA_FEW_SEQUENCES if has_states else _LLAMA_SEQUENCES
    logits = 0 if find_pooling(header) else sequences * tokens
    floats = _LLAMA_ROWS * _row_floats(header, weights) + logits
    return _FLOAT_BYTES * floats + _LLAMA_TOKEN_BYTES * tokens


def _row_floats(header: Header, weights: Sequence[TensorInfo]) -> int:
    """The values of a row that passes through the layers: about what the widest layer's matrices return."""
    name = header.architecture
    num_used = header.integer(f"{name}.expert_used_count", 0)
    widths: Counter[int] = Counter()
    for tensor in weights:
        if len(tensor.shape) < 2 or tensor.name in (_EMBEDDINGS, _OUTPUT):
            continue
        width = tensor.shape[1]
        if "up_exps." in tensor.name:  # what experts read is gathered, in 16-bit floats
            width += tensor.shape[0] // 2
        widths[_layer_of(tensor)] += width * (num_used if "_exps." in tensor.name else 1)
    of_model = 2 * widths.pop(-1, 0)
    # What passes through the layers, and with AltUp each input and its prediction.
    streams = 2 * header.integer(f"{name}.altup.num_inputs", 1)
    floats = of_model + max(widths.values(), default=0)
    return floats + streams * header.integer(f"{name}.embedding_length")


def _vocabulary_bytes(header: Header) -> int:
    """What a worker makes of the vocabulary of a model that generates text: pieces, a table of tokens, and
    grammars over them."""
    if find_pooling(header):
        return 0
    merges = header.metadata.get("tokenizer.ggml.merges")
    num_merges = len(merges) if isinstance(merges, list) else 0
    return _TOKEN_BYTES * _num_tokens(header) + _MERGE_BYTES * num_merges


def _num_tokens(header: Header) -> int:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    return len(tokens) if isinstance(tokens, list) else 0


def _recurrent_layers(header: Header) -> set[int]:
    """Which layers of a model that has such ones keep a state instead of keys and values."""
    name = header.architecture
    layers = max(0, _num_layers(header))
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
    layers = max(0, _num_layers(header) - header.integer(f"{name}.attention.shared_kv_layers", 0))
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
