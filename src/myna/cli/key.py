"""`myna key`: the key that clients send."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from myna.accounts.keys import key_id, load_or_create_keys, new_key, write_keys
from myna.cli.administration import record_event
from myna.cli.console import note
from myna.core.errors import OperatorError
from myna.core.translatable import N_
from myna.settings import Settings, load_settings


def key(
    action: Annotated[
        Literal["show", "new", "link"],
        typer.Argument(
            help="`show` the key, replace it with a `new` one, or print a `link` that signs a browser in."
        ),
    ] = "show",
    as_json: Annotated[bool, typer.Option("--json", help="Print key and file as JSON.")] = False,
) -> None:
    """Show the server's key, or replace it.

    The first start creates the key; only you can read its file. If MYNA_API_KEY is set, it is used instead.

    **Examples**

    - `export OPENAI_API_KEY=$(myna key)`
    - `myna key new`: the old key stops working at the next start
    - `myna key link`: the web page's address with a code that is valid once, for an hour
    """
    settings = load_settings()
    path = key_path(settings)
    if action == "link":
        typer.echo(_link(settings))
        return
    if action == "new":
        write_keys(path, [new_key()])
        note(N_("A new key is in {path}; restart a running server to use it.", path=path))
        if settings.api_key:
            note(N_("MYNA_API_KEY is set, so servers started with it use that key instead."))
        keys: tuple[str, ...] = load_or_create_keys(path)
        changes = {"id": key_id(keys[0]), "changes_requested": {"rotated": True, "owner": True}}
        record_event("api_key.updated", changes, key_id(keys[0]))
    else:
        keys = server_keys(settings)
    if as_json:
        typer.echo(json.dumps({"key": keys[0], "file": None if settings.api_key else str(path)}))
    else:
        typer.echo(keys[0])


def _link(settings: Settings) -> str:
    from myna.cli.banner import sign_in_link
    from myna.cli.local_servers import find_server

    url = find_server(settings)
    if url is None:
        raise OperatorError(N_("No server is running; start it with: myna serve"))
    return sign_in_link(url, server_keys(settings)[0])


def key_path(settings: Settings) -> Path:
    return settings.home / "key"


def has_no_key_yet(settings: Settings) -> bool:
    """Whether a first key is about to be created."""
    return not (settings.no_auth or settings.api_key or key_path(settings).exists())


def server_keys(settings: Settings) -> tuple[str, ...]:
    """The keys that the server accepts: the setting, else the file's, which the first start creates."""
    return (settings.api_key,) if settings.api_key else load_or_create_keys(key_path(settings))
