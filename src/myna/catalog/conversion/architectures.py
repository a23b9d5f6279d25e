"""The architectures that can be imported, as rows: what their settings and tensors are called in GGUF."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from myna.catalog.conversion.folder import ModelFolder, Module
from myna.catalog.conversion.gguf_writer import Value
from myna.catalog.conversion.vocabularies import byte_level, sentencepiece, wordpiece_or_unigram
from myna.core.errors import ModelFileError
from myna.prompts.model_folder import Json

MAX_LAYERS: Final = 512
_MOST: Final = 1e30
_GEMMA_PATTERN: Final = 6


class Config:
    """A `config.json`. The getters raise `ModelFileError` for what is missing or has another type."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self._values = folder.json("config.json")

    @property
    def name(self) -> str:
        """The class that loads the model, which the rows below are found by."""
        names = self._values.get("architectures")
        return str(names[0]) if isinstance(names, list) and names else ""

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def integer(self, key: str, most: int = 1 << 24) -> int:
        value = self._values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
            raise self._folder.error(f"{key} in config.json should be a number from 1 to {most}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        return self.checked(key, self._values.get(key, default))

    def checked(self, key: str, value: object) -> float:
        """The number, which is at `key`."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MOST:
            raise self._folder.error(f"{key} in config.json should be a number")
        return float(value)

    def error(self, what: str) -> ModelFileError:
        return self._folder.error(what)

    def expect(self, key: str, *values: object) -> None:
        """Refuse a variant that the engines don't compute. A missing value means the first of these."""
        value = self._values.get(key, values[0])
        if value not in values:
            raise self._folder.error(f"{key} in config.json is {str(value)[:60]!r}, which is not supported")


@dataclass(frozen=True, slots=True)
class Architecture:
    """`tensors` are GGUF's names by Hugging Face's, without ".weight" and ".bias"; `{}` is the layer. Names
    may begin with one of `prefixes`. `exact` ones stay float32. `unused` ones, by regular expression,
    aren't part of a text's vector, and neither are the first `unused_positions` of the table of positions."""

    gguf: str
    settings: Callable[[Config], dict[str, Value]]
    tokenizer: Callable[[ModelFolder, int], dict[str, Value]]
    tensors: Mapping[str, str]
    prefixes: tuple[str, ...] = ()
    exact: frozenset[str] = frozenset()
    unused: str = "(?!)"
    adds_one_to_norms: bool = False
    unused_positions: Callable[[Config], int] = lambda config: 0
    optional: frozenset[str] = field(default_factory=frozenset)

    def renamed(self, name: str) -> str | None:
        """GGUF's name of a tensor; None for one that isn't used. Raises `KeyError`."""
        for prefix in self.prefixes:
            name = name.removeprefix(prefix)
        if re.fullmatch(self.unused, name):
            return None
        stem, _, kind = name.rpartition(".")
        kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
        layer = re.search(r"\.(\d{1,4})\.", stem)
        if layer is None:
            return f"{self.tensors[stem]}.{kind}"
        pattern = f"{stem[: layer.start()]}.{{}}.{stem[layer.end() :]}"
        return f"{self.tensors[pattern].format(int(layer[1]))}.{kind}"

    def expected(self, num_layers: int) -> set[str]:
        """The weights that each model of the architecture has."""
        return {
            f"{name.format(layer)}.weight"
            for name in set(self.tensors.values()) - self.optional
            for layer in range(num_layers if "{}" in name else 1)
        }


def _common(config: Config) -> dict[str, Value]:
    return {
        "block_count": config.integer("num_hidden_layers", MAX_LAYERS),
        "context_length": config.integer("max_position_embeddings"),
        "embedding_length": config.integer("hidden_size"),
        "feed_forward_length": config.integer("intermediate_size"),
        "attention.head_count": config.integer("num_attention_heads"),
    }


def _bert(config: Config) -> dict[str, Value]:
    config.expect("hidden_act", "gelu")
    config.expect("position_embedding_type", "absolute")
    config.expect("is_decoder", False)
    return _common(config) | {
        "attention.layer_norm_epsilon": config.number("layer_norm_eps"),
        "attention.causal": False,
        "tokenizer.ggml.token_type_count": config.integer("type_vocab_size"),
    }


def _xlm_roberta(config: Config) -> dict[str, Value]:
    settings = _bert(config)
    positions = config.integer("max_position_embeddings") - _positions_before_texts(config)
    return settings | {"context_length": positions}


def _positions_before_texts(config: Config) -> int:
    """RoBERTa counts positions from the one after padding's number."""
    padding = 1 if config.get("pad_token_id") is None else config.integer("pad_token_id")
    if padding + 1 >= config.integer("max_position_embeddings"):
        raise config.error("pad_token_id in config.json leaves no positions")
    return padding + 1


def _decoder(config: Config) -> dict[str, Value]:
    config.expect("attention_bias", False)
    config.expect("rope_scaling", None)
    return _common(config) | {
        "attention.head_count_kv": config.integer("num_key_value_heads"),
        "attention.key_length": config.integer("head_dim"),
        "attention.value_length": config.integer("head_dim"),
        "attention.layer_norm_rms_epsilon": config.number("rms_norm_eps"),
    }


def _rope_base(config: Config, layers: str, key: str, default: float) -> float:
    """Older files hold the number itself, newer ones a table, perhaps one for each kind of layer."""
    table = config.get("rope_parameters")
    table = table.get(layers, table) if isinstance(table, dict) else {}
    base = table.get("rope_theta") if isinstance(table, dict) else None
    return config.number(key, default) if base is None else config.checked("rope_theta", base)


def _gemma(config: Config) -> dict[str, Value]:
    config.expect("hidden_activation", "gelu_pytorch_tanh")
    config.expect("use_bidirectional_attention", True)
    config.expect("attn_logit_softcapping", None)
    config.expect("query_pre_attn_scalar", config.get("head_dim"))
    kinds = config.get("layer_types")
    is_listed = isinstance(kinds, list) and "full_attention" in kinds
    pattern = kinds.index("full_attention") + 1 if is_listed else _GEMMA_PATTERN
    num_layers = config.integer("num_hidden_layers", MAX_LAYERS)
    regular = ["full_attention" if (i + 1) % pattern == 0 else "sliding_attention" for i in range(num_layers)]
    config.expect("layer_types", *([] if is_listed else [None]), regular)
    return _decoder(config) | {
        "rope.freq_base": _rope_base(config, "full_attention", "rope_theta", 1e6),
        "rope.freq_base_swa": _rope_base(config, "sliding_attention", "rope_local_base_freq", 1e4),
        "attention.sliding_window": config.integer("sliding_window"),
        "attention.sliding_window_pattern": pattern,
    }


def _qwen3(config: Config) -> dict[str, Value]:
    config.expect("hidden_act", "silu")
    config.expect("use_sliding_window", False)
    return _decoder(config) | {"rope.freq_base": _rope_base(config, "full_attention", "rope_theta", 1e4)}


_BERT_TENSORS: Final = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "encoder.layer.{}.attention.self.query": "blk.{}.attn_q",
    "encoder.layer.{}.attention.self.key": "blk.{}.attn_k",
    "encoder.layer.{}.attention.self.value": "blk.{}.attn_v",
    "encoder.layer.{}.attention.output.dense": "blk.{}.attn_output",
    "encoder.layer.{}.attention.output.LayerNorm": "blk.{}.attn_output_norm",
    "encoder.layer.{}.intermediate.dense": "blk.{}.ffn_up",
    "encoder.layer.{}.output.dense": "blk.{}.ffn_down",
    "encoder.layer.{}.output.LayerNorm": "blk.{}.layer_output_norm",
}
_DECODER_TENSORS: Final = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "layers.{}.input_layernorm": "blk.{}.attn_norm",
    "layers.{}.self_attn.q_proj": "blk.{}.attn_q",
    "layers.{}.self_attn.k_proj": "blk.{}.attn_k",
    "layers.{}.self_attn.v_proj": "blk.{}.attn_v",
    "layers.{}.self_attn.o_proj": "blk.{}.attn_output",
    "layers.{}.self_attn.q_norm": "blk.{}.attn_q_norm",
    "layers.{}.self_attn.k_norm": "blk.{}.attn_k_norm",
    "layers.{}.mlp.gate_proj": "blk.{}.ffn_gate",
    "layers.{}.mlp.up_proj": "blk.{}.ffn_up",
    "layers.{}.mlp.down_proj": "blk.{}.ffn_down",
}
_GEMMA_TENSORS: Final = _DECODER_TENSORS | {
    "layers.{}.post_attention_layernorm": "blk.{}.post_attention_norm",
    "layers.{}.pre_feedforward_layernorm": "blk.{}.ffn_norm",
    "layers.{}.post_feedforward_layernorm": "blk.{}.post_ffw_norm",
}
_QWEN3_TENSORS: Final = _DECODER_TENSORS | {"layers.{}.post_attention_layernorm": "blk.{}.ffn_norm"}

