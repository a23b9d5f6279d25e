"""What an administrator is offered, and downloads over HTTP; each act is in the audit log."""

import json
from dataclasses import replace
from pathlib import Path

from tests.http.live import Live, running
from tests.http.scripted import ScriptedGenerator, pool_of, services, words

from myna.accounts.principal import Principal
from myna.catalog.advice import Machine
from myna.catalog.downloads import Download, Downloads
from myna.catalog.entries import CatalogEntry
from myna.catalog.names import HubName
from myna.catalog.store import ModelStore
from myna.core.accounts import AuditQuery
from myna.core.backend import LocalModel
from myna.request.services import Services

FAMILIES = ("myna.api.models.routes", "myna.api.models.downloads")
_MODELS = "/v1/organization/models"


def pull(
    wanted: CatalogEntry | HubName, store: ModelStore, progress: Download, mirror: Path | None
) -> LocalModel:
    store.folder.mkdir(exist_ok=True)
    assert isinstance(wanted, CatalogEntry)
    with store.path_of(wanted).open("wb") as file:
        file.truncate(wanted.num_bytes)
    progress.update(wanted.num_bytes, wanted.num_bytes)
    return LocalModel(wanted.id, Path(), "me", 0, 100, "catalog")


def serving(folder: Path) -> Services:
    machine = Machine(4_000_000_000, 2e10, lambda entry: entry.architecture == "qwen3")
    downloads = Downloads(lambda: ModelStore(folder / "models"), lambda: machine, pull=pull)
    return replace(services(pool_of(ScriptedGenerator([words("a")]))), downloads=downloads)


async def ask(live: Live, method: str, path: str) -> tuple[int, dict[str, object]]:
    reply = await live.ask(method, path)
    body: dict[str, object] = json.loads(reply.body)
    return reply.status, body


async def test_the_catalog_is_shown_for_this_machine(tmp_path: Path) -> None:
    async with running(serving(tmp_path), families=FAMILIES) as live:
        status, body = await ask(live, "GET", f"{_MODELS}/available")
    assert status == 200
    rows = {row["id"]: row for row in body["data"]}  # type: ignore[attr-defined]
    best = rows["qwen3-1.7b"]
    assert (best["best_for"], best["fits"], best["runs"], best["is_here"]) == (["chat"], True, True, False)
    assert best["sources"] == ["huggingface", "modelscope"]
    assert best["pull"] is None
    assert (rows["qwen3-8b"]["fits"], rows["gpt-oss-20b"]["runs"]) == (False, False)
    assert rows["qwen3-1.7b"]["tokens_per_s"] == round(0.8 * 2e10 / 1_107_409_472, 1)


async def test_a_model_is_downloaded_and_listed(tmp_path: Path) -> None:
    serving_here = serving(tmp_path)
    async with running(serving_here, families=FAMILIES) as live:
        status, started = await ask(live, "POST", f"{_MODELS}/qwen3%3A0.6b/pull")
        assert (status, started["id"], started["object"]) == (202, "qwen3-0.6b", "model.pull")
        assert serving_here.downloads is not None
        (download,) = serving_here.downloads.listed()
        await download.ended.wait()
        _, body = await ask(live, "GET", f"{_MODELS}/pulls")
        assert body["data"] == [
            {
                "id": "qwen3-0.6b",
                "object": "model.pull",
                "status": "completed",
                "downloaded_bytes": 396_705_472,
                "total_bytes": 396_705_472,
                "message": None,
            }
        ]
        _, body = await ask(live, "GET", f"{_MODELS}/available")
        row = next(row for row in body["data"] if row["id"] == "qwen3-0.6b")  # type: ignore[attr-defined]
        assert (row["is_here"], row["pull"]["status"]) == (True, "completed")
        status, body = await ask(live, "POST", f"{_MODELS}/qwen3-0.6b/pull/cancel")
        assert status == 409
        status, body = await ask(live, "POST", f"{_MODELS}/qwen3-14b/pull/cancel")
        assert status == 404
        status, body = await ask(live, "POST", f"{_MODELS}/nothing%25%25/pull")
        assert status == 404
    assert _events(serving_here) == [("model.pulled", "qwen3-0.6b")]


async def test_a_server_with_a_simulated_engine_downloads_nothing() -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), families=FAMILIES) as live:
        assert await ask(live, "GET", f"{_MODELS}/available") == (200, {"object": "list", "data": []})
        status, body = await ask(live, "POST", f"{_MODELS}/qwen3-4b/pull")
    assert status == 404
    assert "downloads no models" in str(body)


async def test_only_an_administrator_downloads(tmp_path: Path) -> None:
    class Readers:
        def find(self, key: str) -> Principal:
            return Principal("key_reader", scopes=frozenset({"model.read"}))

    serving_here = serving(tmp_path)
    object.__setattr__(serving_here, "keys", Readers())
    async with running(serving_here, families=FAMILIES) as live:
        for method, path in (
            ("GET", "available"),
            ("GET", "pulls"),
            ("POST", "x/pull"),
            ("POST", "x/pull/cancel"),
        ):
            assert (await ask(live, method, f"{_MODELS}/{path}"))[0] == 401


async def test_loading_and_unloading_are_in_the_audit_log() -> None:
    serving_here = services(pool_of(ScriptedGenerator([])))
    async with running(serving_here, families=FAMILIES) as live:
        assert (await ask(live, "POST", f"{_MODELS}/gpt-4o-mini/load"))[0] == 200
        assert (await ask(live, "POST", f"{_MODELS}/tiny/unload"))[0] == 200
        assert (await ask(live, "POST", f"{_MODELS}/nothing/unload"))[0] == 404
    assert _events(serving_here) == [("model.unloaded", "tiny"), ("model.loaded", "tiny")]


def _events(serving_here: Services) -> list[tuple[str, str]]:
    found = serving_here.accounts.store.events(AuditQuery(limit=10))
    assert found is not None
    return [(event.type, event.subject) for event in found.events]
