"""`myna import`: make a model's GGUF file of a folder of safetensors."""

import json
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from myna.catalog.store import ModelStore
from myna.cli.console import megabytes, note, pull_progress, say
from myna.cli.pull import as_plain
from myna.core.paths import expand_user
from myna.core.translatable import N_
from myna.settings import load_settings


def import_model(
    folder: Annotated[
        Path, typer.Argument(help="A model's folder: its config.json, tokenizer.json and model.safetensors.")
    ],
    name: Annotated[str, typer.Option(help="The model's id; default: the folder's name.")] = "",
    weights: Annotated[
        Literal["q8_0", "f16", "bf16", "f32"],
        typer.Option(
            "--type", help="The type of the weights. q8_0 is the fastest and a quarter of f32's size."
        ),
    ] = "q8_0",
    as_json: Annotated[bool, typer.Option("--json", help="Print the imported model as JSON.")] = False,
) -> None:
    """Import an embedding model from a folder as Hugging Face publishes it.

    Its safetensors become one GGUF file among Myna's models. The folder must be in sentence-transformers'
    layout, whose modules.json says how a text becomes one vector.

    Architectures: BERT (all-MiniLM, bge, e5, mxbai), XLM-RoBERTa (multilingual-e5, bge-m3), EmbeddingGemma,
    Qwen3-Embedding.

    **Examples**

    - `myna import ~/all-MiniLM-L6-v2`, then `myna serve all-minilm-l6-v2`
    - `myna import ./snapshots/1110a243 --name minilm --type f32`: exactly the published weights
    """
    from myna.catalog.conversion.convert import import_folder

    settings = load_settings()
    store = ModelStore(settings.home / "models")
    started_s = time.monotonic()
    with pull_progress() as progress:
        model = import_folder(expand_user(folder), store, progress, _check, name=name, weight_type=weights)
    note(N_("Imported {model} in {seconds:.0f} s.", model=model.id, seconds=time.monotonic() - started_s))
    if as_json:
        typer.echo(json.dumps(as_plain(model), ensure_ascii=False))
        return
    say(
        N_("{model} is at {path} ({size}).", model=model.id, path=model.path, size=megabytes(model.num_bytes))
    )


def _check(path: Path) -> None:
    """What the server checks of a file when it loads it. Raises `ModelFileError`."""
    from myna.prompts.gguf import read_header
    from myna.prompts.model_check import check_model
    from myna.prompts.text_encoder import GgufTextEncoder

    header = read_header(path)
    check_model(header)
    GgufTextEncoder(header)
