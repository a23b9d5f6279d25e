"""ModelScope, a hub that is reachable where Hugging Face is not, such as in mainland China."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

from myna.catalog.entries import HubFile
from myna.catalog.partial import PartialFile
from myna.catalog.sources import http

ENDPOINT: Final = "https://www.modelscope.cn"


class ModelScope:
    """Public files; no account is needed."""

    def __init__(self, source: HubFile, endpoint: str = ENDPOINT) -> None:
        path = "/".join(quote(part) for part in (source.repository, "resolve", source.revision))
        self._url = f"{endpoint}/models/{path}/{quote(source.file_name)}"

    def ask(self, timeout_s: float) -> None:
        http.ask(self._url, {}, timeout_s)

    def fetch(self, partial: PartialFile, scratch: Path) -> None:
        http.fetch(self._url, {}, partial)
