"""Small random models as GGUF files, for architectures and types that the catalog's models don't have."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from tests.engines.architectures import LAYOUTS
from tests.engines.layouts import Layout, Mixture, Shapes, Sizes
from tests.engines.random_blocks import random_blocks

from myna.prompts.token_pieces import TokenKind, byte_alphabet

VOCABULARY, EMBEDDING, FEED_FORWARD, HEADS, KV_HEADS = 256, 64, 96, 4, 2
Kind = gguf.GGMLQuantizationType
SCALED = {"feed_forward_length", "expert_feed_forward_length", "expert_shared_feed_forward_length"}
K_TYPES = (Kind.Q4_K, Kind.Q6_K)
FLOATS = ("altup", "ffn_gate_inp", "conv.weight", "conv1d.weight")


@dataclass(frozen=True, slots=True)
class Tiny:
    """What to write: a model laid out as its architecture's are. `metadata` are keys without the
    architecture's name, `overrides` whole ones; both replace what is there, None leaves a key out. `factors`
    are tensors of the rope, `variant` another layout than the architecture's first. `scale` is how much wider
    than usual the model and its feed-forward layers are. With weights of a K type, rows that aren't whole
    blocks are Q8_0. With `as_floats`, the values are those of `weights`, but stored as float32."""

    architecture: str = "llama"
    layers: int = 0
    head_dim: int = 16
    weights: Any = Kind.F32
    as_floats: bool = False
    tied: bool = False
    factors: Sequence[str] = ()
    biases: Sequence[str] = ()
    mixture: Mixture | None = None
    variant: Layout | None = None
    scale: int = 1
    seed: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        layout = self.variant or LAYOUTS.get(self.architecture, LAYOUTS["llama"])
        mixture, scale = self.mixture or layout.mixture, self.scale
        if mixture:
            mixture = replace(mixture, width=mixture.width * scale, shared=mixture.shared * scale)
        metadata = {**layout.metadata, **self.metadata}
        for key in SCALED & metadata.keys():
            value = metadata[key]
            metadata[key] = [n * scale for n in value] if isinstance(value, list) else value and value * scale
        return replace(
            layout,
            biases=self.biases or layout.biases,
            factors=self.factors or layout.factors,
            mixture=mixture,
            metadata=metadata,
        )

    @property
    def embedding(self) -> int:
        return EMBEDDING * self.scale

    @property
    def feed_forward(self) -> int:
        return FEED_FORWARD * self.scale

    @property
    def num_layers(self) -> int:
        return self.layers or self.layout.layers

    @property
    def num_tokens(self) -> int:
        return len(self.overrides.get("tokenizer.ggml.tokens", ())) or VOCABULARY


def byte_level(marks: Mapping[str, TokenKind], *, bos: str, eos: str) -> dict[str, Any]:
    """The metadata of a vocabulary with a token per byte, the one of a merge, and one per mark."""
    tokens = [*byte_alphabet().values(), "he", *marks]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [TokenKind.NORMAL] * 257 + list(marks.values()),
        "tokenizer.ggml.merges": ["h e"],
        "tokenizer.ggml.bos_token_id": tokens.index(bos),
        "tokenizer.ggml.eos_token_id": tokens.index(eos),
    }


def _shapes(tiny: Tiny) -> Shapes:
    """Matrices and vectors by name, rows first."""
    values = _metadata(tiny)
    kv_heads = tiny.layout.metadata.get("attention.head_count_kv", KV_HEADS)
    kv_heads = kv_heads if isinstance(kv_heads, int) else KV_HEADS  # such layouts know their own
    sizes = Sizes(
        tiny.embedding, tiny.feed_forward, HEADS * tiny.head_dim, kv_heads * tiny.head_dim, tiny.head_dim
    )
    shapes: Shapes = {
        "token_embd.weight": (tiny.num_tokens, tiny.embedding),
        f"{tiny.layout.output_norm}.weight": (tiny.embedding,),
    }
    if not (tiny.tied or tiny.layout.is_always_tied):
        shapes["output.weight"] = (tiny.num_tokens, tiny.embedding)
    shapes |= {f"{name}.weight": (values["rope.dimension_count"] // 2,) for name in tiny.layout.factors}
    shapes |= tiny.layout.model(sizes, tiny.num_layers, tiny.num_tokens)
    for i in range(tiny.num_layers):
        shapes |= {f"blk.{i}.{name}": shape for name, shape in tiny.layout.layer(sizes, i).items()}
    return shapes


def _metadata(tiny: Tiny) -> dict[str, Any]:
    values: dict[str, Any] = {
        "block_count": tiny.num_layers,
        "context_length": 4096,
        "embedding_length": tiny.embedding,
        "feed_forward_length": tiny.feed_forward,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "attention.key_length": tiny.head_dim,
        "attention.value_length": tiny.head_dim,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
        "rope.dimension_count": tiny.head_dim,
        "vocab_size": tiny.num_tokens,
    }
    mixture = tiny.layout.mixture.metadata() if tiny.layout.mixture else {}
    of_layout = {
        name: value[: tiny.num_layers]
        if isinstance(value, list) and len(value) == tiny.layout.layers
        else value
        for name, value in tiny.layout.metadata.items()
    }
    return values | mixture | of_layout


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    else:
        writer.add_string(key, value)


def _vector(name: str, data: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if name.startswith("rope_"):
        return np.abs(data) + np.float32(0.5)
    if name.endswith("ssm_a"):  # a rate of decay
        return -np.abs(data) - np.float32(0.1)
    return data * np.float32(0.2) + np.float32(".bias" not in name)


def _writer(path: Path, tiny: Tiny, tensors_per_shard: int = 0) -> gguf.GGUFWriter:
    """With all metadata."""
    writer = gguf.GGUFWriter(str(path), tiny.architecture, split_max_tensors=tensors_per_shard)
    values = {f"{tiny.architecture}.{name}": value for name, value in _metadata(tiny).items()}
    values |= {"tokenizer.ggml.model": "no_vocab"} | tiny.overrides
    for key, value in values.items():
        if value is not None:
            _add(writer, key, value)
    return writer


def _kind(name: str, shape: tuple[int, ...], tiny: Tiny) -> Any:
    """The type of a matrix, None for vectors. Routers choose, which rounding could change; rows of
    convolutions and of AltUp are short."""
    if shape[-1] > 1 and len(shape) >= 2 and not name.endswith((".bias", "ssm_norm.weight")):
        if any(part in name for part in FLOATS):
            return Kind.F32
        return tiny.weights if shape[-1] % gguf.GGML_QUANT_SIZES[tiny.weights][0] == 0 else Kind.Q8_0
    return None


def _quantized(data: npt.NDArray[np.float32], kind: Any, rng: np.random.Generator) -> npt.NDArray[Any]:
    if kind not in K_TYPES:
        return gguf.quantize(data, kind)
    rows, columns = math.prod(data.shape[:-1]), data.shape[-1]
    return random_blocks(kind, rows, columns, rng).reshape(*data.shape[:-1], -1)


def write_tiny(
    path: Path, tiny: Tiny, *, without: str = "", extra: str = "", tensors_per_shard: int = 0
) -> Path:
    """Write the model; `without` names a tensor to leave out, `extra` one to add."""
    rng = np.random.default_rng(tiny.seed)
    writer = _writer(path, tiny, tensors_per_shard)
    shapes = _shapes(tiny) | ({extra: (tiny.embedding,)} if extra else {})
    for name, shape in shapes.items():
        if name == without:
            continue
        data = rng.standard_normal(shape).astype(np.float32)
        if (kind := _kind(name, shape, tiny)) is not None:
            data *= np.float32(shape[-1] ** -0.5)
            values = _quantized(data, kind, rng)
            if tiny.as_floats:
                values, kind = gguf.dequantize(values, kind), Kind.F32
            writer.add_tensor(name, values, raw_dtype=kind)
        else:
            scale = next((s for end, s in tiny.layout.scales.items() if name.endswith(end)), 1.0)
            writer.add_tensor(name, (_vector(name, data) * np.float32(scale)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_hollow(path: Path, tiny: Tiny) -> Path:
    """Write the model with weights of zero, which take no time to write and no space on the disk."""
    writer = _writer(path, tiny)
    num_bytes = 0
    for name, shape in _shapes(tiny).items():
        kind = _kind(name, shape, tiny) or Kind.F32
        values, size = gguf.GGML_QUANT_SIZES[kind]
        tensor_bytes = math.prod(shape) // values * size
        writer.add_tensor_info(name, shape, np.dtype(np.float32), tensor_bytes, raw_dtype=kind)
        num_bytes += tensor_bytes + writer.data_alignment
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, path.stat().st_size + num_bytes)
    return path