_BERT: Final = Architecture(
    "bert",
    _bert,
    wordpiece_or_unigram,
    _BERT_TENSORS,
    prefixes=("bert.",),
    exact=frozenset(("position_embd.weight", "token_types.weight")),
    unused=r"embeddings\.position_ids|pooler\..*|cls\..*",
)
_XLM_ROBERTA: Final = replace(
    _BERT,
    settings=_xlm_roberta,
    prefixes=("roberta.",),
    unused=r"embeddings\.position_ids|pooler\..*|lm_head\..*",
    unused_positions=_positions_before_texts,
)
_GEMMA: Final = Architecture(
    "gemma-embedding", _gemma, sentencepiece, _GEMMA_TENSORS, prefixes=("model.",), adds_one_to_norms=True
)
_QWEN3: Final = Architecture(
    "qwen3", _qwen3, partial(byte_level, "qwen2"), _QWEN3_TENSORS, prefixes=("model.",), unused=r"lm_head\..*"
)

# By the class named in config.json.
ARCHITECTURES: Final[dict[str, Architecture]] = {
    "BertModel": _BERT,
    "BertForMaskedLM": _BERT,
    "XLMRobertaModel": _XLM_ROBERTA,
    "XLMRobertaForMaskedLM": _XLM_ROBERTA,
    "Gemma3TextModel": _GEMMA,
    "Qwen3Model": _QWEN3,
    "Qwen3ForCausalLM": _QWEN3,
}


