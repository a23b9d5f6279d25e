"""Every `core.generator.Generator` that the suite runs over, and what each of them cannot do."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from tests.contract.answers import Answer

from myna.core.generator import Generator
from myna.core.requests import GenerationRequest, Sampling
from myna.engines import fake
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary
from myna.scheduling.admission import QueueLimits
from myna.scheduling.in_process import InProcessGenerator
from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_model

_MODEL: Final = "smollm2-135m-instruct"
_KV_BYTES_OF_A_TOKEN: Final = 30 * 3 * 64 * 2 * 2
GREEDY: Final = Sampling(temperature=0)

Encode = Callable[[str], Sequence[int]]
FindModel = Callable[[str], Path]


class Capability(StrEnum):
    """What a generator may be unable to do. Everything else is asked of all of them."""

    BEST_OF = "rank candidates by their log-probabilities"
    CACHE_SALTS = "keep prefixes, and share them only under an equal salt"
    CONSTRAINTS = "follow a JSON schema"
    FAIRNESS = "make room for an owner who has less than another"
    FIGURES = "report how busy it is"
    IGNORE_EOS = "generate past the end of the text"
    LOGIT_BIAS = "add a bias to logits"
    OVERLOAD = "refuse requests when too many wait"
    PREDICTIONS = "count predicted tokens"
    PRIORITIES = "serve urgent requests first"
    PROMPT_LOGPROBS = "give log-probabilities of the prompt"
    SEEDS = "give the same answer for the same seed, whatever else is running"
    THOUGHTS = "separate thoughts from answers"


@dataclass(frozen=True)
class Setup:
    """How large the model is that a test wants."""

    context_tokens: int = 1024
    kv_tokens: int = 8192
    max_waiting_requests: int = 1024


@dataclass(frozen=True)
class Subject:
    """A running generator, and the tokens of texts for it."""

    generator: Generator
    encode: Encode
    lacks: frozenset[Capability]
    highest_temperature: float = 4.0

    def hot(self, seed: int = 11) -> Sampling:
        """Sampling with which answers differ."""
        return Sampling(temperature=self.highest_temperature, seed=seed)

    def require(self, *capabilities: Capability) -> None:
        """Skip the test where the generator lacks one of them."""
        for capability in capabilities:
            if capability in self.lacks:
                pytest.skip(f"it cannot {capability}")

    def request(self, text: str, max_tokens: int = 16, **more: Any) -> GenerationRequest:
        """Greedy unless the fields say otherwise. With `num_tokens` the prompt has so many: `text` again and
        again."""
        tokens = tuple(self.encode(text))
        if num_tokens := more.pop("num_tokens", 0):
            tokens = (tokens * num_tokens)[:num_tokens]
        fields = {"sampling": GREEDY, **more}
        return GenerationRequest(text, tokens, max_tokens, **fields)

    async def ask(self, text: str, max_tokens: int = 16, **more: Any) -> Answer:
        """The whole answer, its events checked."""
        return await self.answer(self.request(text, max_tokens, **more))

    async def answer(self, request: GenerationRequest) -> Answer:
        return Answer(request, [event async for event in await self.generator.generate(request)])


@dataclass(frozen=True)
class Row:
    """One kind of generator. `start` returns one that is ready, and its tokenizer."""

    name: str
    start: Callable[[Setup, FindModel], Awaitable[tuple[Generator, Encode]]]
    lacks: frozenset[Capability] = frozenset()
    highest_temperature: float = 4.0

    @asynccontextmanager
    async def open(self, setup: Setup, find_model: FindModel) -> AsyncIterator[Subject]:
        generator, encode = await self.start(setup, find_model)
        try:
            yield Subject(generator, encode, self.lacks, self.highest_temperature)
        finally:
            await generator.aclose()


def _fake_spec(setup: Setup) -> WorkerSpec:
    return WorkerSpec("fake", "fake", setup.context_tokens, setup.kv_tokens * 1024)


def _encode_for_fake(text: str) -> list[int]:
    return fake.tokenize(text, parse_special=True)


async def _start_in_process(setup: Setup, _: FindModel) -> tuple[Generator, Encode]:
    service = InProcessGenerator(
        lambda: load_model(_fake_spec(setup)), QueueLimits(setup.max_waiting_requests)
    )
    await service.start()
    return service, _encode_for_fake


async def _start_drafting(setup: Setup, _: FindModel) -> tuple[Generator, Encode]:
    spec = msgspec.structs.replace(_fake_spec(setup), draft="fake", draft_bytes=setup.kv_tokens * 1024)
    service = InProcessGenerator(lambda: load_model(spec), QueueLimits(setup.max_waiting_requests))
    await service.start()
    return service, _encode_for_fake


async def _start_fake_worker(setup: Setup, _: FindModel) -> tuple[Generator, Encode]:
    client = WorkerClient(_fake_spec(setup), QueueLimits(setup.max_waiting_requests))
    await client.start()
    return client, _encode_for_fake


async def _start_native_worker(setup: Setup, find_model: FindModel) -> tuple[Generator, Encode]:
    path = str(find_model(_MODEL))
    memory_bytes = setup.kv_tokens * _KV_BYTES_OF_A_TOKEN
    spec = WorkerSpec("native", path, setup.context_tokens, memory_bytes, threads=1)
    client = WorkerClient(spec, QueueLimits(setup.max_waiting_requests))
    await client.start()
    tokenizer = Tokenizer(Vocabulary.read(path))
    return client, lambda text: tokenizer.encode(text, parse_special=False)


ROWS: Final = (
    Row("in-process fake", _start_in_process),
    Row("in-process fake with a draft model", _start_drafting),
    Row("worker fake", _start_fake_worker),
    Row("worker native", _start_native_worker),
)
