"""The running requests of a vLLM worker."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from myna.core.errors import MynaError
from myna.core.events import Event
from myna.core.requests import GenerationRequest
from myna.decoding.output_processor import RequestOutput
from myna.scheduling.sequence import RequestEvent
from myna.workers.vllm.choice import Choice, Model

E = TypeVar("E", bound=Exception)


class RunningRequests:
    """Requests by number. `send` gets the events of a turn of the event loop together. `on_idle` is called
    when no request is left. `on_error` returns the error of one request for an unknown one; None if vLLM is
    dead, and this process ends."""

    def __init__(
        self,
        model: Model,
        send: Callable[[list[RequestEvent]], None],
        on_idle: Callable[[], None],
        on_error: Callable[[Exception], MynaError | None],
    ) -> None:
        self._model = model
        self._send = send
        self._on_idle = on_idle
        self._on_error = on_error
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._events: list[RequestEvent] = []

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, number: int, request: GenerationRequest, grammar: str | None) -> None:
        """Run the request. `grammar` is its constraint in llguidance's form."""
        task = asyncio.create_task(self._run(number, request, grammar))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._ended(number))

    def abort(self, number: int) -> None:
        """It has no further events. Ignored for a request that has just ended."""
        if (task := self._tasks.get(number)) is not None:
            task.cancel()

    def emit(self, number: int, events: Sequence[Event | MynaError]) -> None:
        if events and not self._events:
            asyncio.get_running_loop().call_soon(self._flush)
        self._events += [RequestEvent(number, event) for event in events]

    async def _run(self, number: int, request: GenerationRequest, grammar: str | None) -> None:
        output = RequestOutput(request, self._model.tokens)
        prompt = asyncio.Event()
        emit = partial(self.emit, number)
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(len(output.choices)):
                    choice = Choice(
                        self._model,
                        request,
                        output,
                        index,
                        grammar=grammar,
                        id=f"{request.id}-{number}",
                        prompt=prompt,
                        emit=emit,
                    )
                    group.create_task(choice.run())
        except* MynaError as errors:
            emit([_first(errors)])
        except* Exception as errors:
            if (error := self._on_error(_first(errors))) is not None:
                emit([error])

    def _ended(self, number: int) -> None:
        del self._tasks[number]
        if not self._tasks:
            self._on_idle()

    def _flush(self) -> None:
        events, self._events = self._events, []
        self._send(events)


def _first(errors: "ExceptionGroup[E]") -> E:
    found: E | ExceptionGroup[E] = errors
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found
