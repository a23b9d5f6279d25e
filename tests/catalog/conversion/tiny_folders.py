"""Small random embedding models in Hugging Face's layout, the same bytes each time: sentence-transformers has
computed `references.json` from them (`bench/embedding_references.py`)."""

import base64
import json
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from myna.prompts.token_pieces import byte_alphabet

Floats = npt.NDArray[np.float32]
Json = dict[str, Any]

WIDTH, INNER, HEADS, KV_HEADS, HEAD_DIM, CONTEXT = 64, 96, 4, 2, 16, 128
DENSE: Final = 128
_LETTERS: Final = string.ascii_lowercase + string.digits
TEXTS: Final = (
    "the bird",
    "The Bird sings, again and again.",
    "naïve café 123",
    "hello   world\nof the other birds",
    "x",
    "鸟 sings",
    "the other bird over there is the one that sings the best of all the birds in the tree near the house",
)


def write_safetensors(path: Path, tensors: Mapping[str, Floats]) -> None:
    header, parts, offset = {}, [], 0
    for name, data in tensors.items():
        raw = data.astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(data.shape),
            "data_offsets": [offset, offset + len(raw)],
        }
        parts.append(raw)
        offset += len(raw)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def _random(shapes: Mapping[str, tuple[int, ...]], *, norms_from: float) -> dict[str, Floats]:
    """Norms are near `norms_from`, embeddings near 1, and products keep sizes as they are."""
    rng = np.random.default_rng(7)
    tensors = {}
    for name, shape in shapes.items():
        data = rng.standard_normal(shape).astype(np.float32)
        if "norm" in name.lower() and name.endswith("weight"):
            data = data * np.float32(0.2) + np.float32(norms_from)
        elif len(shape) == 1:
            data *= np.float32(0.1)
        elif "embed" not in name:
            data *= np.float32(shape[-1] ** -0.5)
        tensors[name] = data
    return tensors


def _write(folder: Path, files: Mapping[str, Any], pooling: str, dense: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kinds = ["Transformer", "Pooling", *(["Dense", "Dense"] if dense else []), "Normalize"]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    flags = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "lasttoken")}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": WIDTH} | flags))
    for name, value in {"modules.json": modules, **files}.items():
        (folder / name).write_text(json.dumps(value))
    return folder


def _special(texts: Mapping[str, int]) -> list[Json]:
    return [
        {
            "id": number,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for text, number in texts.items()
    ]


def _framed(ids: Mapping[str, int], start: str, end: str) -> Json:
    first = [{"SpecialToken": {"id": start, "type_id": 0}}] if start else []
    frame = [*first, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end, "type_id": 0}}]
    marks = {text: {"id": text, "ids": [ids[text]], "tokens": [text]} for text in (start, end) if text}
    return {"type": "TemplateProcessing", "single": frame, "pair": frame, "special_tokens": marks}


