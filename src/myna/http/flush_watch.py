"""Closes a connection whose client doesn't read the end of a response."""

import asyncio
from typing import Final

_TIMEOUT_S: Final = 60.0


class FlushWatch:
    """The end of a response waits in the transport after its request has ended, and so does a connection that
    is to be closed. Both would wait for ever."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.WriteTransport) -> None:
        """Abort the connection once nothing has been read for the time limit."""
        if self._timer is None:
            self._look(transport, 0)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, transport: asyncio.WriteTransport, unread_before: int) -> None:
        self._timer = None
        unread = transport.get_write_buffer_size()
        if unread and unread == unread_before:
            transport.abort()
        elif unread:
            self._timer = self._loop.call_later(self._timeout_s, self._look, transport, unread)
