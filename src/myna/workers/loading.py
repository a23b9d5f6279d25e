"""Loads the model of a worker's spec: the engine, and for one that generates token bytes and grammars."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final, TypedDict

from myna.decoding.grammar import Grammars
from myna.engines import fake
from myna.engines.base import EmbeddingEngine, Engine
from myna.engines.fake_embedding import embeds
from myna.engines.registry import load_embedding_engine, load_engine
from myna.prompts.bpe import UnsupportedTokenizer
from myna.prompts.gguf import Header, read_header, shard_paths
from myna.prompts.model_check import check_model
from myna.prompts.pooling import find_pooling
from myna.prompts.token_pieces import TokenKind
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary
from myna.scheduling.core_loop import AnyEngine
from myna.scheduling.generation_loop import LoadedEngine
from myna.scheduling.prefix_file import PrefixFile
from myna.scheduling.saved_prefixes import chunk_bytes
from myna.workers.frames import WorkerSpec
from myna.workers.prefix_store import file_identity
from myna.workers.token_tables import control_tokens, padded, token_table

_log: Final = logging.getLogger(__name__)
_FAKE: Final = "fake"  # the only engine whose models have no file, and so no vocabulary


class _Sizes(TypedDict):
    context_tokens: int
    memory_bytes: int
    max_kv_bytes: int
    threads: int


def load_model(spec: WorkerSpec, prefix_file: int | None = None) -> AnyEngine:
    """The model of that spec; its file decides of which kind it is. `prefix_file` is an open file for saved
    prefixes, which it owns from now on. Raises `ModelLoadFailed`,
    `ModelFileError` or `ConfigurationError`."""
    if spec.engine == _FAKE:
        if embeds(spec.path):
            return _load_embedding_engine(spec)
        return _with_draft(_with_prefixes(load_fake(spec), prefix_file, spec.path), spec)
    header = read_header(spec.path)
    check_model(header)  # before the engine reads it: llama.cpp aborts the process on an inconsistent header
    if find_pooling(header):
        return _load_embedding_engine(spec)
    identity = file_identity(shard_paths(Path(spec.path), header))
    loaded = _with_prefixes(_file_model(spec, header), prefix_file, identity)
    return _with_draft(loaded, spec)


def _with_prefixes(loaded: LoadedEngine, descriptor: int | None, identity: str) -> LoadedEngine:
    """The model with its file of saved prefixes, if it has one and can use it."""
    engine = loaded.engine
    if descriptor is None:
        return loaded
    if engine.blocks is None:
        _log.warning("the prefixes of %s can't be saved", engine.info.architecture)
        return loaded
    try:
        file = PrefixFile(descriptor, f"{identity} {engine.info.arithmetic}", chunk_bytes(engine.blocks))
    except (OSError, ValueError) as error:
        _log.warning("the file of saved prefixes can't be used: %s", error)
        return loaded
    return replace(loaded, prefix_file=file)


def _with_draft(loaded: LoadedEngine, spec: WorkerSpec) -> LoadedEngine:
    """The model with its draft model, if it has one. Raises as `load_model` does."""
    if not spec.draft:
        return loaded
    if spec.engine != _FAKE:
        check_model(read_header(spec.draft))
    engine = load_engine(
        spec.engine,
        spec.draft,
        context_tokens=0,
        memory_bytes=spec.draft_bytes,
        threads=spec.threads,
        kv_cache_type=spec.kv_cache_type,
    )
    return replace(loaded, draft_engine=engine)


def _load_engine(spec: WorkerSpec) -> Engine:
    return load_engine(spec.engine, spec.path, **_sizes(spec), kv_cache_type=spec.kv_cache_type)


def _load_embedding_engine(spec: WorkerSpec) -> EmbeddingEngine:
    return load_embedding_engine(spec.engine, spec.path, **_sizes(spec))


def _sizes(spec: WorkerSpec) -> _Sizes:
    return {
        "context_tokens": spec.context_tokens,
        "memory_bytes": spec.memory_bytes,
        "max_kv_bytes": spec.max_kv_bytes,
        "threads": spec.threads,
    }


def _file_model(spec: WorkerSpec, header: Header) -> LoadedEngine:
    with ThreadPoolExecutor(1) as helper:
        reading = helper.submit(_read_vocabulary, header)  # while the engine loads
        engine = _load_engine(spec)
    vocabulary, controls, marks = reading.result()
    ends, size = vocabulary.eog | frozenset(engine.info.eos_tokens), engine.info.vocab_size

    def grammars() -> Grammars | None:
        return _grammars(vocabulary.pieces, controls, ends, _encoder(vocabulary, marks), size)

    return _loaded(engine, vocabulary.pieces, controls, ends, grammars)


def _read_vocabulary(header: Header) -> tuple[Vocabulary, list[int], list[int]]:
    vocabulary = Vocabulary.of(header)
    return vocabulary, *control_tokens(vocabulary)


def _encoder(vocabulary: Vocabulary, marks: Sequence[int]) -> Callable[[str], list[int]]:
    """Tokenizes the text that a grammar forces. Marks become tokens there, as in what the model was trained
    on: it must not be made to spell them out. The returned function raises `UnsupportedTokenizer` for a model
    that only its engine can tokenize for."""
    kinds = bytearray(vocabulary.kinds)
    for mark in set(marks) - vocabulary.eog:
        kinds[mark] = TokenKind.USER_DEFINED
    try:
        tokenizer = Tokenizer(replace(vocabulary, kinds=bytes(kinds)))
    except UnsupportedTokenizer as error:
        reason = error.message

        def refuse(text: str) -> list[int]:
            raise UnsupportedTokenizer(reason)

        return refuse
    return lambda text: tokenizer.encode(text, parse_special=False)


def load_fake(spec: WorkerSpec) -> LoadedEngine:
    """The fake engine's model that generates."""
    engine = _load_engine(spec)

    def encode(text: str) -> list[int]:
        return fake.tokenize(text, parse_special=False)

    ends = frozenset(engine.info.eos_tokens)

    def grammars() -> Grammars | None:
        return _grammars(fake.VOCABULARY, fake.SPECIAL_IDS, ends, encode, engine.info.vocab_size)

    return _loaded(engine, fake.VOCABULARY, fake.SPECIAL_IDS, ends, grammars)


def _grammars(
    pieces: Sequence[bytes],
    controls: Sequence[int],
    ends: frozenset[int],
    encode: Callable[[str], list[int]],
    size: int,
) -> Grammars | None:
    """None for a model without end-of-text tokens."""
    if not ends:
        return None
    return Grammars(padded(pieces, size), [token for token in controls if token < size], ends, encode, size)


def _loaded(
    engine: Engine,
    pieces: Sequence[bytes],
    controls: Sequence[int],
    ends: frozenset[int],
    prepare_grammars: Callable[[], Grammars | None],
) -> LoadedEngine:
    return LoadedEngine(engine, token_table(pieces, controls, ends, engine.info.vocab_size), prepare_grammars)
