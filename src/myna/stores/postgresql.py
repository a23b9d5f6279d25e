"""A PostgreSQL connection that times out if the server no longer responds, and that accepts any text."""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer, PQGen
from psycopg.types.string import StrDumperUnknown

RV = TypeVar("RV")


class NulReplacingDumper(StrDumperUnknown):
    """PostgreSQL's texts can't contain NUL, which clients may send in any of theirs: U+FFFD takes its place,
    as with half of a surrogate pair."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd"))


class TimeoutConnection(psycopg.Connection[Any]):
    """Every wait for the server ends after `answer_s` seconds: the connection is closed and
    `OperationalError` is raised. The server's `statement_timeout` is not enough, since its process may be
    stopped or its host unreachable."""

    answer_s: float = 20.0

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Called by psycopg for everything that it sends and receives on an open connection."""
        return super().wait(self._in_time(gen), *args, **kwargs)

    def _in_time(self, gen: PQGen[RV]) -> Generator[Any, Any, RV]:
        deadline = time.monotonic() + self.answer_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # psycopg resumes ten times per second, ready or not
                if not ready and time.monotonic() >= deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no response within {self.answer_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            result: RV = done.value
            return result
