"""What the pool lists, when it loads, and what it refuses."""

import asyncio
from pathlib import Path

import pytest

from myna.catalog.aliases import alias_card, default_alias_cards
from myna.catalog.fake_text import fake_prompting
from myna.catalog.pool import Loaded, ModelPool
from myna.catalog.store import LocalModel
from myna.core.errors import ModelInUse, ModelLoadFailed, ModelNotFound, PermissionDenied
from myna.core.events import Done, Event
from myna.core.generator import EventStream, ModelInfo
from myna.core.requests import GenerationRequest

PROMPTING = fake_prompting(8)
REQUEST = GenerationRequest(id="r", prompt_tokens=(1,), max_tokens=1)


class OneEventStream:
    def __init__(self) -> None:
        self._events: list[Event] = [Done(1)]

    def __aiter__(self) -> "OneEventStream":
        return self

    async def __anext__(self) -> Event:
        if not self._events:
            raise StopAsyncIteration
        return self._events.pop()

    async def aclose(self) -> None:
        self._events = []


class SmallGenerator:
    is_ready = True

    def __init__(self) -> None:
        self.is_closed = False

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("fake", "none", 2, 8, 8, 1, "f")

    async def generate(self, request: GenerationRequest) -> EventStream:
        if request.max_tokens == 0:
            raise ModelLoadFailed("no tokens")
        return OneEventStream()

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return [len(text)]

    async def aclose(self) -> None:
        self.is_closed = True


class Loader:
    """Loads as many generators as asked; the first `num_failures` loads fail."""

    def __init__(self, num_failures: int = 0) -> None:
        self.made: list[SmallGenerator] = []
        self.forgotten: list[str] = []
        self._num_failures = num_failures

    async def __call__(self, file: LocalModel) -> Loaded:
        await asyncio.sleep(0)
        if self._num_failures:
            self._num_failures -= 1
            raise ModelLoadFailed(f"{file.id} is broken")
        self.made.append(SmallGenerator())
        return Loaded(self.made[-1], PROMPTING)

    def forget(self, file: LocalModel) -> None:
        self.forgotten.append(file.id)


def make_pool(loader: Loader) -> ModelPool:
    files = [
        LocalModel("bird", Path("bird.gguf"), "me", 7, 1, "catalog"),
        LocalModel("own", Path("own.gguf"), "user", 8, 1, "file"),
    ]
    aliases = [
        alias_card("own", "bird", "alias"),
        *default_alias_cards("bird"),
        alias_card("lost", "x", "alias"),
    ]
    return ModelPool(files, aliases, loader, forget=loader.forget)


def test_models_are_listed_before_their_aliases() -> None:
    cards = make_pool(Loader()).cards()
    assert [card.id for card in cards[:3]] == ["bird", "own", "gpt-3.5-turbo"]
    assert all((card.created, card.owned_by) == (7, "me") for card in cards[2:])
    assert {card.kind for card in cards} == {"model", "alias", "instruct"}


def test_an_alias_hides_no_model_and_needs_a_target() -> None:
    pool = make_pool(Loader())
    assert pool.card("own").kind == "model"
    with pytest.raises(ModelNotFound):
        pool.card("lost")


async def test_a_model_loads_once_when_first_asked_for() -> None:
    loader = Loader()
    pool = make_pool(loader)
    assert pool.loaded() == ()
    served = await asyncio.gather(*(pool.open(name) for name in ("bird", "gpt-4o-mini", "bird")))
    assert len(loader.made) == 1
    assert [model.card.id for model in served] == ["bird", "gpt-4o-mini", "bird"]
    assert pool.loaded() == ("bird",)


async def test_a_failed_load_is_tried_again_by_the_next() -> None:
    loader = Loader(num_failures=1)
    pool = make_pool(loader)
    with pytest.raises(ModelLoadFailed):
        await pool.open("bird")
    assert (await pool.open("bird")).prompting is PROMPTING


async def test_an_unknown_name_is_a_404_with_openai_s_code() -> None:
    with pytest.raises(ModelNotFound) as caught:
        await make_pool(Loader()).open("brid")
    assert caught.value.code == "model_not_found"
    assert "'bird'" in caught.value.message


async def test_a_model_in_use_is_not_removed() -> None:
    loader = Loader()
    pool = make_pool(loader)
    stream = await (await pool.open("bird")).generator.generate(REQUEST)
    with pytest.raises(ModelInUse):
        await pool.remove("bird")
    assert [event async for event in stream] == [Done(1)]
    await pool.remove("bird")
    assert loader.made[0].is_closed
    assert loader.forgotten == ["bird"]
    with pytest.raises(ModelNotFound):
        pool.card("gpt-4o")


async def test_closing_a_stream_twice_counts_once() -> None:
    pool = make_pool(Loader())
    generator = (await pool.open("bird")).generator
    first = await generator.generate(REQUEST)
    await first.aclose()
    await first.aclose()
    second = await generator.generate(REQUEST)
    with pytest.raises(ModelInUse):
        await pool.remove("bird")
    await second.aclose()
    await pool.remove("bird")


async def test_a_refused_request_does_not_keep_the_model() -> None:
    pool = make_pool(Loader())
    with pytest.raises(ModelLoadFailed):
        await (await pool.open("bird")).generator.generate(GenerationRequest("r", (1,), 0))
    await pool.remove("bird")


@pytest.mark.parametrize("name", ["gpt-4o", "own"])
async def test_aliases_and_own_files_are_not_deleted(name: str) -> None:
    loader = Loader()
    with pytest.raises(PermissionDenied):
        await make_pool(loader).remove(name)
    assert loader.forgotten == []


async def test_closing_the_pool_closes_what_is_loaded() -> None:
    loader = Loader()
    pool = make_pool(loader)
    await pool.open("bird")
    await pool.aclose()
    await pool.aclose()
    assert loader.made[0].is_closed
    assert pool.loaded() == ()
