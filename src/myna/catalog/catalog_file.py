"""The catalog's file: the one in the package, and a newer one that the user has taken."""

import datetime
import logging
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from myna.catalog.entries import Catalog, CatalogEntry, HubFile, Source, WheelPart, Wheels
from myna.core.backend import ModelSpec
from myna.core.errors import ConfigurationError
from myna.core.sampling_defaults import SamplingDefaults, read_defaults
from myna.core.translatable import N_

MAX_BYTES: Final = 4 << 20
_log: Final = logging.getLogger(__name__)

_Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
_Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d$")]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][\w.+-]{0,199}\.gguf$")]
_Path = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][\w.+-]*(/[A-Za-z0-9_][\w.+-]*)*$", max_length=300)
]
_Repository = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$")]
_Package = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_Url = Annotated[str, msgspec.Meta(pattern=r"^https://\S+$", max_length=300)]
_Bytes = Annotated[int, msgspec.Meta(ge=1, le=1 << 44)]
_Billions = Annotated[float, msgspec.Meta(gt=0, le=100_000)]
_Capability = Literal["chat", "code", "completion", "embeddings", "fill-in-the-middle", "thinking", "tools"]
_Purpose = Literal["chat", "code", "embeddings"]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown fields are errors: a mistyped one would be ignored otherwise."""


class _Hub(_Strict, frozen=True, tag_field="kind", tag="hub"):
    hub: Literal["huggingface", "modelscope"]
    repository: _Repository
    revision: _Package = "main"
    path: _Path = ""


class _Part(_Strict, frozen=True):
    package: _Package
    version: _Package
    member: _Path
    bytes: _Bytes


class _Wheels(_Strict, frozen=True, tag_field="kind", tag="wheels"):
    parts: Annotated[tuple[_Part, ...], msgspec.Meta(min_length=1, max_length=1000)]


class _Model(_Strict, frozen=True):
    id: _Id
    file: _FileName
    bytes: _Bytes
    sha256: _Sha256
    publisher: _Package
    licence: _Text
    architecture: _Id
    parameters: _Billions
    context: Annotated[int, msgspec.Meta(ge=1, le=1 << 28)]
    capabilities: Annotated[tuple[_Capability, ...], msgspec.Meta(min_length=1)]
    languages: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)]
    sources: Annotated[tuple[_Hub | _Wheels, ...], msgspec.Meta(min_length=1, max_length=20)]
    names: tuple[_Text, ...] = ()
    published: _Date | None = None
    terms: _Url | Literal[""] = ""
    active_parameters: _Billions | None = None
    sampling: dict[str, float | int] = {}


class _File(_Strict, frozen=True):
    version: _Date
    recommended: dict[_Purpose, tuple[_Id, ...]]
    models: Annotated[tuple[_Model, ...], msgspec.Meta(min_length=1, max_length=10_000)]


def read_catalog(data: bytes) -> Catalog:
    """The catalog in a file's content. Raises `ConfigurationError`, saying what is wrong and where."""
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        file = msgspec.json.decode(data, type=_File)
        recommended = {str(purpose): names for purpose, names in file.recommended.items()}
        catalog = Catalog.of(file.version, [_entry(model) for model in file.models], recommended)
        _check(catalog)
    except (ValueError, msgspec.MsgspecError, RecursionError) as exc:
        raise ConfigurationError(N_("This is not a valid catalog: {reason}.", reason=exc)) from exc
    return catalog


@cache
def bundled_catalog() -> Catalog:
    """The catalog in the package."""
    return read_catalog(files("myna.catalog").joinpath("models.json").read_bytes())


def catalog_path(home: Path) -> Path:
    """Where the user's own catalog lies."""
    return home / "catalog.json"


def open_catalog(home: Path) -> Catalog:
    """The user's catalog if it is newer than the one in the package. One that can't be read is ignored, and
    the log says why."""
    bundled = bundled_catalog()
    try:
        own = read_catalog(catalog_path(home).read_bytes())
    except FileNotFoundError:
        return bundled
    except (OSError, ConfigurationError) as exc:
        _log.warning("%s is not used: %s", catalog_path(home), exc)
        return bundled
    return own if own.version > bundled.version else bundled


def published_defaults(model: ModelSpec) -> SamplingDefaults:
    """What the publisher recommends, according to the catalog in the package."""
    return bundled_catalog().published_defaults(model)


def _entry(model: _Model) -> CatalogEntry:
    return CatalogEntry(
        id=model.id,
        file_name=model.file,
        num_bytes=model.bytes,
        sha256=model.sha256,
        licence=model.licence,
        owned_by=model.publisher,
        created=_midnight(model.published) if model.published else 0,
        capabilities=model.capabilities,
        languages=model.languages,
        sources=tuple(_source(model, source) for source in model.sources),
        architecture=model.architecture,
        parameters=model.parameters,
        active_parameters=model.active_parameters or model.parameters,
        context_tokens=model.context,
        names=model.names,
        terms=model.terms,
        sampling=_sampling(model),
    )


def _midnight(day: str) -> int:
    return int(datetime.datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())


def _sampling(model: _Model) -> SamplingDefaults:
    try:
        return read_defaults(model.sampling)
    except ValueError as exc:
        raise ValueError(f"{model.id} has no valid sampling parameter {exc}") from exc


def _source(model: _Model, source: _Hub | _Wheels) -> Source:
    if isinstance(source, _Hub):
        return HubFile(source.hub, source.repository, source.path or model.file, source.revision)
    if sum(part.bytes for part in source.parts) != model.bytes:
        raise ValueError(f"the parts of {model.id} don't add up to {model.bytes:,} bytes")
    parts = (WheelPart(part.package, part.version, part.member, part.bytes) for part in source.parts)
    return Wheels(tuple(parts))


def _check(catalog: Catalog) -> None:
    """Raises ValueError where models contradict one another."""
    if len({entry.sha256 for entry in catalog.entries}) != len(catalog.entries):
        raise ValueError("two models have the same sha256")
    for entry in catalog.entries:
        if entry.active_parameters > entry.parameters:
            raise ValueError(f"{entry.id} has more active parameters than parameters")
    ids = {entry.id for entry in catalog.entries}
    for purpose, names in catalog.recommended.items():
        if unknown := set(names) - ids:
            raise ValueError(f"{min(unknown)} is recommended for {purpose}, but not in the catalog")
