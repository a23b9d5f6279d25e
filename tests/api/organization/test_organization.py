"""The administration API through the official client, and what it says to strangers and mistakes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import Response
from openai import AsyncOpenAI, AuthenticationError, NotFoundError, PermissionDeniedError
from tests.api.stand_in import Model, error_of, serving
from tests.http.scripted import KEY

BASE = "/v1/organization"


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    async with serving() as running:
        yield running


def _admin(model: Model, key: str = KEY) -> Any:
    transport: Any = model.client
    client = AsyncOpenAI(
        admin_api_key=key, api_key=key, base_url="http://localhost/v1", http_client=transport, max_retries=0
    )
    return client.admin.organization


async def _post(model: Model, path: str, **body: Any) -> Response:
    return await model.client.post(f"{BASE}/{path}", json=body)


async def _new_key(model: Model, **body: Any) -> dict[str, Any]:
    reply = await _post(model, "projects/default/api_keys", name="Ana's laptop", **body)
    assert reply.status_code == 200, reply.text
    made: dict[str, Any] = reply.json()
    return made


def _with(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_projects_live_and_end(model: Model) -> None:
    admin = _admin(model)
    made = await admin.projects.create(name="Website")
    assert (made.object, made.name, made.status) == ("organization.project", "Website", "active")
    assert (await admin.projects.update(made.id, name="Shop")).name == "Shop"
    assert (await admin.projects.retrieve(made.id)).name == "Shop"
    assert [project.id async for project in admin.projects.list()] == ["default", made.id]
    assert [project.id async for project in admin.projects.list(limit=1)] == ["default", made.id]
    ended = await admin.projects.archive(made.id)
    assert ended.status == "archived"
    assert ended.archived_at
    assert [project.id async for project in admin.projects.list()] == ["default"]
    assert [project.id async for project in admin.projects.list(include_archived=True)] == [
        "default",
        made.id,
    ]
    with pytest.raises(NotFoundError):
        await admin.projects.retrieve("proj_nowhere")
    with pytest.raises(PermissionDeniedError):
        await admin.projects.archive("default")


async def test_a_key_is_shown_once_and_lives_as_the_client_knows_it(model: Model) -> None:
    admin = _admin(model)
    made = await _new_key(model, expires_in_seconds=3600)
    assert made["value"].startswith("sk-myna-")
    assert list(made)[-1] == "value"
    (listed,) = [key async for key in admin.projects.api_keys.list("default")]
    assert (listed.id, listed.name) == (made["id"], "Ana's laptop")
    assert listed.redacted_value == f"{made['value'][:11]}...{made['value'][-4:]}"
    assert listed.owner.service_account.name == "Ana's laptop"
    assert listed.expires_at - listed.created_at == 3600
    found = await admin.projects.api_keys.retrieve(made["id"], project_id="default")
    assert made["value"] not in found.to_json()
    changed = await admin.projects.api_keys.update(made["id"], project_id="default", scopes=["read"])
    assert changed.scopes == ["read"]
    assert changed.expires_at == listed.expires_at, "what is left out stays"
    gone = await admin.projects.api_keys.delete(made["id"], project_id="default")
    assert (gone.object, gone.deleted) == ("organization.project.api_key.deleted", True)
    assert [key async for key in admin.projects.api_keys.list("default")] == []
    reply = await model.client.get(f"{BASE}/projects/default/api_keys?include_revoked=true")
    assert [key["status"] for key in reply.json()["data"]] == ["revoked"]


async def test_every_key_may_read_what_it_is(model: Model) -> None:
    made = await _new_key(model, models=["fake"], scopes=["inference", "read"])
    reply = await model.client.get(f"{BASE}/own_key", headers=_with(made["value"]))
    assert reply.json() == {
        "object": "organization.own_key",
        "id": made["id"],
        "project_id": "default",
        "scopes": ["inference", "read"],
        "models": ["fake"],
    }
    assert (await model.client.get(f"{BASE}/own_key")).json()["scopes"] == [
        "inference",
        "read",
        "admin",
        "priority",
    ]
    assert (await model.client.get(f"{BASE}/own_key", headers=_with("sk-wrong"))).status_code == 401


async def test_a_key_decides_for_itself_what_happens_to_unknown_parameters(model: Model) -> None:
    body = {"model": "tiny", "prompt": "a", "zzz": 1}
    made = await _new_key(model, unknown_parameters="ignore")
    key = f"{BASE}/projects/default/api_keys/{made['id']}"
    assert made["unknown_parameters"] == "ignore"
    dropped = await model.client.post("/v1/completions", json=body, headers=_with(made["value"]))
    assert (dropped.status_code, dropped.headers["x-myna-ignored"]) == (200, "zzz")
    assert (await model.client.post("/v1/completions", json=body)).status_code == 400  # another key
    for choice, status in (("reject", 400), ("ignore", 200), (None, 400)):
        changed = await model.client.post(key, json={"unknown_parameters": choice})
        assert changed.json()["unknown_parameters"] == choice
        reply = await model.client.post("/v1/completions", json=body, headers=_with(made["value"]))
        assert reply.status_code == status
    wrong = await model.client.post(key, json={"unknown_parameters": "drop"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "unknown_parameters")
    unknown = await model.client.post(key, json={"zzz": 1}, headers=_with(made["value"]))
    assert unknown.status_code == 401


async def test_a_service_account_is_a_key_as_openai_makes_one(model: Model) -> None:
    admin = _admin(model)
    made = await admin.projects.service_accounts.create("default", name="ci")
    assert made.object == "organization.project.service_account"
    assert made.role == "member"
    assert made.api_key is not None
    reply = await model.client.get("/v1/models", headers=_with(made.api_key.value))
    assert reply.status_code == 200
    (account,) = [found async for found in admin.projects.service_accounts.list("default")]
    assert account.id == made.id
    found = await admin.projects.service_accounts.retrieve(made.id, project_id="default")
    assert found.name == "ci"
    gone = await admin.projects.service_accounts.delete(made.id, project_id="default")
    assert gone.deleted
    assert (await model.client.get("/v1/models", headers=_with(made.api_key.value))).status_code == 401


async def test_keys_of_administrators_have_endpoints_of_their_own(model: Model) -> None:
    admin = _admin(model)
    made = await admin.admin_api_keys.create(name="boss")
    plain = await _new_key(model)
    assert [key.id async for key in admin.admin_api_keys.list(order="desc")] == [made.id]
    assert (await admin.admin_api_keys.retrieve(made.id)).redacted_value == made.redacted_value
    theirs = _admin(model, made.value)
    assert [key.name async for key in theirs.admin_api_keys.list()] == ["boss"]
    with pytest.raises(NotFoundError):
        await admin.admin_api_keys.retrieve(plain["id"])
    reply = await model.client.post(
        "/v1/completions", json={"model": "tiny", "prompt": "x"}, headers=_with(made.value)
    )
    assert reply.status_code == 401
    assert "Missing scopes: model.request." in error_of(reply)["message"]
    assert (await admin.admin_api_keys.delete(made.id)).deleted
    with pytest.raises(AuthenticationError):
        await theirs.projects.retrieve("default")


async def test_a_rotation_answers_with_the_new_key(model: Model) -> None:
    made = await _new_key(model)
    path = f"projects/default/api_keys/{made['id']}/rotate"
    both = (await _post(model, path, overlap_seconds=60)).json()
    assert (both["id"], both["name"]) == (made["id"], made["name"])
    assert both["previous_expires_at"]
    for value in (made["value"], both["value"]):
        assert (await model.client.get("/v1/models", headers=_with(value))).status_code == 200
    alone = (await model.client.post(f"{BASE}/{path}")).json()
    for value, status in ((both["value"], 401), (alone["value"], 200)):
        assert (await model.client.get("/v1/models", headers=_with(value))).status_code == status


async def test_who_holds_a_dead_key_reads_why_in_a_header(model: Model) -> None:
    made = await _new_key(model)
    await model.client.delete(f"{BASE}/projects/default/api_keys/{made['id']}")
    reply = await model.client.get("/v1/models", headers=_with(made["value"]))
    assert reply.status_code == 401
    assert error_of(reply)["code"] == "invalid_api_key"
    assert error_of(reply)["message"].startswith("Incorrect API key provided: sk-myna-****")
    assert reply.headers["x-myna-hint"] == "This key was revoked."


async def test_a_model_that_a_key_may_not_use_does_not_exist_for_it(model: Model) -> None:
    made = await _new_key(model, models=["gpt-4o-mini"])
    headers = _with(made["value"])
    listed = (await model.client.get("/v1/models", headers=headers)).json()
    assert [card["id"] for card in listed["data"]] == ["gpt-4o-mini"]
    allowed = await model.client.post(
        "/v1/completions", json={"model": "gpt-4o-mini", "prompt": "x"}, headers=headers
    )
    assert allowed.status_code == 200
    for name in ("tiny", "nonsense"):
        reply = await model.client.post(
            "/v1/completions", json={"model": name, "prompt": "x"}, headers=headers
        )
        assert reply.status_code == 404
        assert error_of(reply)["message"] == (
            f"The model `{name}` does not exist or you do not have access to it."
        )
        assert error_of(reply)["code"] == "model_not_found"
        assert reply.headers["x-myna-hint"] == "This key may use: gpt-4o-mini."
        found = await model.client.get(f"/v1/models/{name}", headers=headers)
        assert (found.status_code, error_of(found)["message"]) == (404, f"The model '{name}' does not exist")


async def test_limits_have_openais_shape_for_projects_keys_and_everyone(model: Model) -> None:
    admin = _admin(model)
    limits = [limit async for limit in admin.projects.rate_limits.list_rate_limits("default")]
    assert [limit.id for limit in limits] == ["rl-all", "rl-tiny"]
    assert limits[1].max_requests_per_1_minute is None
    changed = await admin.projects.rate_limits.update_rate_limit(
        "rl-tiny", project_id="default", max_requests_per_1_minute=60
    )
    assert (changed.object, changed.model, changed.max_requests_per_1_minute) == (
        "project.rate_limit",
        "tiny",
        60,
    )
    made = await _new_key(model)
    for owner in ("", f"projects/default/api_keys/{made['id']}/"):
        reply = await _post(model, f"{owner}rate_limits/rl-org/mo del", max_concurrent_requests=3)
        assert reply.json()["model"] == "org/mo del"
        listed = (await model.client.get(f"{BASE}/{owner}rate_limits")).json()["data"]
        assert [limit["max_concurrent_requests"] for limit in listed] == [None, None, 3]
        again = (await model.client.get(f"{BASE}/{owner}rate_limits/rl-org/mo del")).json()
        assert again == reply.json()
    reply = await _post(model, "projects/default/rate_limits/rl-tiny", max_requests_per_1_minute=None)
    assert reply.json()["max_requests_per_1_minute"] is None


async def test_a_budget_is_openais_spend_limit(model: Model) -> None:
    admin = _admin(model)
    for spend_limit, owner, place in (
        (admin.spend_limit, "", {}),
        (admin.projects.spend_limit, "projects/default/", {"project_id": "default"}),
    ):
        with pytest.raises(NotFoundError):
            await spend_limit.retrieve(**place)
        made = await spend_limit.update(currency="USD", interval="month", threshold_amount=500, **place)
        assert (made.threshold_amount, made.currency, made.interval) == (500, "USD", "month")
        assert made.enforcement.status == "enforcing", "the server of the tests keeps no ledger"
        assert (await spend_limit.retrieve(**place)).threshold_amount == 500
        limit = (await model.client.get(f"{BASE}/{owner}rate_limits/rl-all")).json()
        assert limit["budget_cents"] == 500
        assert (await spend_limit.delete(**place)).deleted
        with pytest.raises(NotFoundError):
            await spend_limit.retrieve(**place)


async def test_acts_are_listed_with_who_did_them_from_where(model: Model) -> None:
    admin = _admin(model)
    project = await admin.projects.create(name="Website")
    made = await _new_key(model, scopes=["read"])
    await model.client.delete(f"{BASE}/projects/default/api_keys/{made['id']}")
    acts = [act async for act in admin.audit_logs.list(limit=2)]
    assert [act.type for act in acts] == ["api_key.deleted", "api_key.created", "project.created"]
    created = acts[1]
    assert created.api_key_created is not None
    assert created.api_key_created.id == made["id"]
    assert created.api_key_created.data.scopes == ["read"]
    assert created.actor.type == "api_key"
    assert created.actor.api_key.id.startswith("key_")
    assert created.actor.ip_address == "127.0.0.1"
    assert created.project.name == "Default project"
    (only,) = [act async for act in admin.audit_logs.list(event_types=["project.created"])]
    assert only.project_created.id == project.id
    assert [
        act.type async for act in admin.audit_logs.list(effective_at={"gt": created.effective_at + 60})
    ] == []
    assert [act async for act in admin.audit_logs.list(project_ids=[project.id], actor_ids=["key_x"])] == []
    assert made["value"] not in (await model.client.get(f"{BASE}/audit_logs")).text


async def test_all_of_it_needs_the_scope(model: Model) -> None:
    made = await _new_key(model, scopes=["inference", "read"])
    headers = _with(made["value"])
    for method, path, missing in (
        ("GET", "projects", "api.management.read"),
        ("GET", "audit_logs", "api.management.read"),
        ("GET", "admin_api_keys", "api.management.read"),
        ("GET", "rate_limits", "api.management.read"),
        ("POST", "projects", "api.management.write"),
        ("POST", "projects/default/api_keys", "api.management.write"),
        ("POST", f"projects/default/api_keys/{made['id']}/rotate", "api.management.write"),
        ("DELETE", f"projects/default/api_keys/{made['id']}", "api.management.write"),
        ("POST", "projects/default/rate_limits/rl-all", "api.management.write"),
    ):
        reply = await model.client.request(method, f"{BASE}/{path}", headers=headers)
        assert reply.status_code == 401, path
        assert f"Missing scopes: {missing}." in error_of(reply)["message"]


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        ("projects", {}, "name", "missing_required_parameter"),
        ("projects", {"name": 5}, "name", "invalid_type"),
        ("projects", {"name": None}, "name", "invalid_type"),
        ("projects", {"name": "n" * 10_000_000}, "name", "string_above_max_length"),
        ("projects", {"name": "a\u0000b"}, "name", "invalid_value"),
        ("projects", {"name": "x", "residency": "eu"}, "residency", None),
        ("projects", {"name": "x", "nmae": "y"}, "nmae", "unknown_parameter"),
        ("projects/default/api_keys", {"name": "x", "scopes": ["ādmin"]}, "scopes[0]", "invalid_value"),
        ("projects/default/api_keys", {"name": "x", "scopes": []}, "scopes", "empty_array"),
        ("projects/default/api_keys", {"name": "x", "scopes": None}, "scopes", "invalid_type"),
        ("projects/default/api_keys", {"name": "x", "scopes": "admin"}, "scopes", "invalid_type"),
        ("projects/default/api_keys", {"name": "x", "models": [7]}, "models[0]", "invalid_type"),
        ("projects/default/api_keys", {"name": "x", "models": ["\n"]}, "models", "invalid_value"),
        (
            "projects/default/api_keys",
            {"name": "x", "expires_in_seconds": -1},
            "expires_in_seconds",
            "integer_below_min_value",
        ),
        (
            "projects/default/api_keys",
            {"name": "x", "expires_in_seconds": 1.5},
            "expires_in_seconds",
            "invalid_type",
        ),
        (
            "projects/default/api_keys",
            {"name": "x", "expires_in_seconds": 10**12},
            "expires_in_seconds",
            "integer_above_max_value",
        ),
        ("projects/default/api_keys/key_x", {"name": ""}, "name", "empty_string"),
        ("projects/default/api_keys/key_x", {"name": "x"}, "key_id", "not_found"),
        ("projects/nowhere/api_keys", {"name": "x"}, "project_id", "not_found"),
        (
            "projects/default/api_keys/key_x/rotate",
            {"overlap_seconds": -1},
            "overlap_seconds",
            "integer_below_min_value",
        ),
        (
            "projects/default/rate_limits/rl-all",
            {"max_tokens_per_1_minute": -5},
            "max_tokens_per_1_minute",
            "integer_below_min_value",
        ),
        (
            "projects/default/rate_limits/rl-all",
            {"max_tokens_per_1_minute": 2**60},
            "max_tokens_per_1_minute",
            "integer_above_max_value",
        ),
        (
            "projects/default/rate_limits/rl-all",
            {"max_images_per_1_minute": 5},
            "max_images_per_1_minute",
            "unsupported_parameter",
        ),
        ("spend_limit", {"currency": "EUR"}, "interval", "missing_required_parameter"),
        (
            "spend_limit",
            {"currency": "EUR", "interval": "month", "threshold_amount": 5},
            "currency",
            "invalid_value",
        ),
        ("projects/default/rate_limits/all", {"max_tokens_per_1_minute": 5}, "rate_limit_id", "not_found"),
        (
            "projects/default/service_accounts",
            {"name": "x", "create_service_account_only": True},
            "create_service_account_only",
            None,
        ),
    ],
)
async def test_a_wrong_body_is_named_and_changes_nothing(
    model: Model, path: str, body: dict[str, Any], param: str, code: str | None
) -> None:
    reply = await _post(model, path, **body)
    assert reply.status_code == (404 if code == "not_found" else 400), reply.text[:300]
    error = error_of(reply)
    assert (error["param"], error["code"]) == (param, code)
    assert len(reply.text) < 600
    assert (await model.client.get(f"{BASE}/audit_logs")).json()["data"] == []


@pytest.mark.parametrize("path", ["projects", "projects/default/api_keys", "audit_logs", "admin_api_keys"])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 400),
        ("limit=101", 400),
        ("limit=9" + "9" * 5000, 400),
        ("after=x%00", 404),
        ("olny=1", 400),
    ],
)
async def test_a_wrong_query_is_named(model: Model, path: str, query: str, status: int) -> None:
    reply = await model.client.get(f"{BASE}/{path}?{query}")
    assert reply.status_code == status
    assert len(reply.text) < 600


async def test_a_body_that_is_not_an_object_is_rejected(model: Model) -> None:
    reply = await model.client.post(f"{BASE}/projects", json=["x"])
    assert error_of(reply)["message"] == "The body of this request must be a JSON object."
