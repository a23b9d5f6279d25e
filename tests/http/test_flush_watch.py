"""A client that doesn't read the end of its response is disconnected; one that reads slowly is not."""

import asyncio

from myna.http.flush_watch import FlushWatch


class Transport(asyncio.Transport):
    """A transport with unread bytes."""

    def __init__(self, *unread: int) -> None:
        super().__init__()
        self._unread = list(unread)
        self.aborted = asyncio.Event()
        self.emptied = asyncio.Event()

    def get_write_buffer_size(self) -> int:
        size = self._unread.pop(0) if len(self._unread) > 1 else self._unread[0]
        if not size:
            self.emptied.set()
        return size

    def abort(self) -> None:
        self.aborted.set()


def watch() -> FlushWatch:
    return FlushWatch(asyncio.get_running_loop(), timeout_s=0.001)


async def test_a_client_that_reads_nothing_is_disconnected() -> None:
    transport = Transport(1000)
    watch().start(transport)
    await transport.aborted.wait()


async def test_a_client_that_reads_slowly_is_waited_for() -> None:
    transport = Transport(1000, 900, 100, 1, 0)
    watch().start(transport)
    await transport.emptied.wait()
    assert not transport.aborted.is_set()


async def test_a_response_that_was_read_needs_no_watch() -> None:
    transport, watching = Transport(0), watch()
    watching.start(transport)
    watching.stop()
    assert not transport.aborted.is_set()
