"""What the pool lists, when it loads, and what it refuses."""

import asyncio
from dataclasses import replace

import pytest
from tests.catalog.weights import PROMPTING, Holder, Looking, Yard, local, pool_of, settle

from myna.catalog.aliases import alias_card, default_alias_cards
from myna.catalog.manager import PoolLimits
from myna.catalog.pool import ModelPool
from myna.catalog.registry import Listing
from myna.core.backend import Candidate, ModelSpec
from myna.core.errors import ModelInUse, ModelLoadFailed, ModelNotFound, PermissionDenied


def make_pool(yard: Yard) -> ModelPool:
    files = [local("bird"), local("own", "file", 8)]
    aliases = [
        alias_card("own", "bird", "alias"),
        *default_alias_cards("bird"),
        alias_card("lost", "x", "alias"),
    ]
    return ModelPool(Looking(files, aliases), yard, delete_files=yard.forget)


async def test_models_are_listed_before_their_aliases() -> None:
    cards = make_pool(Yard()).cards()
    assert [card.id for card in cards[:3]] == ["bird", "own", "gpt-3.5-turbo"]
    assert all((card.created, card.owned_by) == (7, "me") for card in cards[2:])
    assert {card.kind for card in cards} == {"model", "alias", "instruct"}


async def test_details_name_the_draft_model() -> None:
    files, yard = [replace(local("bird"), draft=local("chick")), local("chick")], Yard()
    pool = ModelPool(Looking(files, []), yard, delete_files=yard.forget)
    assert [pool.details(card).draft for card in pool.cards()] == ["chick", None]


async def test_an_alias_hides_no_model_and_needs_a_target() -> None:
    pool = make_pool(Yard())
    assert pool.card("own").kind == "model"
    with pytest.raises(ModelNotFound):
        pool.card("lost")


async def test_a_model_loads_once_when_first_asked_for() -> None:
    yard = Yard()
    pool = make_pool(yard)
    assert tuple(name for name, _ in pool.running()) == ()
    assert not pool.is_ready
    holders = [Holder(pool, name) for name in ("bird", "gpt-4o-mini", "bird")]
    served = await asyncio.gather(*(holder.served() for holder in holders))
    assert yard.num_loads == 1
    assert [model.card.id for model in served] == ["bird", "gpt-4o-mini", "bird"]
    assert served[0].renderer is PROMPTING
    assert tuple(name for name, _ in pool.running()) == ("bird",)
    assert pool.is_ready


async def test_a_failed_load_is_tried_again_by_the_next() -> None:
    yard = Yard(broken={"bird"})
    pool = make_pool(yard)
    first, second = Holder(pool, "bird"), Holder(pool, "gpt-4o")
    for holder in (first, second):
        with pytest.raises(ModelLoadFailed, match="bird is broken"):
            await holder.served()
    yard.broken.clear()
    async with pool.hold(pool.card("bird")):
        assert yard.up == ["bird"]
    assert yard.num_loads == 2


async def test_a_fault_of_the_loader_s_own_reaches_who_waits_in_a_sentence() -> None:
    class Faulty(Yard):
        async def __call__(self, model: ModelSpec) -> Candidate:
            raise ZeroDivisionError("a bug")

    pool = make_pool(Faulty())
    with pytest.raises(ModelLoadFailed, match="'bird' can't be loaded: a bug"):
        await Holder(pool, "bird").served()


async def test_an_unknown_name_is_a_404_with_openai_s_code() -> None:
    pool = make_pool(Yard())
    with pytest.raises(ModelNotFound) as caught:
        async with pool.hold(pool.card("brid")):
            pass
    assert caught.value.code == "model_not_found"
    assert "'bird'" in caught.value.message


async def test_a_model_in_use_is_not_removed() -> None:
    yard = Yard()
    pool = make_pool(yard)
    async with pool.hold(pool.card("bird")):
        with pytest.raises(ModelInUse):
            await pool.remove("bird")
    await pool.remove("bird")
    assert yard.up == []
    assert yard.forgotten == ["bird"]
    with pytest.raises(ModelNotFound):
        pool.card("gpt-4o")


