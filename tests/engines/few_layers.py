"""A real model of a few layers: its own weights, shapes and types, and less to compute."""

import re
from pathlib import Path

import gguf
import numpy as np
from tests.prompts.gguf_files import Tensor, gguf_bytes, write

from myna.prompts.gguf import read_header

_LAYER = re.compile(r"blk\.(\d+)\.")
_ALIGNMENT = 32


def write_layers(source: Path, target: Path, num_layers: int) -> Path:
    """Write the model without its later layers, and without a vocabulary."""
    header = read_header(source)
    metadata = {
        name: value for name, value in header.metadata.items() if isinstance(value, int | float | str)
    }
    metadata |= {f"{header.architecture}.block_count": num_layers, "general.alignment": _ALIGNMENT}
    data = np.memmap(source, np.uint8, "r")
    tensors: list[Tensor] = []
    written = bytearray()
    for tensor in header.tensors:
        layer = _LAYER.match(tensor.name)
        if layer is None or int(layer[1]) < num_layers:
            kind = gguf.GGMLQuantizationType[tensor.type].value
            tensors.append((tensor.name, tensor.shape, kind, len(written)))
            written += data[tensor.offset : tensor.offset + tensor.num_bytes].tobytes()
            written += bytes(-len(written) % _ALIGNMENT)
    return write(target, gguf_bytes(metadata, tensors, data=bytes(written)))
