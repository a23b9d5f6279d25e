"""The folder of model files: which models exist under which ids. Knows no source and loads nothing."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from myna.catalog.catalog_file import bundled_catalog, open_catalog
from myna.catalog.entries import Catalog, CatalogEntry
from myna.core.backend import LocalModel
from myna.core.errors import ModelFileError
from myna.core.file_hashes import FileHashes
from myna.core.translatable import N_

SHARD = re.compile(r"-00001-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class PulledRecord:
    """Metadata of a model that is not in the catalog, stored next to it as `<slug>.json`."""

    id: str
    file_names: tuple[str, ...]
    owned_by: str
    created: int
    source: str


class ModelStore:
    """`folder` contains `<id>.gguf` for catalog entries; other models have a record that lists their
    files."""

    def __init__(self, folder: Path, catalog: Catalog | None = None) -> None:
        self.folder = folder
        self.catalog = catalog or bundled_catalog()
        self.hashes = FileHashes(folder.parent / "hashes.json")  # as `at` knows the folder: the server's

    @classmethod
    def at(cls, home: Path) -> "ModelStore":
        """The store and the catalog in a user's folder."""
        return cls(home / "models", open_catalog(home))

    def path_of(self, entry: CatalogEntry) -> Path:
        return self.folder / f"{entry.id}.gguf"

    def partial_of(self, name: str) -> Path:
        """The folder of a download in progress."""
        return self.folder / ".partial" / slug(name)

    def has(self, entry: CatalogEntry) -> bool:
        """Whether the file exists with the right size; its hash was verified before it got this name."""
        path = self.path_of(entry)
        return path.is_file() and path.stat().st_size == entry.num_bytes

    def link(self, entry: CatalogEntry, path: Path) -> None:
        """Use a file of another program as that entry's, where it is. Removing the model removes the link."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.path_of(entry)
        target.unlink(missing_ok=True)
        target.symlink_to(path.absolute())

    def changed_ns(self) -> int:
        """A number that changes whenever a file is added, replaced or removed."""
        try:
            return self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def models(self) -> Iterator[LocalModel]:
        """All models that can be served now, catalog entries first."""
        for entry in self.catalog.entries:
            if self.has(entry):
                path = self.path_of(entry)
                created = entry.created or int(path.stat().st_mtime)
                yield LocalModel(entry.id, path, entry.owned_by, created, entry.num_bytes, "catalog")
        for path in sorted(self.folder.glob("*.json")):
            record = self._read(path)
            files = [self.folder / name for name in record.file_names] if record else []
            if record and files and all(file.is_file() for file in files):
                size = sum(file.stat().st_size for file in files)
                yield LocalModel(record.id, files[0], record.owned_by, record.created, size, record.source)

    def find(self, model: str) -> LocalModel | None:
        return next((found for found in self.models() if found.id.lower() == model.lower()), None)

    def write(self, record: PulledRecord) -> None:
        temporary = self.folder / f".{slug(record.id)}.json"
        temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
        temporary.replace(self.folder / f"{slug(record.id)}.json")

    def remove(self, model: LocalModel) -> None:
        """Delete the model's files. File names come from a listing, never from a request."""
        record_path = self.folder / f"{slug(model.id)}.json"
        record = self._read(record_path) if record_path.is_file() else None
        record_path.unlink(missing_ok=True)
        for name in record.file_names if record else [model.path.name]:
            (self.folder / name).unlink(missing_ok=True)

    def _read(self, path: Path) -> PulledRecord | None:
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            names = tuple(str(name) for name in raw["file_names"])
            if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
                return None
            return PulledRecord(
                str(raw["id"]), names, str(raw["owned_by"]), int(raw["created"]), str(raw["source"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def slug(model: str) -> str:
    """A file name for an id; `/` and `:` of repository names become `--`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "--", model).strip(".") or "model"


def local_file(path: Path) -> LocalModel:
    """A user's own GGUF file or folder of safetensors, served under its name.

    Raises `ModelFileError` if it doesn't exist or is neither.
    """
    if path.is_dir():
        return _local_folder(path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        status = path.stat()
    except FileNotFoundError:
        raise ModelFileError(N_("There is no file {path}.", path=path)) from None
    except OSError as exc:
        raise ModelFileError(N_("Can't read {path}: {reason}.", path=path, reason=exc.strerror)) from exc
    if magic != b"GGUF":
        raise ModelFileError(
            N_("{path} is not a GGUF file, which models must be; see: myna models", path=path)
        )
    name = SHARD.sub("", path.name).removesuffix(".gguf")
    return LocalModel(name, path.absolute(), "user", int(status.st_mtime), _size_of_all(path), "file")


def _local_folder(path: Path) -> LocalModel:
    config = path / "config.json"
    if not config.is_file():
        raise ModelFileError(
            N_(
                "{path} is a folder; specify a .gguf file in it, or a folder of safetensors with its "
                "config.json.",
                path=path,
            )
        )
    whole = path.resolve()
    size = sum(file.stat().st_size for file in whole.glob("*.safetensors"))
    return LocalModel(whole.name, whole, "user", int(config.stat().st_mtime), size, "file")


def _size_of_all(path: Path) -> int:
    """The size of a file, or of all shards that are there."""
    split = SHARD.search(path.name)
    if split is None:
        return path.stat().st_size
    stem, ending = path.name[: split.start()], f"-of-{split[1]}.gguf"
    names = [f"{stem}-{number + 1:05d}{ending}" for number in range(int(split[1]))]
    return sum(file.stat().st_size for name in names if (file := path.with_name(name)).is_file())
