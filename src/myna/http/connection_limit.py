"""Keeps connections below the limit of file descriptors: databases, workers and files need some, too."""

import logging
from typing import Final, Protocol

from myna.core.outage import Outage

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_MOST_DESCRIPTORS: Final = 1 << 16
_RESERVE: Final = 64
MIN_DESCRIPTORS: Final = 128
"""Fewer leave next to none for connections."""

log = logging.getLogger("myna.serving")


def raise_descriptor_limit() -> int:
    """Raise the soft limit of file descriptors to the hard one, within reason. Returns the limit in force."""
    if resource is None:
        return _MOST_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return _MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def max_connections(num_descriptors: int) -> int:
    """How many of the file descriptors connections may take: three quarters, but a few always stay free."""
    return max(1, num_descriptors - max(_RESERVE, num_descriptors // 4))


class Connection(Protocol):
    """What the limit needs of a connection."""

    def drop(self) -> None:
        """Close it at once."""
        ...


class ConnectionLimit:
    """Counts connections. If there are too many, the one that has waited longest without a request is dropped
    for a new one, so that slow or idle clients don't keep others out."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._num_open = 0
        self._idle: dict[Connection, None] = {}  # the longest idle first
        self._outage = Outage(
            log,
            "there are %s connections, as many as the limit of file descriptors allows: idle ones are "
            "dropped, others rejected",
            "connections are accepted again",
        )

    def open(self, connection: Connection) -> bool:
        """Count a new connection, which must be closed later. False if it must be rejected."""
        self._num_open += 1
        if self._num_open <= self._most:
            self._outage.succeeded()
            return True
        self._outage.failed(self._most)
        longest = next((other for other in self._idle if other is not connection), None)
        if longest is None:
            return False
        del self._idle[longest]
        longest.drop()
        return True

    def close(self, connection: Connection) -> None:
        self._num_open -= 1
        self._idle.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """The connection waits for a request's head."""
        self._idle[connection] = None

    def busy(self, connection: Connection) -> None:
        """The connection has a request."""
        self._idle.pop(connection, None)
