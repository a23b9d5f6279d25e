"""SQLite's write-ahead log: the mode in which readers and a writer don't wait for each other."""

import sqlite3
import time
from typing import Final, Protocol

_RETRY_S: Final = 0.05


class _Executing(Protocol):
    def execute(self, statement: str, /) -> object: ...


def switch_to_wal(connection: _Executing, wait_s: float) -> None:
    """Changes a file at its first opening. SQLite doesn't wait for another connection that does the same, but
    fails at once, since each would wait for the other. Raises `sqlite3.OperationalError` after `wait_s`, and
    at once for any other reason, such as a full disk."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            is_busy = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)
