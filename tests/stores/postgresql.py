"""A real PostgreSQL for tests: Debian's programs, a data folder of its own, a socket and no port."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import psycopg
import pytest
from sqlalchemy import make_url

_STARTS_WITHIN_S = 60


class Cluster:
    """A running server, and as many empty databases on it as are asked for: new ones, and used ones that are
    emptied, since each new one has three hundred files to write and to delete."""

    def __init__(self, folder: Path, user: str, restart: Callable[[], None]) -> None:
        self._folder = folder
        self._user = user
        self._numbers = count(1)
        self._used: list[str] = []
        self.restart: Final = restart
        """End it at once, as a crash would, and start it again."""

    def new_database(self) -> str:
        """The URL of a database that nobody has used."""
        name = self._next_name()
        self._run("postgres", f"CREATE DATABASE {name} TEMPLATE template0")
        return self._url(name)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """The URL of an empty database, which may have been used before. Nobody may need it afterwards."""
        url = self._emptied(self._used.pop()) if self._used else self.new_database()
        yield url
        self._used.append(url)

    def _emptied(self, used: str) -> str:
        """Who is still connected is disconnected, and doesn't find it under its new name."""
        old, new = str(make_url(used).database), self._next_name()
        self._run(
            "postgres",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{old}'",
            f"ALTER DATABASE {old} RENAME TO {new}",
        )
        self._run(new, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        return self._url(new)

    def _next_name(self) -> str:
        return f"myna_{os.getpid()}_{next(self._numbers)}"

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://{self._user}@/{database}?host={self._folder}"

    def _run(self, database: str, *statements: str) -> None:
        with psycopg.connect(host=str(self._folder), user=self._user, dbname=database) as connection:
            connection.autocommit = True
            for statement in statements:
                connection.execute(statement.encode())


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start it, and end it with everything in it. Skips the test where the programs are missing."""
    programs = _programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL on this machine; install one with: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    # A socket's path may have 107 bytes: pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="myna-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, user, user)
        _as(user, programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", user, "--no-sync")
        settings = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=200"
        control: list[str | Path] = [
            programs / "pg_ctl",
            "-D",
            folder / "data",
            "-w",
            "-t",
            str(_STARTS_WITHIN_S),
        ]
        start = (*control, "-l", folder / "log", "-o", f"{settings} -c fsync=off", "start")

        def restart() -> None:
            _as(user, *control, "-m", "immediate", "stop")
            _as(user, *start)

        _as(user, *start)
        try:
            yield Cluster(folder, user, restart)
        finally:
            _as(user, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """The folder of `initdb`: Debian keeps one a version, off the PATH."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    on_path = shutil.which("initdb")
    return found[0].parent if found else Path(on_path).parent if on_path else None


def _as(user: str, *command: str | Path) -> None:
    """PostgreSQL refuses to run as root; root becomes the user that Debian's package made."""
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *words]
    # To a file, not a pipe: the server inherits it and would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(words, stdout=output, stderr=output, cwd="/", check=False)
        output.seek(0)
        assert done.returncode == 0, f"{' '.join(words)}: {output.read()}"
