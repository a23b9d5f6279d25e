"""`myna keys`: keys for people other than the owner, each with its own scopes, models, expiry and limits."""

import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from myna.accounts.administration import NewKey
from myna.cli.administration import (
    key_of,
    moment,
    open_administration,
    plain,
    project_of,
    seconds_of,
    show_columns,
    show_json,
)
from myna.cli.console import note, say
from myna.cli.language import _, translated
from myna.core.accounts import DEFAULT_PROJECT, ApiKey
from myna.core.translatable import N_, Translatable

app = typer.Typer(no_args_is_help=True, help="Create, list, rotate and revoke keys for others.")
_DIGESTS: Final = ("digest", "old_digest")

Key = Annotated[str, typer.Argument(help="The key's id, or its name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A name that says whose key it is, or what it is for.")],
    project: Annotated[
        str | None,
        typer.Option(help="The project that it shares with other keys; default: one of its own."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="inference (the default), read, admin or priority; may be repeated."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model that it may use; may be repeated; default: all.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="How long it is valid, such as 30d or 12h.")] = None,
    unknown_parameters: Annotated[
        str | None,
        typer.Option(
            help="reject or ignore parameters that aren't supported; default: as the server is set."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. It can't be shown again later.

    Keys of one project share stored completions, cached prompts and limits.

    **Examples**

    - `myna keys create "Ana's laptop"`
    - `myna keys create ci --model smollm2-135m-instruct --expires 30d`
    - `myna keys create dashboard --scope read --scope admin`
    """
    with open_administration() as session:
        made = session.administration.create_key(
            session.actor,
            None if project is None else project_of(session.accounts(), project),
            name,
            scopes=scope or ("inference",),
            models=model or None,
            expires_in_s=None if expires is None else seconds_of(expires),
            unknown_parameters=unknown_parameters,
        )
    _show_once(made, as_json)


@app.command("list")
def list_keys(
    project: Annotated[str | None, typer.Option(help="Only this project.")] = None,
    with_revoked: Annotated[bool, typer.Option("--all", help="Include revoked keys.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the keys, without their secret values.

    **Example**: `myna keys list --json | jq -r '.[].id'`
    """
    with open_administration() as session:
        accounts = session.accounts()
        wanted = None if project is None else project_of(accounts, project)
    keys = [key for key in accounts.keys if wanted in (None, key.project)]
    keys = [key for key in keys if with_revoked or key.revoked_at is None]
    if as_json:
        show_json([{**plain(key, *_DIGESTS), "status": str(_status(key))} for key in keys])
        return
    if keys:
        show_columns(_columns(keys))
    else:
        note(N_("There are no keys yet; create one with: myna keys create NAME"))


@app.command()
def rotate(
    key: Key,
    overlap: Annotated[str, typer.Option(help="How long the old value stays valid, such as 1h.")] = "0",
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret value and print it; its id, name and limits stay the same.

    **Example**: `myna keys rotate ci --overlap 1h`
    """
    with open_administration() as session:
        found = key_of(session.accounts(), key)
        made = session.administration.rotate_key(session.actor, None, found.id, seconds_of(overlap))
    _show_once(made, as_json)


@app.command()
def revoke(
    keys: Annotated[list[str], typer.Argument(help="Ids or names of keys.")],
    as_json: AsJson = False,
) -> None:
    """Revoke keys permanently; running servers reject them within a second.

    **Example**: `myna keys revoke ci`
    """
    with open_administration() as session:
        accounts = session.accounts()
        doomed = [key_of(accounts, key) for key in keys]
        revoked = [session.administration.revoke_key(session.actor, None, key.id) for key in doomed]
    if as_json:
        show_json([plain(key, *_DIGESTS) for key in revoked])
    else:
        for key in revoked:
            say(N_("Revoked {id} ({name}).", id=key.id, name=key.name))


def _show_once(made: NewKey, as_json: bool) -> None:
    """Only the key goes to standard output, so that a script can read it from there."""
    if as_json:
        show_json({**plain(made.key, *_DIGESTS), "value": made.value})
        return
    note(N_("{id} ({name}): save the key now; it is not shown again.", id=made.key.id, name=made.key.name))
    typer.echo(made.value)


def _status(key: ApiKey) -> Translatable:
    if key.revoked_at is not None:
        return N_("revoked")
    has_expired = key.expires_at is not None and key.expires_at <= time.time()
    return N_("expired") if has_expired else N_("active")


def _columns(keys: Sequence[ApiKey]) -> dict[Translatable, Sequence[str]]:
    """Without columns that have the same value for every key."""
    columns: dict[Translatable, Sequence[str]] = {
        N_("ID"): [key.id for key in keys],
        N_("NAME"): [key.name for key in keys],
        N_("SCOPES"): [", ".join(key.scopes) for key in keys],
    }
    if any(key.project != DEFAULT_PROJECT for key in keys):
        columns[N_("PROJECT")] = [key.project for key in keys]
    if any(key.models is not None for key in keys):
        columns[N_("MODELS")] = [", ".join(key.models or [_("all")]) for key in keys]
    columns[N_("LAST USED")] = [moment(key.last_used_at) or _("never") for key in keys]
    columns[N_("EXPIRES")] = [moment(key.expires_at) or _("never") for key in keys]
    statuses = [_status(key) for key in keys]
    if any(str(status) != "active" for status in statuses):
        columns[N_("STATUS")] = [translated(status) for status in statuses]
    return columns
