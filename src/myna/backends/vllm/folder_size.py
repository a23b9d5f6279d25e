"""Estimates the memory of a model in a folder of safetensors, and finds its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from myna.core.backend import ModelSize
from myna.core.errors import ModelFileError
from myna.core.translatable import N_

_HALF_BYTES: Final = 2
_PROCESS_BYTES: Final = 3 << 30  # vLLM's processes besides weights and KV cache


def weight_files(path: Path) -> list[Path]:
    """Raises `ModelFileError` if there are none."""
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise ModelFileError(
            N_(
                "{path} has no .safetensors files; other formats, such as pytorch_model.bin, can run code.",
                path=path,
            )
        )
    return files


def folder_size(config: Mapping[str, Any], files: Sequence[Path], context_tokens: int) -> ModelSize:
    """In this machine's memory, for vLLM's build for processors. Raises `OSError`."""
    weights_bytes = sum(file.stat().st_size for file in files)
    return ModelSize(weights_bytes + _PROCESS_BYTES, _kv_token_bytes(config), context_tokens)


def _kv_token_bytes(config: Mapping[str, Any]) -> int:
    heads = _number(config, "num_attention_heads", 1)
    width = _number(config, "head_dim", _number(config, "hidden_size", 0) // heads)
    kv_heads = _number(config, "num_key_value_heads", heads)
    return 2 * _HALF_BYTES * _number(config, "num_hidden_layers", 0) * kv_heads * width


def _number(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key)
    return value if isinstance(value, int) and value > 0 else default
