"""The Models API byte by byte: list, retrieve with slashes, remove by policy."""

import asyncio
import json

import pytest
from tests.http.live import Live, running
from tests.http.scripted import INFO, ScriptedGenerator, pool_of, services, words

from myna.accounts.principal import Principal
from myna.core.accounts import AuditQuery

FAMILIES = ("myna.api.models.routes", "tests.http.words_endpoint")


async def test_the_list_has_four_keys_a_model_and_openais_white_space() -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        reply = await live.ask("GET", "/v1/models")
    assert reply.headers["content-type"] == "application/json"
    assert reply.body.startswith(
        b'{\n  "object": "list",\n  "data": [\n    {\n      "id": "tiny",\n      "object": "model",\n'
        b'      "created": 1700000000,\n      "owned_by": "myna"\n    },\n'
    )
    assert reply.body.endswith(b"\n  ]\n}")
    assert [model["id"] for model in json.loads(reply.body)["data"]] == [
        "tiny",
        "org/mo del:v1@x",
        "gpt-4o-mini",
    ]
    assert "openai-organization" not in reply.headers


async def test_a_slash_behind_the_list_is_the_list() -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        reply = await live.ask("GET", "/v1/models/")
        plain = await live.ask("GET", "/v1/models")
    assert (reply.status, reply.body) == (200, plain.body)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("tiny", "tiny"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("org%2Fmo%20del:v1@x", "org/mo del:v1@x"),
        ("org/mo%20del:v1@x", "org/mo del:v1@x"),
    ],
)
async def test_a_model_is_found_by_its_id_with_or_without_escapes(path: str, model: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        reply = await live.ask("GET", f"/v1/models/{path}")
    assert reply.status == 200
    assert list(json.loads(reply.body))[:4] == ["id", "object", "created", "owned_by"]
    assert json.loads(reply.body)["id"] == model


async def test_details_are_what_is_known_of_a_model() -> None:
    async with running(services(pool_of(ScriptedGenerator([words("a")])))) as live:
        before = await live.ask("GET", "/v1/models/tiny")
        await _say(live)
        after = await live.ask("GET", "/v1/models/tiny")
        listed = await live.ask("GET", "/v1/models?details=true")
    assert json.loads(before.body)["is_loaded"] is False
    assert "context_tokens" not in json.loads(before.body)
    assert json.loads(after.body)["is_loaded"] is True
    assert json.loads(after.body)["context_tokens"] == INFO.context_tokens
    assert json.loads(after.body)["engine"] == INFO.engine
    assert json.loads(after.body)["is_batch_invariant"] is INFO.is_batch_invariant
    models = {model["id"]: model for model in json.loads(listed.body)["data"]}
    assert models["tiny"] == json.loads(after.body)
    assert models["gpt-4o-mini"]["alias_of"] == "tiny"
    assert "alias_of" not in models["tiny"]


@pytest.mark.parametrize("model", ["fake_id", "..%2F..%2Fetc%2Fpasswd", "tiny%00", "%E4%BD%A0"])
async def test_an_unknown_id_has_this_apis_own_words(model: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        got = await live.ask("GET", f"/v1/models/{model}")
        deleted = await live.ask("DELETE", f"/v1/models/{model}")
    assert (got.status, deleted.status) == (404, 404)
    error = json.loads(got.body)["error"]
    assert error["message"].endswith("does not exist")
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert got.body.startswith(b'{\n  "error": {\n    "message": "The model \'')
    assert got.body.endswith(b"\n}")
    assert deleted.body == got.body + b"\n"
    assert "openai-version" in got.headers


async def test_a_deleted_model_is_gone_and_its_file_with_it() -> None:
    forgotten: list[str] = []
    parts = services(pool_of(ScriptedGenerator([]), forgotten=forgotten))
    async with running(parts) as live:
        reply = await live.ask("DELETE", "/v1/models/org%2Fmo%20del:v1@x")
        again = await live.ask("DELETE", "/v1/models/org%2Fmo%20del:v1@x")
    acts = parts.accounts.store.events(AuditQuery())
    assert acts is not None
    assert [(act.type, act.subject, act.address) for act in acts.events] == [
        ("resource.deleted", "org/mo del:v1@x", "127.0.0.1")
    ]
    assert reply.status == 200
    assert json.loads(reply.body) == {"id": "org/mo del:v1@x", "object": "model", "deleted": True}
    assert again.status == 404
    assert forgotten == ["org/mo del:v1@x"]


async def test_an_alias_is_not_deleted_and_neither_is_a_model_in_use() -> None:
    more, steps = asyncio.Event(), words("a")
    generator = ScriptedGenerator([[more, *steps]])
    async with running(services(pool_of(generator))) as live:
        alias = await live.ask("DELETE", "/v1/models/gpt-4o-mini")
        running_call = asyncio.create_task(_say(live))
        await generator.is_asked.wait()
        busy = await live.ask("DELETE", "/v1/models/tiny")
        more.set()
        await running_call
        free = await live.ask("DELETE", "/v1/models/tiny")
    assert (alias.status, busy.status, free.status) == (403, 409, 200)
    assert busy.headers["x-should-retry"] == "false"


async def test_a_model_is_loaded_and_unloaded_but_not_while_it_is_in_use() -> None:
    more, steps = asyncio.Event(), words("a")
    generator = ScriptedGenerator([[more, *steps]])
    base = "/v1/organization/models"
    async with running(services(pool_of(generator))) as live:
        loaded = await live.ask("POST", f"{base}/gpt-4o-mini/load")
        seen = await live.ask("GET", "/v1/models/tiny")
        running_call = asyncio.create_task(_say(live))
        await generator.is_asked.wait()
        busy = await live.ask("POST", f"{base}/tiny/unload")
        more.set()
        await running_call
        unloaded = await live.ask("POST", f"{base}/tiny/unload")
        again = await live.ask("POST", f"{base}/tiny/unload")
        slashes = await live.ask("POST", f"{base}/org%2Fmo%20del:v1@x/load")
        unknown = await live.ask("POST", f"{base}/nowhere/load")
    assert [reply.status for reply in (loaded, busy, unloaded, again, slashes, unknown)] == [
        200,
        409,
        200,
        200,
        200,
        404,
    ]
    assert json.loads(loaded.body)["is_loaded"] is True
    assert json.loads(seen.body)["is_loaded"] is True
    assert json.loads(unloaded.body)["is_loaded"] is False


async def test_deleting_needs_the_admin_scope() -> None:
    class Readers:
        def find(self, key: str) -> Principal:
            return Principal("key_reader", scopes=frozenset({"model.read"}))

    parts = services(pool_of(ScriptedGenerator([])))
    object.__setattr__(parts, "keys", Readers())
    async with running(parts) as live:
        reply = await live.ask("DELETE", "/v1/models/tiny")
        load = await live.ask("POST", "/v1/organization/models/tiny/load")
        readable = await live.ask("GET", "/v1/models/tiny")
    assert (reply.status, load.status) == (401, 401)
    assert "Missing scopes: api.management.write." in json.loads(reply.body)["error"]["message"]
    assert readable.status == 200


async def _say(live: Live) -> None:
    await live.ask("POST", "/v1/words", b'{"model": "tiny"}')


# --- in Anthropic's format ---

ANTHROPIC = "anthropic-version: 2023-06-01"


async def test_a_client_of_anthropics_gets_its_format_in_pages() -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:

        async def page(query: str) -> tuple[list[str], bool]:
            reply = await live.ask("GET", f"/v1/models?{query}", b"", ANTHROPIC)
            body = json.loads(reply.body)
            ids = [model["id"] for model in body["data"]]
            assert (body["first_id"], body["last_id"]) == (ids[0], ids[-1])
            return ids, body["has_more"]

        first = await live.ask("GET", "/v1/models?limit=1", b"", ANTHROPIC)
        assert await page("limit=2&after_id=tiny") == (["org/mo del:v1@x", "gpt-4o-mini"], False)
        assert await page("limit=1&before_id=gpt-4o-mini") == (["org/mo del:v1@x"], True)
        assert await page("limit=9&before_id=gpt-4o-mini") == (["tiny", "org/mo del:v1@x"], False)
        assert await page("after_id=tiny&before_id=gpt-4o-mini") == (["org/mo del:v1@x"], False)
        one = await live.ask("GET", "/v1/models/org%2Fmo%20del:v1@x", b"", ANTHROPIC)
        empty = await live.ask("GET", "/v1/models?after_id=gpt-4o-mini", b"", ANTHROPIC)
    assert first.body == (
        b'{"data":[{"type":"model","id":"tiny","display_name":"tiny","created_at":"2023-11-14T22:13:20Z"}],'
        b'"has_more":true,"first_id":"tiny","last_id":"tiny"}'
    )
    assert json.loads(one.body)["id"] == "org/mo del:v1@x"
    assert json.loads(empty.body) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "after_id=no", "before_id=no"]
)
async def test_a_page_that_cannot_be_is_refused_in_anthropics_envelope(query: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([])))) as live:
        reply = await live.ask("GET", f"/v1/models?{query}", b"", ANTHROPIC)
        unknown = await live.ask("GET", "/v1/models/nope", b"", ANTHROPIC)
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["type"] == "invalid_request_error"
    assert json.loads(unknown.body)["error"] == {"type": "not_found_error", "message": "model: nope"}
