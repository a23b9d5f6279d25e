"""Answers that their sender asked to keep: stored before their end is sent."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from myna.core.events import Done, Event
from myna.core.generator import EventStream


class StoredStream:
    """The stream itself, whose last event comes when `store` has returned, so that a client that has seen the
    end can ask for the answer. One that broke off is not stored. `store` raises nothing."""

    def __init__(
        self, stream: EventStream, feed: Callable[[Event], None], store: Callable[[], Awaitable[None]]
    ) -> None:
        self._stream = stream
        self._feed = feed
        self._store = store

    def __aiter__(self) -> "StoredStream":
        return self

    async def __anext__(self) -> Event:
        event = await self._stream.__anext__()
        self._feed(event)
        if isinstance(event, Done):
            await self._store()
        return event

    async def aclose(self) -> None:
        await self._stream.aclose()


def signed(seed: int) -> int:
    """A seed as OpenAI shows and takes it: 64 bits with a sign."""
    return seed - 2**64 if seed >= 2**63 else seed


def replay(sent: Mapping[str, Any], seed: int) -> bytes:
    """The body of a request that gives the same answer again: the one sent, with the seed that was used."""
    body = {name: value for name, value in sent.items() if name not in ("store", "stream", "stream_options")}
    return orjson.dumps({**body, "seed": signed(seed)})
