"""The priority tier: for keys with its scope, within its limit; else the default tier serves the request."""

from typing import Any

from httpx import Response
from tests.api.stand_in import Model, serving
from tests.backends.stand_in import relayed
from tests.backends.test_relay import serving as relaying

from myna.accounts.administration import Actor
from myna.core.accounts import ALL_MODELS, EVERYONE

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
ACTOR = Actor("session", "ana")


async def ask(model: Model, key: str = "", **body: Any) -> Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {"model": "tiny", "service_tier": "priority", **CHAT, **body}
    return await model.client.post("/v1/chat/completions", json=body, headers=headers)


async def test_a_key_without_the_scope_is_served_at_the_default_tier() -> None:
    async with serving() as model:
        administration = model.services.accounts.administration
        plain = administration.create_key(ACTOR, None, "plain").value
        urgent = administration.create_key(ACTOR, None, "urgent", scopes=("inference", "priority")).value
        replies = [await ask(model, key) for key in (plain, urgent, "")]
        assert [reply.status_code for reply in replies] == [200, 200, 200]
        assert [reply.json()["service_tier"] for reply in replies] == ["default", "priority", "priority"]
        assert [request.priority for request in model.generator.requests] == [0, 1, 1]
        assert [row.service_tier for row in model.ledger.rows] == ["default", "priority", "priority"]
        assert "scope `priority`" in replies[0].headers["x-myna-hint"]
        assert "x-myna-hint" not in replies[1].headers
        flex = await ask(model, plain, service_tier="flex")
        assert flex.json()["service_tier"] == "flex"


async def test_more_priority_requests_than_the_limit_are_served_at_the_default_tier() -> None:
    async with serving() as model:
        accounts = model.services.accounts
        accounts.administration.set_limit(ACTOR, EVERYONE, ALL_MODELS, {"priority_requests_per_minute": 2})
        await accounts.catch_up()
        tiers = [(await ask(model)).json()["service_tier"] for _ in range(3)]
        assert tiers == ["priority", "priority", "default"]
        usual = await ask(model, service_tier="auto")
        assert usual.status_code == 200
        assert "x-myna-hint" not in usual.headers


async def test_a_relayed_request_asks_for_no_tier_that_its_key_may_not_use() -> None:
    async with relaying(relayed(b"{}"), relayed(b"{}")) as served:
        accounts = served.services.accounts
        key = accounts.administration.create_key(ACTOR, None, "plain").value
        body = b'{"model":"far-1","service_tier":"priority","x":1}'
        await served.live.ask("POST", "/v1/chat/completions", body, key=key)
        await served.live.ask("POST", "/v1/chat/completions", body)
    first, second = (request.body for request in served.backend.relay.requests)
    assert first == {"model": "far-1", "service_tier": "default", "x": 1}
    assert second["service_tier"] == "priority"
