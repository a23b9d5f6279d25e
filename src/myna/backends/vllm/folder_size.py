"""Estimates the memory of a model in a folder of safetensors; finds and checks the files of its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from myna.core.backend import ModelSize
from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.model_folder import JsonFolder

_INDEX: Final = "model.safetensors.index.json"
_LFS_POINTER: Final = b"version "  # how these files begin; as a length it would be impossible
_LENGTH_BYTES: Final = 8
_MAX_HEADER_BYTES: Final = 100_000_000  # the format's own limit
_HALF_BYTES: Final = 2
_PROCESS_BYTES: Final = 3 << 30  # vLLM's processes besides weights and KV cache


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class _Entry(msgspec.Struct):
    """Of a tensor, or of `__metadata__`, which has none."""

    data_offsets: tuple[int, int] = (0, 0)


def weight_files(path: Path) -> list[Path]:
    """Raises `ModelFileError` if there are none, or one is missing or not whole, which vLLM would notice only
    after a minute; and `OSError`."""
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise ModelFileError(
            N_(
                "{path} has no .safetensors files; other formats, such as pytorch_model.bin, can run code.",
                path=path,
            )
        )
    index = JsonFolder(path).decoded(_INDEX, _Index)
    if missing := sorted(set(index.weight_map.values() if index else ()) - {file.name for file in files}):
        raise ModelFileError(
            N_(
                "{path} is not there; download it like the others that {index} names.",
                path=path / missing[0],
                index=_INDEX,
            )
        )
    for file in files:
        _check_whole(file)
    return files


def _check_whole(path: Path) -> None:
    """A file has the length of its header, the header, and what that says about tensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_LENGTH_BYTES)
        header_bytes = int.from_bytes(start, "little")
        header = file.read(header_bytes) if header_bytes <= _MAX_HEADER_BYTES else b""
    if start == _LFS_POINTER:
        raise ModelFileError(
            N_(
                "{path} only says where Git LFS has the file; get the file itself with: git lfs pull",
                path=path,
            )
        )
    try:
        entries = msgspec.json.decode(header, type=dict[str, _Entry])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise ModelFileError(
            N_("{path} is not a safetensors file, or incomplete; download it again.", path=path)
        ) from None
    whole = _LENGTH_BYTES + header_bytes + max((one.data_offsets[1] for one in entries.values()), default=0)
    if size < whole:
        raise ModelFileError(
            N_(
                "{path} is incomplete, {size} of {whole} bytes; download it again.",
                path=path,
                size=size,
                whole=whole,
            )
        )


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
