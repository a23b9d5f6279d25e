"""`myna models` and `myna rm`: list models, on this machine and in the catalog, and delete them."""

import contextlib
import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from myna.catalog.advice import ModelAdvice, model_advice
from myna.catalog.discovery import FoundModel, find_models
from myna.catalog.entries import CatalogEntry, nearest_model
from myna.catalog.names import HubName, parse_name
from myna.catalog.store import ModelStore
from myna.cli.administration import record_event
from myna.cli.console import megabytes, note, say
from myna.cli.language import _
from myna.cli.machine import this_machine
from myna.cli.pull import as_plain
from myna.core.backend import LocalModel
from myna.core.errors import ConfigurationError, ModelFileError, ModelNotFound, OperatorError
from myna.core.sampling_defaults import SamplingDefaults
from myna.core.translatable import N_
from myna.settings import Settings, load_settings


def list_models(
    available: Annotated[
        bool, typer.Option("--available", help="List the catalog: what fits this machine, and how fast.")
    ] = False,
    found: Annotated[
        bool, typer.Option("--found", help="List the models that other programs have downloaded.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the models on this machine, those that can be downloaded, or those of other programs.

    **Examples**

    - `myna models`: those that Myna has downloaded
    - `myna models --available`: the catalog, with the best choices for this machine first
    - `myna models --found`: those of Ollama, LM Studio, llama.cpp and huggingface_hub, which `myna serve` can
      use where they are
    - `myna models --json | jq -r '.[].id'`
    """
    if available and found:
        raise ConfigurationError(N_("Choose one of --available and --found."))
    settings = load_settings()
    store = ModelStore.at(settings.home)
    if available:
        _show_available(settings, store, as_json=as_json)
    elif found:
        _show_found(find_models(), as_json=as_json)
    else:
        _show_here(settings, store, as_json=as_json)


# --- on this machine ---


def _show_here(settings: Settings, store: ModelStore, *, as_json: bool) -> None:
    rows = [_here(settings, store, model) for model in store.models()]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    if rows:
        table = _table(_("MODEL"), _("SIZE"), _("LICENCE"), wraps=(_("GOOD FOR"), _("SAMPLING")))
        for row in rows:
            mark = _(" (default)") if row["id"] == settings.model else ""
            table.add_row(
                f"{row['id']}{mark}",
                megabytes(int(str(row["bytes"]))),
                str(row["licence"]),
                ", ".join(map(str, [*row["capabilities"], *row["languages"]])),  # type: ignore[misc]
                ", ".join(f"{name} {value:g}" for name, value in row["sampling"].items()),  # type: ignore[attr-defined]
            )
        _print(table)
    else:
        note(N_("There is no model on this machine yet."))
    note("")
    note(N_("What runs here, and how fast: myna models --available"))
    note(N_("Models of other programs: myna models --found"))


def _here(settings: Settings, store: ModelStore, model: LocalModel) -> dict[str, object]:
    entry = store.catalog.entry_of(model)
    drafts = {setting.id: setting.draft for setting in settings.models if setting.draft}
    known = {
        "draft": drafts.get(model.id),
        "licence": entry.licence if entry else "?",
        "capabilities": entry.capabilities if entry else _capabilities(model),
        "languages": entry.languages if entry else (),
        "sampling": _sampling(settings, model, store.catalog.published_defaults(model)),
    }
    return as_plain(model) | known


def _capabilities(model: LocalModel) -> tuple[str, ...]:
    """Of a model that isn't in the catalog, as far as its file says."""
    from myna.prompts.pooling import has_pooling

    return ("embeddings",) if has_pooling(model.path) else ()


def _sampling(settings: Settings, model: LocalModel, published: SamplingDefaults) -> dict[str, float]:
    """The sampling defaults that differ from OpenAI's."""
    from myna.prompts.gguf import read_header
    from myna.prompts.sampling_metadata import file_defaults

    defaults = settings.defaults.of(model.id).over(published)
    with contextlib.suppress(ModelFileError, OSError):
        defaults = defaults.over(file_defaults(read_header(model.path)))
    return defaults.changes()


# --- in the catalog ---


def _show_available(settings: Settings, store: ModelStore, *, as_json: bool) -> None:
    machine = this_machine(settings)
    listed = model_advice(store.catalog, machine)
    here = {model.id for model in store.models()}
    if as_json:
        typer.echo(json.dumps([plain_advice(advice, here) for advice in listed], ensure_ascii=False))
        return
    table = _table(_("MODEL"), _("SIZE"), _("SPEED HERE"), _("LICENCE"), wraps=(_("GOOD FOR"), _("NOTES")))
    for advice in listed:
        entry = advice.entry
        table.add_row(
            entry.id,
            megabytes(entry.num_bytes),
            _speed(advice),
            entry.licence,
            ", ".join((*entry.capabilities, *entry.languages)),
            _notes(advice, is_here=entry.id in here),
        )
    _print(table)
    note("")
    note(
        N_(
            "Models may use {memory} here, which is read at {bandwidth:.0f} GB/s. Speeds are estimates, in "
            "tokens per second of one answer.",
            memory=megabytes(machine.capacity_bytes),
            bandwidth=machine.bytes_per_s / 1e9,
        )
    )
    note(N_("Download one with: myna pull MODEL"))


def _speed(advice: ModelAdvice) -> str:
    if not advice.fits:
        return _("too large")
    if "embeddings" in advice.entry.capabilities:
        return "–"  # texts are read in batches
    return f"{advice.tokens_per_s:.0f}" if advice.tokens_per_s >= 10 else f"{advice.tokens_per_s:.1f}"


def _notes(advice: ModelAdvice, *, is_here: bool) -> str:
    notes = (
        [_("the best choice for {purposes}", purposes=", ".join(advice.best_for))] if advice.best_for else []
    )
    if is_here:
        notes.append(_("is here"))
    if not advice.can_run:
        notes.append(_("needs another engine"))
    return "; ".join(notes)


def plain_advice(advice: ModelAdvice, here: set[str]) -> dict[str, object]:
    """For `--json`."""
    entry = advice.entry
    return {
        "id": entry.id,
        "here": entry.id in here,
        "bytes": entry.num_bytes,
        "memory_bytes": advice.needed_bytes,
        "fits": advice.fits,
        "runs": advice.can_run,
        "tokens_per_s": round(advice.tokens_per_s, 1),
        "best_for": advice.best_for,
        "owned_by": entry.owned_by,
        "licence": entry.licence,
        "capabilities": entry.capabilities,
        "languages": entry.languages,
        "context_tokens": entry.context_tokens,
        "sampling": entry.sampling.changes(),
    }


# --- of other programs ---


def _show_found(models: list[FoundModel], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([_plain_found(model) for model in models], ensure_ascii=False))
        return
    if not models:
        note(N_("Ollama, LM Studio, llama.cpp and huggingface_hub have no model in this user's folders."))
        return
    table = _table(_("MODEL"), _("SIZE"), _("PROGRAM"), wraps=(_("FILE"),))
    for model in models:
        table.add_row(model.id, megabytes(model.num_bytes), model.program, str(model.path))
    _print(table)
    note("")
    note(N_("Serve one where it is, without a copy: myna serve MODEL"))


def _plain_found(model: FoundModel) -> dict[str, object]:
    return {
        "id": model.id,
        "program": model.program,
        "path": str(model.path),
        "bytes": model.num_bytes,
        "sha256": model.sha256 or None,
    }


def _table(*titles: str, wraps: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for title in wraps:
        table.add_column(title, overflow="fold")
    return table


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 200).print(table)


# --- delete ---


def remove(
    models: Annotated[list[str], typer.Argument(help="Ids as `myna models` lists them.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Delete models from this machine. They can be pulled again.

    **Example**: `myna rm smollm2-135m-instruct`
    """
    store = ModelStore.at(load_settings().home)
    doomed = [_find(store, name) for name in models]
    total = megabytes(sum(model.num_bytes for model in doomed))
    if not yes:
        if not sys.stdin.isatty():
            raise OperatorError(N_("This deletes {size}; confirm with --yes.", size=total))
        names = ", ".join(model.id for model in doomed)
        typer.confirm(_("Delete {names} ({size})?", names=names, size=total), abort=True)
    for model in doomed:
        store.remove(model)
        record_event("resource.deleted", {"id": model.id, "resource": "model"}, model.id)
        say(N_("Deleted {model}.", model=model.id))


def _find(store: ModelStore, name: str) -> LocalModel:
    """A pulled model, also by another name of it: what other programs have is not deleted."""
    parsed = parse_name(name)
    entry: CatalogEntry | None = None if isinstance(parsed, HubName) else store.catalog.get(parsed.name)
    names = [name, *([parsed.id] if isinstance(parsed, HubName) else []), *([entry.id] if entry else [])]
    for candidate in names:
        if (found := store.find(candidate)) is not None:
            return found
    here = [model.id for model in store.models()]
    if not here:
        raise ModelNotFound(N_("{name!r} is not on this machine, nor is any other model.", name=name))
    raise ModelNotFound(
        N_("There is no model {name!r} on this machine; {hint}", name=name, hint=nearest_model(name, here))
    )
