"""Checks that a model's stated shape agrees with its tensors, since an engine may die of one that doesn't.

Generic over architectures: only what every text model has.
"""

import re
from typing import Final

import numpy as np

from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.gguf import Header

MAX_BLOCKS: Final = 512
MAX_CONTEXT_TOKENS: Final = 1 << 28
MAX_WIDTH: Final = 1 << 20


def check_model(header: Header) -> None:
    """Raises `ModelFileError` for a header that no engine should be given."""
    architecture = header.architecture
    if not re.fullmatch(r"[a-z0-9_.-]{1,64}", architecture):
        raise _fault(header, f"its architecture is {architecture[:64]!r}")
    blocks = _bounded(header, "block_count", MAX_BLOCKS)
    _bounded(header, "context_length", MAX_CONTEXT_TOKENS)
    width = _bounded(header, "embedding_length", MAX_WIDTH)
    _check_heads(header, width)
    _check_blocks(header, blocks)
    _check_embedding(header, width)


def _bounded(header: Header, name: str, limit: int) -> int:
    key = f"{header.architecture}.{name}"
    value = header.integer(key)
    if not 1 <= value <= limit:
        raise _fault(header, f"{key} is {value}, not within 1 to {limit}")
    return value


def _check_heads(header: Header, width: int) -> None:
    """Head counts are one number, or one a block (0 in blocks without attention)."""
    for name in ("attention.head_count", "attention.head_count_kv"):
        key = f"{header.architecture}.{name}"
        value = header.metadata.get(key)
        if value is None:
            continue
        numbers = value.tolist() if isinstance(value, np.ndarray) else [value]
        if (
            not numbers
            or not all(isinstance(n, int) and 0 <= n <= width for n in numbers)
            or not any(numbers)
        ):
            raise _fault(header, f"{key} is out of bounds")


def _check_blocks(header: Header, blocks: int) -> None:
    """A whole model has tensors of exactly its blocks; a shard of a split one has some of them."""
    numbers = {int(m[1]) for tensor in header.tensors if (m := re.match(r"blk\.(\d{1,6})\.", tensor.name))}
    is_whole = header.integer("split.count", 1) <= 1
    if numbers and max(numbers) >= blocks:
        raise _fault(header, f"it has tensors of block {max(numbers)} but states {blocks} blocks")
    if is_whole and len(numbers) != blocks:
        raise _fault(header, f"it states {blocks} blocks and has tensors of {len(numbers)}")


def _check_embedding(header: Header, width: int) -> None:
    num_tokens = len(header.strings("tokenizer.ggml.tokens"))
    embedding = next((tensor for tensor in header.tensors if tensor.name == "token_embd.weight"), None)
    if embedding is None:
        if header.integer("split.count", 1) <= 1:
            raise _fault(header, "it has no token embedding")
        return
    if embedding.shape != (width, num_tokens):
        raise _fault(
            header,
            f"its token embedding is {list(embedding.shape)}, for {num_tokens} tokens of width {width}",
        )


def _fault(header: Header, what: str) -> ModelFileError:
    return ModelFileError(N_("The model file {path} can't be used: {what}.", path=header.path, what=what))
