"""Metrics as Prometheus reads them, and the status: what they count, who may see them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.api.usage.test_usage import OneKey
from tests.http.live import Live, running
from tests.http.scripted import INFO, KEY, Ledger, ScriptedGenerator, pool_of, services, words

from myna.accounts.principal import KEY_SCOPES, Principal
from myna.core.errors import GenerationFailed
from myna.core.stats import BATCH_SIZES, LATENCY_S, STEP_TOKENS, HistogramCounts, ReplicaStats, SchedulerStats
from myna.request.services import Services
from myna.usage.metrics import Instruments
from myna.usage.recorder import UsageSinks

FAMILIES = ("myna.api.monitoring.routes", "tests.http.words_endpoint")
FIGURES = SchedulerStats(
    3,
    2,
    0.25,
    7,
    HistogramCounts((0,) * len(STEP_TOKENS) + (1,), 20_000),
    HistogramCounts((1, 1) + (0,) * (len(BATCH_SIZES) - 1), 3),
    HistogramCounts((4,) + (0,) * len(LATENCY_S), 0.002),
)


def _services(
    *scripts: object,
    principal: Principal | None = None,
    is_loopback_only: bool = False,
    stats: SchedulerStats = FIGURES,
) -> Services:
    generator = ScriptedGenerator(list(scripts), last_stats=stats)  # type: ignore[arg-type]
    parts = services(pool_of(generator))
    instruments = Instruments()
    object.__setattr__(parts, "instruments", instruments)
    object.__setattr__(parts, "usage_sinks", UsageSinks(Ledger(), (instruments,)))
    object.__setattr__(parts, "is_loopback_only", is_loopback_only)
    if principal is not None:
        object.__setattr__(parts, "keys", OneKey(principal))
    return parts


async def _scrape(live: Live) -> dict[str, dict[str, float]]:
    """Samples by name, and in it by labels."""
    reply = await live.ask("GET", "/metrics")
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(reply.body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def test_requests_and_tokens_are_counted_by_the_model_that_answers() -> None:
    parts = _services(words("a", "b"), words("c"), [GenerationFailed("no")])
    async with running(parts, families=FAMILIES) as live:
        for body in (b'{"model":"tiny","stream":true}', b'{"model":"gpt-4o-mini"}', b'{"model":"tiny"}'):
            await live.ask("POST", "/v1/words", body)
        await live.ask("POST", "/v1/words", b'{"model":"nothing"}')
        found = await _scrape(live)
    model = "model_name=tiny"
    assert found["vllm:prompt_tokens_total"][model] == 6
    assert found["vllm:generation_tokens_total"][model] == 5
    assert found["vllm:prefix_cache_queries_total"][model] == 6
    assert found["vllm:prefix_cache_hits_total"][model] == 2
    assert found["vllm:request_success_total"] == {
        "finished_reason=error,model_name=tiny": 1,
        "finished_reason=stop,model_name=tiny": 2,
    }
    assert found["myna_requests_total"] == {
        "endpoint=words,model_name=none,outcome=refused": 1,
        "endpoint=words,model_name=tiny,outcome=completed": 2,
        "endpoint=words,model_name=tiny,outcome=failed": 1,
    }
    assert found["vllm:time_to_first_token_seconds_count"][model] == 2
    assert found["vllm:e2e_request_latency_seconds_count"][model] == 2
    assert found["vllm:request_generation_tokens_sum"][model] == 5
    assert not [name for name in found if name.endswith("_created")]
    assert found["myna_http_requests_total"] == {"status=200": 2, "status=404": 1, "status=500": 1}


async def test_what_workers_report_is_shown() -> None:
    async with running(_services(words("a")), families=FAMILIES) as live:
        before = await _scrape(live)
        await live.ask("POST", "/v1/words", b'{"model":"tiny"}')
        found = await _scrape(live)
        status = json.loads((await live.ask("GET", "/v1/organization/status")).body)
    assert "vllm:num_requests_running" not in before
    model = "model_name=tiny"
    assert found["vllm:num_requests_running"][model] == 3
    assert found["vllm:num_requests_waiting"][model] == 2
    assert found["vllm:kv_cache_usage_perc"][model] == 0.25
    assert found["vllm:num_preemptions_total"][model] == 7
    assert found["vllm:iteration_tokens_total_bucket"][f"le=16384.0,{model}"] == 0
    assert found["vllm:iteration_tokens_total_bucket"][f"le=+Inf,{model}"] == 1
    assert found["myna_batch_size_bucket"][f"le=2.0,{model}"] == 2
    for name in ("inter_token_latency", "time_per_output_token"):
        assert found[f"vllm:{name}_seconds_sum"][model] == 0.002
        assert found[f"vllm:{name}_seconds_bucket"][f"le=0.001,{model}"] == 4
    assert status["num_requests"] == 5
    assert status["models"] == [
        {
            "id": "tiny",
            "is_ready": True,
            "engine": "scripted",
            "context_tokens": INFO.context_tokens,
            "kv_tokens": INFO.kv_tokens,
            "num_running": 3,
            "num_waiting": 2,
            "kv_usage": 0.25,
            "replicas": [],
        }
    ]
    assert status["ledger"] is None


async def test_replicas_are_shown_one_by_one() -> None:
    """In metrics instead of their sum, so that nothing is counted twice."""
    parts = (ReplicaStats("r1", "10.0.0.1", FIGURES, 100, 60), ReplicaStats("r2", "10.0.0.2", FIGURES, 0, 0))
    stats = msgspec.structs.replace(FIGURES, num_running=6, replicas=parts)
    async with running(_services(words("a"), stats=stats), families=FAMILIES) as live:
        await live.ask("POST", "/v1/words", b'{"model":"tiny"}')
        found = await _scrape(live)
        status = json.loads((await live.ask("GET", "/v1/organization/status")).body)
    both = {"model_name=tiny,replica=r1": 3.0, "model_name=tiny,replica=r2": 3.0}
    assert found["vllm:num_requests_running"] == both
    assert found["myna_batch_size_count"] == dict.fromkeys(both, 2.0)
    assert found["myna_replica_prefix_cache_hits_total"] == {
        "model_name=tiny,node=10.0.0.1,replica=r1": 60.0,
        "model_name=tiny,node=10.0.0.2,replica=r2": 0.0,
    }
    model = status["models"][0]
    assert model["num_running"] == 6
    assert [(one["id"], one["node"], one["cached_tokens"]) for one in model["replicas"]] == [
        ("r1", "10.0.0.1", 60),
        ("r2", "10.0.0.2", 0),
    ]


@pytest.mark.parametrize(
    ("is_loopback_only", "headers", "status"),
    [
        (True, ("Host: localhost:8000",), 200),
        (True, ("Host: [::1]:8000",), 200),
        (True, ("Host: models.example",), 401),
        (True, ("Host: 127.0.0.1", "X-Forwarded-For: 10.0.0.1"), 401),
        (True, ("Host: 127.0.0.1", "Forwarded: for=10.0.0.1"), 401),
        (False, ("Host: 127.0.0.1",), 401),
    ],
)
async def test_without_a_key_only_on_the_machine_of_a_server_on_loopback(
    is_loopback_only: bool, headers: tuple[str, ...], status: int
) -> None:
    async with running(_services(is_loopback_only=is_loopback_only), families=FAMILIES) as live:
        reply = await live.ask("GET", "/metrics", b"", *headers, key="")
    assert reply.status == status


async def test_a_proxy_that_hides_behind_the_servers_own_address_needs_a_key() -> None:
    async with running(_services(is_loopback_only=True), families=FAMILIES) as live:
        connection = await live.send(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:8000\r\n\r\n")
        assert (await connection.reply()).status == 401


@pytest.mark.parametrize(
    ("project", "scope", "status"),
    [("default", "read", 200), ("ours", "read", 403), ("ours", "admin", 200), ("default", "inference", 401)],
)
async def test_metrics_of_all_projects_are_the_owners(project: str, scope: str, status: int) -> None:
    principal = Principal("key_1", project=project, scopes=KEY_SCOPES[scope])  # type: ignore[index]
    async with running(_services(principal=principal), families=FAMILIES) as live:
        assert (await live.ask("GET", "/metrics", key=KEY)).status == status


async def test_a_server_that_counts_nothing_says_so() -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), families=FAMILIES) as live:
        reply = await live.ask("GET", "/metrics")
    assert reply.status == 404
    assert b"metrics = false" in reply.body


async def test_openmetrics_is_spoken_to_who_asks_for_it() -> None:
    async with running(_services(), families=FAMILIES) as live:
        reply = await live.ask("GET", "/metrics", b"", "Accept: application/openmetrics-text; version=1.0.0")
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.body.endswith(b"# EOF\n")


DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "myna.json"


def _queries(panel: object) -> Iterator[str]:
    if isinstance(panel, dict):
        for key, value in panel.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            yield from _queries(value)
    elif isinstance(panel, list):
        for item in panel:
            yield from _queries(item)


async def test_grafana_asks_for_nothing_that_is_not_exported(tmp_path: Path) -> None:
    async with running(_services(words("a", "b")), families=FAMILIES) as live:
        await live.ask("POST", "/v1/words", b'{"model":"tiny","stream":true}')
        found = set(await _scrape(live))
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = list(_queries(dashboard))
    asked = {name for query in queries for name in re.findall(r"\b(?:vllm:|myna_)\w+", query)}
    assert len(queries) > 10
    assert asked - {"myna_ledger_waiting_rows", "myna_ledger_is_writing"} <= found
    grouped = [names for query in queries for names in re.findall(r"by \(([^)]*)\)", query)]
    labels = {label for names in grouped for label in names.split(", ")}
    labels |= {label for query in queries for label in re.findall(r"[{,] ?(\w+)=", query)}
    assert labels <= {"model_name", "le", "outcome", "status", "finished_reason"}
