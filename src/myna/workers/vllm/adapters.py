"""LoRA adapters of a vLLM worker: what their folders say, and vLLM's options for them. Without vLLM."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

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

    r: Annotated[int, msgspec.Meta(ge=1)]


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
        "max_lora_rank": next(one for one in _RANKS if one >= rank),
        "max_loras": min(len(adapters), _MOST_AT_ONCE),
        "max_cpu_loras": len(adapters),
    }


def cannot_load(name: str, reason: object) -> ConfigurationError:
    return ConfigurationError(
        N_("The LoRA adapter {name!r} can't be loaded: {reason}", name=name, reason=reason)
    )


def _read(name: str, folder: Path) -> Adapter:
    if not folder.is_dir():
        raise cannot_load(name, N_("its folder is not there; correct it in [aliases]."))
    try:
        config = msgspec.json.decode((folder / _CONFIG).read_bytes(), type=_Config)
        with (folder / _WEIGHTS).open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as exc:
        missing = Path(exc.filename).name
        raise cannot_load(
            name,
            N_(
                "it has no {missing}; its folder must be as PEFT saves it, with {config} and {weights}.",
                missing=missing,
                config=_CONFIG,
                weights=_WEIGHTS,
            ),
        ) from exc
    except OSError as exc:
        raise cannot_load(name, f"{Path(exc.filename).name}: {exc.strerror}") from exc
    except msgspec.DecodeError as exc:
        raise cannot_load(name, f"{_CONFIG}: {exc}") from exc
    if config.r > _RANKS[-1]:
        raise cannot_load(
            name,
            N_(
                "its rank is {rank}, and vLLM has room for {most} at most; merge it into the model.",
                rank=config.r,
                most=_RANKS[-1],
            ),
        )
    return Adapter(name, folder, config.r, weights)
