"""Connections to upstreams: when they are kept, and that what arrives on them is bounded."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpcore2
import pytest

from myna.backends.remote.connection import UpstreamPool

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """Answers each request of a connection with the next of its answers, then closes it."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self.num_connections = 0
        self.pool = UpstreamPool(None, max_idle=4, keep_alive_s=60)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        for answer in self._answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    def request(self, *headers: tuple[bytes, bytes]) -> httpcore2.Request:
        return httpcore2.Request(
            b"GET", self.url, headers=list(headers), extensions={"timeout": {"connect": 60.0}}
        )

    async def get(self) -> bytes:
        response = await self.pool.handle_async_request(self.request())
        try:
            return b"".join([part async for part in response.aiter_stream()])
        finally:
            await response.aclose()

    async def until_closed(self) -> None:
        """Wait until the kept connection is known to be closed."""
        (connection,) = self.pool.connections
        while not connection.has_expired():  # noqa: ASYNC110
            await asyncio.sleep(0)

    @asynccontextmanager
    async def running(self, serve: Serve | None = None) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(serve or self.serve, "127.0.0.1", 0)
        self.url = httpcore2.URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        try:
            yield self
        finally:
            await self.pool.aclose()
            server.close()


async def test_a_connection_serves_one_request_after_another() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    chunked = CHUNKED + b"1\r\nh\r\n1\r\ni\r\n0\r\nX-After: 1\r\n\r\n"
    async with Server(ANSWER, early + ANSWER, chunked, ANSWER).running() as server:
        assert [await server.get() for _ in range(4)] == [b"hi"] * 4
        assert server.num_connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), id="told to close"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhi", id="its end is the connection's"),
        pytest.param(ANSWER + ANSWER, id="a second response"),
        pytest.param(ANSWER + b"\0\0", id="more after the end"),
    ],
)
async def test_a_connection_is_not_kept_after(answer: bytes) -> None:
    async with Server(answer).running() as server:
        assert [await server.get() for _ in range(3)] == [b"hi"] * 3
        assert server.num_connections == 3


@pytest.mark.parametrize("last", [b"", b"HTTP/1.1 408 Timeout\r\n\r\n"], ids=["closed", "not asked for"])
async def test_a_kept_connection_that_is_closed_is_not_used_again(last: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.num_connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await may_close.wait()
        writer.write(last)
        writer.close()

    may_close, server = asyncio.Event(), Server()
    async with server.running(serve):
        assert await server.get() == b"hi"
        may_close.set()
        await server.until_closed()
        assert await server.get() == b"hi"
        assert server.num_connections == 2


async def test_a_response_that_is_not_read_is_not_received_either() -> None:
    """Beyond what the sockets hold."""
    num_sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal num_sent
        writer.write(CHUNKED)
        part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        while not writer.transport.is_closing():
            writer.write(part)
            num_sent += 1
            if writer.transport.get_write_buffer_size():
                is_full.set()
            await writer.drain()

    is_full, server = asyncio.Event(), Server()
    async with server.running(serve):
        response = await server.pool.handle_async_request(server.request())
        await is_full.wait()
        before = num_sent
        num_read = 0
        async for part in response.aiter_stream():
            assert len(part) <= 1 << 20
            num_read += len(part)
            if num_read > (before + 8) << 16:
                break
        await response.aclose()
        assert not server.pool.connections


async def test_a_header_can_not_add_another() -> None:
    async with Server(ANSWER).running() as server:
        request = server.request((b"X-Id", b"1\r\nX-Other: 2"))
        with pytest.raises(httpcore2.LocalProtocolError):
            await server.pool.handle_async_request(request)
        assert server.num_connections == 0
