"""What lies around the server: its configuration, secrets, database, port, and the sources of models."""

import errno
import os
import queue
import sqlite3
import stat
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from myna.accounts.keys import read_keys
from myna.catalog.entries import ENTRIES, FolderFile
from myna.catalog.sources.base import open_source, source_name
from myna.catalog.sources.pypi import WheelIndex
from myna.catalog.store import ModelStore
from myna.cli.client import is_up
from myna.cli.complete import local_base_url
from myna.cli.key import key_path
from myna.core.errors import ConfigurationError, MynaError
from myna.core.finding import Finding, Findings, advice, ok, wrong
from myna.serving.server import bind
from myna.settings import Settings, config_path

ANSWER_S: Final = 5.0


def configuration(problem: str) -> Findings:
    """`problem` is what kept the settings from being read; empty for nothing."""
    path = config_path(os.environ, Path.cwd())
    variables = sorted(name for name in os.environ if name.startswith("MYNA_"))
    if problem:
        yield wrong(problem, remedy="Until then the rest of this page looks at the defaults.")
        return
    yield ok(f"Read {path}." if path else "No myna.toml is read; there is none here or in ~/.config/myna.")
    if variables:
        yield ok(f"The environment sets {', '.join(variables)}.")


def secrets(settings: Settings) -> Findings:
    if settings.no_auth:
        yield advice("The server asks for no key.", remedy="Leave out no_auth where others use this machine.")
    path = key_path(settings)
    if settings.api_key:
        yield ok("The key is the setting api_key.")
    elif not path.exists():
        yield ok(f"The first start makes a key in {path}.")
    else:
        try:
            read_keys(path)
            yield ok(f"The key is in {path}, which only you can read.")
        except ConfigurationError as exc:
            yield wrong(exc.message, remedy="The server doesn't start before.")
    for name in ("secret", "chat_history"):
        yield from _private(settings.home / name)


def database(settings: Settings) -> Findings:
    url = settings.database_url
    if not url.startswith("sqlite:///"):
        scheme = url.partition(":")[0]
        yield ok(f"The database is a {scheme}; the server connects to it when it starts.")
        return
    path = Path(url.removeprefix("sqlite:///"))
    if not path.exists():
        yield ok(f"The first start makes the database {path}.")
        return
    yield from _private(path)
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=ANSWER_S)
        ) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as exc:
        verdict = str(exc)
    if verdict == "ok":
        yield ok(f"The database {path} is sound.")
    else:
        yield wrong(
            f"The database {path} is damaged ({verdict}).",
            remedy="Put a backup in its place; one lies beside it after an upgrade.",
        )


def port(settings: Settings) -> Findings:
    if not settings.port:
        yield ok("The server takes any free port.")
        return
    where = f"{settings.host}:{settings.port}"
    try:
        bind(settings.host, settings.port).close()
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            yield wrong(f"{where} can't be listened on: {exc.strerror}.", remedy="Set another host or port.")
        elif is_up(local_base_url(settings)):
            yield ok(f"A server answers at {local_base_url(settings)}.")
        else:
            yield wrong(
                f"Another program listens on {where}.", remedy="Stop it, or set another port with MYNA_PORT."
            )
        return
    yield ok(f"{where} is free.")


def sources(settings: Settings) -> Findings:
    """All are asked at once; none may take longer than `ANSWER_S`."""
    entry = next((entry for entry in ENTRIES if entry.id == settings.model), ENTRIES[0])
    mirror = settings.mirror
    wanted = (
        *((FolderFile(mirror, (entry.file_name, f"{entry.id}.gguf")),) if mirror else ()),
        *entry.sources,
    )
    answers: queue.Queue[tuple[str, str]] = queue.Queue()

    def ask(index: int) -> None:
        name = source_name(wanted[index])
        try:
            fetcher = open_source(wanted[index])
            fetcher.ask(ANSWER_S)
            if isinstance(fetcher, WheelIndex):
                fetcher.ask_index(ANSWER_S)
            answers.put((name, ""))
        except MynaError as exc:
            answers.put((name, exc.message))
        except Exception as exc:
            answers.put((name, f"{type(exc).__name__}: {exc}"))

    for index in range(len(wanted)):
        threading.Thread(target=ask, args=(index,), daemon=True).start()
    verdicts: dict[str, str] = {}
    for _ in wanted:
        try:
            name, verdict = answers.get(timeout=ANSWER_S + 1)
        except queue.Empty:
            break
        verdicts[name] = verdict
    is_needed = "" not in verdicts.values() and not ModelStore(settings.home / "models").has(entry)
    for source in wanted:
        name = source_name(source)
        yield _verdict(name, verdicts.get(name), is_needed=is_needed)


def _verdict(name: str, verdict: str | None, *, is_needed: bool) -> Finding:
    if verdict == "":
        return ok(f"{name} answers.")
    found = advice(
        f"{name} can't be used: {verdict or 'it does not answer'}",
        remedy="Models come from any that answers; a folder of files can be set as MYNA_MIRROR.",
    )
    return replace(found, state="wrong") if is_needed else found


def _private(path: Path) -> Findings:
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield wrong(f"Others may read {path}.", remedy=f"Close it with: chmod 600 {path}")
