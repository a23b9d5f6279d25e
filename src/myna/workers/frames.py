"""The protocol between server and worker: msgpack frames, each preceded by its length in four bytes."""

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from myna.core import errors
from myna.core.errors import GenerationFailed, MynaError, RequestError
from myna.core.events import Event
from myna.core.generator import ModelInfo
from myna.core.requests import ModelRequest
from myna.core.stats import SchedulerStats
from myna.core.translatable import Translatable
from myna.scheduling.sequence import RequestEvent

MAX_FRAME_BYTES: Final = 1 << 30
_LENGTH: Final = struct.Struct("<I")
_MAY_PASS: Final[dict[str, type[MynaError]]] = {
    kind.__name__: kind
    for kind in (
        errors.InvalidRequest,
        errors.ConstraintTooComplex,
        errors.ContextLengthExceeded,
        errors.Overloaded,
        errors.GenerationFailed,
    )
}


class WorkerSpec(msgspec.Struct, frozen=True):
    """Which model a worker runs, and how. For the numbers see `engines.registry.load_engine`.

    `step_lock` is the lock file through which a machine's workers take turns at computing; "" for none.
    `prefix_file`, of `prefix_bytes`, is where prefixes are saved; "" for nowhere.
    `draft` is the file of a draft model for the same engine, "" for none, with a KV cache of `draft_bytes`.
    `kv_cache_type` is a name in `core.backend.KV_CACHE_TYPES`, for the draft model, too.
    `options` are the engine's own, passed on to it as they are. `adapters` are the folders of LoRA adapters
    by their names.
    """

    engine: str
    path: str
    context_tokens: int = 0
    memory_bytes: int = 0
    threads: int = 0
    step_lock: str = ""
    max_kv_bytes: int = 0
    prefix_file: str = ""
    prefix_bytes: int = 0
    draft: str = ""
    draft_bytes: int = 0
    kv_cache_type: str = "auto"
    options: dict[str, Any] = {}
    adapters: dict[str, str] = {}


# --- server to worker ---


class Load(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Load the model; the first frame."""

    spec: WorkerSpec


class Submit(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """An admitted request; `number` identifies it from now on. With `identity`, it continues an answer
    that broke off, and may only run where arithmetic and weights have that name."""

    number: int
    request: ModelRequest
    identity: str = ""


class Abort(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The request's result is no longer needed."""

    number: int


class Tokenize(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Tokenize with the engine's own tokenizer."""

    number: int
    text: str
    parse_special: bool


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Answered with `Pong` at once; also wakes the engine core's loop."""


Command = Load | Submit | Abort | Tokenize | Ping

# --- worker to server ---


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The model is loaded."""

    info: ModelInfo


class LoadFailed(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The model can't be loaded; the last frame. The message is translatable if it was raised so."""

    message: str | Translatable


class Failure(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """The error that ended one request, in place of an event."""

    kind: str
    message: str
    param: str | None = None
    code: str | None = None

    @classmethod
    def of(cls, error: MynaError) -> "Failure":
        if isinstance(error, RequestError):
            return cls(type(error).__name__, error.message, error.param, error.code)
        return cls(type(error).__name__, error.message)

    def error(self) -> MynaError:
        """An error of the same kind; unknown kinds become `GenerationFailed`."""
        kind: type[MynaError] = _MAY_PASS.get(self.kind, GenerationFailed)
        if issubclass(kind, RequestError):
            return kind(self.message, param=self.param, code=self.code)
        return kind(self.message)


class Step(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """All events of one step."""

    events: list[tuple[int, Event | Failure]]


class Tokenized(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The reply to `Tokenize`."""

    number: int
    tokens: list[int]
    failure: Failure | None = None


class Stats(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Load statistics."""

    stats: SchedulerStats


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The reply to `Ping`: the process is running. `num_turns` counts the iterations of its loop."""

    num_turns: int


WorkerMessage = Ready | LoadFailed | Step | Tokenized | Stats | Pong


class _StepEvents(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """`Step` as the worker encodes it: with the errors themselves, so that no event is copied."""

    events: list[RequestEvent]


def _as_failure(value: object) -> Failure:
    assert isinstance(value, MynaError)
    return Failure.of(value)


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_as_failure)
_command_decoder: Final = msgspec.msgpack.Decoder(Command)
_message_decoder: Final = msgspec.msgpack.Decoder(WorkerMessage)


def encode(frame: Command | WorkerMessage) -> bytes:
    """The frame, preceded by its length."""
    payload = _encoder.encode(frame)
    return _LENGTH.pack(len(payload)) + payload


def encode_events(events: list[RequestEvent]) -> bytes:
    """A `Step` of the scheduler's events."""
    payload = _encoder.encode(_StepEvents(events))
    return _LENGTH.pack(len(payload)) + payload


def decode_command(payload: bytes | memoryview) -> Command:
    command: Command = _command_decoder.decode(payload)
    return command


def decode_message(payload: bytes | memoryview) -> WorkerMessage:
    message: WorkerMessage = _message_decoder.decode(payload)
    return message


class FrameSplitter:
    """Splits a byte stream into the payloads of complete frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises ValueError for an invalid length."""
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        while end - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, start)
            if size > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {size} bytes")
            if end - start - _LENGTH.size < size:
                break
            start += _LENGTH.size
            yield bytes(buffer[start : start + size])
            start += size
        del buffer[:start]
