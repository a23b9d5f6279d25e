"""A `core.Generator` or `core.Embedder` that runs a model in this process: bridges the engine core's thread
and asyncio.

For tests and embedding; the server runs models in worker processes instead.
"""

import asyncio
import itertools
from collections.abc import Callable

from myna.core.errors import EngineDead, MynaError
from myna.core.events import Done
from myna.core.generator import ModelInfo
from myna.core.requests import ModelRequest
from myna.core.stats import SchedulerStats
from myna.scheduling.admission import Admission, QueueLimits
from myna.scheduling.core_loop import AnyEngine, EngineCore
from myna.scheduling.sequence import RequestEvent
from myna.scheduling.streams import RequestStream


class InProcessGenerator:
    """Call `start` in the event loop that will use it."""

    def __init__(self, load: Callable[[], AnyEngine], limits: QueueLimits | None = None) -> None:
        self._core = EngineCore(load, self)
        self._admission = Admission(limits or QueueLimits())
        self._streams: dict[int, RequestStream] = {}
        self._waiting: dict[int, ModelRequest] = {}
        self._tokenizing: dict[int, asyncio.Future[list[int]]] = {}
        self._info: ModelInfo | None = None
        self._numbers = itertools.count(1)
        self._is_closed = False
        self.last_stats: SchedulerStats | None = None

    @property
    def info(self) -> ModelInfo:
        assert self._info is not None, "start() was not awaited"
        return self._info

    @property
    def is_ready(self) -> bool:
        return self._info is not None and not self._is_closed and not self._ended.done()

    async def start(self) -> None:
        """Load the model. Raises `ModelLoadFailed`."""
        self._asyncio = asyncio.get_running_loop()
        self._ready: asyncio.Future[ModelInfo] = self._asyncio.create_future()
        self._ended: asyncio.Future[None] = self._asyncio.create_future()
        self._core.start()
        self._info = await self._ready

    async def generate(self, request: ModelRequest) -> RequestStream:
        if not self.is_ready:
            raise EngineDead("The model is not running.")
        self._admission.admit(request, self.info)
        number = next(self._numbers)
        stream = self._streams[number] = RequestStream(
            lambda: self._abort(number), is_held=request.is_collected
        )
        self._waiting[number] = request
        self._core.add(number, request)
        return stream

    embed = generate  # the request says which

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        if not self.is_ready:
            raise EngineDead("The model is not running.")
        number = next(self._numbers)
        future: asyncio.Future[list[int]] = self._asyncio.create_future()
        self._tokenizing[number] = future
        self._core.tokenize(number, text, parse_special=parse_special)
        return await future

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._core.stop()
        await self._ended

    # Called from the engine core's thread.

    def ready(self, info: ModelInfo) -> None:
        self._asyncio.call_soon_threadsafe(self._ready.set_result, info)

    def events(self, events: list[RequestEvent]) -> None:
        self._asyncio.call_soon_threadsafe(self._dispatch, events)

    def stats(self, stats: SchedulerStats) -> None:
        self.last_stats = stats

    def tokenized(self, number: int, result: list[int] | MynaError) -> None:
        self._asyncio.call_soon_threadsafe(_take_tokens, self._tokenizing, number, result)

    def ended(self, error: MynaError | None) -> None:
        self._asyncio.call_soon_threadsafe(self._end, error)

    # Called in the event loop.

    def _dispatch(self, events: list[RequestEvent]) -> None:
        for number, event in events:
            stream = self._streams.get(number)
            if stream is None:
                continue
            if number in self._waiting:
                self._admission.release(self._waiting.pop(number))
            if isinstance(event, MynaError):
                stream.fail(event)
                del self._streams[number]
                continue
            stream.push(event)
            if type(event) is Done:
                del self._streams[number]

    def _abort(self, number: int) -> None:
        self._streams.pop(number, None)
        if number in self._waiting:
            self._admission.release(self._waiting.pop(number))
        self._core.abort(number)

    def _end(self, error: MynaError | None) -> None:
        dead = EngineDead(error.message if error else "The model was closed.")
        if not self._ready.done():
            self._ready.set_exception(error or dead)
        for stream in self._streams.values():
            stream.fail(dead)
        for future in self._tokenizing.values():
            if not future.done():
                future.set_exception(dead)
        self._streams.clear()
        self._tokenizing.clear()
        self._ended.set_result(None)


def _take_tokens(
    waiting: dict[int, asyncio.Future[list[int]]], number: int, result: list[int] | MynaError
) -> None:
    future = waiting.pop(number)
    if future.done():
        return
    if isinstance(result, MynaError):
        future.set_exception(result)
    else:
        future.set_result(result)
