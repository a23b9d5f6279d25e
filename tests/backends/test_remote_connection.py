"""Connections to upstreams: when they are kept, and that what arrives on them is bounded."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from myna.backends.remote.connection import ConnectionPool, ProtocolError, Response

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """Answers each request of a connection with the next of its answers, then closes it."""

    def __init__(self, *answers: bytes, max_idle: int = 4) -> None:
        self._answers = answers
        self._max_idle = max_idle
        self.num_connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            for answer in self._answers:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
        writer.close()

    async def ask(self, *headers: tuple[bytes, bytes]) -> Response:
        return await self.pool.ask(b"GET", "models", headers)

    async def get(self) -> bytes:
        response = await self.ask()
        try:
            body = b""
            while part := await response.read():
                body += part
            return body
        finally:
            response.release()

    @asynccontextmanager
    async def running(self, serve: Serve | None = None) -> AsyncIterator["Server"]:
        tasks = []

        async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(asyncio.current_task())
            await (serve or self.serve)(reader, writer)

        server = await asyncio.start_server(noted, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self.pool = ConnectionPool(url, None, max_idle=self._max_idle, keep_alive_s=60, connect_s=60)
        try:
            yield self
        finally:
            self.pool.close()
            server.close()
            await asyncio.gather(*filter(None, tasks))


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
        if not last:
            writer.write_eof()
        await until_left(reader)
        is_left.set()
        writer.close()

    may_close, is_left, server = asyncio.Event(), asyncio.Event(), Server()
    async with server.running(serve):
        assert await server.get() == b"hi"
        may_close.set()
        await is_left.wait()
        assert await server.get() == b"hi"
        assert server.num_connections == 2


async def test_what_was_not_read_of_a_response_is_not_in_the_next_one() -> None:
    refusal = b"HTTP/1.1 500 Broken\r\nContent-Length: 5\r\n\r\noops!"
    async with Server(refusal, ANSWER).running() as server:
        response = await server.ask()
        assert response.status == 500
        response.release()
        assert await response.read() == b""
        assert await server.get() == b"oops!"  # and not twice that, or an answer after it


async def test_a_connection_goes_on_after_a_body_that_was_skipped() -> None:
    """Of a size at which reading pauses, as it does when too much of a response is unread."""
    body = b"x" * (1 << 20)
    large = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with Server(large + body, ANSWER).running() as server:
        response = await server.ask()
        while not response.skip_to_end():  # noqa: ASYNC110 - a reader would be the one to resume
            await asyncio.sleep(0)
        assert await response.read() == b""
        response.release()
        assert await server.get() == b"hi"
        assert server.num_connections == 1


async def test_no_more_connections_are_kept_than_allowed() -> None:
    async with Server(ANSWER, ANSWER, max_idle=2).running() as server:
        for response in [await server.ask() for _ in range(3)]:
            while await response.read():
                pass
            response.release()
            response.release()
        assert server.num_connections == 3
        assert server.pool.num_idle == server.pool.num_open == 2


async def test_a_connection_is_not_kept_for_longer_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("myna.backends.remote.connection.monotonic", lambda: clock[0])
    async with Server(*[ANSWER] * 3).running() as server:
        for clock[0], num_connections in ((0.0, 1), (60.0, 1), (121.0, 2)):
            assert await server.get() == b"hi"
            assert server.num_connections == num_connections


@pytest.mark.parametrize("is_waiting", [True, False])
async def test_closing_the_pool_ends_what_is_being_read_and_keeps_nothing(is_waiting: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        await until_left(reader)
        is_left.set()
        writer.close()

    is_left, server = asyncio.Event(), Server()
    async with server.running(serve):
        response = await server.ask()
        reading = asyncio.ensure_future(response.read())
        if is_waiting:
            await asyncio.sleep(0)
        server.pool.close()
        with pytest.raises(ConnectionError):
            await reading
        await is_left.wait()


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
            try:
                await writer.drain()
            except ConnectionError:
                break
        is_left.set()

    is_full, is_left, server = asyncio.Event(), asyncio.Event(), Server()
    async with server.running(serve):
        response = await server.ask()
        await is_full.wait()
        before = num_sent
        num_read = 0
        while num_read <= (before + 8) << 16:
            part = await response.read()
            assert 0 < len(part) <= 1 << 20
            num_read += len(part)
        response.release()
        await is_left.wait()


async def test_a_header_can_not_add_another() -> None:
    async with Server(ANSWER).running() as server:
        with pytest.raises(ProtocolError):
            await server.ask((b"X-Id", b"1\r\nX-Other: 2"))
        assert server.num_connections == 0


async def until_left(reader: asyncio.StreamReader) -> None:
    """Wait until the other side has closed the connection."""
    with contextlib.suppress(ConnectionError):
        await reader.read()
