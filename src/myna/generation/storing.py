"""Storing of answers, if requested, before their end is sent."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from myna.core.events import Done, Event
from myna.core.generator import EventStream
from myna.core.requests import Sampling
from myna.generation.sampling import as_fields


class StoredStream:
    """The stream, whose last event is delayed until `store` has returned, so that a client that has seen the
    end can retrieve the answer. An aborted stream is not stored. `store` must not raise."""

    def __init__(
        self, stream: EventStream, feed: Callable[[Event], None], store: Callable[[], Awaitable[None]]
    ) -> None:
        self._stream = stream
        self._feed = feed
        self._store = store
        self._last: Event | None = None

    def __aiter__(self) -> "StoredStream":
        return self

    def get_nowait(self) -> Event | None:
        event = self._stream.get_nowait()
        if type(event) is Done:
            self._last = event
            return None
        if event is not None:
            self._feed(event)
        return event

    async def __anext__(self) -> Event:
        event = self._last or await self._stream.__anext__()
        self._feed(event)
        if type(event) is Done:
            self._last = None
            await self._store()
        return event

    async def aclose(self) -> None:
        await self._stream.aclose()


def signed_seed(seed: int) -> int:
    """A seed as in OpenAI's API: a signed 64-bit integer."""
    return seed - 2**64 if seed >= 2**63 else seed


def replay(body: Mapping[str, Any], sampling: Sampling) -> bytes:
    """The body of a request that reproduces the answer: the original one with the seed and the model's
    defaults that were used."""
    fields = {
        name: value for name, value in body.items() if name not in ("store", "stream", "stream_options")
    }
    return orjson.dumps({**fields, **as_fields(sampling), "seed": signed_seed(sampling.seed)})
