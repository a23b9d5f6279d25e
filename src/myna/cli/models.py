"""`myna models` and `myna rm`: list models, on this machine and in the catalog, and delete them."""

import contextlib
import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from myna.catalog.entries import ENTRIES, nearest_model, published_defaults
from myna.catalog.store import ModelStore
from myna.cli.administration import note_act
from myna.cli.console import megabytes, note, say
from myna.cli.language import _
from myna.cli.pull import as_plain
from myna.core.backend import LocalModel
from myna.core.errors import ModelFileError, ModelNotFound, OperatorError
from myna.core.sampling_defaults import SamplingDefaults
from myna.core.translatable import N_
from myna.settings import Settings, load_settings


def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the models on this machine, and those of the catalog that can be pulled.

    **Examples**

    - `myna models`
    - `myna models --json | jq -r '.[] | select(.here) | .id'`
    """
    settings = load_settings()
    rows = _rows(settings)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (_("MODEL"), _("SIZE"), _("HERE"), _("LICENCE")):
        table.add_column(title, no_wrap=True)
    table.add_column(_("GOOD FOR"))
    table.add_column(_("SAMPLING"))
    for row in rows:
        mark = _(" (default)") if row["id"] == settings.model else ""
        good_for = ", ".join(map(str, [*row["capabilities"], *row["languages"]]))  # type: ignore[misc]
        table.add_row(
            f"{row['id']}{mark}",
            megabytes(int(str(row["bytes"]))),
            _("yes") if row["here"] else _("no"),
            str(row["licence"]),
            good_for,
            ", ".join(f"{name} {value:g}" for name, value in row["sampling"].items()),  # type: ignore[attr-defined]
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    if not all(row["here"] for row in rows):
        note("")
        note(N_("Download one with: myna pull MODEL"))


def _rows(settings: Settings) -> list[dict[str, object]]:
    here = {model.id: model for model in ModelStore(settings.home / "models").models()}
    rows: list[dict[str, object]] = [
        {
            "id": entry.id,
            "here": entry.id in here,
            "bytes": entry.num_bytes,
            "path": str(here[entry.id].path) if entry.id in here else None,
            "owned_by": entry.owned_by,
            "source": "catalog",
            "licence": entry.licence,
            "capabilities": entry.capabilities,
            "languages": entry.languages,
            "sampling": _sampling(settings, entry.id, entry.sampling, here.get(entry.id)),
        }
        for entry in ENTRIES
    ]
    known = {entry.id for entry in ENTRIES}
    unknown: dict[str, object] = {"here": True, "licence": "?", "capabilities": (), "languages": ()}
    return rows + [
        as_plain(model)
        | unknown
        | {"sampling": _sampling(settings, model.id, published_defaults(model), model)}
        for model in here.values()
        if model.id not in known
    ]


def _sampling(
    settings: Settings, model: str, published: SamplingDefaults, file: LocalModel | None
) -> dict[str, float]:
    """The sampling defaults that differ from OpenAI's."""
    from myna.prompts.gguf import read_header
    from myna.prompts.sampling_metadata import file_defaults

    defaults = settings.defaults.of(model).over(published)
    if file is not None:
        with contextlib.suppress(ModelFileError, OSError):
            defaults = defaults.over(file_defaults(read_header(file.path)))
    return defaults.changes()


def remove(
    models: Annotated[list[str], typer.Argument(help="Ids as `myna models` lists them.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Delete models from this machine. They can be pulled again.

    **Example**: `myna rm smollm2-135m-instruct`
    """
    store = ModelStore(load_settings().home / "models")
    doomed = [_find(store, name) for name in models]
    total = megabytes(sum(model.num_bytes for model in doomed))
    if not yes:
        if not sys.stdin.isatty():
            raise OperatorError(N_("This deletes {size}; confirm with --yes.", size=total))
        names = ", ".join(model.id for model in doomed)
        typer.confirm(_("Delete {names} ({size})?", names=names, size=total), abort=True)
    for model in doomed:
        store.remove(model)
        note_act("resource.deleted", {"id": model.id, "resource": "model"}, model.id)
        say(N_("Deleted {model}.", model=model.id))


def _find(store: ModelStore, name: str) -> LocalModel:
    found = store.find(name.removeprefix("hf:"))
    if found is None:
        here = [model.id for model in store.models()]
        if not here:
            raise ModelNotFound(N_("{name!r} is not on this machine, nor is any other model.", name=name))
        raise ModelNotFound(
            N_(
                "There is no model {name!r} on this machine; {hint}",
                name=name,
                hint=nearest_model(name, here),
            )
        )
    return found
