"""The vLLM worker: commands from its socket to vLLM, events back. One thread reads the socket, the event loop
does the rest."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from msgspec.structs import replace

from myna.core.errors import GenerationFailed, MynaError
from myna.core.requests import GenerationRequest
from myna.core.translatable import N_, Translatable
from myna.decoding.grammar import Grammar, Grammars
from myna.prompts.folder_text import FolderText
from myna.scheduling.grammar_compiler import GrammarCompiler
from myna.scheduling.grammar_text import grammar_text
from myna.scheduling.sequence import RequestEvent
from myna.workers import frames
from myna.workers.frames import Abort, Command, Load, Ping, Submit, Tokenize, WorkerSpec
from myna.workers.serving import receive
from myna.workers.token_tables import control_tokens, is_mark, padded, token_table
from myna.workers.vllm.choice import Model
from myna.workers.vllm.engine import VllmEngine, reason_of
from myna.workers.vllm.requests import RunningRequests
from myna.workers.vllm.stats import StepStats

_log: Final = logging.getLogger(__name__)
_SHUTDOWN_S: Final = 3.0


def run(connection: socket.socket) -> None:
    """Load the model of the first frame, then serve until the socket closes or SIGTERM comes. Ends the
    process, and vLLM's with it."""
    payload = receive(connection)
    command = frames.decode_command(payload) if payload is not None else None
    if isinstance(command, Load):
        asyncio.run(_Worker(connection, command.spec).serve())


@dataclass(frozen=True, slots=True)
class _Loaded:
    engine: VllmEngine
    text: FolderText
    requests: RunningRequests
    compiler: GrammarCompiler


class _Worker:
    """`is_leaving`: the server needs this process no longer."""

    def __init__(self, connection: socket.socket, spec: WorkerSpec) -> None:
        self._connection = connection
        self._spec = spec
        self._is_writing = threading.Lock()
        self._step_stats = StepStats(lambda stats: self._send(frames.encode(frames.Stats(stats))))
        self._compiling: set[int] = set()
        self._loaded: _Loaded | None = None
        self._status = 0

    async def serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = asyncio.Event()
        self._loop.add_signal_handler(signal.SIGTERM, self._left.set)
        threading.Thread(target=self._read, name="myna-socket", daemon=True).start()
        try:
            loaded = self._load()
            await loaded.engine.load_adapters()
        except MynaError as error:
            self._fail(error.text)
        except Exception as error:
            _log.exception("vLLM could not load the model")
            self._fail(N_("vLLM can't load the model: {reason}", reason=reason_of(error)))
        self._loaded = loaded
        self._send(frames.encode(frames.Ready(loaded.engine.info)))
        self._step_stats.idle()
        await self._left.wait()
        loaded.engine.shutdown(_SHUTDOWN_S)
        leave(self._status)

    def _fail(self, reason: str | Translatable) -> NoReturn:
        self._send(frames.encode(frames.LoadFailed(reason)))
        leave(1)

    def _load(self) -> _Loaded:
        """Blocks the event loop, which has nothing else to do yet."""
        text = FolderText.read(Path(self._spec.path))
        vocabulary, tokenizer = text.vocabulary, text.tokenizer
        engine = VllmEngine(self._spec, self._step_stats)
        size = engine.info.vocab_size
        ends = frozenset(token for token in vocabulary.eog if token < size)
        engine.info = replace(engine.info, eos_tokens=tuple(sorted(ends)))
        controls, _ = control_tokens(vocabulary)
        pieces = vocabulary.pieces

        def encode(text: str) -> list[int]:
            return tokenizer.encode(text, parse_special=False)

        def encode_mark(text: str) -> list[int]:
            data = text.encode()
            return [pieces.index(data)] if data in pieces else encode(text)

        model = Model(
            engine,
            token_table(pieces, controls, ends, size),
            {name: token for name, token in text.special.items() if is_mark(name.encode())},
            encode_mark,
        )
        grammars = Grammars(padded(pieces, size), [c for c in controls if c < size], ends, encode, size)
        requests = RunningRequests(model, self._send_events, self._step_stats.idle, self._on_error)
        return _Loaded(engine, text, requests, GrammarCompiler(lambda: grammars if ends else None))

    # --- in the socket's thread ---

    def _read(self) -> None:
        """Pings are answered here, so that a busy event loop doesn't look like a dead process."""
        while (payload := receive(self._connection)) is not None:
            command = frames.decode_command(payload)
            if isinstance(command, Ping):
                self._send(frames.encode(frames.Pong(self._step_stats.num_turns)))
            self._loop.call_soon_threadsafe(self._handle, command)
        if self._loaded is None:
            leave(0)  # while loading blocks the event loop
        self._loop.call_soon_threadsafe(self._left.set)

    # --- in the event loop ---

    def _handle(self, command: Command) -> None:
        if self._loaded is None:
            return
        if isinstance(command, Ping):
            if not self._loaded.requests:
                self._step_stats.num_turns += 1  # there is nothing to make progress with
        elif isinstance(command, Submit):
            assert isinstance(command.request, GenerationRequest), (
                "the server knows that this model generates"
            )
            self._submit(command.number, command.request, self._loaded)
        elif isinstance(command, Abort):
            self._compiling.discard(command.number)
            self._loaded.requests.abort(command.number)
        elif isinstance(command, Tokenize):
            ids = self._loaded.text.tokenizer.encode(command.text, parse_special=command.parse_special)
            self._send(frames.encode(frames.Tokenized(command.number, ids)))

    def _submit(self, number: int, request: GenerationRequest, loaded: _Loaded) -> None:
        """A constraint is compiled here first: what can't be followed is refused with the same errors as by
        other engines, and vLLM only gets grammars that compile in a bounded time."""
        if request.constraint is None:
            loaded.requests.start(number, request, None)
            return
        self._compiling.add(number)
        loaded.compiler.submit(
            request.constraint,
            None,
            partial(self._pass_on, number, request),
        )

    def _pass_on(self, number: int, request: GenerationRequest, grammar: Grammar | MynaError) -> None:
        """Called from the compiler's threads."""
        self._loop.call_soon_threadsafe(self._compiled, number, request, grammar)

    def _compiled(self, number: int, request: GenerationRequest, grammar: Grammar | MynaError) -> None:
        assert self._loaded is not None
        if number not in self._compiling:
            return  # aborted meanwhile
        self._compiling.remove(number)
        if isinstance(grammar, MynaError):
            self._loaded.requests.emit(number, [grammar])
        else:
            assert request.constraint is not None
            self._loaded.requests.start(number, request, grammar_text(request.constraint))

    def _on_error(self, error: Exception) -> MynaError | None:
        """vLLM's engine never recovers: the server starts another worker."""
        _log.error("vLLM failed", exc_info=error)
        if self._loaded is None or not self._loaded.engine.is_dead:
            return GenerationFailed(f"vLLM could not generate the answer: {error}")
        self._status = 1
        self._left.set()
        return None

    def _send_events(self, events: list[RequestEvent]) -> None:
        self._send(frames.encode_events(events))

    def _send(self, frame: bytes) -> None:
        """If the server reads slowly, this blocks, and with it vLLM's outputs: this is the back-pressure."""
        try:
            with self._is_writing:
                self._connection.sendall(frame)
        except OSError:
            leave(0)  # the server is gone


def leave(status: int) -> NoReturn:
    """End this process at once. The kernel ends vLLM's processes with it (`workers.vllm.main`)."""
    sys.stderr.flush()
    os._exit(status)
