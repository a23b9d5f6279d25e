"""Myna's own CPU engine, through the extension `myna._native`. Knows nothing about text or requests."""

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import psutil

from myna.core.errors import ConfigurationError, GenerationFailed, ModelLoadFailed
from myna.core.generator import ModelInfo
from myna.core.installation import install_command
from myna.core.translatable import N_
from myna.engines.base import BatchRow, KVCacheFull, with_cache_type

try:
    from myna import _native
except ImportError as exc:  # a pure Python install: no compiler, or no wheel for this processor
    raise ConfigurationError(
        N_(
            "Myna's own engine was not built in this installation ({reason}); "
            "install llama.cpp with: {command}",
            reason=exc,
            command=install_command("llamacpp"),
        )
    ) from exc

# Must change whenever the same weights could give different bits. All instruction sets give the same bits,
# except AMX, which is why the type of activations is named, too.
ARITHMETIC_VERSION: Final = 2
MAX_SEQUENCES: Final = 1024
_END_TOKENS: Final = ("eos", "eot", "eom")
_ELSEWHERE: Final = N_(
    "llama.cpp may run it: {command}, then choose the engine llamacpp.", command=install_command("llamacpp")
)


@dataclass(frozen=True, slots=True)
class NativeLogits:
    """Rows of the last `forward`, read in place."""

    array: npt.NDArray[np.float32]


class StepWork(NamedTuple):
    """Counted rather than measured: the same on every machine. The first three are of matrix products;
    `cache_bytes` are read from the KV cache, those that sequences share only once."""

    products: int
    weight_bytes: int
    multiply_adds: int
    cache_bytes: int = 0


class MachineLimits(NamedTuple):
    """The machine's measured limits: bytes read per second, operations of matrix products per second (0 if
    unknown), and the type of their operands."""

    bytes_per_s: float
    ops_per_s: float
    operands: str


def architectures() -> Container[str]:
    """Those that it can run, to generate text or to embed it."""
    return {*_native.architectures(), *_native.embedding_architectures()}


def arithmetic() -> str:
    """See `ModelInfo.arithmetic`."""
    return f"native-{ARITHMETIC_VERSION}-{_native.activations()}"


class NativeBlocks:
    """A `base.BlockStorage`."""

    def __init__(self, engine: _native.Engine) -> None:
        self._engine = engine
        self.block_bytes: Final = engine.block_bytes

    def read_blocks(self, sequence: int, first: int, target: npt.NDArray[np.uint8]) -> None:
        self._engine.read_blocks(sequence, first, target)

    def append_blocks(self, sequence: int, source: npt.NDArray[np.uint8]) -> None:
        try:
            self._engine.append_blocks(sequence, source)
        except _native.OutOfRoom as exc:
            raise KVCacheFull(str(exc)) from None


class NativeEngine:
    """One model in this process. All calls come from one thread."""

    can_trim = True
    is_batch_invariant = True

    def __init__(self, engine: _native.Engine, kv_cache_type: str) -> None:
        self._engine = engine
        has_states = engine.prefix_grid > 1  # which are not in the blocks
        self.blocks: Final = None if has_states else NativeBlocks(engine)
        self.prefix_grid: Final = engine.prefix_grid
        ends = (engine.token(name) for name in _END_TOKENS)
        self.info: Final = ModelInfo(
            engine="native",
            architecture=engine.architecture,
            vocab_size=engine.vocab_size,
            context_tokens=engine.context_tokens,
            kv_tokens=engine.kv_tokens,
            max_sequences=engine.max_sequences,
            arithmetic=with_cache_type(arithmetic(), kv_cache_type),
            eos_tokens=tuple(dict.fromkeys(token for token in ends if token >= 0)),
            is_batch_invariant=True,
        )

    @property
    def prefix_cache_tokens(self) -> int:
        return self.info.kv_tokens  # idle blocks cost no time

    @property
    def free_tokens(self) -> int:
        return self._engine.free_tokens

    @property
    def kernels(self) -> str:
        """The instruction set in use."""
        return _native.kernel_name()

    @property
    def num_threads(self) -> int:
        return self._engine.num_threads

    @property
    def work(self) -> StepWork:
        """The total work so far."""
        return StepWork(*self._engine.work)

    def limits(self, seconds: float) -> MachineLimits:
        """Measure twice for about that long, with the engine's threads."""
        return MachineLimits(*self._engine.limits(seconds), _native.activations())

    def forward(self, batch: Sequence[BatchRow]) -> NativeLogits:
        rows: list[int] = []
        tokens: list[int] = []
        for row in batch:
            rows += (row.sequence, len(row.tokens), row.start, row.logits_from)
            tokens += row.tokens
        try:
            return NativeLogits(self._engine.forward(rows, tokens))
        except _native.OutOfRoom as exc:
            raise KVCacheFull(str(exc)) from None
        except ValueError as exc:
            raise GenerationFailed(N_("The engine rejected the batch: {reason}.", reason=exc)) from exc

    def reusable(self, sequence: int, num_tokens: int) -> int:
        return self._engine.reusable(sequence, num_tokens)

    def fork(self, source: int, target: int, num_tokens: int) -> None:
        self._engine.fork(source, target, num_tokens)

    def trim(self, sequence: int, num_tokens: int) -> None:
        self._engine.trim(sequence, num_tokens)

    def free(self, sequence: int) -> None:
        self._engine.free(sequence)

    def prepare_memory(self) -> bool:
        return self._engine.prepare_memory()

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        raise NotImplementedError("the native engine has no tokenizer")

    def close(self) -> None:
        self._engine.close()


def load(
    path: str,
    *,
    context_tokens: int,
    memory_bytes: int,
    threads: int,
    max_kv_bytes: int = 0,
    kv_cache_type: str = "auto",
) -> NativeEngine:
    """Load a GGUF file; the arguments are those of `registry.load_engine`."""
    memory_bytes = memory_bytes or max_kv_bytes or psutil.virtual_memory().available // 4
    with load_errors(path):
        engine = _native.Engine(
            path,
            context_tokens=context_tokens,
            memory_bytes=memory_bytes,
            threads=threads,
            max_sequences=MAX_SEQUENCES,
            has_q8_cache=kv_cache_type == "q8_0",
        )
    return NativeEngine(engine, kv_cache_type)


@contextmanager
def load_errors(path: str) -> Iterator[None]:
    """The extension's errors as `ModelLoadFailed`."""
    try:
        yield
    except _native.UnsupportedModel as exc:
        raise ModelLoadFailed(
            N_(
                "Myna's own engine can't run {path}: {reason}. {advice}",
                path=path,
                reason=exc,
                advice=_ELSEWHERE,
            )
        ) from exc
    except (_native.CorruptFile, ValueError, RuntimeError) as exc:
        raise ModelLoadFailed(N_("{path} can't be loaded: {reason}.", path=path, reason=exc)) from exc
    except MemoryError as exc:
        raise ModelLoadFailed(N_("There is not enough memory to load {path}.", path=path)) from exc
