"""The models on this machine: complete, and identical to their publishers' files."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from myna.backends.vllm.folder_size import weight_files
from myna.catalog.catalog_file import catalog_path, read_catalog
from myna.catalog.entries import Catalog
from myna.catalog.partial import Progress
from myna.catalog.store import ModelStore, local_file
from myna.cli.backends import adapters_by_model
from myna.cli.console import megabytes
from myna.core.backend import LocalModel
from myna.core.errors import ConfigurationError, ModelFileError
from myna.core.finding import Findings, advice, ok, wrong
from myna.core.translatable import N_
from myna.settings import Settings
from myna.workers.vllm.adapters import read_adapters

_READ_BYTES: Final = 1 << 22


def models(
    settings: Settings, *, is_quick: bool, watch: Callable[[], AbstractContextManager[Progress]]
) -> Findings:
    store = ModelStore.at(settings.home)
    yield from _catalog(settings)
    found = list(store.models())
    for model in found:
        yield from _model(model, store.catalog, is_quick, watch)
    adapters = adapters_by_model(settings)
    for setting in settings.models:
        if setting.path is None:
            continue
        try:
            own = local_file(setting.path)
            if own.path.is_dir():
                weight_files(own.path)
                read_adapters({name: str(path) for name, path in adapters.get(setting.id, {}).items()})
        except (ModelFileError, ConfigurationError) as exc:
            yield wrong(
                exc.text,
                remedy=N_("Correct {model} in myna.toml, or its files.", model=setting.id),
            )
        else:
            yield ok(
                N_(
                    "{model} is your own model {path} ({size}).",
                    model=setting.id,
                    path=own.path,
                    size=megabytes(own.num_bytes),
                )
            )
    for entry in store.catalog.entries:
        path = store.path_of(entry)
        if path.is_file() and not store.has(entry):
            yield wrong(
                N_(
                    "{path} has {size:,} bytes, not the {expected:,} of {model}.",
                    path=path,
                    size=path.stat().st_size,
                    expected=entry.num_bytes,
                    model=entry.id,
                ),
                remedy=N_("Delete it, then run: myna pull {model}", model=entry.id),
            )
    for partial in sorted((store.folder / ".partial").glob("*/file")):
        yield advice(
            N_(
                "A download was left unfinished at {size}: {name}.",
                size=megabytes(partial.stat().st_size),
                name=partial.parent.name,
            ),
            remedy=N_("Pull the model again to continue, or delete the folder."),
        )
    if not found and not settings.models and settings.engine != "fake":
        yield advice(
            N_("There is no model on this machine yet."),
            remedy=N_("Download the default model with: myna pull"),
        )


def _catalog(settings: Settings) -> Findings:
    """A catalog of the user's own that is ignored."""
    path = catalog_path(settings.home)
    try:
        read_catalog(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ConfigurationError) as exc:
        yield wrong(
            N_("{path} is not used: {reason}", path=path, reason=str(exc)),
            remedy=N_("Update it again with myna catalog update, or run: myna catalog reset"),
        )


def _model(
    model: LocalModel, catalog: Catalog, is_quick: bool, watch: Callable[[], AbstractContextManager[Progress]]
) -> Findings:
    entry = next((entry for entry in catalog.entries if entry.id == model.id), None)
    size = megabytes(model.num_bytes)
    if entry is None:
        try:
            local_file(model.path)
        except ModelFileError as exc:
            yield wrong(
                exc.text,
                remedy=N_(
                    "Download it again: myna rm {model}; myna pull {source}",
                    model=model.id,
                    source=model.source,
                ),
            )
        else:
            yield ok(
                N_(
                    "{model} is on this machine ({size}); its hash was checked when it was downloaded.",
                    model=model.id,
                    size=size,
                )
            )
    elif is_quick:
        yield ok(N_("{model} is on this machine ({size}).", model=model.id, size=size))
    else:
        with watch() as progress:
            progress.message(N_("Reading {model} …", model=model.id))
            same = _sha256(model.path, progress) == entry.sha256
        if same:
            yield ok(
                N_("{model} is on this machine ({size}), and its hash is correct.", model=model.id, size=size)
            )
        else:
            yield wrong(
                N_("{model} differs from its publisher's file.", model=model.id),
                remedy=N_("Download it again: myna rm {model}; myna pull {model}", model=model.id),
            )


def _sha256(path: Path, progress: Progress) -> str:
    digest, total, done = hashlib.sha256(), max(path.stat().st_size, 1), 0
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
            done += len(chunk)
            progress.update(done, total)
    return digest.hexdigest()
