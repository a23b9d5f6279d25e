"""LoRA adapters of a vLLM worker: what their folders say, and vLLM's options for them. Without vLLM."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from myna.core.errors import ConfigurationError
from myna.core.translatable import N_

_CONFIG: Final = "adapter_config.json"
_WEIGHTS: Final = "adapter_model.safetensors"
_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)  # those that vLLM has room for
_MOST_AT_ONCE: Final = 8
"""So many adapters have room in one step, unless the options say otherwise."""


class _Config(msgspec.Struct, frozen=True):
    """Of PEFT's file, what is needed here."""

    r: int


@dataclass(frozen=True, slots=True)
class Adapter:
    """`digest` identifies its weights."""

    name: str
    path: Path
    rank: int
    digest: str


def read_adapters(paths: Mapping[str, str]) -> list[Adapter]:
    """Raises `ConfigurationError`, which names the adapter."""
    return [_read(name, Path(path)) for name, path in paths.items()]


def lora_arguments(adapters: Sequence[Adapter]) -> dict[str, Any]:
    """vLLM's options for these adapters; a model's own options come first."""
    if not adapters:
        return {}
    rank = max(adapter.rank for adapter in adapters)
    return {
        "enable_lora": True,
        "max_lora_rank": next((one for one in _RANKS if one >= rank), _RANKS[-1]),
        "max_loras": min(len(adapters), _MOST_AT_ONCE),
        "max_cpu_loras": len(adapters),
    }


def cannot_load(name: str, reason: object) -> ConfigurationError:
    return ConfigurationError(
        N_("The LoRA adapter {name!r} can't be loaded: {reason}", name=name, reason=reason)
    )


def _read(name: str, folder: Path) -> Adapter:
    try:
        config = msgspec.json.decode((folder / _CONFIG).read_bytes(), type=_Config)
        with (folder / _WEIGHTS).open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise cannot_load(name, f"{Path(exc.filename).name}: {exc.strerror}") from exc
    except msgspec.DecodeError as exc:
        raise cannot_load(name, f"{_CONFIG}: {exc}") from exc
    return Adapter(name, folder, config.r, weights)
