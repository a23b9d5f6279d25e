"""The page's static files, read once at startup, so that requests never access the disk."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

CONTENT_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
    "wasm": "application/wasm",
    "zip": "application/zip",
}


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file to be served. `etag` changes with its content."""

    data: bytes
    content_type: str
    etag: str


def web_file(name: str, data: bytes) -> WebFile:
    """The file with that name. Raises KeyError for an unknown extension."""
    return WebFile(data, CONTENT_TYPES[name.rpartition(".")[2]], f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def static_files() -> Mapping[str, WebFile]:
    """All files below `static`, by their relative path with slashes."""
    return {name: web_file(name, file.read_bytes()) for name, file in _walk(files("myna.web") / "static")}


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in CONTENT_TYPES:
            yield prefix + entry.name, entry
