"""A server's connection to all replicas of a model. Knows no Ray.

Each request is a task that holds a call to the replica for as long as the request runs. Its events arrive
over the replica's link."""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from typing import Any, Final

from myna.core.errors import EngineDead, MynaError
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest
from myna.fleet.links import Link, Links
from myna.fleet.replicas import NotAnswering, Replicas
from myna.fleet.routing import session_of
from myna.workers.connection import Interrupted, OnMessage
from myna.workers.frames import Abort, Command, Failure, Submit, Tokenize, Tokenized

_log: Final = logging.getLogger(__name__)
_RETRY_S: Final = 0.2


class FleetConnection:
    """A `workers.connection.Connection`. It is never `gone` by itself: requests of replicas that are gone are
    `Interrupted`, and requests without any replica wait for one."""

    def __init__(self, model: str, replicas: Replicas, on_message: OnMessage) -> None:
        self._model = model
        self._replicas = replicas
        self._on_message = on_message
        self.links: Final = Links(model, replicas, on_message, self._on_broken)
        self._runs = itertools.count(1)
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_answering(self) -> bool:
        return self.links.is_answering

    @property
    def pid(self) -> int | None:
        return None

    async def start(self) -> ModelInfo:
        """Waits for a first replica."""
        description = await self._replicas.describe()
        return description.info

    def send(self, command: Command) -> None:
        if isinstance(command, Submit):
            self._calls[command.number] = self._hold(asyncio.create_task(self._run(command)))
        elif isinstance(command, Abort):
            if (call := self._calls.pop(command.number, None)) is not None:
                call.cancel()
        elif isinstance(command, Tokenize):
            self._hold(asyncio.create_task(self._tokenize(command)))

    async def close(self) -> str:
        if not self.gone.done():
            self.gone.set_result(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.links.aclose()
        return "it was closed"

    def _hold(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, command: Submit) -> None:
        """Hold a call to a replica until the request has ended."""
        session = session_of(self._model, command.request)
        try:
            while True:
                if await self._run_once(command, session):
                    return
                await asyncio.sleep(_RETRY_S)
        finally:
            if self._calls.get(command.number) is asyncio.current_task():
                del self._calls[command.number]

    async def _run_once(self, command: Submit, session: str) -> bool:
        """False if no replica was found that would run it."""
        link, run = None, next(self._runs)
        try:
            affinity, is_cached = self.links.affinity, isinstance(command.request, GenerationRequest)
            async with self._replicas.choose(session, self.links.avoided(), affinity.of(session)) as chosen:
                try:
                    link = await self.links.get(chosen.replica)
                except Exception as exc:
                    self.links.avoid(chosen.replica, chosen.node, exc)
                    return False
                if command.identity not in ("", link.description.identity):
                    self._on_message(Interrupted([command.number], ""))  # ends it with an error
                    return True
                link.numbers[run] = command.number
                if is_cached:
                    affinity.learn(session, chosen.replica)
                await chosen.run(self.links.server, run, command.request, session if is_cached else "")
        except asyncio.CancelledError:
            if link is not None:
                link.numbers.pop(run, None)
            raise
        except NotAnswering as exc:
            self.links.avoid(exc.replica, exc.node, exc)
            return False
        except Exception as exc:
            if link is None:
                _log.warning("no replica of %s can be reached: %s", self._model, exc)
                return False
            if link.numbers.pop(run, None) is not None:  # else its end has arrived, or the link broke first
                self.links.avoid(link.description.replica, link.description.node, exc)
                self._on_message(Interrupted([command.number], link.description.identity))
        return True

    def _on_broken(self, link: Link, numbers: Sequence[int]) -> None:
        """What ran over that link continues elsewhere."""
        for number in numbers:
            if (call := self._calls.pop(number, None)) is not None:
                call.cancel()
        if not self.gone.done():
            self._on_message(Interrupted(numbers, link.description.identity))

    async def _tokenize(self, command: Tokenize) -> None:
        try:
            tokens = await self._replicas.tokenize(command.text, parse_special=command.parse_special)
        except Exception as exc:
            error = exc if isinstance(exc, MynaError) else EngineDead(str(exc))
            self._on_message(Tokenized(command.number, [], Failure.of(error)))
        else:
            self._on_message(Tokenized(command.number, tokens))
