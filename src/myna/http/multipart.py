"""Parses a multipart/form-data body as it arrives, in memory that doesn't depend on its size or content.

Knows no HTTP framework; the parts are passed on in pieces.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from myna.core.errors import InvalidRequest

_MAX_BOUNDARY: Final = 70  # RFC 2046
_MAX_HEADERS: Final = 8192
_MAX_PARTS: Final = 32
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')
_ESCAPED: Final = re.compile(r'\\(["\\])')
_PREAMBLE, _HEADERS, _BODY, _EPILOGUE = range(4)


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins: the name of the field, and that of the file if it is one."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """A piece of the part's content."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is complete."""


PartEvent = PartBegin | PartData | PartEnd


class MultipartParser:
    """Call `feed` with each piece of the body, then `close`. All raise `InvalidRequest`."""

    def __init__(self, content_type: str) -> None:
        boundary = _parameters(content_type).get("boundary", "")
        if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
            raise InvalidRequest("The Content-Type header of a multipart body must have a boundary.")
        # The first delimiter may stand at the very beginning, without the line end before it.
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._buffer = bytearray(b"\r\n")
        self._state = _PREAMBLE
        self._num_parts = 0

    def feed(self, data: bytes) -> Iterator[PartEvent]:
        """The events that the piece completes."""
        self._buffer += data
        while self._state != _EPILOGUE:
            if self._state == _HEADERS:
                begin = self._read_headers()
                if begin is None:
                    return
                yield begin
                continue
            was_in_part = self._state == _BODY
            piece, has_delimiter = self._read_until_delimiter()
            if was_in_part and piece:
                yield PartData(piece)
            if not has_delimiter or not self._read_delimiter():
                return
            if was_in_part:
                yield PartEnd()
        self._buffer.clear()

    def close(self) -> None:
        """The body is complete."""
        if self._state != _EPILOGUE:
            raise InvalidRequest("The multipart body ends before its last boundary.")

    def _read_until_delimiter(self) -> tuple[bytes, bool]:
        """What is before the delimiter, and whether the buffer now begins with it; what may be its first half
        is kept."""
        found = self._buffer.find(self._delimiter)
        end = found if found >= 0 else max(0, len(self._buffer) - len(self._delimiter) + 1)
        piece = bytes(self._buffer[:end])
        del self._buffer[:end]
        return piece, found >= 0

    def _read_delimiter(self) -> bool:
        """Read the delimiter and the rest of its line; False if that has not arrived."""
        end = len(self._delimiter)
        after = bytes(self._buffer[end : end + 2])
        if len(after) < 2:
            return False
        if after not in (b"--", b"\r\n"):
            raise InvalidRequest("A boundary in the multipart body is followed by other characters.")
        del self._buffer[: end + 2]
        self._state = _EPILOGUE if after == b"--" else _HEADERS
        return True

    def _read_headers(self) -> PartBegin | None:
        end = self._buffer.find(b"\r\n\r\n", 0, _MAX_HEADERS)
        if end < 0:
            if len(self._buffer) >= _MAX_HEADERS:
                raise InvalidRequest("A part of the multipart body has too many headers.")
            return None
        self._num_parts += 1
        if self._num_parts > _MAX_PARTS:
            raise InvalidRequest(f"The multipart body has more than {_MAX_PARTS} parts.")
        text = bytes(self._buffer[:end]).decode("utf-8", "replace")
        del self._buffer[: end + 4]
        line = next((one for one in text.split("\r\n") if one.lower().startswith("content-disposition:")), "")
        parameters = _parameters(line)
        if "name" not in parameters:
            raise InvalidRequest("A part of the multipart body has no name in its Content-Disposition.")
        self._state = _BODY
        return PartBegin(parameters["name"], parameters.get("filename"))


def _parameters(value: str) -> dict[str, str]:
    """The parameters of a header's value; `name*` has precedence over `name`."""
    found: dict[str, str] = {}
    for name, quoted, bare in _PARAMETER.findall(value):
        found.setdefault(name.lower(), _ESCAPED.sub(r"\1", quoted) or bare)
    for name in [name for name in found if name.endswith("*")]:
        charset, _, rest = found.pop(name).partition("'")
        if charset.lower() == "utf-8":
            found[name[:-1]] = unquote(rest.partition("'")[2], errors="replace")
    return found
