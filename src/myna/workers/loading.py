"""From a worker's spec to a model that runs: engine, token bytes, grammars."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from myna.decoding.grammar import Grammars
from myna.decoding.token_table import TokenTable
from myna.engines import fake
from myna.engines.base import Engine
from myna.engines.registry import load_engine
from myna.prompts.gguf import read_header
from myna.prompts.model_check import check_model
from myna.prompts.thinking import MARKS
from myna.prompts.tokenizer import Tokenizer, UnknownPreTokenizer
from myna.prompts.vocabulary import Vocabulary
from myna.scheduling.core_loop import Loaded
from myna.workers.frames import WorkerSpec

_FAKE: Final = "fake"  # the one engine whose models have no file, and so no vocabulary in it


def load_model(spec: WorkerSpec) -> Loaded:
    """Raises `ModelLoadFailed`, `ModelFileError` or `ConfigurationError`."""
    if spec.engine == _FAKE:
        return _fake_model(_load_engine(spec))
    header = read_header(spec.path)
    check_model(header)  # before the engine sees it: llama.cpp ends its process over a header that lies
    return _file_model(spec, Vocabulary.of(header))


def _load_engine(spec: WorkerSpec) -> Engine:
    return load_engine(
        spec.engine,
        spec.path,
        context_tokens=spec.context_tokens,
        memory_bytes=spec.memory_bytes,
        room_bytes=spec.room_bytes,
        threads=spec.threads,
    )


def _file_model(spec: WorkerSpec, vocabulary: Vocabulary) -> Loaded:
    marks = {mark.encode() for pair in MARKS for mark in pair}  # of thoughts; the answer is read by them
    controls = [
        token
        for token in range(len(vocabulary))
        if vocabulary.is_control(token) and vocabulary.texts[token] not in marks
    ]

    def grammars(ends: frozenset[int], size: int) -> Grammars | None:
        return _grammars(vocabulary.pieces, controls, ends, _encoder(vocabulary), size)

    with ThreadPoolExecutor(1) as helper:
        # Beside the engine's load, whose numbers are almost always these: it takes up to a second.
        usual = vocabulary.eog, len(vocabulary)
        early = helper.submit(grammars, *usual)
        engine = _load_engine(spec)
    ends, size = vocabulary.eog | frozenset(engine.info.eos_tokens), engine.info.vocab_size
    ready = early.result() if (ends, size) == usual else grammars(ends, size)
    return _loaded(engine, vocabulary.pieces, controls, ends, ready)


def _encoder(vocabulary: Vocabulary) -> Callable[[str], list[int]]:
    """Raises, when it is called, `UnknownPreTokenizer` for a model that only its engine can tokenise for."""
    try:
        tokenizer = Tokenizer(vocabulary)
    except UnknownPreTokenizer as error:
        reason = error.message

        def refuse(text: str) -> list[int]:
            raise UnknownPreTokenizer(reason)

        return refuse
    return lambda text: tokenizer.encode(text, parse_special=False)


def _fake_model(engine: Engine) -> Loaded:
    def encode(text: str) -> list[int]:
        return fake.tokenize(text, parse_special=False)

    ends = frozenset(engine.info.eos_tokens)
    grammars = _grammars(fake.VOCABULARY, fake.SPECIAL_IDS, ends, encode, engine.info.vocab_size)
    return _loaded(engine, fake.VOCABULARY, fake.SPECIAL_IDS, ends, grammars)


def _grammars(
    pieces: Sequence[bytes],
    controls: Sequence[int],
    ends: frozenset[int],
    encode: Callable[[str], list[int]],
    size: int,
) -> Grammars | None:
    """None for a model whose answers no token ends."""
    if not ends:
        return None
    return Grammars(_padded(pieces, size), [token for token in controls if token < size], ends, encode, size)


def _loaded(
    engine: Engine,
    pieces: Sequence[bytes],
    controls: Sequence[int],
    ends: frozenset[int],
    grammars: Grammars | None,
) -> Loaded:
    """Control tokens stand for nothing that a reader should see."""
    size = engine.info.vocab_size
    data = _padded(pieces, size)
    shown = list(data)
    for token in controls:
        if token < size:
            shown[token] = b""
    return Loaded(engine, TokenTable(data, shown, ends), grammars)


def _padded(pieces: Sequence[bytes], size: int) -> list[bytes]:
    """As many as a row of logits has numbers."""
    return [*pieces[:size], *[b""] * (size - len(pieces))]
