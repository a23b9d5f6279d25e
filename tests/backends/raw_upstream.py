"""An upstream on loopback that answers byte by byte as a test says, and a Myna in front of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.http.live import Live, running
from tests.http.scripted import Ledger, services

from myna.backends.remote.backend import RemoteBackend
from myna.catalog.pool import ModelPool
from myna.catalog.registry import ModelCard, ModelRegistry
from myna.core.backend import BackendOptions, Section
from myna.usage.metrics import Instruments
from myna.usage.recorder import UsageSinks

FAMILIES = (
    "myna.api.chat.routes",
    "myna.api.completions.routes",
    "myna.api.messages.routes",
    "myna.api.embeddings.routes",
    "myna.api.moderations.routes",
    "myna.api.models.routes",
    "myna.api.responses.routes",
    "myna.api.monitoring.routes",
)
CHAT = "/v1/chat/completions"
EVENT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"bird"},"finish_reason":null}]}\n\n'
LAST = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = (
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,'
    b'"prompt_tokens_details":{"cached_tokens":2}}}\n\n'
)
DONE = b"data: [DONE]\n\n"
WHOLE = (
    b'{ "id":"c", "choices":[{"index":0,"message":{"content":"bird"},"finish_reason":"stop"}],'
    b' "usage":{"prompt_tokens":7,"completion_tokens":3}}\n'
)


@dataclass(frozen=True)
class Asked:
    """One request that the upstream got."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, object]


# Answers one request; the connection is closed when it returns.
Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawUpstream:
    """Each POST takes the next behaviour, the last one again and again. It lists `models`."""

    behaviours: list[Behave]
    models: tuple[str, ...] = ("far-1",)
    requests: list[Asked] = field(default_factory=list)
    num_connections: int = 0
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    is_left: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            asked = await _read_request(reader)
            if asked.method == "GET":
                listing = {"data": [{"id": name, "created": 5} for name in self.models]}
                await send(head(200, "application/json"), json.dumps(listing).encode())(reader, writer)
                return
            self.requests.append(asked)
            self.is_asked.set()
            behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
            await behave(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.is_left.set()
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = lines[0].split(" ")
    return Asked(method, path, headers, json.loads(body) if body else {})


def head(status: int, content_type: str, *more: str) -> bytes:
    """Of an answer that ends with its connection."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {content_type}", "Connection: close", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


STREAM_HEAD = head(200, "text/event-stream; charset=utf-8")
JSON_HEAD = head(200, "application/json")


def send(*parts: bytes) -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return behave


def send_and_stall(*parts: bytes) -> Behave:
    """Until the other side has left."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send(*parts)(reader, writer)
        await reader.read()  # to its end

    return behave


def send_and_reset(*parts: bytes) -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send(*parts)(reader, writer)
        writer.transport.abort()

    return behave


def repeat(first: bytes, part: bytes) -> Behave:
    """Without end."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send(first)(reader, writer)
        while not writer.transport.is_closing():
            await send(part)(reader, writer)

    return behave


@asynccontextmanager
async def listening(upstream: RawUpstream) -> AsyncIterator[RawUpstream]:
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()


def section(**upstreams: dict[str, object]) -> BackendOptions:
    return BackendOptions(Path("/nowhere"), section=Section(upstreams, Path("/nowhere")))


@dataclass
class Front:
    """A Myna whose models are the upstreams'. `near` is an alias of `far-1`."""

    live: Live
    backend: RemoteBackend
    ledger: Ledger
    clock: list[float]


@asynccontextmanager
async def fronting(
    options: BackendOptions, *, is_started: bool = False, keep_alive_s: float = 10.0
) -> AsyncIterator[Front]:
    ledger, clock, instruments = Ledger(), [0.0], Instruments()
    backend = RemoteBackend(options, clock=lambda: clock[0])
    registry = ModelRegistry([], [ModelCard("near", 0, "", "alias", "far-1")], None, backend.announced)
    pool = ModelPool(registry.poll, backend.prepare, delete_files=lambda model: None)
    parts = replace(
        services(pool, ledger),
        keep_alive_s=keep_alive_s,
        instruments=instruments,
        usage_sinks=UsageSinks(ledger, (instruments,)),
    )
    if is_started:
        await backend.start()
    try:
        async with running(parts, families=FAMILIES) as live:
            yield Front(live, backend, ledger, clock)
    finally:
        await backend.aclose()


def asking(*, is_stream: bool, model: str = "far-1", **more: object) -> bytes:
    return json.dumps({"model": model, "stream": is_stream, "messages": [], **more}).encode()
