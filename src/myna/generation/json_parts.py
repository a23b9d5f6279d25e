"""Renders a large answer's JSON in parts, each a bounded amount of work, so that other requests can run in
between."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

# The approximate size of a part. Rendering it takes a few milliseconds.
_PART_BYTES: Final = 65536
_INDENT: Final = 2
# A placeholder for what is rendered later. It is random, so no answer can contain it.
_MARK: Final = secrets.token_hex(16)
_QUOTED_MARK: Final = f'"{_MARK}"'.encode()


class LazyArray:
    """An array that is rendered `per_slice` items at a time. `render` is called in any thread, for each item,
    and may return a value with further lazy arrays."""

    def __init__(self, items: Sequence[T], render: Callable[[T], object], per_slice: int) -> None:
        self.is_short = len(items) <= per_slice
        self._items = items
        self._render = render
        self._per_slice = per_slice

    def then(self, render: Callable[[Any], object]) -> "LazyArray":
        """The same items, each passed through `render` as well."""
        first = self._render
        return LazyArray(self._items, lambda item: render(first(item)), self._per_slice)

    def slices(self) -> Iterator[list[object]]:
        """The rendered items, in slices."""
        for start in range(0, len(self._items), self._per_slice):
            yield [self._render(item) for item in self._items[start : start + self._per_slice]]


class EncodedValue:
    """A long value that is encoded ahead of time, since rendering it can't be interrupted. When indented, it
    must be the value of a key of the document itself."""

    def __init__(self, compact: bytes) -> None:
        self._compact = compact
        self._indented = _indented(compact, 1)

    def pieces(self, *, is_indented: bool) -> Iterator[bytes]:
        text = self._indented if is_indented else self._compact
        for start in range(0, len(text), _PART_BYTES):
            yield text[start : start + _PART_BYTES]


def encoded_if_long(value: object) -> object:
    """The value, or its encoding if that is longer than a part. Slow for a long one."""
    compact = msgspec.json.encode(value)
    return EncodedValue(compact) if len(compact) > _PART_BYTES else value


def json_parts(document: object, *, is_indented: bool) -> Iterator[bytes]:
    """The document's JSON, compact or indented as OpenAI's whole answers. The joined parts equal the result
    of `msgspec.json.encode` (and `format`)."""
    size, waiting = 0, list[bytes]()
    for piece in _pieces(document, 0, is_indented=is_indented):
        waiting.append(piece)
        size += len(piece)
        if size >= _PART_BYTES:
            yield b"".join(waiting)
            size, waiting = 0, []
    if waiting:
        yield b"".join(waiting)


def _pieces(value: object, depth: int, *, is_indented: bool) -> Iterator[bytes]:
    """The pieces of a value nested in `depth` arrays or objects."""
    later: list[LazyArray | EncodedValue] = []

    def marked(found: object) -> object:
        if isinstance(found, LazyArray):
            if found.is_short:
                return next(found.slices(), [])
        elif not isinstance(found, EncodedValue):
            raise TypeError(f"can't encode {type(found).__name__} as JSON")
        later.append(found)
        return _MARK

    text = msgspec.json.encode(value, enc_hook=marked)
    *befores, last = (_indented(text, depth) if is_indented else text).split(_QUOTED_MARK)
    for before, found in zip(befores, later, strict=True):
        yield before
        if isinstance(found, EncodedValue):
            yield from found.pieces(is_indented=is_indented)
            continue
        line = before[before.rfind(b"\n") + 1 :]
        inside = (len(line) - len(line.lstrip())) // _INDENT
        yield from _items(found, inside, is_indented=is_indented)
    yield last


def _items(array: LazyArray, depth: int, *, is_indented: bool) -> Iterator[bytes]:
    """The pieces of an array of several slices, on a line that is indented `depth` times."""
    end = b"\n%s]" % (b" " * (_INDENT * depth)) if is_indented else b"]"
    separator = b"["
    for values in array.slices():
        pieces = _pieces(values, depth, is_indented=is_indented)
        last = separator + next(pieces)[1:]
        for piece in pieces:
            yield last
            last = piece
        yield last[: -len(end)]
        separator = b","
    yield end


def _indented(text: bytes, depth: int) -> bytes:
    """The text indented as inside `depth` arrays."""
    whole = msgspec.json.format(b"[" * depth + text + b"]" * depth, indent=_INDENT)
    # Each adds a bracket, a line break and an indent before its contents, and the reverse after them.
    before = sum(2 + _INDENT * level for level in range(1, depth + 1))
    after = sum(2 + _INDENT * level for level in range(depth))
    return whole[before : len(whole) - after]
