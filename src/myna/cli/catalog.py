"""`myna catalog`: take a newer list of models, which Myna never does by itself."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from myna.catalog.catalog_file import MAX_BYTES, bundled_catalog, catalog_path, open_catalog, read_catalog
from myna.catalog.entries import Catalog
from myna.catalog.sources import http
from myna.cli.console import say
from myna.core.errors import ConfigurationError, DownloadFailed, OperatorError
from myna.core.paths import expand_user
from myna.core.translatable import N_, Translatable
from myna.settings import load_settings

app = typer.Typer(
    help="Replace the list of models with a newer one, or restore the one that comes with Myna."
)
_TIMEOUT_S: Final = 20.0


@app.command("update")
def update(
    source: Annotated[str, typer.Argument(help="The address of a catalog, or a file.")],
    sha256: Annotated[
        str | None,
        typer.Option(help="The catalog's SHA-256, from someone you trust; an address needs it."),
    ] = None,
) -> None:
    """Replace the catalog with a newer one, and show what changes. Only the list is downloaded.

    **Examples**

    - `myna catalog update https://example.com/models.json --sha256 2f1c…`
    - `myna catalog update ./models.json`
    """
    home = load_settings().home
    data = _read(source, sha256)
    old, new = open_catalog(home), read_catalog(data)
    if new.version <= old.version:
        raise OperatorError(
            N_(
                "This catalog is of {version}, and yours of {own_version} is not older.",
                version=new.version,
                own_version=old.version,
            )
        )
    _write(catalog_path(home), data)
    for line in changes(old, new):
        say(line)
    say(
        N_(
            "The catalog of {version} has {num_models} models.",
            version=new.version,
            num_models=len(new.entries),
        )
    )


@app.command("reset")
def reset() -> None:
    """Restore the catalog that comes with this version of Myna.

    **Example**: `myna catalog reset`
    """
    catalog_path(load_settings().home).unlink(missing_ok=True)
    say(
        N_("The catalog is the one of this version of Myna, of {version}.", version=bundled_catalog().version)
    )


def changes(old: Catalog, new: Catalog) -> Iterator[Translatable]:
    """What a new catalog adds, removes and changes, one line for each model."""
    before = {entry.id: entry for entry in old.entries}
    after = {entry.id: entry for entry in new.entries}
    for id in sorted(before.keys() | after.keys()):
        if id not in before:
            yield N_("new: {model}", model=id)
        elif id not in after:
            yield N_("removed: {model}", model=id)
        elif before[id].sha256 != after[id].sha256:
            yield N_("another file: {model}", model=id)
        elif before[id] != after[id]:
            yield N_("changed: {model}", model=id)


def _read(source: str, sha256: str | None) -> bytes:
    """Raises `ConfigurationError` for an address without a hash, and `DownloadFailed` for wrong content."""
    if "://" in source:
        if sha256 is None:
            raise ConfigurationError(
                N_("A catalog from the network needs its hash: add --sha256, from someone you trust.")
            )
        try:
            data = http.get(source, _TIMEOUT_S, MAX_BYTES)
        except DownloadFailed as exc:
            raise DownloadFailed(
                N_("The catalog can't be fetched from {url}: {reason}.", url=source, reason=exc.text)
            ) from exc
    else:
        data = _read_file(expand_user(source))
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise DownloadFailed(
            N_("The catalog has the SHA-256 {found}, not {expected}.", found=found, expected=sha256)
        )
    return data


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise OperatorError(
            N_("Can't read {path}: {reason}.", path=path, reason=exc.strerror or exc)
        ) from exc


def _write(path: Path, data: bytes) -> None:
    """Replace the file at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".catalog-", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as exc:
        raise OperatorError(
            N_("Can't write {target}: {reason}.", target=path, reason=exc.strerror or exc)
        ) from exc
