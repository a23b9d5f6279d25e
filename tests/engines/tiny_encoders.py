"""Small random embedding models of every architecture that the native engine runs, written as `myna import`
writes them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from myna.catalog.conversion.gguf_writer import NewTensor, Value, write_gguf
from myna.catalog.conversion.weight_types import ENCODERS

VOCABULARY, EMBEDDING, FEED_FORWARD, HEADS, KV_HEADS, CONTEXT = 256, 64, 96, 4, 2, 512
DENSE = 128
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TinyEncoder:
    """What to write; `overrides` replace metadata (None leaves a key out). `scale` is how much wider than
    usual the model is."""

    architecture: str
    pooling: int = 1
    layers: int = 2
    head_dim: int = 16
    weights: str = "f32"
    is_joined: bool = False
    has_dense: bool = True
    scale: int = 1
    seed: int = 0
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def embedding(self) -> int:
        return EMBEDDING * self.scale

    @property
    def feed_forward(self) -> int:
        return FEED_FORWARD * self.scale

    @property
    def is_bert(self) -> bool:
        return "bert" in self.architecture

    @property
    def kv_heads(self) -> int:
        return HEADS if self.is_bert else KV_HEADS


def write_tiny_encoder(path: Path, tiny: TinyEncoder, *, without: str = "", extra: str = "") -> Path:
    """Write the model; `without` names a tensor to leave out, `extra` one to add."""
    rng = np.random.default_rng(tiny.seed)
    shapes = _shapes(tiny) | ({extra: (tiny.embedding,)} if extra else {})
    tensors = [_tensor(name, shape, tiny, rng) for name, shape in shapes.items() if name != without]
    metadata = {key: value for key, value in (_metadata(tiny) | tiny.overrides).items() if value is not None}
    write_gguf(path, metadata, tensors)
    return path


def _tensor(name: str, shape: tuple[int, ...], tiny: TinyEncoder, rng: np.random.Generator) -> NewTensor:
    data = rng.standard_normal(shape).astype(np.float32)
    if name.endswith("norm.weight"):
        data = data * np.float32(0.2) + 1
    elif name.endswith(".bias"):
        data *= np.float32(0.1)
    elif not name.startswith(("token_", "position_")):
        data *= np.float32(shape[-1] ** -0.5)
    is_exact = len(shape) == 1 or name.startswith(("token_types", "position_"))
    kind = "f32" if is_exact else tiny.weights
    return NewTensor(name, shape, kind.upper(), partial(_pieces, kind, data))


def _pieces(kind: str, data: Floats) -> Iterator[bytes]:
    yield ENCODERS[kind](data)


def _shapes(tiny: TinyEncoder) -> dict[str, tuple[int, ...]]:
    """Matrices and vectors by name, rows first."""
    norm = (tiny.embedding,)
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCABULARY, tiny.embedding)}
    if tiny.is_bert:
        shapes |= {"token_types.weight": (2, tiny.embedding)}
        shapes |= {"token_embd_norm.weight": norm, "token_embd_norm.bias": norm}
    else:
        shapes["output_norm.weight"] = norm
    if tiny.architecture == "bert":
        shapes["position_embd.weight"] = (CONTEXT, tiny.embedding)
    for layer in range(tiny.layers):
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in _layer(tiny).items()}
    if tiny.architecture == "gemma-embedding" and tiny.has_dense:
        shapes |= {"dense_2.weight": (DENSE, tiny.embedding), "dense_3.weight": (tiny.embedding, DENSE)}
    return shapes


def _layer(tiny: TinyEncoder) -> dict[str, tuple[int, ...]]:
    query, kv, norm = HEADS * tiny.head_dim, tiny.kv_heads * tiny.head_dim, (tiny.embedding,)
    shapes: dict[str, tuple[int, ...]] = {"attn_output.weight": (tiny.embedding, query)}
    if tiny.is_joined:
        shapes["attn_qkv.weight"] = (query + 2 * kv, tiny.embedding)
    else:
        shapes |= {"attn_q.weight": (query, tiny.embedding), "attn_k.weight": (kv, tiny.embedding)}
        shapes["attn_v.weight"] = (kv, tiny.embedding)
    shapes |= {
        "ffn_up.weight": (tiny.feed_forward, tiny.embedding),
        "ffn_down.weight": (tiny.embedding, tiny.feed_forward),
    }
    if tiny.architecture == "bert":
        shapes |= {"attn_output.bias": norm, "ffn_up.bias": (tiny.feed_forward,), "ffn_down.bias": norm}
        if tiny.is_joined:
            shapes["attn_qkv.bias"] = (query + 2 * kv,)
        else:
            shapes |= {"attn_q.bias": (query,), "attn_k.bias": (kv,), "attn_v.bias": (kv,)}
    else:
        shapes["ffn_gate.weight"] = (tiny.feed_forward, tiny.embedding)
    if tiny.is_bert:
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes |= {f"{name}.weight": norm, f"{name}.bias": norm}
        return shapes
    shapes |= {"attn_norm.weight": norm, "ffn_norm.weight": norm}
    shapes |= {"attn_q_norm.weight": (tiny.head_dim,), "attn_k_norm.weight": (tiny.head_dim,)}
    if tiny.architecture == "gemma-embedding":
        shapes |= {"post_attention_norm.weight": norm, "post_ffw_norm.weight": norm}
    return shapes


def _metadata(tiny: TinyEncoder) -> dict[str, Value]:
    values: dict[str, Value] = {
        "block_count": tiny.layers,
        "context_length": CONTEXT,
        "embedding_length": tiny.embedding,
        "feed_forward_length": tiny.feed_forward,
        "attention.head_count": HEADS,
        "pooling_type": tiny.pooling,
    }
    if tiny.is_bert:
        values |= {"attention.layer_norm_epsilon": 1e-12, "attention.causal": False}
    else:
        values |= {
            "attention.layer_norm_rms_epsilon": 1e-6,
            "attention.head_count_kv": KV_HEADS,
            "attention.key_length": tiny.head_dim,
            "attention.value_length": tiny.head_dim,
            "rope.freq_base": 1000000.0,
        }
    if tiny.architecture == "nomic-bert":
        values["rope.freq_base"] = 1000.0
    if tiny.architecture == "gemma-embedding":
        values |= {"attention.sliding_window": 16}
        if tiny.has_dense:
            values |= {"dense_2_feat_in": tiny.embedding, "dense_2_feat_out": DENSE}
            values |= {"dense_3_feat_in": DENSE, "dense_3_feat_out": tiny.embedding}
    return {
        "general.architecture": tiny.architecture,
        **{f"{tiny.architecture}.{key}": value for key, value in values.items()},
        "tokenizer.ggml.model": "no_vocab",
        "tokenizer.ggml.token_type_count": 2,
        f"{tiny.architecture}.vocab_size": VOCABULARY,
    }
