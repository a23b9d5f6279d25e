"""The real application over the fake embedding model, next to a model that generates."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from httpx import AsyncClient, Response
from openai import AsyncOpenAI
from starlette.types import ASGIApp
from tests.api.stand_in import BytePrompting, ServerTask
from tests.http.scripted import KEY, Ledger, ScriptedGenerator, Weightless, local, services, words

from myna.app import create_app
from myna.backends.worker.fake_renderer import FakeTextEncoder
from myna.catalog.aliases import EMBEDDING_ALIASES
from myna.catalog.pool import ModelPool
from myna.catalog.registry import ModelCard, ModelRegistry
from myna.core.backend import Candidate, LoadedModel, ModelSpec
from myna.engines import fake, fake_embedding
from myna.engines.registry import load_embedding_engine
from myna.request.services import Services
from myna.scheduling.admission import QueueLimits
from myna.scheduling.in_process import InProcessGenerator

CONTEXT = 64
Vector = npt.NDArray[np.float32]


@dataclass
class Embedding:
    """What a test talks to, and what it may look at afterwards."""

    client: AsyncClient
    generator: InProcessGenerator
    ledger: Ledger
    services: Services
    asgi: ASGIApp

    async def ask(self, **body: Any) -> Response:
        return await self.client.post("/v1/embeddings", json={"model": "words-embedding", **body})

    def openai(self) -> AsyncOpenAI:
        """The official client over the same transport; its newer versions name another httpx."""
        transport: Any = self.client
        return AsyncOpenAI(api_key=KEY, base_url="http://localhost/v1", http_client=transport)


@dataclass
class FixedTexts(FakeTextEncoder):
    """The texts of a model that was trained for these widths only."""

    widths: range | tuple[int, ...] = ()


@asynccontextmanager
async def embedding(
    *,
    widths: range | tuple[int, ...] = FakeTextEncoder.widths,
    is_known: bool = True,
    max_waiting_requests: int = 64,
    ignores_unknown: bool = False,
) -> AsyncIterator[Embedding]:
    """`is_known`: that the model embeds is known before it is loaded."""
    generator = InProcessGenerator(
        lambda: load_embedding_engine("fake", "embedding", context_tokens=CONTEXT, memory_bytes=0, threads=1),
        QueueLimits(max_waiting_requests),
    )
    await generator.start()

    async def load(model: ModelSpec) -> Candidate:
        if model.id == "words-embedding":
            return Weightless(LoadedModel(embedder=generator, texts=FixedTexts(widths)))
        return Weightless(LoadedModel(ScriptedGenerator([words("Hi")]), BytePrompting()))

    listing = ModelRegistry(
        [local("words-embedding"), local("tiny")],
        [ModelCard("words-embedding:query", 0, "", "alias", "words-embedding", prefix="query: ")],
        None,
        embeds=lambda model: is_known and "embedding" in model.id,
        embedding_aliases=EMBEDDING_ALIASES,
    )
    ledger = Ledger()
    pool = ModelPool(listing.poll, load, delete_files=lambda file: None)
    everything = replace(services(pool, ledger), ignores_unknown=ignores_unknown)
    asgi = create_app(everything).asgi
    headers = {"authorization": f"Bearer {KEY}"}
    async with AsyncClient(
        transport=ServerTask(asgi), base_url="http://localhost", headers=headers
    ) as client:
        try:
            yield Embedding(client, generator, ledger, everything, asgi)
        finally:
            await generator.aclose()


def tokens_of(text: str) -> list[int]:
    return [*fake.tokenize(text, parse_special=False), fake.END]


def expected(text: str) -> Vector:
    return fake_embedding.vector(tokens_of(text))
