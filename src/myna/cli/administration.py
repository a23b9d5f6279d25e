"""Shared by `keys`, `projects` and `limits`: the database's accounts, the actor, durations and tables."""

import contextlib
import getpass
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from myna.accounts.administration import Actor, Administration
from myna.accounts.secret import Secret, load_secret
from myna.cli.language import translated
from myna.core.accounts import Accounts, AccountStore, ApiKey
from myna.core.errors import ConfigurationError, InvalidRequest, NotFound
from myna.core.translatable import N_, Translatable
from myna.settings import Settings, load_settings
from myna.stores.registry import open_stores

_FOLDED: Final = (N_("NAME"), N_("SCOPES"), N_("MODELS"), N_("MODEL"), N_("PROJECT"))
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True, slots=True)
class AdministrationSession:
    """The accounts of the configured database, changed as the user of this machine."""

    store: AccountStore
    administration: Administration
    actor: Actor

    def accounts(self) -> Accounts:
        return self.store.load()


def server_secret(settings: Settings) -> Secret:
    """The secret with which keys are hashed: the setting, else the file next to the key file."""
    return load_secret(settings.secret, settings.home / "secret")


@contextlib.contextmanager
def open_administration() -> Iterator[AdministrationSession]:
    """Works on the database itself, whether or not a server is running."""
    settings = load_settings()
    if settings.database_url.startswith("memory:"):
        raise ConfigurationError(
            N_(
                "The setting `database` keeps everything in the server's memory; set it to a file or a "
                "PostgreSQL database to keep keys."
            )
        )
    store = open_stores(settings.database_url).accounts()
    try:
        yield AdministrationSession(
            store, Administration(store, server_secret(settings)), Actor("session", _user())
        )
    finally:
        store.close()


def record_event(kind: str, details: Mapping[str, object], subject: str) -> None:
    """Add an act of this machine's user that changes no account to the audit log, if there is a database."""
    if not load_settings().database_url.startswith("memory:"):
        with open_administration() as session:
            session.administration.note(session.actor, kind, details, subject)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def key_of(accounts: Accounts, wanted: str) -> ApiKey:
    """The key with that id, or with that name if it is unique."""
    alive = [key for key in accounts.keys if key.revoked_at is None]
    found = [key for key in alive if key.id == wanted] or [key for key in alive if key.name == wanted]
    if not found:
        raise NotFound(N_("There is no key {wanted!r}; see: myna keys list", wanted=wanted))
    if len(found) > 1:
        raise InvalidRequest(
            N_(
                "{num_keys} keys have the name {name!r}; use an id from: myna keys list",
                num_keys=len(found),
                name=wanted,
            )
        )
    return found[0]


def project_of(accounts: Accounts, wanted: str) -> str:
    """The id of the project with that id, or with that name if it is unique."""
    found = [project.id for project in accounts.projects if wanted == project.id]
    found = found or [project.id for project in accounts.projects if wanted == project.name]
    if not found:
        raise NotFound(N_("There is no project {wanted!r}; see: myna projects list", wanted=wanted))
    if len(found) > 1:
        raise InvalidRequest(
            N_(
                "{num_projects} projects have the name {name!r}; use an id from: myna projects list",
                num_projects=len(found),
                name=wanted,
            )
        )
    return found[0]


def seconds_of(text: str) -> int:
    """`30d`, `12h`, `90m`, `45s` or a plain number of seconds."""
    match = re.fullmatch(r"([0-9]{1,12})([smhdw]?)", text.strip())
    if match is None:
        raise InvalidRequest(N_("{text!r} is not a duration; write it like 30d, 12h, 90m or 45s.", text=text))
    return int(match[1]) * _UNITS_S[match[2] or "s"]


def moment(at: int | None) -> str:
    """A date as a table shows it, in the machine's time zone."""
    return "" if at is None else time.strftime("%Y-%m-%d", time.localtime(at))


def show_columns(columns: Mapping[Translatable, Sequence[str]]) -> None:
    """A table from columns by title."""
    show_table(list(columns), list(zip(*columns.values(), strict=True)))


def show_table(titles: Sequence[Translatable], rows: Sequence[Sequence[str]]) -> None:
    """On a narrow terminal only columns of names are wrapped."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        is_folded = title in _FOLDED
        table.add_column(translated(title), no_wrap=not is_folded, overflow="fold" if is_folded else "ignore")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False).print(table)


def show_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))


def plain(record: Any, *hidden: str) -> dict[str, object]:
    """A record's fields for `--json`, without the hidden ones."""
    fields = msgspec.structs.asdict(record)
    return {name: value for name, value in fields.items() if name not in hidden}
