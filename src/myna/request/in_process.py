"""Sends the requests of batches to the server's own endpoints, without a connection. Each is a request of a
key, and everything happens to it that happens to any other request."""

import asyncio
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

from myna.batches.dispatch import Answer, LineRequest
from myna.http.record import RequestRecord
from myna.request.services import Services

KEY_ID: Final = "myna.key_id"
"""In the scope of such a request: the id of the key whose request it is. No connection can set it."""
_GIVES_WAY_S: Final = 2.0
"""A line waits no longer for requests in the foreground, so that a server that is never idle answers some."""


async def answer_in_process(app: ASGIApp, services: Services, line: LineRequest) -> Answer:
    """A `batches.dispatch.Dispatch`, for this application and its services."""
    await services.foreground.quiet(_GIVES_WAY_S)
    waiting: list[Message] = [{"type": "http.request", "body": line.body, "more_body": False}]
    status, headers, parts = 0, Headers(), list[bytes]()

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()  # the client never leaves
        return waiting.pop()

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], Headers(raw=message["headers"])
        else:
            parts.append(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": line.path,
        "raw_path": line.path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(line.body))],
        "client": None,
        "server": None,
        KEY_ID: line.key_id,
    }
    RequestRecord(line.id).attach(scope)
    await app(scope, receive, send)
    return Answer(
        status,
        headers.get("x-request-id", "").removeprefix("req_"),
        b"".join(parts),
        headers.get("x-should-retry") == "true",
        _retry_after_s(headers),
    )


def find_model(services: Services, key_id: str, name: str) -> str | None:
    """A `batches.dispatch.FindModel`. A key that is no longer valid is reported by the answer to each
    line."""
    principal, card = services.principal(key_id), services.pool.find(name)
    if principal is None:
        return name
    if card is None or not principal.may_use(card.id, card.target):
        return None
    return card.target


def _retry_after_s(headers: Headers) -> float | None:
    after_ms = headers.get("retry-after-ms", "")
    return int(after_ms) / 1000 if after_ms.isdecimal() else None
