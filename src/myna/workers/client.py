"""The server's side of a worker: a `core.Generator` or, by its model, a `core.Embedder` that starts another
process, or whatever it is connected to, when that dies. Knows no HTTP."""

import asyncio
import logging
from enum import StrEnum
from functools import partial
from typing import Final

from myna.core.errors import EngineDead, ModelLoadFailed
from myna.core.generator import ModelInfo
from myna.core.requests import ModelRequest
from myna.core.stats import SchedulerStats
from myna.core.translatable import N_
from myna.scheduling.admission import QueueLimits
from myna.scheduling.streams import RequestStream
from myna.workers.connection import Connect, Connection, Interrupted
from myna.workers.frames import Abort, Stats, Step, Submit, Tokenize, Tokenized, WorkerMessage, WorkerSpec
from myna.workers.launching import EarlyWorker
from myna.workers.process import WorkerProcess
from myna.workers.program import OWN, WorkerProgram
from myna.workers.table import PendingRequest, RequestTable
from myna.workers.watchdog import ProgressLimits

_log: Final = logging.getLogger(__name__)
_MAX_FAILED_LOADS: Final = 6
_MAX_DELAY_S: Final = 30.0
_STEADY_S: Final = 60.0


class State(StrEnum):
    """A worker's state. Only `DEAD` and `CLOSED` refuse requests; in the other states they run or wait."""

    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"
    DEAD = "dead"
    CLOSED = "closed"


