"""Arrays of some 100,000 strings: in the extension `myna._native`, if that is built, otherwise in Python.

Both give the same results. Knows nothing about models.
"""

import struct
from collections.abc import Collection
from importlib.util import find_spec
from typing import Final

__all__ = [
    "IS_NATIVE",
    "merge_pairs",
    "merge_pairs_in_python",
    "read_strings",
    "read_strings_in_python",
    "texts_of",
]

_LENGTH: Final = struct.Struct("<Q")


def texts_of(lines: Collection[bytes]) -> list[str]:
    """Each line as text. They are decoded as one, if none has a line break: one by one would take most of
    the time that loading a tokenizer takes Python."""
    texts = b"\n".join(lines).decode("utf-8", "replace").split("\n")
    return texts if len(texts) == len(lines) else [line.decode("utf-8", "replace") for line in lines]


def read_strings_in_python(data: bytes, start: int, count: int) -> tuple[list[bytes], int]:
    """The next strings from `start` on, each after its length in 8 bytes, and the position after them; fewer
    than `count` if the data ends inside one."""
    pos, size = start, len(data)
    unpack = _LENGTH.unpack_from
    out: list[bytes] = []
    append = out.append
    for _ in range(count):
        begin = pos + 8
        if begin > size:
            break
        end = begin + unpack(data, pos)[0]
        if end > size:
            break
        append(data[begin:end])
        pos = end
    return out, pos


def merge_pairs_in_python(merges: list[bytes]) -> list[tuple[str, str]]:
    """Each merge, cut at the first space that isn't the first character; those without one join nothing, and
    are left out."""
    pairs = []
    for text in texts_of(merges):
        first, space, second = text[1:].partition(" ")
        if space:
            pairs.append((text[0] + first, second))
    return pairs


# A pure Python install has no extension; one that exists but can't be loaded should raise.
IS_NATIVE: Final = find_spec("myna._native") is not None
if IS_NATIVE:
    from myna._native import merge_pairs, read_strings
else:
    merge_pairs, read_strings = merge_pairs_in_python, read_strings_in_python
