"""The thread that loads a model and drives its engine. Owns the thread and the engine."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from myna.core.errors import GenerationFailed, ModelLoadFailed, MynaError
from myna.core.requests import ModelRequest
from myna.engines.base import EmbeddingEngine
from myna.scheduling.embedding_loop import EmbeddingLoop
from myna.scheduling.generation_loop import GenerationLoop, LoadedEngine
from myna.scheduling.loop import Abort, Add, Loop, Mailbox, OutputSink, Stop, Tokenize

_log: Final = logging.getLogger(__name__)

AnyEngine = LoadedEngine | EmbeddingEngine


class EngineCore:
    """Loads a model and runs it in a dedicated thread, since an engine needs all calls from one thread.

    When idle, it waits on a condition. `step_lock` is held while the engine computes. Requests must have
    been admitted (`Admission`).
    """

    def __init__(
        self,
        load: Callable[[], AnyEngine],
        sink: OutputSink,
        step_lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self._load = load
        self._sink = sink
        self._step_lock = step_lock or nullcontext()
        self._mailbox = Mailbox()
        self._thread = threading.Thread(target=self._run, name="myna-loop", daemon=True)

    @property
    def num_turns(self) -> int:
        """How many iterations the loop has made; if it stops rising, the loop hangs."""
        return self._mailbox.num_turns

    def start(self) -> None:
        self._thread.start()

    def add(self, number: int, request: ModelRequest) -> None:
        """Queue a request; `number` identifies it in the sink's events."""
        self._mailbox.send(Add(number, request))

    def abort(self, number: int) -> None:
        """Drop the request before the next step. It has no further events."""
        self._mailbox.send(Abort(number))

    def tokenize(self, number: int, text: str, *, parse_special: bool) -> None:
        """Tokenize with the engine's own tokenizer, between two steps."""
        self._mailbox.send(Tokenize(number, text, parse_special))

    def ping(self) -> None:
        """Wake the loop so that it counts a turn even when idle."""
        self._mailbox.ping()

    def stop(self) -> None:
        """End after the current step; unfinished requests are dropped."""
        self._mailbox.send(Stop())

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            loaded = self._load()
        except MynaError as error:
            self._sink.ended(ModelLoadFailed(error.message))
            return
        except Exception as error:
            _log.exception("loading the model failed")
            self._sink.ended(ModelLoadFailed(f"The model can't be loaded: {error}"))
            return
        engine = loaded.engine if isinstance(loaded, LoadedEngine) else loaded
        failure: MynaError | None = None
        try:
            self._sink.ready(engine.info)
            self._loop(loaded).run()
        except Exception as error:
            _log.exception("the scheduling loop failed")
            failure = GenerationFailed(f"The scheduling loop failed: {error}")
        finally:
            loaded.close()
            self._sink.ended(failure)

    def _loop(self, loaded: AnyEngine) -> Loop:
        if isinstance(loaded, LoadedEngine):
            return GenerationLoop(self._mailbox, self._sink, self._step_lock, loaded)
        return EmbeddingLoop(self._mailbox, self._sink, self._step_lock, loaded)
