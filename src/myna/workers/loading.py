"""From a worker's spec to a model that runs: engine, token bytes, grammars."""

from collections.abc import Callable, Sequence
from typing import Final

from myna.decoding.grammar import Grammars
from myna.decoding.token_table import TokenTable
from myna.engines import fake
from myna.engines.base import Engine
from myna.engines.registry import load_engine
from myna.prompts.gguf import read_header
from myna.prompts.model_check import check_model
from myna.prompts.thinking import MARKS
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary
from myna.scheduling.loop import Loaded
from myna.workers.frames import WorkerSpec

_FAKE: Final = "fake"  # the one engine whose models have no file, and so no vocabulary in it


def load_model(spec: WorkerSpec) -> Loaded:
    """Raises `ModelLoadFailed`, `ModelFileError` or `ConfigurationError`."""
    if spec.engine == _FAKE:
        return _fake_model(_load_engine(spec))
    header = read_header(spec.path)
    check_model(header)  # before the engine sees it: llama.cpp ends its process over a header that lies
    return _file_model(_load_engine(spec), Vocabulary.of(header))


def _load_engine(spec: WorkerSpec) -> Engine:
    return load_engine(
        spec.engine,
        spec.path,
        context_tokens=spec.context_tokens,
        memory_bytes=spec.memory_bytes,
        room_bytes=spec.room_bytes,
        threads=spec.threads,
    )


def _file_model(engine: Engine, vocabulary: Vocabulary) -> Loaded:
    marks = {mark.encode() for pair in MARKS for mark in pair}  # of thoughts; the answer is read by them
    controls = [
        token
        for token in range(len(vocabulary))
        if vocabulary.is_control(token) and vocabulary.texts[token] not in marks
    ]
    tokenizers: list[Tokenizer] = []

    def encode(text: str) -> list[int]:
        """Only grammars tokenise in a worker, so the tokenizer is built when the first one is compiled."""
        if not tokenizers:
            tokenizers.append(Tokenizer(vocabulary))
        return tokenizers[0].encode(text, parse_special=False)

    ends = vocabulary.eog | frozenset(engine.info.eos_tokens)
    return _loaded(engine, vocabulary.pieces, controls, ends, encode)


def _fake_model(engine: Engine) -> Loaded:
    def encode(text: str) -> list[int]:
        return fake.tokenize(text, parse_special=False)

    return _loaded(engine, fake.VOCABULARY, fake.SPECIAL_IDS, frozenset(engine.info.eos_tokens), encode)


def _loaded(
    engine: Engine,
    pieces: Sequence[bytes],
    controls: Sequence[int],
    ends: frozenset[int],
    encode: Callable[[str], list[int]],
) -> Loaded:
    """Control tokens stand for nothing that a reader should see."""
    size = engine.info.vocab_size
    data = [*pieces[:size], *[b""] * (size - len(pieces))]
    shown = list(data)
    for token in controls:
        if token < size:
            shown[token] = b""
    grammars: Grammars | None = None
    if ends:
        grammars = Grammars(data, [token for token in controls if token < size], ends, encode, size)
    return Loaded(engine, TokenTable(data, shown, ends), grammars)
