"""Writes small GGUF files for tests: real ones, and ones that lie."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from myna.prompts.token_pieces import byte_alphabet

Entry = bool | int | float | str | Sequence[str] | Sequence[bytes] | Sequence[int] | Sequence[float]
Tensor = tuple[str, tuple[int, ...], int, int]  # name, shape, type, offset


def string(data: str | bytes) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, value: Entry) -> bytes:
    return string(key) + _value(value)


def _value(value: Entry) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + string(value)
    items = list(value)
    if items and isinstance(items[0], int):
        return struct.pack(f"<IIQ{len(items)}i", 9, 5, len(items), *items)
    if items and isinstance(items[0], float):
        return struct.pack(f"<IIQ{len(items)}f", 9, 6, len(items), *items)
    body = b"".join(string(item) for item in items if isinstance(item, str | bytes))
    return struct.pack("<IIQ", 9, 8, len(items)) + body


def gguf_bytes(
    metadata: Mapping[str, Entry], tensors: Sequence[Tensor] = (), *, data: bytes = b"", version: int = 3
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(entry(key, value) for key, value in metadata.items())
    for name, shape, kind, offset in tensors:
        head += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    alignment = metadata.get("general.alignment", 32)
    assert isinstance(alignment, int)
    return head + b"\0" * (-len(head) % (alignment or 32)) + data


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def tiny(folder: Path, **more: Entry) -> Path:
    """A model file of one block that passes `check_model`; `more` metadata with `__` for dots."""
    tokens = [*byte_alphabet().values(), "<|endoftext|>"]
    metadata: dict[str, Entry] = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 64,
        "llama.embedding_length": 32,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 256 + [3],
        "tokenizer.ggml.merges": ["Ġ Ġ"][:0],
        "tokenizer.ggml.eos_token_id": 256,
    }
    metadata.update({key.replace("__", "."): value for key, value in more.items()})
    tensors = [("token_embd.weight", (32, 257), 0, 0), ("blk.0.attn_q.weight", (32, 1), 0, 32 * 257 * 4)]
    return write(folder / "tiny.gguf", gguf_bytes(metadata, tensors, data=bytes(32 * 258 * 4)))
