"""Prefixes that survive the process: the file, what is saved, what is restored, and what is damaged."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.events import Event, PromptDone, TextDelta
from myna.core.requests import GenerationRequest
from myna.decoding.token_table import TokenTable
from myna.engines import fake
from myna.engines.fake import FakeEngine
from myna.scheduling.admission import QueueLimits
from myna.scheduling.generation_loop import LoadedEngine
from myna.scheduling.in_process import InProcessGenerator
from myna.scheduling.kv_cache import KVCacheManager
from myna.scheduling.prefix_file import CHUNK_TOKENS, PrefixFile, chunk_keys
from myna.scheduling.saved_prefixes import SavedPrefixes, chunk_bytes

TABLE = TokenTable(fake.VOCABULARY, fake.VOCABULARY, frozenset({fake.END}))
STORY = "the old bird said so and the wind said no, " * 100
CHUNK_BYTES = 64


@contextmanager
def opened(
    path: Path, num_slots: int = 8, identity: str = "i", size: int = CHUNK_BYTES
) -> Iterator[PrefixFile]:
    num_bytes = 2 * 4096 + num_slots * (4096 + 64)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(descriptor, num_bytes)
    try:
        yield PrefixFile(descriptor, identity, size)
    finally:
        os.close(descriptor)


def put(file: PrefixFile, key: bytes, value: int) -> bool:
    slot = file.claim(())
    if slot is None:
        return False
    file.target(slot)[:] = value
    file.commit(slot, key)
    return True


def key_of(number: int) -> bytes:
    return bytes([1, number]) * 16


def test_what_is_saved_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    with opened(tmp_path / "f") as file:
        for number in range(5):
            put(file, key_of(number), number)
        file.touch([key_of(0), key_of(1)])
    with opened(tmp_path / "f") as file:
        assert file.find([key_of(number) for number in range(6)]) == 5
        assert all(file.is_intact(key_of(number)) for number in range(5))
        assert [int(file.chunk(key_of(number))[7]) for number in range(5)] == list(range(5))
        for number in range(10, 10 + file.num_slots - 3):
            put(file, key_of(number), number)
        kept = [number for number in range(5) if key_of(number) in file]
        assert {0, 1} <= set(kept), "the least recently used ones had to go"


@pytest.mark.parametrize(("identity", "size"), [("other", CHUNK_BYTES), ("i", 2 * CHUNK_BYTES)])
def test_what_another_model_saved_is_dropped(tmp_path: Path, identity: str, size: int) -> None:
    with opened(tmp_path / "f") as file:
        put(file, key_of(1), 1)
    with opened(tmp_path / "f", identity=identity, size=size) as file:
        assert key_of(1) not in file


def test_a_damaged_chunk_is_not_intact(tmp_path: Path) -> None:
    with opened(tmp_path / "f") as file:
        put(file, key_of(1), 1)
        file.chunk(key_of(1))[3] ^= 1
        assert not file.is_intact(key_of(1))
        assert not file.is_intact(key_of(2))


@given(data=st.binary(max_size=3 * 4096), at=st.integers(0, 20_000))
def test_any_file_can_be_opened(tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("any") / "f"
    with opened(path) as file:
        put(file, key_of(1), 1)
    with path.open("r+b") as raw:
        raw.seek(at)
        raw.write(data)
    with opened(path) as file:
        keys = [key_of(1), key_of(2)]
        assert not any(file.is_intact(key) and file.chunk(key)[0] != 1 for key in keys)
        assert put(file, key_of(3), 3) and file.is_intact(key_of(3))


def test_a_damaged_count_of_uses_does_not_end_the_worker(tmp_path: Path) -> None:
    with opened(tmp_path / "f") as file:
        for number in range(2):
            put(file, key_of(number), number)
    with (tmp_path / "f").open("r+b") as raw:
        raw.seek(4096 + 32)
        raw.write(b"\xff" * 8)
    with opened(tmp_path / "f") as file:
        found = [key for key in (key_of(0), key_of(1)) if key in file]
        assert len(found) == 1
        file.touch(found)
        assert put(file, key_of(3), 3)


def test_pinned_chunks_stay(tmp_path: Path) -> None:
    with opened(tmp_path / "f", num_slots=2) as file:
        keys = [key_of(number) for number in range(file.num_slots)]
        for key in keys:
            put(file, key, 1)
        assert file.claim(keys) is None
        assert file.claim(keys[:1]) is not None


@given(st.lists(st.integers(0, 1 << 20), max_size=600), st.integers(0, 599))
def test_a_key_covers_everything_before_it(tokens: list[int], place: int) -> None:
    keys = list(chunk_keys(tokens, "s"))
    assert len(keys) == len(tokens) // CHUNK_TOKENS
    assert not set(keys).intersection(chunk_keys(tokens, "t"))
    if place < len(tokens):
        changed = [*tokens[:place], tokens[place] + 1, *tokens[place + 1 :]]
        same = place // CHUNK_TOKENS
        others = list(chunk_keys(changed, "s"))
        assert others[:same] == keys[:same]
        assert not set(others[same:]).intersection(keys[same:])


# --- with a scheduler ---


Start = Callable[..., InProcessGenerator]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """A server's model, whose file is there again at the next start."""

    def start(num_bytes: int = 1 << 20, kv_tokens: int = 8192) -> InProcessGenerator:
        def load() -> LoadedEngine:
            engine = FakeEngine(8192, kv_tokens, 16)
            descriptor = os.open(tmp_path / "prefixes", os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(descriptor, num_bytes)
            file = PrefixFile(descriptor, "model", chunk_bytes(engine.blocks))
            os.close(descriptor)  # the mapping stays
            return LoadedEngine(engine, TABLE, prefix_file=file)

        return InProcessGenerator(load, QueueLimits())

    return start


def request(text: str, salt: str = "", **more: object) -> GenerationRequest:
    tokens = tuple(fake.tokenize(text, parse_special=True))
    return GenerationRequest("r", tokens, 20, cache_salt=salt, ignore_eos=True, **more)  # type: ignore[arg-type]


async def answered(service: InProcessGenerator, asked: GenerationRequest) -> tuple[int, str]:
    """The number of cached tokens, and the text."""
    events: list[Event] = [event async for event in await service.generate(asked)]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return next(event.cached_tokens for event in events if isinstance(event, PromptDone)), text


async def saved(path: Path, asked: GenerationRequest) -> None:
    """Return when the whole prompt is in the file."""
    keys = list(chunk_keys(asked.prompt_tokens, asked.cache_salt))
    while True:
        descriptor = os.open(path, os.O_RDWR)
        found = PrefixFile(descriptor, "model", chunk_bytes(FakeEngine(16, 16, 1).blocks)).find(keys)
        os.close(descriptor)
        if found == len(keys):
            return
        await asyncio.sleep(0)


async def test_a_prompt_is_not_computed_again_after_a_restart(start: Start, tmp_path: Path) -> None:
    first = start()
    await first.start()
    cached, text = await answered(first, request(STORY))
    assert not cached
    await saved(tmp_path / "prefixes", request(STORY))
    await first.aclose()
    second = start()
    await second.start()
    num_prompt = len(request(STORY).prompt_tokens)
    cached, again = await answered(second, request(STORY + "and then?"))
    assert cached == num_prompt // CHUNK_TOKENS * CHUNK_TOKENS
    assert again == spoken(STORY + "and then?")
    assert (await answered(second, request(STORY)))[1] == text
    await second.aclose()


async def test_another_projects_prompt_is_computed(start: Start, tmp_path: Path) -> None:
    first = start()
    await first.start()
    await answered(first, request(STORY, "a"))
    await saved(tmp_path / "prefixes", request(STORY, "a"))
    await first.aclose()
    second = start()
    await second.start()
    assert (await answered(second, request(STORY, "b")))[0] == 0
    assert (await answered(second, request(STORY, "a")))[0] > 0
    await second.aclose()


async def test_what_was_evicted_comes_back(start: Start, tmp_path: Path) -> None:
    """The KV cache holds one of the two prompts."""
    service = start(kv_tokens=3072)
    await service.start()
    for number in (1, 2):
        await answered(service, request(f"{number} {STORY}"))
        await saved(tmp_path / "prefixes", request(f"{number} {STORY}"))
    cached, text = await answered(service, request(f"1 {STORY}"))
    assert cached > len(STORY) // 10
    assert text == spoken(f"1 {STORY}")
    await service.aclose()


async def test_a_damaged_chunk_is_computed_again(start: Start, tmp_path: Path) -> None:
    first = start()
    await first.start()
    await answered(first, request(STORY))
    await saved(tmp_path / "prefixes", request(STORY))
    await first.aclose()
    descriptor = os.open(tmp_path / "prefixes", os.O_RDWR)
    file = PrefixFile(descriptor, "model", chunk_bytes(FakeEngine(16, 16, 1).blocks))
    keys = list(chunk_keys(request(STORY).prompt_tokens, ""))
    file.chunk(keys[2])[0] ^= 1
    os.close(descriptor)
    second = start()
    await second.start()
    assert await answered(second, request(STORY)) == (2 * CHUNK_TOKENS, spoken(STORY))
    await second.aclose()


@pytest.mark.parametrize("is_first", [True, False])
def test_a_chunk_that_one_request_finds_damaged_stays_for_another(tmp_path: Path, is_first: bool) -> None:
    """Its bytes may have been read wrongly once."""
    engine = FakeEngine(8192, 8192, 16)
    asked = request(STORY)
    keys = list(chunk_keys(asked.prompt_tokens, ""))
    with opened(tmp_path / "f", num_slots=2 * len(keys), size=chunk_bytes(engine.blocks)) as file:
        for key in keys:
            assert put(file, key, 0)
        prefixes = SavedPrefixes(file, engine.blocks, KVCacheManager(engine))
        ended = list[int]()
        found = [prefixes.find(asked), prefixes.find(asked)]
        for number, saved in enumerate(found):
            assert saved is not None
            num_intact = 1 if is_first is not bool(number) else len(saved.keys)
            prefixes.restore(saved, num_intact, lambda number=number: ended.append(number))  # type: ignore[misc]
        while prefixes.has_work:
            prefixes.work(num_running=0)
        assert ended == [0, 1]
        prefixes.close()


async def test_many_prompts_through_a_small_file_and_a_small_cache(start: Start) -> None:
    """Whatever is saved, restored, evicted and aborted meanwhile, the answers are right."""
    service = start(num_bytes=2 * 4096 + 12 * (4096 + 64), kv_tokens=2048)
    await service.start()

    async def ask(number: int) -> None:
        text = f"{number % 5} {STORY[: 600 + 40 * (number % 7)]}"
        if number % 4 == 3:
            stream = await service.generate(request(text))
            await stream.aclose()
            return
        assert (await answered(service, request(text)))[1] == spoken(text)

    for start_number in range(0, 60, 6):
        async with asyncio.TaskGroup() as tasks:
            for number in range(start_number, start_number + 6):
                tasks.create_task(ask(number))
    await service.aclose()


def spoken(text: str) -> str:
    tokens = fake.script(request(text).prompt_tokens, 20)
    return b"".join(fake.VOCABULARY[token] for token in tokens).decode()
