"""The models on this machine: whole, and with the bytes that their publishers made."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from myna.catalog.entries import ENTRIES
from myna.catalog.partial import Progress
from myna.catalog.store import ModelStore, local_file
from myna.cli.screen import megabytes
from myna.core.backend import LocalModel
from myna.core.errors import ModelFileError
from myna.core.finding import Findings, advice, ok, wrong
from myna.settings import Settings

_READ_BYTES: Final = 1 << 22


def models(
    settings: Settings, *, is_quick: bool, watch: Callable[[], AbstractContextManager[Progress]]
) -> Findings:
    store = ModelStore(settings.home / "models")
    found = list(store.models())
    for model in found:
        yield from _model(model, is_quick, watch)
    for setting in settings.models:
        try:
            own = local_file(setting.path)
        except ModelFileError as exc:
            yield wrong(exc.message, remedy=f"Correct {setting.id} under [models] in myna.toml.")
        else:
            yield ok(f"{setting.id} is your own file {own.path} ({megabytes(own.num_bytes)}).")
    for entry in ENTRIES:
        path = store.path_of(entry)
        if path.is_file() and not store.has(entry):
            yield wrong(
                f"{path} has {path.stat().st_size:,} bytes, not the {entry.num_bytes:,} of {entry.id}.",
                remedy=f"Delete it, then: myna pull {entry.id}",
            )
    for partial in sorted((store.folder / ".partial").glob("*/file")):
        yield advice(
            f"A download was left at {megabytes(partial.stat().st_size)}: {partial.parent.name}.",
            remedy="Pull the model again to go on, or delete the folder.",
        )
    if not found and not settings.models and settings.engine != "fake":
        yield advice("No model is here yet.", remedy="Fetch the default with: myna pull")


def _model(
    model: LocalModel, is_quick: bool, watch: Callable[[], AbstractContextManager[Progress]]
) -> Findings:
    entry = next((entry for entry in ENTRIES if entry.id == model.id), None)
    size = megabytes(model.num_bytes)
    if entry is None:
        try:
            local_file(model.path)
        except ModelFileError as exc:
            yield wrong(exc.message, remedy=f"Fetch it again: myna rm {model.id}; myna pull hf:{model.id}")
        else:
            yield ok(f"{model.id} is here ({size}); its hash was checked when it came.")
    elif is_quick:
        yield ok(f"{model.id} is here ({size}).")
    else:
        with watch() as progress:
            progress.says(f"Reading {model.id} …")
            same = _sha256(model.path, progress) == entry.sha256
        if same:
            yield ok(f"{model.id} is here ({size}), and its hash is right.")
        else:
            yield wrong(
                f"{model.id} has other bytes than its publisher's.",
                remedy=f"Fetch it again: myna rm {model.id}; myna pull {model.id}",
            )


def _sha256(path: Path, progress: Progress) -> str:
    digest, total, done = hashlib.sha256(), max(path.stat().st_size, 1), 0
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
            done += len(chunk)
            progress.at(done, total)
    return digest.hexdigest()
