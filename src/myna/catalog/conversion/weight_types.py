"""Float weights in the types of GGUF files that `myna import` writes."""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_BLOCK: Final = 32
_MOST_HALF: Final = 65504  # in half precision


def _f32(values: Floats) -> bytes:
    return values.astype("<f4", copy=False).tobytes()


def _f16(values: Floats) -> bytes:
    with np.errstate(over="ignore"):
        return np.clip(values, -_MOST_HALF, _MOST_HALF).astype("<f2").tobytes()


def _bf16(values: Floats) -> bytes:
    """Rounded to nearest even; weights are finite."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def _q8_0(values: Floats) -> bytes:
    """Blocks of 32 integers of 8 bits, each after its scale in half precision."""
    blocks = np.ascontiguousarray(values, np.float32).reshape(-1, _BLOCK)
    scales = np.minimum(np.abs(blocks).max(axis=1, keepdims=True) / 127, _MOST_HALF)
    with np.errstate(divide="ignore", invalid="ignore"):
        quants = np.where(scales > 0, np.rint(blocks / scales).clip(-127, 127), 0)
    out = np.empty((len(blocks), 2 + _BLOCK), np.uint8)
    out[:, :2] = scales.astype("<f2").view(np.uint8).reshape(-1, 2)
    out[:, 2:] = quants.astype(np.int8).view(np.uint8)
    return out.tobytes()


# By the name that `--type` takes.
ENCODERS: Final[dict[str, Callable[[Floats], bytes]]] = {
    "f32": _f32,
    "f16": _f16,
    "bf16": _bf16,
    "q8_0": _q8_0,
}
# `general.file_type`, llama.cpp's number of the type that most tensors have.
FILE_TYPES: Final = {"f32": 0, "f16": 1, "q8_0": 7, "bf16": 32}


def type_of(wanted: str, shape: tuple[int, ...], *, is_exact: bool) -> str:
    """The type of one tensor. Vectors and tables that are added stay float32, and so do rows that aren't
    whole blocks."""
    if is_exact or len(shape) < 2 or (wanted == "q8_0" and shape[-1] % _BLOCK):
        return "f32"
    return wanted
