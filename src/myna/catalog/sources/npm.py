"""The tarball of an npm package: downloaded, never unpacked or run here."""

import os
from pathlib import Path
from typing import Final

from myna.catalog.entries import NpmPackage
from myna.catalog.partial import PartialFile
from myna.catalog.sources import http

_REGISTRY_VARIABLE: Final = "npm_config_registry"
_REGISTRY: Final = "https://registry.npmjs.org"


class NpmRegistry:
    """The registry set in npm's environment variable, or the public one."""

    def __init__(self, source: NpmPackage) -> None:
        registry = (os.environ.get(_REGISTRY_VARIABLE) or _REGISTRY).rstrip("/")
        base = source.package.rpartition("/")[2]
        self._url = f"{registry}/{source.package}/-/{base}-{source.version}.tgz"

    def ask(self, timeout_s: float) -> None:
        http.ask(self._url, {}, timeout_s)

    def fetch(self, partial: PartialFile, scratch: Path) -> None:
        http.fetch(self._url, {}, partial)
