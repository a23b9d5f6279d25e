"""Usage, costs, requests and their CSV over HTTP: OpenAI's shapes, each owner its own, faults by name."""

import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openai
import pytest
from openai.types.admin.organization import usage_completions_response as wire
from tests.http.live import Live, running
from tests.http.scripted import KEY, ScriptedGenerator, pool_of, services
from tests.stores.rows import usage_row

from myna.accounts.principal import KEY_SCOPES, Principal
from myna.core.ledger import OUTCOMES
from myna.stores.ledger_memory import MemoryLedger
from myna.usage.ledger import Ledger

FAMILIES = ("myna.api.usage.routes",)
DAY_S = 86_400
START_S = 20_000 * DAY_S


class OneKey:
    """Whatever key is shown, the same caller."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def find(self, key: str) -> Principal | None:
        return self._principal


READER = Principal("key_r", project="ours", scopes=KEY_SCOPES["read"])


@asynccontextmanager
async def usage_server(
    folder: Path,
    principal: Principal | None = None,
    *,
    has_ledger: bool = True,
    store: MemoryLedger | None = None,
) -> AsyncIterator[Live]:
    """Three days of requests: on the first day two, on the second none, on the third one of another's."""
    store = MemoryLedger() if store is None else store
    store.add(
        [
            usage_row(
                1,
                arrived_ms=START_S * 1000,
                prompt_tokens=100,
                cached_tokens=60,
                cost_nano=1_500_000_000,
                first_token_ms=20,
                duration_ms=100,
            ),
            usage_row(
                2,
                arrived_ms=(START_S + 3700) * 1000,
                model="big",
                outcome="failed",
                user="=cmd()",
                error="Bad",
            ),
            usage_row(
                3, arrived_ms=(START_S + 2 * DAY_S + 5) * 1000, project="theirs", key_id="key_b", status=0
            ),
        ]
    )
    parts = services(pool_of(ScriptedGenerator([])))
    if has_ledger:
        ledger = Ledger(store, folder, "memory:")
        ledger.start()
        object.__setattr__(parts, "ledger", ledger)
    if principal is not None:
        object.__setattr__(parts, "keys", OneKey(principal))
    async with running(parts, families=FAMILIES) as live:
        yield live


async def _get(live: Live, path: str) -> Any:
    reply = await live.ask("GET", f"/v1/organization/{path}")
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


async def test_openais_client_reads_the_buckets_page_by_page(tmp_path: Path) -> None:
    async with (
        usage_server(tmp_path) as live,
        openai.AsyncOpenAI(base_url=live.base_url, api_key=KEY, admin_api_key=KEY, max_retries=0) as client,
    ):
        usage = client.admin.organization.usage
        first = await usage.completions(start_time=START_S, end_time=START_S + 3 * DAY_S, limit=2)
        assert first.has_more and first.next_page
        last = await usage.completions(
            start_time=START_S, end_time=START_S + 3 * DAY_S, limit=2, page=first.next_page
        )
    assert not last.has_more and last.next_page is None
    buckets = [*first.data, *last.data]
    assert [bucket.start_time for bucket in buckets] == [START_S + day * DAY_S for day in range(3)]
    assert [bucket.end_time - bucket.start_time for bucket in buckets] == [DAY_S] * 3
    assert [len(bucket.results) for bucket in buckets] == [1, 0, 1]
    result = buckets[0].results[0]
    assert isinstance(result, wire.DataResultOrganizationUsageCompletionsResult)
    assert (result.input_tokens, result.input_cached_tokens, result.output_tokens) == (110, 60, 10)
    assert (result.num_model_requests, result.model, result.batch) == (2, None, None)


