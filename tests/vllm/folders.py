"""Folders of safetensors as Hugging Face lays them out, made from a GGUF file of the llama architecture: the
same model, or a tiny one with the same vocabulary and random weights."""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import dequantize

from myna.prompts.bpe import BpeEncoder
from myna.prompts.gguf import Header, read_header
from myna.prompts.vocabulary import Vocabulary

Weights = npt.NDArray[np.float32]

_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(source: Path, folder: Path) -> Path:
    """The model of the file, its weights as bfloat16."""
    header = read_header(source)
    write_folder(folder, header, _config(header), _weights(source, header))
    return folder


def make_tiny(source: Path, folder: Path, *, context_tokens: int = 1024) -> Path:
    """A model with the file's vocabulary, two layers and random weights."""
    header = read_header(source)
    config = _config(header) | {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": context_tokens,
    }
    write_folder(folder, header, config, _random_weights(config))
    return folder


def write_folder(
    folder: Path, header: Header, config: Mapping[str, object], weights: Iterator[tuple[str, Weights]]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder, header)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": config["eos_token_id"]}))
    write_safetensors(folder / "model.safetensors", dict(weights))


def _config(header: Header) -> dict[str, object]:
    def number(key: str) -> int:
        return header.integer(f"{header.architecture}.{key}")

    vocabulary = Vocabulary.of(header)
    heads = number("attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": number("embedding_length"),
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv"),
        "head_dim": number("embedding_length") // heads,
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": _number(header, "attention.layer_norm_rms_epsilon"),
        "rope_theta": _number(header, "rope.freq_base"),
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": len(vocabulary),
        "bos_token_id": vocabulary.bos,
        "eos_token_id": vocabulary.eos,
    }


def _number(header: Header, key: str) -> float:
    value = header.metadata[f"{header.architecture}.{key}"]
    assert isinstance(value, float)
    return float(f"{value:.7g}")


def _write_tokenizer(folder: Path, header: Header) -> None:
    vocabulary = Vocabulary.of(header)
    file = json.loads(BpeEncoder(vocabulary)._merger.to_str())
    texts = [text.decode() for text in vocabulary.texts]
    ids = file["model"]["vocab"]
    file["model"]["vocab"] = {text: token for text, token in ids.items() if token < len(vocabulary)}
    file["added_tokens"] = [
        {
            "id": token,
            "content": texts[token],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": vocabulary.is_control(token),
        }
        for token in vocabulary.special_ids
    ]
    file["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps(file))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": texts[vocabulary.bos or 0],
        "eos_token": texts[vocabulary.eos or 0],
        "chat_template": header.string("tokenizer.chat_template"),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _weights(source: Path, header: Header) -> Iterator[tuple[str, Weights]]:
    names = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    heads = {"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"}
    for tensor in gguf.GGUFReader(source).tensors:
        values: Weights = dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
        if tensor.name in names:
            yield names[tensor.name], values
            continue
        _, layer, name, _ = tensor.name.split(".")
        if name in heads:  # llama.cpp's files have the halves of rotary pairs interleaved
            count = header.integer(f"{header.architecture}.{heads[name]}")
            pairs = values.reshape(count, -1, 2, values.shape[1])
            values = pairs.swapaxes(1, 2).reshape(values.shape)
        yield f"model.layers.{layer}.{_LAYER[name]}.weight", values


def _random_weights(config: Mapping[str, object]) -> Iterator[tuple[str, Weights]]:
    random = np.random.default_rng(1)
    width, inner, vocabulary = (
        int(str(config[key])) for key in ("hidden_size", "intermediate_size", "vocab_size")
    )

    def matrix(rows: int, columns: int) -> Weights:
        return random.normal(0, 0.4, (rows, columns)).astype(np.float32)

    head, layers = int(str(config["head_dim"])), int(str(config["num_hidden_layers"]))
    keys = head * int(str(config["num_key_value_heads"]))
    yield "model.embed_tokens.weight", matrix(vocabulary, width)
    yield "model.norm.weight", np.ones(width, np.float32)
    shapes = {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    for layer in range(layers):
        for name, shape in shapes.items():
            yield f"model.layers.{layer}.{name}.weight", matrix(*shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{layer}.{name}.weight", np.ones(width, np.float32)


def write_safetensors(path: Path, tensors: Mapping[str, Weights]) -> None:
    header, offset = {}, 0
    for name, values in tensors.items():
        end = offset + 2 * values.size
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
            file.write(((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes())
