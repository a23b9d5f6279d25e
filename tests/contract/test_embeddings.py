"""What `core.embedder.Embedder` promises, asked of every way to run an embedding model."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
from tests.engines.tiny_embedders import write_bert, write_qwen3_embedding

from myna.core.errors import ContextLengthExceeded, GenerationFailed, InvalidRequest, Overloaded
from myna.core.events import Done, Embedded, Event, PromptDone
from myna.core.requests import EmbeddingRequest
from myna.engines import fake
from myna.engines.registry import ENGINES, is_installed, load_embedding_engine
from myna.scheduling.admission import QueueLimits
from myna.scheduling.in_process import InProcessGenerator
from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec

CONTEXT, MAX_WAITING = 100, 8
Vectors = npt.NDArray[np.float32]
WRITERS: dict[str, Callable[[Path], Path]] = {"bert": write_bert, "qwen3": write_qwen3_embedding}
ROWS = [
    ("in-process", "fake", "embedding"),
    *(
        ("worker", engine, model)
        for engine, row in ENGINES.items()
        if row.load_embedding and is_installed(engine)
        for model in (["embedding"] if engine == "fake" else WRITERS)
    ),
]


@dataclass(frozen=True)
class Subject:
    """A running embedder; `direct` are an engine's own vectors of the same model."""

    embedder: InProcessGenerator | WorkerClient
    direct: Vectors
    is_exact: bool

    async def events(self, *texts: tuple[int, ...], owner: str = "") -> list[Event]:
        stream = await self.embedder.embed(EmbeddingRequest("id", texts, owner=owner))
        return [event async for event in stream]

    async def vectors(self, *texts: tuple[int, ...]) -> Vectors:
        width = self.embedder.info.embedding.width if self.embedder.info.embedding else 0
        data = b"".join(one.vectors for one in await self.events(*texts) if isinstance(one, Embedded))
        return np.frombuffer(data, "<f4").reshape(-1, width)

    def assert_same(self, ours: Vectors, expected: Vectors) -> None:
        if self.is_exact:
            assert np.array_equal(ours, expected)
        else:
            assert np.abs(ours - expected).max() < 1e-3


def text(size: int, *, salt: int = 0) -> tuple[int, ...]:
    return tuple(5 + (7 * i + 13 * salt) % 70 for i in range(size))


TEXTS = [text(1 + 7 * i % 90, salt=i) for i in range(24)]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ROWS, ids="-".join)
async def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Subject]:
    how, name, model = request.param
    path = tmp_path_factory.mktemp("models") / f"{model}.gguf"
    if name != "fake":
        WRITERS[model](path)
    sizes = {"context_tokens": CONTEXT, "memory_bytes": 0, "threads": 1}
    engine = load_embedding_engine(name, str(path), **sizes)
    direct = np.concatenate([engine.embed(TEXTS[i : i + 4]) for i in range(0, len(TEXTS), 4)])
    is_exact = engine.is_batch_invariant
    engine.close()
    limits = QueueLimits(MAX_WAITING)
    embedder: InProcessGenerator | WorkerClient
    if how == "worker":
        embedder = WorkerClient(WorkerSpec(name, str(path), CONTEXT, threads=1), limits)
    else:
        embedder = InProcessGenerator(lambda: load_embedding_engine(name, str(path), **sizes), limits)
    await embedder.start()
    yield Subject(embedder, direct, is_exact)
    await embedder.aclose()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_events_come_in_order_and_count_the_tokens(subject: Subject) -> None:
    first, *middle, last = await subject.events(*TEXTS)
    assert first == PromptDone(sum(map(len, TEXTS)), 0)
    assert last == Done(0)
    info = subject.embedder.info.embedding
    assert info is not None
    at = 0
    for event in middle:
        assert isinstance(event, Embedded)
        assert event.first == at
        at += len(event.vectors) // (4 * info.width)
    assert at == len(TEXTS)


async def test_vectors_are_the_engines(subject: Subject) -> None:
    subject.assert_same(await subject.vectors(*TEXTS), subject.direct)


async def test_requests_at_once_get_their_own_vectors(subject: Subject) -> None:
    parts = [TEXTS[i : i + 4] for i in range(0, len(TEXTS), 4)]
    found = await asyncio.gather(*(subject.vectors(*part) for part in parts))
    subject.assert_same(np.concatenate(found), subject.direct)


async def test_what_does_not_fit_is_refused(subject: Subject) -> None:
    embedder = subject.embedder
    with pytest.raises(ContextLengthExceeded, match=f"maximum context length is {CONTEXT} tokens"):
        await embedder.embed(EmbeddingRequest("id", (text(3), text(CONTEXT + 1))))
    for inputs in ((), ((),), ((embedder.info.vocab_size,),), ((-1,),)):
        with pytest.raises(InvalidRequest):
            await embedder.embed(EmbeddingRequest("id", inputs))
    assert (await subject.vectors(text(CONTEXT))).shape[0] == 1


async def test_too_many_waiting_requests_are_refused_and_aborted_ones_leave(subject: Subject) -> None:
    many = EmbeddingRequest("id", tuple(TEXTS) * 4)
    streams = [await subject.embedder.embed(many) for _ in range(MAX_WAITING)]
    with pytest.raises(Overloaded):
        await subject.embedder.embed(many)
    for stream in streams:
        await stream.aclose()
    subject.assert_same(await subject.vectors(TEXTS[0]), subject.direct[:1])


@pytest.mark.parametrize("how", ["in-process", "worker"])
async def test_a_text_that_the_engine_fails_on_fails_alone(how: str) -> None:
    bad = tuple(fake.tokenize("[[fail]]", parse_special=False))
    embedder: InProcessGenerator | WorkerClient
    if how == "worker":
        embedder = WorkerClient(WorkerSpec("fake", "embedding"))
    else:
        embedder = InProcessGenerator(
            lambda: load_embedding_engine("fake", "embedding", context_tokens=0, memory_bytes=0, threads=1)
        )
    await embedder.start()
    try:
        good = await embedder.embed(EmbeddingRequest("id", (TEXTS[0], TEXTS[1])))
        failing = await embedder.embed(EmbeddingRequest("id", (TEXTS[2], bad)))
        assert len([event async for event in good]) >= 3
        with pytest.raises(GenerationFailed, match="asked the fake engine to fail"):
            [event async for event in failing]
    finally:
        await embedder.aclose()
