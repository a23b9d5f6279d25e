"""Background responses that this server generates: their events for readers, their heartbeat, their end.

Knows no wire format: events are bytes, and what is generated is a task's business.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from myna.core.errors import DatabaseUnavailable, RequestsLimited
from myna.core.stored_responses import BackgroundStore, EventBatch, StoredResponse
from myna.core.supervision import SupervisedTask
from myna.stores.database_threads import DatabaseThreads

MAX_PER_KEY: Final = 32
MAX_FOLLOWED_PER_KEY: Final = 4 * MAX_PER_KEY
LEASE_S: Final = 20.0
"""A server that has not been heard of for that long is dead."""
KEEP_EVENTS_S: Final = 600
"""How long after its end a response's events are kept."""
_BEAT_S: Final = 4.0
_FLUSH_S: Final = 1.0
_CLEAN_S: Final = 300.0
_MAX_IN_MEMORY: Final = 1 << 20
_MAX_STORED_BYTES: Final = 64 << 20
_CLOSE_S: Final = 5.0
_END_S: Final = 1.5
"""How long the last events are held back, so that a client that has seen them can retrieve the response."""
_FIRST_RETRY_S: Final = 0.5
_MAX_RETRY_S: Final = 5.0

log = logging.getLogger("myna.serving")


class EventLog:
    """The events of a response while it is generated. Readers wait for new ones; old ones are only kept in
    the store, if `is_stored`. To be used in one event loop."""

    def __init__(self, *, is_stored: bool) -> None:
        self._is_stored = is_stored
        self._events: deque[bytes] = deque()
        self._num_bytes = 0
        self._num_stored_bytes = 0
        self._next_stored = 0
        self._changed = asyncio.Event()
        self.first = 0
        """The number of the first event that is in memory."""
        self.ended = asyncio.Event()
        """No event follows."""

    @property
    def next(self) -> int:
        """The number of the next event."""
        return self.first + len(self._events)

    def append(self, events: Sequence[bytes]) -> None:
        self._events.extend(events)
        self._num_bytes += sum(map(len, events))
        if not self._is_stored:
            self._next_stored = self.next
        while self._num_bytes > _MAX_IN_MEMORY and self.first < self._next_stored:
            self._num_bytes -= len(self._events.popleft())
            self.first += 1
        self._wake()

    def end(self) -> None:
        self.ended.set()
        self._wake()

    async def after(self, number: int) -> Sequence[bytes]:
        """The events that follow the one of that number, as soon as there are any; none at the end. The next
        one must be in memory."""
        while number + 1 >= self.next and not self.ended.is_set():
            await self._changed.wait()
        start = number + 1 - self.first
        return [self._events[index] for index in range(start, len(self._events))]

    def unstored(self) -> EventBatch | None:
        """What is to be stored next. None if that is nothing, or the response has too many events."""
        start = self._next_stored - self.first
        events = [self._events[index] for index in range(start, len(self._events))]
        if not events:
            return None
        batch = EventBatch(self._next_stored, events)
        self._next_stored = self.next
        self._num_stored_bytes += sum(map(len, events))
        return batch if self._num_stored_bytes <= _MAX_STORED_BYTES else None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Run:
    """One response that is generated in the background, for a key, until its end is stored. `keeps_events`:
    also for a time after its end."""

    def __init__(self, id: str, key_id: str, *, keeps_events: bool) -> None:
        self.id = id
        self.key_id = key_id
        self.keeps_events = keeps_events
        self.log = EventLog(is_stored=keeps_events)
        self.is_stopped = False
        """It was cancelled or deleted by its owner, and the store knows that."""
        self.is_ending = False
        """All is generated; the end is being stored."""
        self.flushing = asyncio.Lock()
        self.task: asyncio.Task[None] | None = None
        self.finishing: asyncio.Task[bool] | None = None
        """Stores the end."""

    @property
    def is_finishing(self) -> bool:
        """The end is being stored, which also unlocks its conversation."""
        return self.finishing is not None and not self.finishing.done()

    def stop(self) -> None:
        """End the generation of a response that is no longer wanted."""
        if self.task is not None and not self.is_ending:
            self.is_stopped = True
            self.task.cancel()


class EndWriter:
    """Stores how responses end. While the database is away, it tries again: none starts meanwhile, so that
    only those wait that ran when the outage began."""

    def __init__(self, store: BackgroundStore, threads: DatabaseThreads) -> None:
        self._store = store
        self._threads = threads
        self._is_closing = asyncio.Event()

    async def store(self, run: Run, row: StoredResponse) -> bool:
        """Store the row of a run that `is_ending`, and wait briefly for that. False if the response was
        cancelled or deleted. Raises `DatabaseError` if it can't be stored."""
        run.finishing = asyncio.create_task(self._finish(row))
        done, _ = await asyncio.wait([run.finishing], timeout=_END_S)
        return run.finishing.result() if done else True

    async def wait(self, run: Run) -> None:
        """Returns when the end is stored. If it can't be, the response is lost: it is found to have failed
        when it is read."""
        if run.finishing is None:
            return
        await asyncio.wait([run.finishing])
        error = None if run.finishing.cancelled() else run.finishing.exception()
        if error is not None:
            log.error("the background response %s can't be stored: %s", run.id, error)

    def close(self) -> None:
        """Try each one only once from now on."""
        self._is_closing.set()

    async def _finish(self, row: StoredResponse) -> bool:
        retry_s = _FIRST_RETRY_S
        while True:
            is_last = self._is_closing.is_set()
            try:
                return await self._threads.run(self._store.finish, row)
            except DatabaseUnavailable:  # already logged
                if is_last:
                    raise
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_closing.wait(), retry_s)
            retry_s = min(2 * retry_s, _MAX_RETRY_S)


