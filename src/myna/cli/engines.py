"""`myna engines`: environments of engines that need their own."""

from enum import StrEnum
from typing import Annotated

import typer

from myna.cli.console import note, say
from myna.core.translatable import N_
from myna.settings import load_settings

app = typer.Typer(
    name="engines", no_args_is_help=True, help="Install engines that have their own environment."
)


class Installable(StrEnum):
    """Engines that can be installed."""

    VLLM = "vllm"


@app.command("install")
def install(engine: Annotated[Installable, typer.Argument(help="vllm")]) -> None:
    """Install an engine in a Python environment of its own, in Myna's data folder.

    vLLM's build for GPUs is installed if the machine has one, otherwise its build for processors.

    **Examples**

    - `myna engines install vllm`
    """
    from myna.backends.vllm.installation import install_vllm

    environment = install_vllm(load_settings().home, note)
    say(N_("{engine} is ready: {python}", engine=engine.value, python=environment.python))
