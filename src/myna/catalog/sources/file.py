"""A local or network folder with model files, set as `mirror`."""

from pathlib import Path

from myna.catalog.entries import FolderFile
from myna.catalog.partial import PartialFile
from myna.core.errors import DownloadFailed
from myna.core.translatable import N_

_READ_BYTES = 1 << 20


class Folder:
    """Finds the file under the publisher's name or as `<id>.gguf`."""

    def __init__(self, source: FolderFile) -> None:
        self._source = source

    def ask(self, timeout_s: float) -> None:
        self._path()

    def fetch(self, partial: PartialFile, scratch: Path) -> None:
        with self._path().open("rb") as file:
            file.seek(partial.size)
            while chunk := file.read(_READ_BYTES):
                partial.append(chunk)

    def _path(self) -> Path:
        for name in self._source.names:
            if (path := self._source.folder / name).is_file():
                return path
        raise DownloadFailed(
            N_("{folder} has no {names}", folder=self._source.folder, names=" or ".join(self._source.names))
        )