def write_bert_folder(folder: Path) -> Path:
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*_LETTERS, *(f"##{char}" for char in _LETTERS), *".,!?-'", "the", "bird", "##ing", "other"]
    ids = {text: number for number, text in enumerate([*marks, *words])}
    tokenizer = {
        "version": "1.0",
        "added_tokens": _special({mark: ids[mark] for mark in marks}),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": _framed(ids, "[CLS]", "[SEP]"),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }
    names = {"cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "pad": "[PAD]", "mask": "[MASK]"}
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": CONTEXT,
        "num_attention_heads": HEADS,
        "num_hidden_layers": 2,
        "type_vocab_size": 2,
        "vocab_size": len(ids),
    }
    files: Json = {
        "config.json": config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer"}
        | {f"{name}_token": text for name, text in names.items()},
    }
    _write(folder, files, "mean_tokens")
    shapes = _bert_shapes(len(ids), positions=CONTEXT, types=2)
    write_safetensors(folder / "model.safetensors", _random(shapes, norms_from=1))
    return folder


def _bert_shapes(num_tokens: int, *, positions: int, types: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (num_tokens, WIDTH),
        "embeddings.position_embeddings.weight": (positions, WIDTH),
        "embeddings.token_type_embeddings.weight": (types, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    parts = {
        "attention.self.query": (WIDTH, WIDTH),
        "attention.self.key": (WIDTH, WIDTH),
        "attention.self.value": (WIDTH, WIDTH),
        "attention.output.dense": (WIDTH, WIDTH),
        "attention.output.LayerNorm": (WIDTH,),
        "intermediate.dense": (INNER, WIDTH),
        "output.dense": (WIDTH, INNER),
        "output.LayerNorm": (WIDTH,),
    }
    for layer in range(2):
        for name, shape in parts.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
    return shapes | {"pooler.dense.weight": (WIDTH, WIDTH), "pooler.dense.bias": (WIDTH,)}


def _table_of_characters() -> str:
    """SentencePiece's compiled table, of one replacement: tabs and line ends become spaces."""
    units = np.zeros(1024, "<u4")
    units[0] = 256 << 10
    for char in b"\t\n":
        units[256 ^ char] = 512 << 10 | 1 << 8 | char
        units[256 ^ char ^ 512] = 1 << 31  # the replacement at 0
    return base64.b64encode(units.nbytes.to_bytes(4, "little") + units.tobytes() + b" \0").decode()


def write_xlm_roberta_folder(folder: Path) -> Path:
    """As multilingual-e5-base and bge-m3 are published."""
    marks = ["<s>", "<pad>", "</s>", "<unk>"]
    words = {"▁the": -3.0, "▁bird": -4.5, "▁": -2.0, "ing": -4.0, "s": -3.5, "▁o": -6.0, "ther": -4.2}
    letters = {char: -8.0 - i / 64 for i, char in enumerate([*_LETTERS, *string.ascii_uppercase, *".,!?-'é"])}
    pieces = {**dict.fromkeys(marks, 0.0), **words, **{c: s for c, s in letters.items() if c not in words}}
    pieces["<mask>"] = 0.0
    ids = {text: number for number, text in enumerate(pieces)}
    tokenizer = {
        "version": "1.0",
        "added_tokens": _special({mark: ids[mark] for mark in (*marks, "<mask>")}),
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": _table_of_characters()},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "WhitespaceSplit"},
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
            ],
        },
        "post_processor": _framed(ids, "<s>", "</s>"),
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": list(pieces.items()), "byte_fallback": False},
    }
    names = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "unk": "<unk>", "pad": "<pad>"}
    config = {
        "architectures": ["XLMRobertaModel"],
        "model_type": "xlm-roberta",
        "hidden_act": "gelu",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": CONTEXT + 2,
        "num_attention_heads": HEADS,
        "num_hidden_layers": 2,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "type_vocab_size": 1,
        "vocab_size": len(ids),
    }
    files: Json = {
        "config.json": config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizerFast"}
        | {f"{name}_token": text for name, text in (names | {"mask": "<mask>"}).items()},
    }
    _write(folder, files, "cls_token")
    shapes = _bert_shapes(len(ids), positions=CONTEXT + 2, types=1)
    write_safetensors(folder / "model.safetensors", _random(shapes, norms_from=1))
    return folder


def _decoder_shapes(num_tokens: int, layers: int, norms: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (num_tokens, WIDTH), "norm.weight": (WIDTH,)}
    parts = {
        "self_attn.q_proj": (HEADS * HEAD_DIM, WIDTH),
        "self_attn.k_proj": (KV_HEADS * HEAD_DIM, WIDTH),
        "self_attn.v_proj": (KV_HEADS * HEAD_DIM, WIDTH),
        "self_attn.o_proj": (WIDTH, HEADS * HEAD_DIM),
        "self_attn.q_norm": (HEAD_DIM,),
        "self_attn.k_norm": (HEAD_DIM,),
        "mlp.gate_proj": (INNER, WIDTH),
        "mlp.up_proj": (INNER, WIDTH),
        "mlp.down_proj": (WIDTH, INNER),
        **dict.fromkeys(norms, (WIDTH,)),
    }
    for layer in range(layers):
        shapes |= {f"layers.{layer}.{name}.weight": shape for name, shape in parts.items()}
    return shapes


def _decoder_config(num_tokens: int, layers: int) -> Json:
    return {
        "attention_bias": False,
        "head_dim": HEAD_DIM,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "max_position_embeddings": CONTEXT,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "num_hidden_layers": layers,
        "rms_norm_eps": 1e-6,
        "vocab_size": num_tokens,
    }


