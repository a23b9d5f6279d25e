"""A model's sampling defaults, as requests, stored completions and the list of models show them."""

import json
from typing import Any

import pytest
from tests.api.stand_in import serving

from myna.core.requests import Sampling
from myna.core.sampling_defaults import SamplingDefaults

QWEN = SamplingDefaults(temperature=0.7, top_p=0.8, top_k=20)
CHAT = {"messages": [{"role": "user", "content": "a"}], "seed": 5}


@pytest.mark.parametrize("model", ["tiny", "gpt-4o-mini"])
@pytest.mark.parametrize(
    ("endpoint", "body"), [("chat/completions", CHAT), ("completions", {"prompt": "a", "seed": 5})]
)
async def test_a_request_gets_what_it_does_not_set(endpoint: str, body: dict[str, Any], model: str) -> None:
    async with serving(sampling=QWEN) as server:
        for more in ({}, {"top_k": 7}, {"temperature": 1}):
            response = await server.ask(endpoint, model=model, **body, **more)
            assert response.status_code == 200
        bare, partly, own = (request.sampling for request in server.generator.requests)
    assert bare == Sampling(temperature=0.7, top_p=0.8, top_k=20, seed=5)
    assert partly == Sampling(temperature=0.7, top_p=0.8, top_k=7, seed=5)
    assert own == Sampling(temperature=1.0, seed=5)


async def test_a_stored_completion_has_what_was_used() -> None:
    async with serving(sampling=QWEN) as server:
        answer = await server.ask("chat/completions", **CHAT, store=True)
        row = server.completions.get("default", answer.json()["id"])
    assert row is not None
    item, replay = json.loads(row.item), json.loads(row.replay)
    assert (item["temperature"], item["top_p"]) == (0.7, 0.8)
    assert (replay["temperature"], replay["top_p"], replay["top_k"]) == (0.7, 0.8, 20)
    async with serving() as later:
        await later.ask("chat/completions", **replay)
        [request] = later.generator.requests
    assert request.sampling == Sampling(temperature=0.7, top_p=0.8, top_k=20, seed=5)


@pytest.mark.parametrize("model", ["tiny", "gpt-4o-mini"])
async def test_a_model_shows_its_defaults(model: str) -> None:
    async with serving(sampling=QWEN) as server:
        found = (await server.client.get(f"/v1/models/{model}")).json()
        listed = (await server.client.get("/v1/models")).json()["data"]
    assert found["sampling_defaults"] == {"temperature": 0.7, "top_p": 0.8, "top_k": 20}
    assert all(list(item) == ["id", "object", "created", "owned_by"] for item in listed)


async def test_the_fingerprint_knows_them() -> None:
    prints = set()
    for sampling in (SamplingDefaults(), QWEN):
        async with serving(sampling=sampling) as server:
            prints.add((await server.ask("chat/completions", **CHAT)).json()["system_fingerprint"])
    assert len(prints) == 2
