"""Rejects a request body that exceeds the limit, whether declared or chunked, and one that stalls."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from myna.core.errors import BodyTooLarge
from myna.wire.errors import SlowBody

_LINGER_S: Final = 2.0
_LINGER_FACTOR: Final = 4
_MIN_BYTES_PER_S: Final = 1 << 10


class BodyLimit:
    """Bounds what `receive` returns. The check happens at the first read, so that an unauthenticated client
    gets its 401 and its body is never read."""

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: Callable[[Scope], int],
        pause_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_bytes` is called for each request. `pause_s` is the longest wait for the next part of a body;
        after that time, the body must arrive at a minimum rate."""
        self._app = app
        self._max_bytes = max_bytes
        self._pause_s = pause_s
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        num_bytes, is_whole, max_bytes = 0, False, self._max_bytes(scope)
        waited_s = 0.0

        async def bounded() -> Message:
            nonlocal num_bytes, is_whole, waited_s
            if is_whole:
                return await receive()  # waits for the client to disconnect
            if int(declared) > max_bytes:
                await self._reject(receive, max_bytes)
            begun_s = self._clock()
            message = await self._next_part(receive, self._pause_s + num_bytes / _MIN_BYTES_PER_S - waited_s)
            waited_s += self._clock() - begun_s
            is_whole = not message.get("more_body", False)
            num_bytes += len(message.get("body", b""))
            if num_bytes > max_bytes:
                await self._reject(receive, max_bytes)
            return message

        await self._app(scope, bounded, send)

    async def _next_part(self, receive: Receive, left_s: float) -> Message:
        """`left_s`: how long the minimum rate permits to wait."""
        try:
            if left_s < 0:
                raise TimeoutError
            async with asyncio.timeout(min(self._pause_s, left_s)):
                return await receive()
        except TimeoutError:
            raise SlowBody(
                f"The rest of the request body did not arrive within {self._pause_s:g} seconds, or not fast "
                f"enough ({_MIN_BYTES_PER_S} bytes per second)."
            ) from None

    async def _reject(self, receive: Receive, max_bytes: int) -> None:
        """Keep reading for a moment before responding: a client that is still writing when the connection
        closes would lose the response."""
        try:
            async with asyncio.timeout(_LINGER_S):
                remaining = max_bytes * _LINGER_FACTOR
                while remaining > 0:
                    message = await receive()
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        break
                    remaining -= len(message.get("body", b""))
        except TimeoutError:
            pass
        raise BodyTooLarge(f"The request body is larger than this server accepts ({max_bytes:,} bytes).")
