"""Random blocks of quantised types, also of those that the `gguf` package can't write."""

import math
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Kind = gguf.GGMLQuantizationType


def random_blocks(kind: Any, rows: int, columns: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Rows of blocks whose values have a standard deviation of about columns ** -0.5."""
    values, size = gguf.GGML_QUANT_SIZES[kind]
    found = rng.integers(0, 256, (rows, columns // values, size), dtype=np.uint8)
    deviation = columns**-0.5

    def set_half(at: int, value: float) -> None:
        found[..., at : at + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)

    if kind == Kind.Q4_K:  # all scales and minimums of 32, of codes between 0 and 15
        set_half(0, deviation / 32 / 4.6)
        set_half(2, deviation / 32 / 4.6 * 7.5)
        found[..., 4:12], found[..., 12:16] = 0xA0, 0
    elif kind == Kind.Q6_K:
        found[..., 192:208] = 32
        set_half(208, deviation / 32 / 18.5)
    elif kind == Kind.Q8_0:
        set_half(0, deviation / 74)
    elif kind == Kind.MXFP4:
        found[..., 0] = 127 + round(math.log2(deviation / 2.9))
    else:
        raise ValueError(f"no random blocks of {kind.name}")
    return found.reshape(rows, -1)
