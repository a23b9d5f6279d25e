"""A connection to PostgreSQL that gives up on a server that no longer answers."""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

RV = TypeVar("RV")


class PatientConnection(psycopg.Connection[Any]):
    """Every wait for the server ends after `answer_s` seconds: the connection is closed and
    `OperationalError` raised. The server's own `statement_timeout` can't do that if its process is
    stopped or its host is gone."""

    answer_s: float = 20.0

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Called by psycopg for all that it sends and receives on an open connection."""
        return super().wait(self._in_time(gen), *args, **kwargs)

    def _in_time(self, gen: PQGen[RV]) -> Generator[Any, Any, RV]:
        deadline = time.monotonic() + self.answer_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # psycopg comes back ten times a second, ready or not
                if not ready and time.monotonic() >= deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {self.answer_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            result: RV = done.value
            return result
