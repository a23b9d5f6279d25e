"""The page's files, read once: a request finds one by its name and never reaches the disk."""

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
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
    "wasm": "application/wasm",
    "zip": "application/zip",
}


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file as it is sent. `etag` changes with its bytes."""

    data: bytes
    content_type: str
    etag: str


def web_file(name: str, data: bytes) -> WebFile:
    """The file of that name. Raises KeyError for an ending that the page has no use for."""
    return WebFile(data, CONTENT_TYPES[name.rpartition(".")[2]], f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def static_files() -> Mapping[str, WebFile]:
    """Everything under `static`, by its path there with slashes."""
    return {name: web_file(name, file.read_bytes()) for name, file in _walk(files("myna.web") / "static")}


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in CONTENT_TYPES:
            yield prefix + entry.name, entry
