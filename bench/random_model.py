"""Write a model with random weights that has the shapes of a real one but fewer layers: what its speed
depends on, in a file that fits a small machine. Its vocabulary is another model's.

    PYTHONPATH=src:. python bench/random_model.py qwen3-30b-a3b /tmp/random.gguf --vocabulary smollm2.gguf
    python bench/compare.py single many prefill --gguf /tmp/random.gguf --temperature 1 \
        --llama-server /path/to/llama-server

At a temperature of 1 its answers never repeat themselves, so that no server can guess them.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt
from tests.engines.architectures import LAYOUTS
from tests.engines.layouts import Layout, Mixture, Shapes, Sizes
from tests.engines.random_blocks import random_blocks

Kind = gguf.GGMLQuantizationType
FLOATS: Final = ("ffn_gate_inp", "conv1d")


@dataclass(frozen=True, slots=True)
class Shape:
    """`layers` is the default number of them, fewer than the real model's; `experts` is the type of the
    experts' tensors, `others` of all others, `down` of what projects back to the residual."""

    architecture: str
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    head: int
    mixture: Mixture | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    experts: Any = Kind.Q4_K
    others: Any = Kind.Q4_K
    down: Any = Kind.Q6_K

    def layout(self) -> Layout:
        layout = LAYOUTS[self.architecture]
        return replace(layout, mixture=self.mixture, metadata={**layout.metadata, **self.metadata})

    def kind(self, name: str, shape: tuple[int, ...]) -> Any:
        if len(shape) < 2 or name.endswith(".bias") or any(part in name for part in FLOATS):
            return Kind.F32
        if "_exps." in name:
            return self.down if "down" in name and self.experts == Kind.Q4_K else self.experts
        return (
            self.down if any(part in name for part in ("attn_v", "ffn_down", "token_embd")) else self.others
        )


SHAPES: Final = {
    "qwen3-30b-a3b": Shape(
        "qwen3moe", 6, 2048, 6144, 32, 4, 128, mixture=Mixture(experts=128, used=8, width=768)
    ),
    "gpt-oss-20b": Shape(
        "gpt-oss",
        6,
        2880,
        2880,
        64,
        8,
        64,
        mixture=Mixture(experts=32, used=4, width=2880, has_biases=True),
        metadata={
            "attention.sliding_window": 128,
            "rope.freq_base": 150000.0,
            "rope.scaling.factor": 32.0,
            "rope.scaling.original_context_length": 4096,
        },
        experts=Kind.MXFP4,
        others=Kind.Q8_0,
        down=Kind.Q8_0,
    ),
    "qwen3.5-4b": Shape(
        "qwen35",
        8,
        2560,
        9216,
        16,
        4,
        256,
        metadata={
            "rope.dimension_count": 64,
            "rope.dimension_sections": [11, 11, 10, 0],
            "rope.freq_base": 10000000.0,
            "ssm.conv_kernel": 4,
            "ssm.group_count": 16,
            "ssm.state_size": 128,
            "ssm.time_step_rank": 32,
            "ssm.inner_size": 4096,
        },
    ),
}


def data_of(name: str, shape: tuple[int, ...], kind: Any, rng: np.random.Generator) -> npt.NDArray[Any]:
    if kind != Kind.F32:
        return random_blocks(kind, math.prod(shape[:-1]), shape[-1], rng).reshape(*shape[:-1], -1)
    data = rng.standard_normal(shape, np.float32)
    if name.endswith("ssm_a"):  # a rate of decay
        return -np.abs(data) - np.float32(0.1)
    if len(shape) > 1:
        return data * np.float32(shape[-1] ** -0.5)
    return data * np.float32(0.1) + np.float32(".bias" not in name)


def shapes_of(shape: Shape, layers: int, tokens: int) -> Shapes:
    layout = shape.layout()
    query, key_value = shape.heads * shape.head, shape.kv_heads * shape.head
    sizes = Sizes(shape.embedding, shape.feed_forward, query, key_value, shape.head)
    shapes: Shapes = {
        "token_embd.weight": (tokens, shape.embedding),
        f"{layout.output_norm}.weight": (shape.embedding,),
        "output.weight": (tokens, shape.embedding),
    }
    for layer in range(layers):
        shapes |= {f"blk.{layer}.{name}": of for name, of in layout.layer(sizes, layer).items()}
    return shapes


def metadata_of(shape: Shape, layers: int) -> dict[str, Any]:
    layout = shape.layout()
    values = {
        "block_count": layers,
        "context_length": 32768,
        "embedding_length": shape.embedding,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.head,
        "attention.value_length": shape.head,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 1000000.0,
        "rope.dimension_count": shape.head,
    }
    values |= (layout.mixture.metadata() if layout.mixture else {}) | dict(layout.metadata)
    return {f"{shape.architecture}.{name}": value for name, value in values.items()}


def vocabulary_of(path: Path) -> dict[str, tuple[Any, Any, Any]]:
    """Values with their types, for arrays also that of their elements."""
    fields = gguf.GGUFReader(path).fields.items()
    return {
        name: (field.contents(), field.types[0], field.types[-1])
        for name, field in fields
        if name.startswith("tokenizer.")
    }


def write(path: Path, shape: Shape, layers: int, vocabulary: Path) -> None:
    rng, writer = np.random.default_rng(0), gguf.GGUFWriter(str(path), shape.architecture)
    writer.add_name(path.stem)
    kinds = {bool: "bool", int: "uint32", float: "float32", str: "string", list: "array"}
    for key, value in metadata_of(shape, layers).items():
        getattr(writer, f"add_{kinds[type(value)]}")(key, value)
    copied = vocabulary_of(vocabulary)
    for key, (value, kind, element) in copied.items():
        writer.add_key_value(key, value, kind, sub_type=element if kind == gguf.GGUFValueType.ARRAY else None)
    tokens = len(copied["tokenizer.ggml.tokens"][0])
    shapes = {name: (of, shape.kind(name, of)) for name, of in shapes_of(shape, layers, tokens).items()}
    for name, (of, kind) in shapes.items():
        values, size = gguf.GGML_QUANT_SIZES[kind]
        num_bytes = math.prod(of) // values * size
        writer.add_tensor_info(name, of, np.dtype(np.float32), num_bytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, (of, kind) in shapes.items():
        writer.write_tensor_data(data_of(name, of, kind, rng))
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", choices=list(SHAPES))
    parser.add_argument("path", type=Path)
    parser.add_argument("--vocabulary", type=Path, required=True, help="a GGUF file to take it from")
    parser.add_argument("--layers", type=int, default=0)
    args = parser.parse_args()
    shape = SHAPES[args.shape]
    write(args.path, shape, args.layers or shape.layers, args.vocabulary)
    print(f"{args.path}: {args.path.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
