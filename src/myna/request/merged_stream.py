"""Merges the events of several generations into one stream. Knows no HTTP and no wire format."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from myna.core.errors import Overloaded
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.core.generator import EventStream, Generator
from myna.core.requests import GenerationRequest

# Prompts of one request that run at once: a batch of a thousand must not fill the queue.
_WINDOW: Final = 32
# Events of all prompts together that are read ahead of the client.
_MAX_READ_AHEAD: Final = 64


async def start(generator: Generator, requests: Sequence[GenerationRequest]) -> EventStream:
    """Admit the requests and return their events; raises what `Generator.generate` raises.

    Several are merged into one stream: choice `i * num_choices + j` is choice j of request i,
    `PromptDone.prompt` is i, and one `Done` ends the stream. Of a large batch, the first requests are
    admitted now and the others as those end.
    """
    if len(requests) == 1:
        return await generator.generate(requests[0])
    streams: list[EventStream] = []
    try:
        for request in requests[:_WINDOW]:
            streams.append(await generator.generate(request))  # noqa: PERF401 - closed if one is refused
    except BaseException:
        for stream in streams:
            await stream.aclose()
        raise
    return MergedStream(generator, requests, streams)


class MergedStream:
    """The events of several requests, in order of arrival.

    At most `_MAX_READ_AHEAD` are read ahead of a slow client; later ones wait in their own streams, where a
    choice's deltas are merged. The first error ends the stream.
    """

    def __init__(
        self, generator: Generator, requests: Sequence[GenerationRequest], streams: Sequence[EventStream]
    ) -> None:
        self._generator = generator
        self._waiting = deque(list(enumerate(requests))[len(streams) :])
        self._events: asyncio.Queue[Event | BaseException] = asyncio.Queue(_MAX_READ_AHEAD)
        self._num_running = len(requests)
        self._totals: list[Done] = []
        self._tasks = [
            asyncio.create_task(self._run(index, requests[index], stream))
            for index, stream in enumerate(streams)
        ]
        self._streams = list(streams)
        self._failure: BaseException | None = None
        self._has_ended = False

    def __aiter__(self) -> "MergedStream":
        return self

    def get_nowait(self) -> Event | None:
        if self._has_ended or self._failure is not None or self._events.empty():
            return None
        return self._read(self._events.get_nowait())

    async def __anext__(self) -> Event:
        if self._has_ended:
            raise StopAsyncIteration
        event = None if self._failure is not None else self._read(await self._events.get())
        if event is None:
            assert self._failure is not None
            await self.aclose()
            raise self._failure
        return event

    async def aclose(self) -> None:
        self._has_ended = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in self._streams:  # a task that never started has closed nothing
            await stream.aclose()

    def _read(self, item: Event | BaseException) -> Event | None:
        """None if it is the failure, which is kept."""
        if isinstance(item, BaseException):
            self._failure = item
            return None
        self._has_ended = isinstance(item, Done)
        return item

    async def _run(self, index: int, request: GenerationRequest, stream: EventStream) -> None:
        """Forward one request's events, then those of the next waiting request."""
        try:
            while True:
                try:
                    async for event in stream:
                        await self._forward(index, request.num_choices, event)
                finally:
                    await stream.aclose()
                if not self._waiting:
                    return
                index, request = self._waiting.popleft()
                stream = await self._admit(request)
        except Exception as exc:
            await self._events.put(exc)

    async def _admit(self, request: GenerationRequest) -> EventStream:
        while True:
            try:
                return await self._generator.generate(request)
            except Overloaded as exc:
                await asyncio.sleep(exc.retry_after_s)

    async def _forward(self, index: int, num_choices: int, event: Event) -> None:
        match event:
            case TextDelta() | ChoiceDone():
                choice = index * num_choices + event.choice
                await self._events.put(msgspec.structs.replace(event, choice=choice))
            case PromptDone():
                await self._events.put(msgspec.structs.replace(event, prompt=index))
            case Done():
                self._totals.append(event)
                if len(self._totals) == self._num_running:
                    await self._events.put(self._total())

    def _total(self) -> Done:
        return Done(
            sum(done.completion_tokens for done in self._totals),
            sum(done.accepted_prediction_tokens for done in self._totals),
            sum(done.rejected_prediction_tokens for done in self._totals),
            sum(done.reasoning_tokens for done in self._totals),
        )
