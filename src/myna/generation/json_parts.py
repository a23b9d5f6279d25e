"""JSON of a large answer in parts, each of which is a bounded piece of work, so that none holds up others."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

# About how many bytes make a part. Rendering that many takes a few milliseconds.
_PART_BYTES: Final = 65536
_INDENT: Final = 2
# Stands for an array that is rendered later. No text of an answer can hold it: nobody can know it.
_MARK: Final = secrets.token_hex(16)
_QUOTED_MARK: Final = f'"{_MARK}"'.encode()


class LazyArray:
    """An array of a document that is rendered `per_slice` items at a time, each by `render`, to a value that
    may hold further ones. `render` is called in any thread."""

    def __init__(self, items: Sequence[T], render: Callable[[T], object], per_slice: int) -> None:
        self.is_short = len(items) <= per_slice
        self._items = items
        self._render = render
        self._per_slice = per_slice

    def then(self, render: Callable[[Any], object]) -> "LazyArray":
        """The same items, each rendered further."""
        first = self._render
        return LazyArray(self._items, lambda item: render(first(item)), self._per_slice)

    def slices(self) -> Iterator[list[object]]:
        """The rendered items."""
        for start in range(0, len(self._items), self._per_slice):
            yield [self._render(item) for item in self._items[start : start + self._per_slice]]


def json_parts(document: object, *, is_indented: bool) -> Iterator[bytes]:
    """The document's JSON, compact or laid out as OpenAI lays out whole answers. Joined, the parts are what
    one call of `msgspec.json.encode` (and `format`) would return for it."""
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
    """Of a value inside `depth` arrays or objects."""
    arrays: list[LazyArray] = []

    def marked(found: object) -> object:
        if not isinstance(found, LazyArray):
            raise TypeError(f"no JSON for {type(found).__name__}")
        if found.is_short:
            return next(found.slices(), [])
        arrays.append(found)
        return _MARK

    text = msgspec.json.encode(value, enc_hook=marked)
    *befores, last = (_laid_out(text, depth) if is_indented else text).split(_QUOTED_MARK)
    for before, array in zip(befores, arrays, strict=True):
        yield before
        line = before[before.rfind(b"\n") + 1 :]
        inside = (len(line) - len(line.lstrip())) // _INDENT
        yield from _items(array, inside, is_indented=is_indented)
    yield last


def _items(array: LazyArray, depth: int, *, is_indented: bool) -> Iterator[bytes]:
    """Of an array of several slices on a line that is indented `depth` times."""
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


def _laid_out(text: bytes, depth: int) -> bytes:
    """Indented as it is inside `depth` arrays."""
    whole = msgspec.json.format(b"[" * depth + text + b"]" * depth, indent=_INDENT)
    # Each of them begins with a bracket, a line break and its contents' indent, and ends with as much less.
    before = sum(2 + _INDENT * level for level in range(1, depth + 1))
    after = sum(2 + _INDENT * level for level in range(depth))
    return whole[before : len(whole) - after]
