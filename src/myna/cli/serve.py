"""`myna serve`: starts a server from flags and settings."""

from functools import partial
from typing import Annotated

import typer

from myna.backends.table import engine_names
from myna.cli.local_servers import end_with_stdin
from myna.settings import load_settings

_MODEL_HELP = (
    "An id from `myna models`, a .gguf file, `hf:org/repo:quantisation`, or a folder of safetensors or "
    "`hf:org/repo` for vLLM."
)


def serve(
    model: Annotated[
        str | None,
        typer.Argument(help=_MODEL_HELP),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", help="Port to listen on; default 8000; 0: any free port.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(help="Maximum length of prompt plus answer, in tokens.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Number of threads of the engine.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory for the KV cache, such as 2G.")] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Engine that runs the model; default auto.", metavar="|".join(engine_names())),
    ] = None,
    no_auth: Annotated[
        bool | None, typer.Option("--no-auth", help="Don't require a key; on a loopback address only.")
    ] = None,
    drain: Annotated[
        str | None, typer.Option(help="How long running requests may continue after Ctrl-C; default 30s.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json.")] = None,
    until_stdin_ends: Annotated[bool, typer.Option("--until-stdin-ends", hidden=True)] = False,
) -> None:
    """Serve a model to any OpenAI client until Ctrl-C.

    A model of the catalog is downloaded first if it is not on this machine. Settings without a flag come
    from MYNA_* variables and myna.toml.

    **Examples**

    - `myna serve`: the default model on http://127.0.0.1:8000/v1
    - `myna serve smollm2-135m-instruct --port 8123`
    - `myna serve ./my-model.gguf --context 8192 --memory 2G`
    - `myna serve ./Qwen3-4B`: a folder of safetensors, on vLLM; see `myna engines install`
    - `myna serve --engine fake`: the API without a model, for testing clients
    """
    flags: dict[str, object] = {
        "model": model,
        "host": host,
        "port": port,
        "context": context,
        "threads": threads,
        "memory": memory,
        "engine": engine,
        "no_auth": no_auth,
        "drain": drain,
        "log_level": log_level,
        "log_format": log_format,
    }
    if until_stdin_ends:
        end_with_stdin()
    from myna.cli.running import run_server

    run_server(partial(load_settings, flags))