class BackgroundRuns:
    """The responses that this server generates. While there are any, or a conversation is locked, it declares
    itself alive to the other servers on the database. All methods must be called in one event loop."""

    def __init__(self, store: BackgroundStore, threads: DatabaseThreads) -> None:
        self.server = secrets.token_hex(16)
        """This server's id as a runner."""
        self.track: Callable[[asyncio.Task[None]], None] = lambda task: None
        """Makes the shutdown of the server wait for a task."""
        self.ends = EndWriter(store, threads)
        self._store = store
        self._threads = threads
        self._runs: dict[str, Run] = {}
        self._starting = Counter[str]()  # by key
        self._followed = Counter[str]()  # by key
        self._num_holders = 0
        self._beaten_at = float("-inf")
        self._heart = SupervisedTask("the heartbeat for background responses", self._beat)
        self._cleaner = SupervisedTask("deleting events of background responses", self._clean_regularly)

    def get(self, response_id: str) -> Run | None:
        return self._runs.get(response_id)

    @contextmanager
    def room(self, key_id: str) -> Iterator[None]:
        """A block that starts a run, which counts from now on. Raises `RequestsLimited` if the key has too
        many."""
        num_running = sum(run.key_id == key_id for run in self._runs.values())
        if num_running + self._starting[key_id] >= MAX_PER_KEY:
            raise _too_many(
                f"This key has {MAX_PER_KEY} background responses running. Wait for one to end, or cancel "
                "one."
            )
        with _counted(self._starting, key_id):
            yield

    @contextmanager
    def following(self, key_id: str) -> Iterator[None]:
        """A block that reads the events of one response for a client. Raises `RequestsLimited` if the key has
        too many: each may hold a copy of all events in memory, or asks the store again and again."""
        if self._followed[key_id] >= MAX_FOLLOWED_PER_KEY:
            raise _too_many(
                f"This key has {MAX_FOLLOWED_PER_KEY} streams of background responses open. Close one, or "
                "retrieve the response without 'stream'."
            )
        with _counted(self._followed, key_id):
            yield

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """A block in which other servers know that this one is alive."""
        self._num_holders += 1
        try:
            if time.monotonic() - self._beaten_at > LEASE_S / 2:
                await self._beat_once()
            self._heart.start()
            yield
        finally:
            self._num_holders -= 1

    def run(self, run: Run, work: Awaitable[None]) -> None:
        """Do the work in a task of its own. It must not raise."""
        run.task = asyncio.create_task(self._run(run, work))
        self.track(run.task)
        self._runs[run.id] = run

    async def flush(self, run: Run) -> None:
        """Store the events so far, if they are kept."""
        async with run.flushing:
            batch = run.log.unstored()
            if batch is not None:
                with contextlib.suppress(DatabaseUnavailable):  # readers get the final response
                    await self._threads.run(self._store.add_events, run.id, batch)

    def start_cleaning(self) -> None:
        """Delete events that nobody needs any more, from now on."""
        self._cleaner.start()

    async def clean(self) -> None:
        """Delete the events of responses that ended long ago."""
        await self._threads.run(self._store.delete_events, int(time.time()) - KEEP_EVENTS_S)

    async def aclose(self) -> None:
        """Cancel what is still generated, and store how it has ended, for at most a few seconds."""
        self.ends.close()
        await self._cleaner.aclose()
        tasks = list[asyncio.Task[None]]()
        for run in self._runs.values():
            if run.task is not None:
                tasks.append(run.task)
                if not run.is_ending:
                    run.task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_S)
        await self._heart.aclose()

    async def _run(self, run: Run, work: Awaitable[None]) -> None:
        storing = asyncio.create_task(self._store_events(run)) if run.keeps_events else None
        try:
            await work
        except Exception:
            log.exception("the background response %s failed unexpectedly", run.id)
        finally:
            run.log.end()
            if storing is not None:
                await asyncio.wait([storing])
            await self.ends.wait(run)
            self._runs.pop(run.id, None)

    async def _store_events(self, run: Run) -> None:
        """Copy the events to the store, for readers at other servers and late ones, until the log ends."""
        is_last = False
        while not is_last:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(run.log.ended.wait(), _FLUSH_S)
            is_last = run.log.ended.is_set()
            await self.flush(run)

    async def _beat(self) -> None:
        while self._num_holders or self._runs:
            await asyncio.sleep(_BEAT_S)
            with contextlib.suppress(DatabaseUnavailable):  # already logged
                await self._beat_once()

    async def _beat_once(self) -> None:
        """Renew the lease, and stop what was cancelled or deleted at another server."""
        before = list(self._runs.values())
        active = await self._threads.run(self._store.heartbeat, self.server, LEASE_S)
        self._beaten_at = time.monotonic()
        for run in before:
            if run.id not in active:
                run.stop()

    async def _clean_regularly(self) -> None:
        while True:
            with contextlib.suppress(DatabaseUnavailable):  # already logged
                await self.clean()
            await asyncio.sleep(_CLEAN_S)


def _too_many(text: str) -> RequestsLimited:
    return RequestsLimited(text, code="rate_limit_exceeded", retry_after_s=5.0)


@contextmanager
def _counted(counts: Counter[str], key_id: str) -> Iterator[None]:
    """Count one more of the key's while the block runs."""
    counts[key_id] += 1
    try:
        yield
    finally:
        counts -= Counter([key_id])
