"""Small random embedding models as GGUF files."""

import string
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from tests.engines.tiny_models import Tiny, byte_level, write_tiny

from myna.prompts.token_pieces import TokenKind

EMBEDDING, FEED_FORWARD, HEADS, CONTEXT = 64, 96, 4, 128
_SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LETTERS: Final = string.ascii_lowercase + string.digits
WORDPIECES: Final = (
    *_SPECIAL,
    *(f"▁{letter}" for letter in _LETTERS),
    *_LETTERS,
    *(f"▁{mark}" for mark in ".,!?:;'-()"),
    "▁the",
    "▁bird",
    "ing",
)
CLS, SEP = WORDPIECES.index("[CLS]"), WORDPIECES.index("[SEP]")


def _bert_shapes(layers: int) -> dict[str, tuple[int, ...]]:
    norm, square = (EMBEDDING,), (EMBEDDING, EMBEDDING)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(WORDPIECES), EMBEDDING),
        "token_types.weight": (2, EMBEDDING),
        "position_embd.weight": (CONTEXT, EMBEDDING),
        "token_embd_norm.weight": norm,
        "token_embd_norm.bias": norm,
    }
    for i in range(layers):
        layer: dict[str, tuple[int, ...]] = {}
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            layer |= {f"{name}.weight": square, f"{name}.bias": norm}
        for name in ("attn_output_norm", "layer_output_norm"):
            layer |= {f"{name}.weight": norm, f"{name}.bias": norm}
        layer |= {"ffn_up.weight": (FEED_FORWARD, EMBEDDING), "ffn_up.bias": (FEED_FORWARD,)}
        layer |= {"ffn_down.weight": (EMBEDDING, FEED_FORWARD), "ffn_down.bias": norm}
        shapes |= {f"blk.{i}.{name}": shape for name, shape in layer.items()}
    return shapes


def write_bert(
    path: Path, *, pooling: int | None = 1, layers: int = 2, seed: int = 0, **overrides: Any
) -> Path:
    """A BERT with absolute positions, segments, biases, GELU and a WordPiece vocabulary. `pooling` None
    leaves its key out; `overrides` are metadata with `__` for dots."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "bert")
    writer.add_name(str(overrides.pop("name", "tiny bert")))
    writer.add_block_count(layers)
    writer.add_context_length(int(overrides.pop("context", CONTEXT)))
    writer.add_embedding_length(EMBEDDING)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(value=False)
    if pooling is not None:
        writer.add_uint32("bert.pooling_type", pooling)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("bert-bge")
    writer.add_token_list(list(WORDPIECES))
    kinds = [TokenKind.CONTROL if token in _SPECIAL else TokenKind.NORMAL for token in WORDPIECES]
    kinds[WORDPIECES.index("[UNK]")] = TokenKind.UNKNOWN
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    writer.add_bos_token_id(CLS)
    writer.add_eos_token_id(SEP)
    writer.add_sep_token_id(SEP)
    writer.add_unk_token_id(WORDPIECES.index("[UNK]"))
    writer.add_pad_token_id(0)
    for key, value in overrides.items():
        writer.add_key_value(key.replace("__", "."), value, gguf.GGUFValueType.get_type(value))
    for name, shape in _bert_shapes(layers).items():
        data = rng.standard_normal(shape).astype(np.float32)
        if name.endswith("norm.weight"):
            data = data * 0.2 + 1
        elif name.endswith(".bias"):
            data *= 0.1
        elif not name.startswith(("token_", "position_")):
            data *= shape[-1] ** -0.5
        writer.add_tensor(name, data.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


_MARKS: Final = {"<|endoftext|>": TokenKind.CONTROL, "<|im_end|>": TokenKind.CONTROL}


def write_qwen3_embedding(path: Path, *, adds_eos: bool = True, **overrides: Any) -> Path:
    """A causal model that pools its last token, as Qwen3-Embedding; older files don't say that a text ends
    with `<|endoftext|>`."""
    vocabulary = byte_level(_MARKS, bos="<|endoftext|>", eos="<|endoftext|>")
    values = {
        **vocabulary,
        "general.name": "Qwen3 Embedding 0.6B",
        "qwen3.pooling_type": 3,
        "qwen3.context_length": CONTEXT,
        "tokenizer.ggml.add_bos_token": False,
        **({"tokenizer.ggml.add_eos_token": True} if adds_eos else {}),
        **{key.replace("__", "."): value for key, value in overrides.items()},
    }
    return write_tiny(path, replace(Tiny("qwen3"), overrides=values))