async def test_embeddings_are_counted_apart(tmp_path: Path) -> None:
    """Also after their rows became hourly sums; costs have both."""
    start_ms, end_s = START_S * 1000, START_S + DAY_S
    embedding = usage_row(
        9,
        endpoint="embeddings",
        arrived_ms=start_ms,
        prompt_tokens=7,
        completion_tokens=0,
        cost_nano=500_000_000,
    )
    store = MemoryLedger()
    async with (
        usage_server(tmp_path, store=store) as live,
        openai.AsyncOpenAI(base_url=live.base_url, api_key=KEY, admin_api_key=KEY, max_retries=0) as client,
    ):
        store.add([embedding])
        for _ in range(2):
            usage = client.admin.organization.usage
            embeddings = await usage.embeddings(start_time=START_S, end_time=end_s, group_by=["model"])
            completions = await usage.completions(start_time=START_S, end_time=end_s)
            costs = await usage.costs(start_time=START_S, end_time=end_s)
            (embedded,), (completed,) = embeddings.data[0].results, completions.data[0].results
            (cost,) = costs.data[0].results
            assert embedded.object == "organization.usage.embeddings.result"
            assert (embedded.input_tokens, embedded.num_model_requests, embedded.model) == (7, 1, "tiny")
            assert completed.object == "organization.usage.completions.result"
            assert (completed.input_tokens, completed.num_model_requests) == (110, 2)
            assert cost.object == "organization.costs.result"
            assert cost.amount is not None and cost.amount.value == 2.0
            store.roll_up(START_S + DAY_S)
        refused = await live.ask("GET", "/v1/organization/usage/embeddings?start_time=0&batch=true")
    assert refused.status == 400 and b"Unknown parameter: 'batch'" in refused.body


async def test_groups_and_filters(tmp_path: Path) -> None:
    query = f"start_time={START_S}&end_time={START_S + DAY_S}"
    async with usage_server(tmp_path) as live:
        grouped = await _get(
            live, f"usage/completions?{query}&group_by[]=model&group_by[]=batch&bucket_width=1h&limit=2"
        )
        filtered = await _get(live, f"usage/completions?{query}&models=tiny&models=none&api_key_ids=key_a")
        other = await _get(live, f"usage/completions?{query}&user_ids=nobody")
        batch = await _get(live, f"usage/completions?{query}&batch=true")
    data = grouped["data"]
    assert isinstance(data, list)
    assert [[result["model"] for result in bucket["results"]] for bucket in data] == [["tiny"], ["big"]]
    assert data[0]["results"][0]["batch"] is False
    assert data[0]["results"][0]["myna"] == {
        "reasoning_tokens": 0,
        "num_completed": 1,
        "num_cancelled": 0,
        "num_failed": 0,
        "num_refused": 0,
        "mean_first_token_ms": 20.0,
        "mean_duration_ms": 100.0,
        "cost_usd": 1.5,
    }
    assert data[1]["results"][0]["myna"]["mean_duration_ms"] is None
    assert filtered["data"][0]["results"][0]["num_model_requests"] == 1
    assert other["data"][0]["results"] == batch["data"][0]["results"] == []


async def test_a_day_begins_where_it_begins_whatever_was_asked(tmp_path: Path) -> None:
    async with usage_server(tmp_path) as live:
        page = await _get(
            live, f"usage/completions?start_time={START_S + 50_000}&end_time={START_S + 50_001}"
        )
    (bucket,) = page["data"]
    assert bucket["start_time"] == START_S


async def test_costs_by_line_item(tmp_path: Path) -> None:
    async with usage_server(tmp_path) as live:
        page = await _get(
            live,
            f"costs?start_time={START_S}&end_time={START_S + DAY_S}&group_by=line_item&group_by=project_id",
        )
    (bucket,) = page["data"]
    assert bucket["results"] == [
        {
            "object": "organization.costs.result",
            "amount": {"value": value, "currency": "usd"},
            "line_item": model,
            "project_id": "ours",
            "api_key_id": None,
        }
        for model, value in (("big", 0.0), ("tiny", 1.5))
    ]


async def test_requests_newest_first_with_their_errors(tmp_path: Path) -> None:
    async with usage_server(tmp_path) as live:
        first = await _get(live, "requests?limit=2")
        rest = await _get(live, f"requests?limit=2&after={first['last_id']}")
        failed = await _get(live, "requests?outcomes=failed&outcomes=lost")
    assert [item["id"] for item in first["data"]] == ["req_3", "req_2"]
    assert (first["has_more"], rest["has_more"], rest["first_id"]) == (True, False, "req_1")
    (item,) = failed["data"]
    assert (item["id"], item["error"], item["outcome"]) == ("req_2", "Bad", "failed")


async def test_the_csv_has_a_line_a_group_and_no_formula(tmp_path: Path) -> None:
    async with usage_server(tmp_path) as live:
        reply = await live.ask(
            "GET",
            f"/v1/organization/usage/export?start_time={START_S}&end_time={START_S + 3 * DAY_S}"
            "&group_by=user_id&group_by=model",
        )
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert "usage.csv" in reply.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.body.decode())))
    assert [(row["user"], row["model"], row["num_requests"]) for row in rows] == [
        ("'=cmd()", "big", "1"),
        ("", "tiny", "1"),
        ("", "tiny", "1"),
    ]
    assert rows[1]["cost_usd"] == "1.500000000"
    assert rows[0]["start"] == "2024-10-04T00:00:00Z"


