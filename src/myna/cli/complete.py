"""`myna complete`: one completion in the shell, from a running server or without one."""

import json
import os
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from myna.cli.client import first_model, stream_completion
from myna.cli.console import note
from myna.cli.key import server_keys
from myna.cli.local_servers import find_server
from myna.cli.terminal_text import printable
from myna.core.errors import InvalidRequest
from myna.core.translatable import N_
from myna.settings import Settings, load_settings


def complete(
    prompt: Annotated[
        str | None, typer.Argument(help="The text to continue; default: standard input.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model to use; default: the default model.")
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", "-n", min=1, help="Maximum length of the answer, in tokens.")
    ] = 128,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", min=0, max=2, help="0 always takes the most likely token.")
    ] = 0.0,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Text that ends the answer; may be repeated.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="Base URL of another OpenAI-compatible server; its key is OPENAI_API_KEY."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print prompt and answer as JSON.")] = False,
) -> None:
    """Continue a text and print the result while it is generated.

    Uses the server that runs with your settings; if none is running, loads the model for this one answer.

    **Examples**

    - `myna complete "The capital of France is" -n 8`
    - `git diff --staged | myna complete -n 40 --stop $'\\n\\n'`
    - `myna complete "def quicksort(a):" --json | jq -r .text`
    """
    if prompt is None:
        if sys.stdin.isatty():
            note(N_("Type the text to continue, then Ctrl-D."))
        prompt = sys.stdin.read()
    if not prompt:
        raise InvalidRequest(
            N_("There is no text to continue; write it after `myna complete`, or pipe it in.")
        )
    settings = load_settings({"model": model})
    body: dict[str, object] = {"prompt": prompt, "max_tokens": max_tokens, "temperature": temperature}
    body |= {"seed": seed} if seed is not None else {}
    body |= {"stop": stop} if stop else {}
    texts: list[str] = []
    for text in _answer(settings, model, base_url, body):
        texts.append(text)
        if not as_json:
            typer.echo(printable(text) if sys.stdout.isatty() else text, nl=False)
            sys.stdout.flush()
    if as_json:
        typer.echo(json.dumps({"prompt": prompt, "text": "".join(texts)}, ensure_ascii=False))
    elif not "".join(texts).endswith("\n"):
        typer.echo()


def _answer(
    settings: Settings, model: str | None, base_url: str | None, body: dict[str, object]
) -> Iterator[str]:
    url, key = base_url, os.environ.get("OPENAI_API_KEY", "")
    if url is None and (url := find_server(settings)):
        key = server_keys(settings)[0]
    if url is not None:
        return stream_completion(url, key, {"model": model or first_model(url, key), **body})
    from myna.cli.local_completion import complete_alone

    return complete_alone(settings, body)
