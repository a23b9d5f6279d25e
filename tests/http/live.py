"""A live server on loopback in the test's own event loop, and raw requests to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.http.scripted import KEY

from myna.app import HttpOptions, create_app
from myna.http.server import DEFAULT_CONNECTIONS, Server, bind, server_config
from myna.http.tls import Certificate
from myna.request.services import Services

FAMILIES = ("myna.api.models.routes", "tests.http.words_endpoint")


@dataclass(frozen=True)
class Live:
    port: int
    server: Server
    serving: "asyncio.Task[None]"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def send(self, data: bytes) -> "Connection":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        return Connection(reader, writer)

    async def ask(self, method: str, path: str, body: bytes = b"", *headers: str, key: str = KEY) -> "Reply":
        """One request with a JSON body on a connection of its own, and its whole reply."""
        connection = await self.send(request_bytes(method, path, body, *headers, key=key))
        return await connection.reply()


def request_bytes(method: str, path: str, body: bytes = b"", *headers: str, key: str = KEY) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *headers, "Connection: close"]
    names = {line.split(":", 1)[0].lower() for line in headers}
    if "host" not in names:
        lines.append("Host: 127.0.0.1")
    if key:
        lines.append(f"Authorization: Bearer {key}")
    if body and "content-type" not in names:
        lines.append("Content-Type: application/json")
    if "transfer-encoding" not in names and "content-length" not in names:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), {name.lower(): value for name, value in headers.items()}

    async def chunk(self) -> bytes:
        """The next piece of a chunked body; empty at its end."""
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data

    async def reply(self) -> Reply:
        """The whole reply; the server must close the connection after it."""
        status, headers = await self.head()
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while piece := await self.chunk():
                body += piece
        rest = await self.reader.read()
        await self.close()
        return Reply(status, headers, body + rest)

    async def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def running(
    services: Services,
    options: HttpOptions | None = None,
    families: Sequence[str] = FAMILIES,
    *,
    drain_s: float = 30.0,
    certificate: Certificate | None = None,
    most_connections: int = DEFAULT_CONNECTIONS,
) -> AsyncIterator[Live]:
    app = create_app(services, options, families)
    listener = bind("127.0.0.1", 0)
    started = asyncio.Event()
    config = server_config(app.asgi, certificate, most_connections=most_connections)
    server = Server(config, app.tracker, drain_s=drain_s, on_start=started.set)
    serving = asyncio.create_task(server.serve([listener]))
    await started.wait()
    try:
        yield Live(listener.getsockname()[1], server, serving)
    finally:
        if not serving.done():
            server.stop()
        await serving
