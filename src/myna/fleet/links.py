"""A server's links to the replicas of a model: opened when needed, watched, closed when silent or idle."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

from myna.core.events import Done, PromptDone
from myna.core.stats import ReplicaStats
from myna.fleet.link_stats import added_up
from myna.fleet.messages import (
    ANSWER_S,
    LATE_S,
    LOOK_S,
    RESUME_S,
    SILENCE_S,
    Description,
    decode_description,
    decode_item,
)
from myna.fleet.replicas import LinkStream, Replicas
from myna.fleet.routing import SessionAffinity
from myna.workers.connection import OnMessage
from myna.workers.frames import Failure, Stats, Step, WorkerMessage

_log: Final = logging.getLogger(__name__)
_IDLE_S: Final = 20.0
"""A link that no request has used for that long is closed, so that its replica may be removed."""
_SILENT: Final = "silent"
_MAX_SESSIONS: Final = 65_536
_AVOID_S: Final = 30.0
"""For that long, a replica whose link broke is only used if there is no other."""


class Link:
    """A link to one replica: which requests run there, by the numbers of their runs, when it was last heard,
    and what it reported. A request has a number of its own for each run, so that nothing of an earlier one is
    mistaken for the next."""

    def __init__(self, description: Description, stream: LinkStream) -> None:
        self.description = description
        self.stream = stream
        self.numbers: dict[int, int] = {}
        self.heard_at = self.used_at = time.monotonic()
        self.stats: Stats | None = None
        self.prompt_tokens = self.cached_tokens = 0
        self.is_broken = False

    @property
    def patience_s(self) -> float:
        """How long it may be silent."""
        return RESUME_S if self.description.identity else SILENCE_S


class _Avoided(NamedTuple):
    """The address of a replica's machine, and until when it is avoided."""

    node: str
    until: float


# Called with the requests that ran at a replica whose link broke.
OnBroken = Callable[[Link, Sequence[int]], None]


class Links:
    """By replica. `on_message` gets the frames, with the numbers of requests instead of runs."""

    def __init__(self, model: str, replicas: Replicas, on_message: OnMessage, on_broken: OnBroken) -> None:
        self._model = model
        self._replicas = replicas
        self._on_message = on_message
        self._on_broken = on_broken
        self._links: dict[str, asyncio.Future[Link]] = {}
        self._avoided: dict[str, _Avoided] = {}
        self._late: dict[str, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.affinity: Final = SessionAffinity(_MAX_SESSIONS)
        self.server: Final = secrets.token_hex(8)
        """This server's name at the replicas."""
        self._create(self._watch())

    @property
    def is_answering(self) -> bool:
        """Whether a link is alive, or nothing is known about any replica."""
        return not self._avoided or bool(self.opened())

    def opened(self) -> list[Link]:
        ready = [future.result() for future in self._links.values() if _is_ready(future)]
        return [link for link in ready if not link.is_broken]

    async def get(self, replica: str) -> Link:
        """The link to that replica, opened by the first request that needs it."""
        future = self._links.get(replica)
        if future is None:
            future = self._links[replica] = self._create(self._open(replica))
            future.add_done_callback(lambda done: self._forget_failed(replica, done))
        return await asyncio.shield(future)

    def avoid(self, replica: str, node: str, reason: object) -> None:
        """Use that replica only if there is no other, for some time."""
        _log.warning("the replica %s of %s is avoided: %s", replica, self._model, reason)
        self._avoided[replica] = _Avoided(node, time.monotonic() + _AVOID_S)

    def avoided(self) -> list[str]:
        """Also those that are late, before their links count as dead, and the addresses of all their machines
        from which nothing is heard: what ran at one replica of a machine that died must not go to the next
        one there."""
        now = time.monotonic()
        for replica in [one for one, (_, until) in self._avoided.items() if until < now]:
            del self._avoided[replica]
        nodes = {node for node, _ in self._avoided.values()} | {*self._late.values()}
        if nodes:
            described = [link.description for link in self.opened()]
            nodes -= {one.node for one in described if one.replica not in self._late}
        return [*self._avoided, *self._late, *sorted(nodes)]

    async def aclose(self) -> None:
        for link in self.opened():
            link.stream.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _create(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _open(self, replica: str) -> Link:
        stream = self._replicas.link(replica, self.server)
        items = aiter(stream)
        try:
            async with asyncio.timeout(ANSWER_S):
                link = Link(decode_description(await anext(items)), stream)
        except BaseException:
            stream.cancel()
            raise
        self._create(self._read(link, items))
        self._avoided.pop(replica, None)
        return link

    def _forget_failed(self, replica: str, done: "asyncio.Future[Link]") -> None:
        if not _is_ready(done) and self._links.get(replica) is done:
            del self._links[replica]

    async def _read(self, link: Link, items: AsyncIterator[bytes]) -> None:
        """Pass on a link's frames until it ends."""
        reason = "it ended"
        try:
            async for data in items:
                if link.is_broken:
                    return
                link.heard_at = time.monotonic()
                messages, sessions = decode_item(data)
                for session in sessions:
                    self.affinity.learn(session, link.description.replica)
                for message in messages:
                    self._take(link, message)
        except Exception as exc:
            reason = str(exc) or type(exc).__name__
        self._break(link, reason)

    def _take(self, link: Link, message: WorkerMessage) -> None:
        if isinstance(message, Step):
            numbers, events = link.numbers, []
            for run, event in message.events:
                number = numbers.get(run)
                if number is None:
                    continue  # aborted while the event was on its way
                events.append((number, event))
                if isinstance(event, PromptDone):
                    link.prompt_tokens += event.prompt_tokens
                    link.cached_tokens += event.cached_tokens
                elif isinstance(event, Done | Failure):
                    del numbers[run]
                    link.used_at = link.heard_at
            self._on_message(Step(events))
        elif isinstance(message, Stats):
            link.stats = message
            self._report()

    def _report(self) -> None:
        """Pass on the statistics of all replicas that are linked now."""
        replicas = [
            ReplicaStats(
                link.description.replica,
                link.description.node,
                link.stats.stats,
                link.prompt_tokens,
                link.cached_tokens,
            )
            for link in self.opened()
            if link.stats is not None
        ]
        self._on_message(Stats(added_up(replicas)))

    def _break(self, link: Link, reason: str) -> None:
        """A link is dead."""
        if link.is_broken:
            return
        link.is_broken = True
        link.stream.cancel()
        self._links.pop(link.description.replica, None)
        self._report()
        numbers = sorted(link.numbers.values())
        link.numbers.clear()
        if numbers or reason == _SILENT:
            self.avoid(link.description.replica, link.description.node, f"the link broke: {reason}")
        if numbers:
            self._on_broken(link, numbers)

    async def _watch(self) -> None:
        now = time.monotonic()
        while True:
            before = now
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            # A server that was held up itself has not read yet what has arrived.
            heard_until = min(now, before + LOOK_S)
            opened = self.opened()
            self._late = {
                link.description.replica: link.description.node
                for link in opened
                if heard_until - link.heard_at > LATE_S
            }
            for link in opened:
                if heard_until - link.heard_at > link.patience_s:
                    self._break(link, _SILENT)
                elif not link.numbers and now - link.used_at > _IDLE_S:
                    self._break(link, "idle")


def _is_ready(future: "asyncio.Future[Link]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