def write_gemma_folder(folder: Path) -> Path:
    marks = ["<pad>", "<eos>", "<bos>", "<unk>"]
    merges = [
        ("t", "h"),
        ("th", "e"),
        ("▁", "the"),
        ("i", "n"),
        ("in", "g"),
        ("▁", "b"),
        ("▁b", "ird"),
        ("i", "r"),
    ]
    merges += [("ir", "d"), ("s", "▁"), ("e", "r"), ("o", "t")]
    pieces = [*marks, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *string.ascii_letters, *string.digits]
    pieces += [*".,!?-", *dict.fromkeys(first + second for first, second in merges)]
    ids = {text: number for number, text in enumerate(pieces)}
    tokenizer = {
        "version": "1.0",
        "added_tokens": _special({mark: ids[mark] for mark in marks}),
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": None,
        "post_processor": _framed(ids, "<bos>", "<eos>"),
        "decoder": None,
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": ids,
            "merges": [list(pair) for pair in merges],
        },
    }
    layers = 7
    config = _decoder_config(len(ids), layers) | {
        "architectures": ["Gemma3TextModel"],
        "model_type": "gemma3_text",
        "hidden_activation": "gelu_pytorch_tanh",
        "layer_types": ["full_attention" if i == 5 else "sliding_attention" for i in range(layers)],
        "query_pre_attn_scalar": HEAD_DIM,
        "rope_local_base_freq": 10000.0,
        "rope_theta": 1000000.0,
        "sliding_window": 16,
        "use_bidirectional_attention": True,
    }
    names = {"bos": "<bos>", "eos": "<eos>", "unk": "<unk>", "pad": "<pad>"}
    files: Json = {
        "config.json": config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}
        | {f"{name}_token": text for name, text in names.items()},
    }
    _write(folder, files, "mean_tokens", dense=True)
    norms = (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    )
    write_safetensors(
        folder / "model.safetensors", _random(_decoder_shapes(len(ids), layers, norms), norms_from=0)
    )
    for name, shape in {"2_Dense": (DENSE, WIDTH), "3_Dense": (WIDTH, DENSE)}.items():
        (folder / name).mkdir(exist_ok=True)
        dense = {
            "in_features": shape[1],
            "out_features": shape[0],
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        }
        (folder / name / "config.json").write_text(json.dumps(dense))
        write_safetensors(
            folder / name / "model.safetensors", _random({"linear.weight": shape}, norms_from=0)
        )
    return folder


def write_qwen3_folder(folder: Path) -> Path:
    merges = [
        ("t", "h"),
        ("th", "e"),
        ("Ġ", "the"),
        ("i", "n"),
        ("in", "g"),
        ("b", "ird"),
        ("i", "rd"),
        ("r", "d"),
    ]
    pieces = [*byte_alphabet().values(), *dict.fromkeys(first + second for first, second in merges)]
    ids = {text: number for number, text in enumerate(pieces)}
    end = {"<|endoftext|>": len(ids)}
    rule = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"
    )
    split = {"type": "Split", "pattern": {"Regex": rule}, "behavior": "Isolated", "invert": False}
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    tokenizer = {
        "version": "1.0",
        "added_tokens": _special(end),
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes_]},
        "post_processor": _framed(end, "", "<|endoftext|>"),
        "decoder": bytes_,
        "model": {"type": "BPE", "vocab": ids, "merges": [" ".join(pair) for pair in merges]},
    }
    num_tokens = len(ids) + 4  # of which the last have no text
    config = _decoder_config(num_tokens, 2) | {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_act": "silu",
        "rope_theta": 1000000.0,
    }
    files: Json = {
        "config.json": config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
        },
    }
    _write(folder, files, "lasttoken")
    shapes = _decoder_shapes(num_tokens, 2, ("input_layernorm", "post_attention_layernorm"))
    write_safetensors(folder / "model.safetensors", _random(shapes, norms_from=1))
    return folder


FOLDERS: Final[dict[str, Callable[[Path], Path]]] = {
    "bert": write_bert_folder,
    "xlm-roberta": write_xlm_roberta_folder,
    "gemma-embedding": write_gemma_folder,
    "qwen3": write_qwen3_folder,
}
