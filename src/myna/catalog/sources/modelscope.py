"""ModelScope, a hub that is reachable where Hugging Face is not, such as in mainland China."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from myna.catalog.entries import HubFile
from myna.catalog.partial import PartialFile
from myna.catalog.repository import RepositoryFile
from myna.catalog.sources import http
from myna.core.errors import DownloadFailed
from myna.core.translatable import N_

ENDPOINT: Final = "https://www.modelscope.cn"
_MAIN: Final = "master"
_MAX_LISTING_BYTES: Final = 16 << 20


class ModelScope:
    """Public files; no account is needed."""

    def __init__(self, source: HubFile, endpoint: str = ENDPOINT) -> None:
        path = "/".join(quote(part) for part in (source.repository, "resolve", source.revision))
        self._url = f"{endpoint}/models/{path}/{quote(source.file_name)}"

    def ask(self, timeout_s: float) -> None:
        http.ask(self._url, {}, timeout_s)

    def fetch(self, partial: PartialFile, scratch: Path) -> None:
        http.fetch(self._url, {}, partial)


class _File(msgspec.Struct, frozen=True, rename="pascal"):
    path: str
    size: int
    sha256: str = ""


class _Files(msgspec.Struct, frozen=True, rename="pascal"):
    files: tuple[_File, ...]


class _Listing(msgspec.Struct, frozen=True, rename="pascal"):
    data: _Files


def list_gguf_files(
    repository: str, revision: str, timeout_s: float, endpoint: str = ENDPOINT
) -> list[RepositoryFile]:
    """All GGUF files of the repository. Raises `DownloadFailed` with a remedy."""
    query = f"Revision={quote(revision or _MAIN)}&Recursive=true"
    url = f"{endpoint}/api/v1/models/{quote(repository)}/repo/files?{query}"
    try:
        listing = msgspec.json.decode(http.get(url, timeout_s, _MAX_LISTING_BYTES), type=_Listing)
    except DownloadFailed as exc:
        raise DownloadFailed(
            N_(
                "ModelScope does not show the repository {repository!r}: {reason}.",
                repository=repository,
                reason=exc.text,
            )
        ) from exc
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise DownloadFailed(N_("ModelScope does not answer ({reason}).", reason=exc)) from exc
    return [
        RepositoryFile(file.path, file.size, file.sha256)
        for file in listing.data.files
        if file.path.endswith(".gguf") and len(file.sha256) == 64
    ]
