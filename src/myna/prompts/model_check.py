"""Checks that a file is a model that generates text or vectors, and that its metadata is consistent with its
tensors, since an engine may crash otherwise.

Independent of the architecture: only checks what every text model has.
"""

import re
from typing import Final

import numpy as np

from myna.core.errors import ModelFileError
from myna.core.translatable import N_, Translatable
from myna.prompts.gguf import Header
from myna.prompts.pooling import NONE, RERANKING, find_pooling, is_encoder, pooling_number

MAX_BLOCKS: Final = 512
MAX_CONTEXT_TOKENS: Final = 1 << 28
MAX_WIDTH: Final = 1 << 20


def check_model(header: Header) -> None:
    """Raises `ModelFileError` for a header that is not of a model that Myna serves, or not safe to pass to an
    engine."""
    _check_purpose(header)
    architecture = header.architecture
    if not re.fullmatch(r"[a-z0-9_.-]{1,64}", architecture):
        raise _error(header, f"its architecture is {architecture[:64]!r}")
    blocks = _bounded(header, "block_count", MAX_BLOCKS)
    _bounded(header, "context_length", MAX_CONTEXT_TOKENS)
    width = _bounded(header, "embedding_length", MAX_WIDTH)
    _check_heads(header, width)
    _check_blocks(header, blocks)
    _check_embedding(header, width)


def _check_purpose(header: Header) -> None:
    """Say what the file is, and what to do, if it isn't a model that Myna serves."""
    shard = header.integer("split.no", 0)
    kind = header.string("general.type", "model")
    architecture = header.string("general.architecture", "")
    if shard:
        first = f"…-00001-of-{header.integer('split.count', 1):05d}.gguf"
        raise _error(header, N_("it is a later part of a split model; open {first}", first=first))
    if kind == "adapter":
        raise _error(header, N_("it is a LoRA adapter; merge it into its model, and serve the result"))
    if kind == "imatrix":
        raise _error(
            header,
            N_("it is an importance matrix, which is for quantizing; serve the model that it belongs to"),
        )
    if kind == "mmproj" or architecture == "clip":
        raise _error(
            header,
            N_("it is the image or audio part of a model (mmproj); serve the model's own file, without it"),
        )
    if architecture == "t5":
        raise _error(header, N_("it is an encoder-decoder model; choose a model that only decodes"))
    pooling = pooling_number(header)
    if pooling == RERANKING:
        raise _error(
            header,
            N_("it is a reranker, which rates texts; choose a model that generates text or embeddings"),
        )
    if find_pooling(header):
        return
    if pooling != NONE:
        raise _error(header, N_("its pooling type {number} is not known", number=pooling))
    if is_encoder(architecture):
        raise _error(
            header,
            N_(
                "it makes a vector of each token, not of a text (its pooling type is 0); choose an "
                "embedding model"
            ),
        )
    if not header.boolean(f"{architecture}.attention.causal", True):
        raise _error(
            header,
            N_("it reads texts as a whole and can't write one token after another; choose a causal model"),
        )


def _bounded(header: Header, name: str, limit: int) -> int:
    key = f"{header.architecture}.{name}"
    value = header.integer(key)
    if not 1 <= value <= limit:
        raise _error(header, f"{key} is {value}, which is not within 1 to {limit}")
    return value


def _check_heads(header: Header, width: int) -> None:
    """Head counts are one number, or one per block (0 in blocks without attention)."""
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
            raise _error(header, f"{key} is out of range")


def _check_blocks(header: Header, blocks: int) -> None:
    """A model in one file has tensors of exactly its blocks; a shard of a split model has some of them."""
    numbers = {int(m[1]) for tensor in header.tensors if (m := re.match(r"blk\.(\d{1,6})\.", tensor.name))}
    is_whole = header.integer("split.count", 1) <= 1
    if numbers and max(numbers) >= blocks:
        raise _error(header, f"it has tensors of block {max(numbers)}, but declares {blocks} blocks")
    if is_whole and len(numbers) != blocks:
        raise _error(header, f"it declares {blocks} blocks, but has tensors of {len(numbers)}")


def _check_embedding(header: Header, width: int) -> None:
    num_tokens = len(header.strings("tokenizer.ggml.tokens"))
    embedding = next((tensor for tensor in header.tensors if tensor.name == "token_embd.weight"), None)
    if embedding is None:
        if header.integer("split.count", 1) <= 1:
            raise _error(header, "it has no token embedding")
        return
    if embedding.shape != (width, num_tokens):
        raise _error(
            header,
            f"its token embedding has the shape {list(embedding.shape)}, expected [{width}, {num_tokens}]",
        )


def _error(header: Header, what: str | Translatable) -> ModelFileError:
    return ModelFileError(N_("The model file {path} can't be used: {what}.", path=header.path, what=what))