def find_architecture(folder: ModelFolder, config: Config) -> Architecture:
    """Raises `ModelFileError`, naming those that there are."""
    found = ARCHITECTURES.get(config.name)
    if found is None:
        known = ", ".join(ARCHITECTURES)
        raise folder.error(f"its architecture {config.name[:60]!r} is not one of {known}")
    return found


def output_steps(folder: ModelFolder) -> tuple[int, list[Module]]:
    """GGUF's number of the pooling, and the dense layers after it."""
    modules = folder.modules()
    pooling = next((module for module in modules if module.type == "Pooling"), None)
    if pooling is None:
        raise folder.error(
            "it is not an embedding model: no Pooling in its modules.json says how a text becomes one vector"
        )
    dense = [module for module in modules if module.type == "Dense"]
    for module in modules:
        if module.type not in ("Transformer", "Pooling", "Dense", "Normalize"):
            raise folder.error(f"its modules.json has a step {module.type[:60]!r}, which is not supported")
    return _pooling(folder, pooling.config), dense


def _pooling(folder: ModelFolder, config: Json) -> int:
    modes = {"mean": 1, "cls": 2, "lasttoken": 3}
    flags = {
        "mean": "pooling_mode_mean_tokens",
        "cls": "pooling_mode_cls_token",
        "lasttoken": "pooling_mode_lasttoken",
    }
    wanted = {name for name, flag in flags.items() if config.get(flag)}
    others = {key for key, value in config.items() if key.startswith("pooling_mode_") and value is True}
    if (mode := str(config.get("pooling_mode"))) in modes:
        wanted.add(mode)
    if len(wanted) != 1 or others - set(flags.values()):
        raise folder.error("its Pooling is not one of mean, first token (cls) and last token")
    return modes[wanted.pop()]
