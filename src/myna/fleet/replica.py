"""A replica's side of the fleet: runs the requests of all servers on one worker. Knows no Ray.

Each server has one link, a stream of frames for all of its requests; each request is one call (`run`) that
lasts as long as it does, so that whoever counts calls knows the load."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

from myna.core.errors import EngineDead
from myna.core.events import Done, Event
from myna.core.requests import ModelRequest
from myna.core.translatable import N_
from myna.fleet.messages import HEARTBEAT_S, Description, LinkItem, encode_description, encode_item
from myna.fleet.routing import SessionAffinity
from myna.workers import frames
from myna.workers.connection import Connect, Interrupted
from myna.workers.frames import Abort, Failure, Pong, Stats, Step, Submit, Tokenize, Tokenized, WorkerMessage

_MAX_SESSIONS: Final = 4096


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What is known about a model before it is loaded: the hash of its files ("" if it has none), and whether
    its engine gives the same answer whatever else runs."""

    weights: str = ""
    is_batch_invariant: bool = False


class _Link:
    """What waits to be sent to one server."""

    def __init__(self) -> None:
        self.events: list[tuple[int, Event | Failure]] = []
        self.sessions: list[str] = []
        self.stats: Stats | None = None
        self.changed = asyncio.Event()
        self.is_closed = False


class _Run:
    """A request: its server's number for it, and whether it has ended."""

    def __init__(self, server: str, number: int) -> None:
        self.server = server
        self.number = number
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Replica:
    """`await start()` first. All methods must be called in one event loop. A replica whose worker has died
    (`is_alive`) is of no use any more: its owner replaces it."""

    def __init__(self, connect: Connect, name: str, node: str, model: ModelFiles) -> None:
        self._name, self._node = name, node
        self._model = model
        self._connection: Final = connect(self._on_message)
        self._numbers = itertools.count(1)
        self._runs: dict[int, _Run] = {}
        self._links: dict[str, _Link] = {}
        self._sessions: Final = SessionAffinity(_MAX_SESSIONS)
        self._tokenizing: dict[int, asyncio.Future[list[int]]] = {}
        self._description: Description | None = None

    @property
    def description(self) -> Description:
        assert self._description is not None, "start() was not awaited"
        return self._description

    @property
    def is_alive(self) -> bool:
        """Whether the worker runs and answers."""
        return not self._connection.gone.done()

    @property
    def num_running(self) -> int:
        return len(self._runs)

    @property
    def links(self) -> Mapping[str, object]:
        """The connected servers."""
        return self._links

    async def start(self) -> None:
        """Load the model. Raises `ModelLoadFailed`."""
        info, model = await self._connection.start(), self._model
        is_same = model.is_batch_invariant and info.arithmetic
        identity = f"{info.arithmetic} {model.weights}" if is_same else ""
        self._description = Description(self._name, self._node, info, model.weights, identity)
        self._connection.gone.add_done_callback(lambda _: self._end_all())

    async def link(self, server: str) -> AsyncGenerator[bytes, None]:
        """First the description, then all frames for a server: those of a step together, and at least one per
        heartbeat. When the stream is closed, the server is gone, and its requests are aborted."""
        self._check()
        if (earlier := self._links.get(server)) is not None:
            self._close(server, earlier)
        link = self._links[server] = _Link()
        link.sessions += self._sessions
        num_turns = 0
        try:
            yield encode_description(self.description)
            while not link.is_closed:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await link.changed.wait()
                except TimeoutError:
                    num_turns += 1
                    yield encode_item(LinkItem(frames.encode(Pong(num_turns))))
                    continue
                link.changed.clear()
                if item := _pending(link):
                    yield encode_item(item)
        finally:
            self._close(server, link)

    async def run(self, server: str, number: int, request: ModelRequest, session: str) -> None:
        """Run a request of a server that has a link; its events go there, and its session, if not empty, is
        made known to all servers. Returns when it has ended; aborts it if cancelled."""
        self._check()
        if server not in self._links:
            raise _gone()
        if session and not self._sessions.of(session):
            self._sessions.learn(session, self._name)
            for link in self._links.values():
                link.sessions.append(session)
                link.changed.set()
        own = next(self._numbers)
        run = self._runs[own] = _Run(server, number)
        self._connection.send(Submit(own, request))
        try:
            await run.ended
        finally:
            if self._runs.pop(own, None) is not None:
                self._connection.send(Abort(own))

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """With the engine's own tokenizer."""
        self._check()
        own = next(self._numbers)
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._tokenizing[own] = future
        self._connection.send(Tokenize(own, text, parse_special))
        return await future

    async def aclose(self) -> None:
        await self._connection.close()
        self._end_all()

    def _on_message(self, message: WorkerMessage | Interrupted) -> None:
        if isinstance(message, Step):
            for own, event in message.events:
                self._pass(own, event)
        elif isinstance(message, Stats):
            for link in self._links.values():
                link.stats = message
                link.changed.set()
        elif isinstance(message, Tokenized):
            future = self._tokenizing.pop(message.number, None)
            if future is not None and not future.done():
                if message.failure is not None:
                    future.set_exception(message.failure.error())
                else:
                    future.set_result(message.tokens)

    def _pass(self, own: int, event: Event | Failure) -> None:
        run = self._runs.get(own)
        if run is None:
            return  # aborted while the event was on its way
        link = self._links[run.server]
        link.events.append((run.number, event))
        link.changed.set()
        if isinstance(event, Done | Failure):
            del self._runs[own]
            if not run.ended.done():
                run.ended.set_result(None)

    def _close(self, server: str, link: _Link) -> None:
        """End a link, and abort the requests of its server."""
        link.is_closed = True
        link.changed.set()
        if self._links.get(server) is not link:
            return  # the server has a new one
        del self._links[server]
        for own, run in [(own, run) for own, run in self._runs.items() if run.server == server]:
            del self._runs[own]
            self._connection.send(Abort(own))
            if not run.ended.done():
                run.ended.set_exception(_gone())

    def _end_all(self) -> None:
        for server, link in list(self._links.items()):
            self._close(server, link)
        for future in self._tokenizing.values():
            if not future.done():
                future.set_exception(_gone())
        self._tokenizing.clear()

    def _check(self) -> None:
        if not self.is_alive:
            raise _gone()


def _gone() -> EngineDead:
    """The worker, the link or the server is: the server makes of it what its client gets."""
    return EngineDead(N_("The model's worker process died while generating the answer. Please try again."))


def _pending(link: _Link) -> LinkItem | None:
    """Everything that waits."""
    data = b""
    if link.events:
        data = frames.encode(Step(link.events))
        link.events = []
    if link.stats is not None:
        data += frames.encode(link.stats)
        link.stats = None
    sessions, link.sessions = link.sessions, []
    return LinkItem(data, sessions) if data or sessions else None
