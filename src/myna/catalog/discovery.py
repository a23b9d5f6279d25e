"""Models that other programs have downloaded: found where they lie and used there, without a copy.

The folders belong to other programs and may hold anything: every walk has bounds, directory links are not
followed, and what can't be read or is not as expected is skipped."""

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from myna.catalog.entries import CatalogEntry
from myna.catalog.repository import SPLIT, RepositoryFile, companion
from myna.core.backend import LocalModel
from myna.core.paths import expand_user

_MAX_ENTRIES: Final = 100_000
_MAX_MODELS: Final = 2_000
_MAX_DEPTH: Final = 8
_MAX_MANIFEST_BYTES: Final = 1 << 20
_MODEL_LAYER: Final = "application/vnd.ollama.image.model"
_ADAPTER_LAYER: Final = "application/vnd.ollama.image.adapter"
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_BLOB: Final = re.compile(r"(?:sha256-)?([0-9a-f]{64})")
_LIBRARY: Final = ("registry", "library")  # the host's first label, and the namespace, of Ollama's own models


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model of another program. `id` is what that program calls it. `repository` is where it came from and
    `sha256` is its hash, each "" where the program doesn't record it."""

    id: str
    program: str
    path: Path
    num_bytes: int
    repository: str = ""
    sha256: str = ""

    def local(self, id: str = "") -> LocalModel:
        """The model as the user's own file, under its own or another id."""
        owner = self.repository.split("/")[0] or "user"
        modified = int(self.path.stat().st_mtime)
        return LocalModel(id or self.id, self.path, owner, modified, self.num_bytes, "file")

    def is_copy_of(self, entry: CatalogEntry) -> bool:
        """Whether it is that model of the catalog: the same hash, or the same repository, name and size."""
        if self.sha256:
            return self.sha256 == entry.sha256
        return self.path.name == entry.file_name and self.num_bytes == entry.num_bytes

    def as_repository_file(self) -> RepositoryFile:
        """The file as a hub lists it; all shards as one."""
        return RepositoryFile(SPLIT.sub(".gguf", self.path.name), self.num_bytes, self.sha256)


def find_models(environ: Mapping[str, str] | None = None, user: Path | None = None) -> list[FoundModel]:
    """The models of Ollama, LM Studio, `huggingface_hub` and llama.cpp in this user's folders, by program and
    id. Blocks while it reads the disk."""
    environ = os.environ if environ is None else environ
    user = expand_user("~") if user is None else user
    cache = Path(environ.get("XDG_CACHE_HOME") or user / ".cache")
    walk = _Walk()
    found: list[FoundModel] = []
    for folder in _places(
        environ.get("OLLAMA_MODELS"), user / ".ollama/models", "/usr/share/ollama/.ollama/models"
    ):
        found += _ollama(folder, walk)
    for folder in _places(user / ".lmstudio/models", cache / "lm-studio/models"):
        found += _lm_studio(folder, walk)
    hub = environ.get("HF_HUB_CACHE") or Path(environ.get("HF_HOME") or cache / "huggingface") / "hub"
    for folder in _places(hub):
        found += _hub_cache(folder, walk)
    for folder in _places(environ.get("LLAMA_CACHE") or cache / "llama.cpp"):
        found += _llama_cpp(folder, walk)
    return sorted(_unique(found)[:_MAX_MODELS], key=lambda model: (model.program, model.id))


