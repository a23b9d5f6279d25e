"""A generator that counts the streams running on it, so that the pool knows what it may unload."""

from collections.abc import AsyncIterator

from myna.core.events import Event
from myna.core.generator import EventStream, Generator, ModelInfo
from myna.core.requests import GenerationRequest


class HeldGenerator:
    """Forwards to `inner`. A stream counts from its request until it is closed, or has ended."""

    def __init__(self, inner: Generator) -> None:
        self._inner = inner
        self.num_running = 0

    @property
    def info(self) -> ModelInfo:
        return self._inner.info

    @property
    def is_ready(self) -> bool:
        return self._inner.is_ready

    async def generate(self, request: GenerationRequest) -> EventStream:
        self.num_running += 1
        try:
            return _HeldStream(self, await self._inner.generate(request))
        except BaseException:
            self.num_running -= 1
            raise

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return await self._inner.tokenize(text, parse_special=parse_special)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _HeldStream:
    def __init__(self, owner: HeldGenerator, inner: EventStream) -> None:
        self._owner = owner
        self._inner = inner
        self._is_counted = True

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self._inner.__anext__()
        except BaseException:
            self._release()  # ended or broken; a cancelled reader still closes the stream
            raise

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._release()

    def _release(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self._owner.num_running -= 1
