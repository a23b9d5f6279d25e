"""LoRA adapters as names of their own: how they are listed, and what reaches the model."""

import json
from collections.abc import Sequence
from dataclasses import replace

import msgspec
from tests.http.live import Live, Reply, running
from tests.http.scripted import INFO, ScriptedGenerator, loading, local, looking_at, services, words

from myna.catalog.aliases import alias_card
from myna.catalog.pool import ModelPool
from myna.catalog.registry import Listing, ModelCard

FAMILIES = ("myna.api.models.routes", "myna.api.chat.routes")
CARDS = (
    alias_card("tiny-sql", "tiny", "alias", adapter="tiny-sql"),
    alias_card("sql", "tiny", "alias", adapter="tiny-sql"),
    alias_card("tiny-later", "tiny", "alias", adapter="tiny-later"),
)


def pool_of(generator: ScriptedGenerator, cards: Sequence[ModelCard] = CARDS) -> ModelPool:
    """Of a model that was loaded with one of the adapters."""
    generator.info = msgspec.structs.replace(INFO, adapters={"tiny-sql": "its hash"})
    return ModelPool(looking_at([local("tiny")], cards), loading(generator), delete_files=lambda file: None)


async def chat(live: Live, model: str) -> Reply:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return await live.ask("POST", "/v1/chat/completions", json.dumps(body).encode())


async def test_the_model_runs_with_the_adapter_that_was_asked_for() -> None:
    generator = ScriptedGenerator([words("a"), words("a"), words("a")])
    async with running(services(pool_of(generator)), families=FAMILIES) as live:
        replies = [json.loads((await chat(live, name)).body) for name in ("tiny-sql", "sql", "tiny")]
    assert [request.adapter for request in generator.requests] == ["tiny-sql", "tiny-sql", ""]
    assert [reply["model"] for reply in replies] == ["tiny-sql", "sql", "tiny"]
    prints = [reply["system_fingerprint"] for reply in replies]
    assert prints[0] == prints[1] != prints[2]


async def test_adapters_are_listed_with_their_model() -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), families=FAMILIES) as live:
        listed = json.loads((await live.ask("GET", "/v1/models?details=true")).body)["data"]
    found = {one["id"]: (one.get("alias_of"), one.get("is_adapter")) for one in listed}
    assert found == {
        "tiny": (None, None),
        "tiny-sql": ("tiny", True),
        "sql": ("tiny", None),
        "tiny-later": ("tiny", True),
    }


async def test_an_adapter_that_was_not_loaded_is_not_replaced_by_its_model() -> None:
    generator = ScriptedGenerator([])
    async with running(services(pool_of(generator)), families=FAMILIES) as live:
        reply = await chat(live, "tiny-later")
    assert reply.status == 404
    assert json.loads(reply.body)["error"]["code"] == "model_not_found"
    assert b"loaded with its model" in reply.body
    assert not generator.requests


def test_a_model_of_another_server_has_no_adapters() -> None:
    class Far:
        id, owned_by, created, is_relayed = "tiny", "far", 0, True

    assert set(Listing.of([Far()], CARDS).cards) == {"tiny"}
    by_pattern = Listing.of([Far()], [], alias_for=lambda name: replace(CARDS[0], id=name))
    assert by_pattern.find("any") is None