class WorkerClient:
    """`await start()` before anything else. All methods must be called in one event loop.

    A dead worker is restarted, first at once and then with a delay that grows from `delay_s`. Requests whose
    text nobody has read yet run again; the others raise `EngineDead`. A worker that stops working is killed
    after `patience` and treated as dead. `connect` reaches what runs the requests, by default a process of
    their own, `early` if that has one; with it, interrupted answers may continue (`connection.Interrupted`).
    """

    def __init__(
        self,
        spec: WorkerSpec,
        limits: QueueLimits | None = None,
        *,
        delay_s: float = 0.5,
        patience: ProgressLimits | None = None,
        program: WorkerProgram = OWN,
        connect: Connect | None = None,
        early: EarlyWorker | None = None,
    ) -> None:
        self._spec = spec
        self._delay_s = delay_s
        self._connect: Connect = connect or partial(
            WorkerProcess, spec, patience or ProgressLimits(), program=program, early=early
        )
        self._table = RequestTable(limits or QueueLimits(), self._abort, resumes=connect is not None)
        self._tokenizing: dict[int, asyncio.Future[list[int]]] = {}
        self._last_tokenize = 0
        self._worker: Connection | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._info: ModelInfo | None = None
        self.last_stats: SchedulerStats | None = None
        self.state = State.LOADING

    @property
    def info(self) -> ModelInfo:
        assert self._info is not None, "start() was not awaited"
        return self._info

    @property
    def is_ready(self) -> bool:
        """Loaded and responding: false within seconds when the worker hangs, before it is killed."""
        return self.state is State.READY and self._worker is not None and self._worker.is_answering

    @property
    def pid(self) -> int | None:
        """The worker's process id, or None if it has no process."""
        return None if self._worker is None else self._worker.pid

    async def start(self) -> None:
        """Start the worker and load its model. Raises `ModelLoadFailed`, leaving no process behind."""
        self._worker = self._connect(self._on_message)
        try:
            self._info = await self._worker.start()
        except BaseException:
            self.state = State.CLOSED
            await self._worker.close()
            raise
        self.state = State.READY
        self._supervisor = asyncio.create_task(self._supervise())
        self._supervisor.add_done_callback(self._on_supervisor_done)

    async def generate(self, request: ModelRequest) -> RequestStream:
        if self.state in (State.DEAD, State.CLOSED):
            raise EngineDead(N_("The model's worker process is {state}.", state=self.state))
        number, entry = self._table.open(request, self.info)
        self._run(number, entry)
        return entry.stream

    embed = generate  # the request says which

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        if self._worker is None or self.state is not State.READY:
            raise EngineDead(N_("The model's worker process is {state}.", state=self.state))
        self._last_tokenize = number = self._last_tokenize + 1
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._tokenizing[number] = future
        self._worker.send(Tokenize(number, text, parse_special))
        return await future

    async def aclose(self) -> None:
        """Unload the model: end the worker and all requests. Idempotent."""
        self.state = State.CLOSED
        self._fail_all(EngineDead(N_("The model was unloaded.")))
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._worker is not None:
            await self._worker.close()

    def _run(self, number: int, entry: PendingRequest) -> None:
        if self._worker is not None and self.state is State.READY:
            entry.num_runs += 1
            self._worker.send(Submit(number, entry.request, entry.identity))

    def _abort(self, number: int, entry: PendingRequest) -> None:
        if entry.num_runs and self._worker is not None:
            self._worker.send(Abort(number))

    def _on_message(self, message: WorkerMessage | Interrupted) -> None:
        if isinstance(message, Step):
            self._table.dispatch(message)
        elif isinstance(message, Interrupted):
            for number in self._table.requeue_or_fail(_dead(), message.numbers, message.identity):
                self._run(number, self._table.entries[number])
        elif isinstance(message, Stats):
            self.last_stats = message.stats
        elif isinstance(message, Tokenized):
            future = self._tokenizing.pop(message.number, None)
            if future is None or future.done():
                return  # its caller was cancelled
            if message.failure is not None:
                future.set_exception(message.failure.error())
            else:
                future.set_result(message.tokens)

    async def _supervise(self) -> None:
        """Restart the worker whenever it dies, until too many attempts have failed."""
        loop = asyncio.get_running_loop()
        delay_s = 0.0
        while True:
            assert self._worker is not None
            started = loop.time()
            await self._worker.gone
            self.state = State.RESTARTING
            self.last_stats = None
            _log.error("the worker of %s died: %s", self._spec.path, await self._worker.close())
            dead = _dead()
            self._table.requeue_or_fail(dead)
            _fail_all_of(self._tokenizing, dead)
            if loop.time() - started > _STEADY_S:
                delay_s = 0.0
            for _ in range(_MAX_FAILED_LOADS):
                await asyncio.sleep(delay_s)
                delay_s = min(max(2 * delay_s, self._delay_s), _MAX_DELAY_S)
                if await self._restart():
                    break
            else:
                return

    def _on_supervisor_done(self, supervisor: asyncio.Task[None]) -> None:
        """Fail all requests: whatever ended the supervisor, the worker is not restarted any more."""
        if supervisor.cancelled():
            return
        if (error := supervisor.exception()) is not None:
            _log.error("supervising the worker of %s failed", self._spec.path, exc_info=error)
        self.state = State.DEAD
        self._fail_all(EngineDead(N_("The model's worker process died and can't be restarted.")))

    async def _restart(self) -> bool:
        self._worker = self._connect(self._on_message)
        try:
            self._info = await self._worker.start()
        except (ModelLoadFailed, OSError) as error:
            _log.error("the worker of %s can't be restarted: %s", self._spec.path, error)
            await self._worker.close()
            return False
        self.state = State.READY
        for number, entry in self._table.entries.items():
            self._run(number, entry)
        return True

    def _fail_all(self, error: EngineDead) -> None:
        self._table.fail_all(error)
        _fail_all_of(self._tokenizing, error)


def _dead() -> EngineDead:
    return EngineDead(N_("The model's worker process died while generating the answer. Please try again."))


def _fail_all_of(waiting: dict[int, asyncio.Future[list[int]]], error: EngineDead) -> None:
    for future in waiting.values():
        if not future.done():
            future.set_exception(error)
    waiting.clear()