class _Walk:
    """Visits files below a folder, up to a number that all walks share."""

    def __init__(self) -> None:
        self._left = _MAX_ENTRIES

    def files(self, folder: Path, depth: int = _MAX_DEPTH) -> Iterator[Path]:
        """All files and links to files, in the order of their names. Names with control characters, or that
        are not text, are skipped: they become ids, which terminals and JSON show."""
        try:
            with os.scandir(folder) as entries:
                listed = sorted(self._bounded(entries), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in listed:
            if entry.is_dir(follow_symlinks=False):
                if depth > 1:
                    yield from self.files(folder / entry.name, depth - 1)
            elif not entry.is_symlink() or not (folder / entry.name).is_dir():
                yield folder / entry.name

    def _bounded(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        for entry in entries:
            if self._left <= 0:
                return
            self._left -= 1
            if entry.name.isprintable():
                yield entry


def _places(*folders: Path | str | None) -> list[Path]:
    """Those that exist, each once."""
    paths = [expand_user(folder) for folder in folders if folder]
    return list(dict.fromkeys(path for path in paths if path.is_dir()))


def _unique(models: Sequence[FoundModel]) -> list[FoundModel]:
    """Each file once; the first of a name keeps it, others get that of their program, too."""
    by_id: dict[str, FoundModel] = {}
    for model in models:
        name = model.id if model.id not in by_id else f"{model.program}/{model.id}"
        if name not in by_id:
            by_id[name] = model if name == model.id else replace(model, id=name)
    return list(by_id.values())


# --- programs ---


def _ollama(folder: Path, walk: _Walk) -> Iterator[FoundModel]:
    """`manifests/HOST/NAMESPACE/MODEL/TAG` name the blobs of a model."""
    root = folder / "manifests"
    for path in walk.files(root, depth=5):
        parts = path.relative_to(root).parts
        digest = _model_digest(path) if len(parts) == 4 else None
        if digest is None:
            continue
        host, namespace, model, tag = parts
        own = host.split(".")[0] == _LIBRARY[0]
        prefix = (
            "" if own and namespace == _LIBRARY[1] else f"{namespace}/" if own else f"{host}/{namespace}/"
        )
        blob = folder / "blobs" / f"sha256-{digest}"
        if size := _model_size(blob):
            repository = "" if own else f"{namespace}/{model}"
            yield FoundModel(f"{prefix}{model}:{tag}", "ollama", blob, size, repository, digest)


class _Layer(msgspec.Struct):
    mediaType: str = ""
    digest: str = ""


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


def _model_digest(path: Path) -> str | None:
    """The hash of the manifest's only model; None for one with an adapter, which would be left out."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) or path.stat().st_size > _MAX_MANIFEST_BYTES:
            return None
        layers = msgspec.json.decode(path.read_bytes(), type=_Manifest).layers
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    digests = [layer.digest for layer in layers if layer.mediaType == _MODEL_LAYER]
    has_adapter = any(layer.mediaType == _ADAPTER_LAYER for layer in layers)
    found = _DIGEST.fullmatch(digests[0]) if len(digests) == 1 and not has_adapter else None
    return found[1] if found else None


def _lm_studio(folder: Path, walk: _Walk) -> Iterator[FoundModel]:
    """`PUBLISHER/REPOSITORY/FILE.gguf`."""
    for path, size in _gguf_files(folder, walk):
        parts = path.relative_to(folder).parts
        repository = "/".join(parts[:2]) if len(parts) > 2 else ""
        yield FoundModel(_stem(path), "lm-studio", path, size, repository)


def _hub_cache(folder: Path, walk: _Walk) -> Iterator[FoundModel]:
    """`models--OWNER--NAME/snapshots/REVISION/FILE.gguf`, links to blobs that are named by their hashes."""
    for path, size in _gguf_files(folder, walk):
        parts = path.relative_to(folder).parts
        if len(parts) < 4 or not parts[0].startswith("models--") or parts[1] != "snapshots":
            continue
        if not path.resolve().is_relative_to(folder.resolve()):
            continue
        repository = parts[0].removeprefix("models--").replace("--", "/", 1)
        blob = _BLOB.fullmatch(path.resolve().name)
        hashed = blob[1] if blob and not SPLIT.search(path.name) else ""
        yield FoundModel(f"{repository}:{path.name}", "huggingface", path, size, repository, hashed)


def _llama_cpp(folder: Path, walk: _Walk) -> Iterator[FoundModel]:
    for path, size in _gguf_files(folder, walk):
        yield FoundModel(_stem(path), "llama.cpp", path, size)


def _gguf_files(folder: Path, walk: _Walk) -> Iterator[tuple[Path, int]]:
    """Models and their sizes; of a split one, the first shard and the size of all."""
    paths = [path for path in walk.files(folder) if path.suffix == ".gguf" and companion(path.name) is None]
    for path in paths:
        split = SPLIT.search(path.name)
        if split and int(split[1]) != 1:
            continue
        size = _model_size(path)
        if split and size:
            stem = path.name[: split.start()]
            sizes = [
                _size(other) for other in paths if other.parent == path.parent and _is_shard(other, stem)
            ]
            size = sum(sizes) if len(sizes) == int(split[2]) and all(sizes) else 0
        if size:
            yield path, size


def _is_shard(path: Path, stem: str) -> bool:
    return path.name.startswith(stem) and SPLIT.fullmatch(path.name[len(stem) :]) is not None


def _size(path: Path) -> int:
    """0 if it is not a file."""
    try:
        status = path.stat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _model_size(path: Path) -> int:
    """The size of a GGUF file; 0 for anything else, which is not opened unless it is a regular file."""
    if size := _size(path):
        with contextlib.suppress(OSError), path.open("rb") as file:
            return size if file.read(4) == b"GGUF" else 0
    return 0


def _stem(path: Path) -> str:
    return SPLIT.sub("", path.name).removesuffix(".gguf")
