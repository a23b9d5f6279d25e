"""The whole path in one process: asyncio, the loop's thread, the fake engine."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from myna.core.errors import (
    ContextLengthExceeded,
    EngineDead,
    GenerationFailed,
    InvalidRequest,
    ModelLoadFailed,
    Overloaded,
)
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.decoding.token_table import TokenTable
from myna.engines import fake
from myna.scheduling.admission import QueueLimits
from myna.scheduling.generation_loop import LoadedEngine
from myna.scheduling.in_process import InProcessGenerator

TOKEN_TABLE = TokenTable(fake.VOCABULARY, fake.VOCABULARY, frozenset({fake.END}))


def prompt(text: str) -> tuple[int, ...]:
    return tuple(fake.tokenize(text, parse_special=True))


def spoken(tokens: list[int]) -> str:
    return b"".join(fake.VOCABULARY[token] for token in tokens).decode()


def load(name: str = "fake", memory_bytes: int = 0) -> LoadedEngine:
    return LoadedEngine(fake.load(name, context_tokens=0, memory_bytes=memory_bytes, threads=0), TOKEN_TABLE)


@pytest.fixture
async def service() -> AsyncIterator[InProcessGenerator]:
    service = InProcessGenerator(load, QueueLimits(max_waiting_requests=3))
    await service.start()
    yield service
    await service.aclose()


async def events_of(service: InProcessGenerator, request: GenerationRequest) -> list[Event]:
    return [event async for event in await service.generate(request)]


def text_of(events: list[Event], choice: int = 0) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.choice == choice)


async def test_says_what_the_prompt_asks_for_and_stops(service: InProcessGenerator) -> None:
    tokens = prompt("[[say the bird said 你好 🙂]]")
    events = await events_of(service, GenerationRequest("a", tokens, 99))
    said = prompt("the bird said 你好 🙂")
    assert text_of(events) == "the bird said 你好 🙂"
    assert events[0] == PromptDone(len(tokens), 0)
    assert events[-2:] == [ChoiceDone(0, "stop", 1, len(said) + 1), Done(len(said) + 1)]


async def test_ends_for_length_with_every_token_counted_once(service: InProcessGenerator) -> None:
    events = await events_of(service, GenerationRequest("a", prompt("hello"), 40, ignore_eos=True))
    assert text_of(events) == spoken(fake.script(prompt("hello"), 40))
    counted = sum(event.num_tokens for event in events if isinstance(event, TextDelta | ChoiceDone))
    assert counted == 40
    assert events[-1] == Done(40)


async def test_answers_many_at_once_as_if_each_were_alone(service: InProcessGenerator) -> None:
    async def check(index: int) -> None:
        tokens = prompt(f"request {index} of many")
        events = await events_of(service, GenerationRequest(str(index), tokens, 50, ignore_eos=True))
        assert text_of(events) == spoken(fake.script(tokens, 50))

    async with asyncio.TaskGroup() as group:
        for index in range(3):
            group.create_task(check(index))


async def test_refuses_before_anything_runs(service: InProcessGenerator) -> None:
    with pytest.raises(ContextLengthExceeded, match=r"8192 tokens.*9001 tokens \(1 in the prompt"):
        await service.generate(GenerationRequest("a", (1,), 9000))
    with pytest.raises(InvalidRequest, match="token ids"):
        await service.generate(GenerationRequest("a", (1, 70000), 1))
    with pytest.raises(InvalidRequest, match="logit_bias"):
        await service.generate(GenerationRequest("a", (1,), 1, sampling=Sampling(logit_bias=((-1, 1.0),))))
    with pytest.raises(InvalidRequest, match="empty"):
        await service.generate(GenerationRequest("a", (), 1))


async def test_a_full_line_is_overload_and_room_returns(service: InProcessGenerator) -> None:
    streams = [await service.generate(GenerationRequest("a", prompt("[[slow 1]]"), 3)) for _ in range(3)]
    with pytest.raises(Overloaded):
        await service.generate(GenerationRequest("b", (1,), 1))
    for stream in streams:
        await stream.aclose()
    events = await events_of(service, GenerationRequest("c", prompt("[[say a]]"), 9))
    assert text_of(events) == "a"


async def test_a_failing_request_ends_alone(service: InProcessGenerator) -> None:
    good = await service.generate(GenerationRequest("a", prompt("good"), 30, ignore_eos=True))
    bad = await service.generate(GenerationRequest("b", prompt("[[fail]]"), 30, ignore_eos=True))
    with pytest.raises(GenerationFailed, match="asked the fake engine to fail"):
        [event async for event in bad]
    assert text_of([event async for event in good]) == spoken(fake.script(prompt("good"), 30))


async def test_closing_twice_or_unread_is_fine_and_ends_the_stream(service: InProcessGenerator) -> None:
    stream = await service.generate(GenerationRequest("a", prompt("hello"), 5000, ignore_eos=True))
    await stream.aclose()
    await stream.aclose()
    assert [event async for event in stream] == []


async def test_closing_the_service_ends_what_runs() -> None:
    service = InProcessGenerator(load)
    await service.start()
    stream = await service.generate(GenerationRequest("a", prompt("[[slow 5]]"), 5000, ignore_eos=True))
    await anext(stream)
    await service.aclose()
    with pytest.raises(EngineDead):
        [event async for event in stream]
    with pytest.raises(EngineDead):
        await service.generate(GenerationRequest("b", (1,), 1))


async def test_a_model_that_does_not_load_says_why() -> None:
    with pytest.raises(ModelLoadFailed, match="broken, as its name says"):
        await InProcessGenerator(lambda: load("x-broken")).start()


async def test_tokenizes_with_the_engine(service: InProcessGenerator) -> None:
    assert await service.tokenize("a bird", parse_special=False) == list(prompt("a bird"))