async def test_a_key_that_may_read_sees_its_own_project_alone(tmp_path: Path) -> None:
    query = f"start_time={START_S}&end_time={START_S + 3 * DAY_S}"
    async with usage_server(tmp_path, READER) as live:
        page = await _get(live, f"usage/completions?{query}")
        listed = await _get(live, "requests?project_ids=ours")
        exported = await live.ask("GET", f"/v1/organization/usage/export?{query}&group_by=project_id")
        others = [
            await live.ask("GET", f"/v1/organization/{path}{query}&project_ids=theirs")
            for path in ("usage/completions?", "usage/export?", "costs?", "requests?")
        ]
        after = await live.ask("GET", "/v1/organization/requests?after=req_3")
    assert sum(len(bucket["results"]) for bucket in page["data"]) == 1
    assert {item["id"] for item in listed["data"]} == {"req_1", "req_2"}
    assert b"theirs" not in exported.body
    assert [reply.status for reply in others] == [403] * 4
    assert after.status == 404


async def test_a_key_that_may_only_complete_sees_nothing(tmp_path: Path) -> None:
    principal = Principal("key_i", project="ours", scopes=KEY_SCOPES["inference"])
    async with usage_server(tmp_path, principal) as live:
        for path in ("usage/completions", "usage/export", "costs", "requests"):
            reply = await live.ask("GET", f"/v1/organization/{path}?start_time=0")
            assert reply.status == 401
            assert b"Missing scopes: api.usage.read" in reply.body


async def test_a_server_without_a_ledger_says_so(tmp_path: Path) -> None:
    async with usage_server(tmp_path, has_ledger=False) as live:
        reply = await live.ask("GET", "/v1/organization/requests")
    assert reply.status == 404
    assert b"usage = false" in reply.body


@pytest.mark.parametrize(
    ("path", "param", "said"),
    [
        ("usage/completions", "start_time", "Missing required parameter"),
        ("usage/completions?start_time=yesterday", "start_time", "expected an integer"),
        ("usage/completions?start_time=-1", "start_time", ">= 0"),
        ("usage/completions?start_time=99999999999999999999", "start_time", "<= 253402300799"),
        ("usage/completions?start_time=5&end_time=5", "end_time", "must be after"),
        ("usage/completions?start_time=0&bucket_width=1w", "bucket_width", "'1m', '1h', and '1d'"),
        ("usage/completions?start_time=0&limit=32", "limit", "<= 31"),
        ("usage/completions?start_time=0&bucket_width=1h&limit=169", "limit", "<= 168"),
        ("usage/completions?start_time=0&limit=0", "limit", ">= 1"),
        ("usage/completions?start_time=0&group_by=colour", "group_by", "Invalid value: 'colour'"),
        ("usage/completions?start_time=0&batch=maybe", "batch", "boolean"),
        ("usage/completions?start_time=0&page=page_zz", "page", "not a cursor"),
        ("usage/completions?start_time=0&page=page_1", "page", "not a cursor"),
        ("usage/completions?start_time=0&page=1f", "page", "not a cursor"),
        ("usage/completions?start_time=0&modles=x", "modles", "Unknown parameter"),
        ("usage/completions?start_time=0&models=%00", "models", "NUL"),
        ("usage/export?start_time=0&bucket_width=1m", "bucket_width", "shorter time"),
        ("usage/export?start_time=0&limit=5", "limit", "Unknown parameter"),
        ("costs?start_time=0&bucket_width=1h", "bucket_width", "Invalid value"),
        ("costs?start_time=0&group_by=model", "group_by", "Invalid value"),
        ("requests?limit=101", "limit", "<= 100"),
        ("requests?outcomes=happy", "outcomes", ", ".join(f"'{name}'" for name in OUTCOMES[:3])),
        ("requests?after=req_9", "after", "No request"),
    ],
)
async def test_a_fault_is_named(tmp_path: Path, path: str, param: str, said: str) -> None:
    async with usage_server(tmp_path) as live:
        reply = await live.ask("GET", f"/v1/organization/{quote(path, safe='/?=&%')}")
    error = json.loads(reply.body)["error"]
    assert reply.status == (404 if "after=" in path else 400)
    assert error["param"] == param
    assert said in error["message"]