async def test_a_model_that_loads_or_is_waited_for_is_not_removed() -> None:
    yard = Yard()
    pool = make_pool(yard)
    yard.gate.clear()
    holder = Holder(pool, "bird")
    await settle()
    with pytest.raises(ModelInUse):
        await pool.remove("bird")
    yard.gate.set()
    await holder.served()
    await holder.let_go()
    await pool.remove("bird")
    assert yard.up == []


async def test_a_request_that_fails_does_not_keep_the_model() -> None:
    pool = make_pool(Yard())
    with pytest.raises(ZeroDivisionError):
        async with pool.hold(pool.card("bird")):
            raise ZeroDivisionError
    await pool.remove("bird")


@pytest.mark.parametrize("name", ["gpt-4o", "own"])
async def test_aliases_and_own_files_are_not_deleted(name: str) -> None:
    yard = Yard()
    with pytest.raises(PermissionDenied):
        await make_pool(yard).remove(name)
    assert yard.forgotten == []


async def test_closing_the_pool_closes_what_is_loaded_and_fails_who_waits() -> None:
    yard = Yard()
    pool = make_pool(yard)
    async with pool.hold(pool.card("bird")):
        pass
    yard.gate.clear()
    waiting = Holder(pool, "own")
    await settle()
    await pool.aclose()
    await pool.aclose()
    assert yard.up == []
    assert tuple(name for name, _ in pool.running()) == ()
    assert "shutting down" in str((await asyncio.gather(waiting.task, return_exceptions=True))[0])


async def test_a_changed_listing_drops_no_request() -> None:
    yard = Yard()
    looking = Looking([local("bird"), local("own")])
    pool = ModelPool(looking, yard, delete_files=yard.forget)
    holder = Holder(pool, "own")
    await holder.served()
    looking.next = Listing.of([local("bird"), local("new")], [])
    assert [card.id for card in pool.cards()] == ["bird", "new"]
    with pytest.raises(ModelNotFound):
        pool.card("own")
    await settle()
    assert yard.up == ["own"]
    await holder.let_go()
    await settle()
    assert yard.up == []


async def test_a_card_that_is_not_listed_any_more_is_not_found() -> None:
    looking = Looking([local("bird"), local("own")])
    yard = Yard()
    pool = ModelPool(looking, yard, delete_files=yard.forget)
    card = pool.card("own")
    looking.next = Listing.of([local("bird")], [])
    pool.cards()
    with pytest.raises(ModelNotFound):
        async with pool.hold(card):
            pass


async def test_a_call_looks_a_model_up_once() -> None:
    looks = 0

    def look() -> Listing | None:
        nonlocal looks
        looks += 1
        return Listing.of([local("bird")], []) if looks == 1 else None

    yard = Yard()
    pool = ModelPool(look, yard, delete_files=yard.forget)
    async with pool.hold(pool.card("bird")):
        assert looks == 1


async def test_another_file_under_an_id_is_loaded() -> None:
    yard = Yard()
    looking = Looking([local("bird")])
    pool = ModelPool(looking, yard, delete_files=yard.forget)
    old = Holder(pool, "bird")
    await old.served()
    looking.next = Listing.of([local("bird", version=8)], [])
    new = Holder(pool, "bird")
    assert (await new.served()).generator is yard.running[1]
    assert yard.up == ["bird", "bird"]
    await old.let_go()
    await settle()
    assert yard.running[0].is_closed
    assert yard.up == ["bird"]


async def test_an_idle_model_is_unloaded_and_the_default_is_not() -> None:
    yard = Yard()
    pool = pool_of(yard, "default", "other", idle_s=0.01)
    for name in ("default", "other"):
        async with pool.hold(pool.card(name)):
            pass
    await yard.running[1].closed.wait()
    assert yard.up == ["default"]
    assert pool.is_ready


async def test_idleness_ends_with_a_request_and_changes_with_the_setting() -> None:
    yard = Yard()
    looking = Looking([local("bird")])
    pool = ModelPool(looking, yard, delete_files=yard.forget)
    async with pool.hold(pool.card("bird")):
        pool.reconfigure(looking, PoolLimits(idle_s=1e-9))
        await settle()
        assert yard.up == ["bird"]
    await yard.running[0].closed.wait()
