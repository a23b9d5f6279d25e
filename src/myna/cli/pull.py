"""`myna pull`: download a model's file to this machine."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from myna.backends.vllm.environment import VllmEnvironment, has_gpu
from myna.catalog.lookup import find_local, wanted_model
from myna.catalog.names import HubName, parse_name
from myna.catalog.pull import pull_model
from myna.catalog.pyodide import PYODIDE, pull_package
from myna.catalog.store import ModelStore
from myna.cli.console import megabytes, note, pull_progress, say
from myna.core.backend import LocalModel
from myna.core.translatable import N_
from myna.settings import Settings, load_settings


def pull(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids from `myna models --available`, repositories, pyodide; default: the default model."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the pulled models as JSON.")] = False,
) -> None:
    """Download models, so that a later start needs no network.

    An interrupted download continues where it stopped; a file with a wrong hash is discarded.

    **Examples**

    - `myna pull`: the default model
    - `myna pull qwen2.5-coder-1.5b-instruct smollm2-135m-instruct`
    - `myna pull qwen3:4b`: names as Ollama's and LM Studio's users write them
    - `myna pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M`: any file on Hugging Face; `ms:…` for ModelScope
    - `myna pull pyodide`: Python for the playground page
    """
    settings = load_settings()
    names = models or [settings.model]
    pulled = [_python(settings) if name == PYODIDE.name else fetch(name, settings) for name in names]
    if as_json:
        typer.echo(json.dumps([as_plain(model) for model in pulled], ensure_ascii=False))
        return
    for model in pulled:
        say(
            N_(
                "{model} is at {path} ({size}).",
                model=model.id,
                path=model.path,
                size=megabytes(model.num_bytes),
            )
        )


def fetch(name: str, settings: Settings) -> LocalModel:
    """The model of that name, downloaded if it is not here. Raises `ModelNotFound` or `DownloadFailed`."""
    store = ModelStore.at(settings.home)
    parsed = parse_name(name)
    if isinstance(parsed, HubName) and _is_folder(parsed, settings):
        from myna.catalog.sources.snapshot import pull_snapshot

        return pull_snapshot(parsed)
    if (here := find_local(name, store)) is not None:
        return here
    started_s = time.monotonic()
    with pull_progress() as progress:
        model = pull_model(wanted_model(name, store), store, progress, settings.mirror)
    note(N_("Downloaded {model} in {seconds:.0f} s.", model=model.id, seconds=time.monotonic() - started_s))
    return model


def _is_folder(name: HubName, settings: Settings) -> bool:
    """Whether the repository's safetensors are wanted, not a GGUF file of it: where vLLM would run them on a
    GPU, or runs everything."""
    if name.hub != "huggingface" or name.wanted or "gguf" in name.repository.lower():
        return False
    environment = VllmEnvironment.of(settings.engines, settings.home)
    return settings.engine == "vllm" or (settings.engine == "auto" and environment.is_there and has_gpu())


def _python(settings: Settings) -> LocalModel:
    """Pyodide, for the playground page."""
    with pull_progress() as progress:
        folder = pull_package(PYODIDE, settings.home, progress, settings.mirror)
    size = sum(PYODIDE.files.values())
    return LocalModel(PYODIDE.name, folder, "pyodide", created=0, num_bytes=size, source="npm")


def as_plain(model: LocalModel) -> dict[str, object]:
    """For `--json`."""
    return {
        "id": model.id,
        "path": str(Path(model.path)),
        "bytes": model.num_bytes,
        "owned_by": model.owned_by,
        "source": model.source,
    }
