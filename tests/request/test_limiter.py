"""Limits over HTTP: what a refused client reads, and what is given back whatever ends a request."""

import asyncio
import json
import sqlite3
import struct
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from openai import RateLimitError
from tests.api.stand_in import Model, error_of, serving
from tests.http.scripted import words

from myna.accounts.administration import Actor
from myna.accounts.limiting import TokenEstimate
from myna.accounts.principal import LOCAL_USER
from myna.accounts.secret import Secret
from myna.catalog.registry import ModelCard
from myna.core.accounts import ALL_MODELS, EVERYONE
from myna.core.counters import Change, CounterStore
from myna.core.errors import DatabaseError, EngineDead, Overloaded, RateLimited
from myna.core.events import PromptDone, TextDelta
from myna.http.record import RequestRecord
from myna.request.limiter import CounterQueue, Limiter
from myna.request.live_accounts import LiveAccounts
from myna.stores.counters_file import FileCounters
from myna.stores.memory_accounts import MemoryAccounts
from myna.stores.memory_counters import MemoryCounters

FOR_EVER_S = 3600.0

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}


async def _limit(
    model: Model, model_name: str = ALL_MODELS, owner: str = EVERYONE, **amounts: int | None
) -> None:
    accounts = model.services.accounts
    accounts.administration.set_limit(Actor("session", "ana"), owner, model_name, amounts)
    await accounts.catch_up()


async def _chat(served: Model, **body: Any) -> Response:
    return await served.ask("chat/completions", **{**CHAT, **body})


async def test_a_request_that_nothing_limits_has_no_headers_of_limits() -> None:
    async with serving() as model:
        reply = await _chat(model)
        assert reply.status_code == 200
        assert not [name for name in reply.headers if name.startswith("x-ratelimit")]


async def test_a_limited_answer_says_what_is_left_and_a_refused_one_why_and_when() -> None:
    async with serving() as model:
        await _limit(model, requests_per_minute=2, tokens_per_minute=100_000)
        first = await _chat(model)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-reset-requests"] == "30s"
        assert first.headers["x-ratelimit-limit-tokens"] == "100000"
        reserved = 100_000 - int(first.headers["x-ratelimit-remaining-tokens"])
        assert reserved == len(model.generator.requests[0].prompt_tokens) + 5
        await _chat(model, stream=True)
        refused = await _chat(model)
        assert refused.status_code == 429
        error = error_of(refused)
        assert (error["type"], error["param"], error["code"]) == ("requests", None, "rate_limit_exceeded")
        assert error["message"].startswith(
            "Rate limit reached for tiny in organization myna on requests per min (RPM): Limit 2, Used 2, "
        )
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert refused.headers["x-should-retry"] == "true"
        assert 29 <= int(refused.headers["retry-after"]) <= 30
        assert 29_000 <= int(refused.headers["retry-after-ms"]) <= 30_000
        assert refused.headers["content-type"] == "application/json; charset=utf-8"
        assert refused.text.startswith('{\n    "error"')
        assert len(model.generator.requests) == 2, "the model never heard of it"


async def test_the_answer_is_reserved_for_every_choice_and_prompt_and_within_reason_if_it_has_no_end() -> (
    None
):
    async with serving() as model:
        await _limit(model, tokens_per_day=1_000_000)
        left = 1_000_000
        for path, body, answers in (
            ("chat/completions", {**CHAT, "n": 3}, 3 * 5),
            ("chat/completions", {"messages": CHAT["messages"]}, 1024),
            ("completions", {"prompt": ["a", "bc"], "max_tokens": 7}, 2 * 7),
            ("completions", {"prompt": "a", "max_tokens": 7, "best_of": 4}, 4 * 7),
        ):
            num_before = len(model.generator.requests)
            reply = await model.ask(path, **body)
            assert reply.status_code == 200, reply.text
            prompts = sum(len(request.prompt_tokens) for request in model.generator.requests[num_before:])
            now_left = int(reply.headers["x-ratelimit-remaining-tokens"])
            assert abs(left - now_left - prompts - answers) <= 20, (
                path
            )  # a day's limit hardly flows in meanwhile
            left -= reply.json()["usage"]["total_tokens"]


async def test_a_mistake_costs_nothing_and_its_response_has_what_is_left() -> None:
    async with serving() as model:
        await _limit(model, requests_per_minute=2)
        for _ in range(3):
            wrong = await _chat(model, temperature=9)
            assert wrong.status_code == 400
            assert wrong.headers["x-ratelimit-remaining-requests"] == "2"
        unknown = await _chat(model, model="nonsense")
        assert unknown.status_code == 404
        assert "x-ratelimit-remaining-requests" not in unknown.headers
        assert (await _chat(model)).headers["x-ratelimit-remaining-requests"] == "1"


async def test_a_stream_is_refused_before_it_begins() -> None:
    async with serving() as model:
        await _limit(model, requests_per_minute=1)
        await _chat(model, stream=True)
        refused = await _chat(model, stream=True)
        assert refused.status_code == 429
        assert error_of(refused)["code"] == "rate_limit_exceeded"


async def test_the_official_client_raises_its_error_for_limits() -> None:
    async with serving() as model:
        await _limit(model, tokens_per_minute=10)
        chat: Any = model.openai().chat.completions
        with pytest.raises(RateLimitError) as caught:
            await chat.create(model="tiny", **CHAT)
        assert caught.value.type == "tokens"
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert "Request too large for tiny" in caught.value.message
        assert "retry-after" not in caught.value.response.headers


async def test_a_limit_of_a_model_counts_all_its_names_and_one_of_an_alias_its_own() -> None:
    async with serving() as model:
        await _limit(model, "gpt-4o-mini", requests_per_minute=1)
        assert (await _chat(model, model="gpt-4o-mini")).status_code == 200
        assert (await _chat(model, model="gpt-4o-mini")).status_code == 429
        assert (await _chat(model, model="tiny")).status_code == 200
        await _limit(model, "tiny", requests_per_minute=1)
        assert (await _chat(model, model="tiny")).status_code == 200
        assert (await _chat(model, model="gpt-3.5-turbo-instruct")).status_code == 429


async def _tokens_left(model: Model) -> int:
    """Of 100,000, seen by a request that reserves its prompt and five tokens."""
    model.generator.scripts.append(words("x"))
    reply = await _chat(model)
    left = int(reply.headers["x-ratelimit-remaining-tokens"])
    return left + len(model.generator.requests[-1].prompt_tokens) + 5


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "used"),
    [
        (words("a", "b"), 3 + 3),
        ([PromptDone(3, 1), TextDelta(0, "a", 1), EngineDead("gone")], 3 + 1),
        (EngineDead("gone"), 0),
        (Overloaded("full"), 0),
    ],
)
async def test_what_was_reserved_and_not_used_comes_back_whatever_ends_the_request(
    script: Any, used: int, stream: bool
) -> None:
    async with serving(script) as model:
        await _limit(model, tokens_per_minute=100_000, concurrent_requests=1)
        await _chat(model, stream=stream, max_tokens=4000)
        left = await _tokens_left(model)
        assert 100_000 - used <= left <= 100_000 - used + 1000, "refilled for a moment at most"


async def test_it_comes_back_when_the_client_leaves() -> None:
    forever = asyncio.Event()
    async with serving([PromptDone(3, 1), TextDelta(0, "a", 1), forever]) as model:
        await _limit(model, tokens_per_minute=100_000, concurrent_requests=1)
        asking = asyncio.create_task(_chat(model, max_tokens=4000))
        await model.generator.is_asked.wait()
        assert (await _chat(model)).status_code == 429, "its permit is taken"
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert await _tokens_left(model) >= 100_000 - 4


async def test_a_budget_without_a_ledger_lets_nobody_in_and_says_why() -> None:
    async with serving() as model:
        await _limit(model, budget_cents=100)
        refused = await _chat(model)
        assert refused.status_code == 429
        error = error_of(refused)
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
        assert error["message"].startswith("You exceeded your current quota, please check your plan")
        assert refused.headers["x-should-retry"] == "false"
        assert "MYNA_USAGE" in refused.headers["x-myna-hint"]


class Slow(MemoryCounters):
    """A store that must not be called on the event loop, that gathers what comes while it is busy."""

    is_instant = False

    def __init__(self) -> None:
        super().__init__()
        self.num_steps = 0
        self.go = threading.Event()
        self.go.set()
        self.faults: list[Exception] = []

    def update(self, names: Sequence[str], change: Change) -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        self.num_steps += 1
        assert self.go.wait(60)
        if self.faults:
            raise self.faults.pop()
        super().update(names, change)


def _count(name: str) -> Change:
    def change(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        return {name: b"%d" % (int(values.get(name, b"0")) + 1)}

    return change


async def test_changes_that_come_together_are_one_step_in_their_order() -> None:
    store = Slow()
    counts = CounterQueue(store)
    await asyncio.gather(*(counts.change([name], _count(name)) for name in "abcabcab"))
    assert store.num_steps == 1
    seen: dict[str, bytes] = {}

    def look(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        seen.update(values)
        return {}

    await counts.change(["a", "b", "c"], look)
    assert seen == {"a": b"3", "b": b"3", "c": b"2"}
    await counts.aclose()


async def test_a_store_that_fails_is_an_overload_and_the_next_change_is_tried() -> None:
    store = Slow()
    store.faults = [DatabaseError("no connection")]
    counts = CounterQueue(store)
    with pytest.raises(Overloaded):
        await counts.change(["a"], _count("a"))
    await counts.change(["a"], _count("a"))
    await counts.aclose()


@pytest.mark.parametrize("fault", [DatabaseError("away"), struct.error("2 bytes"), RuntimeError("a bug")])
async def test_whatever_the_store_raises_everyone_is_answered_and_the_next_change_is_tried(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    store = Slow()
    store.faults = [fault] * 3
    counts = CounterQueue(store, timeout_s=FOR_EVER_S)
    for _ in range(3):
        outcomes = await asyncio.gather(
            *(counts.change(["a"], _count("a")) for _ in range(5)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [Overloaded] * 5
    await counts.change(["a"], _count("a"))
    await counts.aclose()
    assert [record.levelname for record in caplog.records] == ["ERROR"], "one line an outage"


async def test_a_store_that_hangs_makes_nobody_wait_for_ever_and_undoes_what_may_have_been_made() -> None:
    store = Slow()
    store.go.clear()
    counts = CounterQueue(store, timeout_s=0.001)
    made: list[str] = []

    def note(name: str) -> Change:
        def change(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
            made.append(name)
            return {}

        return change

    with pytest.raises(Overloaded):
        await counts.change(["a"], note("begun"), note("undone"))
    with pytest.raises(Overloaded):
        await counts.change(["a"], note("never begun"), note("undone too"))
    await counts.settle(["a"], note("settled"))
    store.go.set()
    await counts.aclose()
    assert made == ["begun", "undone", "undone too", "settled"]


class Dying(CounterQueue):
    """Its worker fails in its own code as often as requested."""

    def __init__(self, store: Slow, num_deaths: int) -> None:
        super().__init__(store, timeout_s=FOR_EVER_S, first_delay_s=0.0)
        self._num_deaths = num_deaths

    async def _work(self) -> None:
        if self._num_deaths:
            self._num_deaths -= 1
            raise RuntimeError("a bug")
        await super()._work()


async def test_a_worker_that_dies_is_started_again_and_nobody_goes_on_waiting_for_it() -> None:
    counts = Dying(Slow(), 1)
    outcomes = await asyncio.gather(
        *(counts.change(["a"], _count("a")) for _ in range(5)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Overloaded] * 5
    assert await counts._task.wait(60)
    await counts.change(["a"], _count("a"))
    await counts.aclose()


@asynccontextmanager
async def _limited(store: CounterStore, heartbeat_s: float) -> AsyncIterator[tuple[Limiter, ModelCard]]:
    """One request at a time, counted in that store."""
    accounts = MemoryAccounts()
    live = LiveAccounts(accounts, Secret("a secret of the tests, long enough for it"))
    live.administration.set_limit(Actor("session", "ana"), EVERYONE, ALL_MODELS, {"concurrent_requests": 1})
    await live.catch_up()
    limiter = Limiter(store, live, None, "myna", heartbeat_s=heartbeat_s)
    yield limiter, ModelCard("tiny", 0, "", "alias", "tiny")
    await limiter.aclose()
    await live.aclose()


class RequestEvent(Slow):
    """Reports each step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = threading.Semaphore(0)

    def update(self, names: Sequence[str], change: Change) -> None:
        self.steps.release()
        super().update(names, change)


async def test_signs_of_life_go_on_after_whatever_the_store_raised() -> None:
    store = RequestEvent()
    async with _limited(store, 0.001) as (limiter, card):
        hold = await limiter.admit(LOCAL_USER, card, TokenEstimate(1, 1, False), RequestRecord())
        assert hold is not None
        store.faults = [struct.error("2 bytes"), DatabaseError("away"), RuntimeError("a bug")]
        for _ in range(6):
            assert await asyncio.to_thread(store.steps.acquire, timeout=60)
        assert store.faults == []
        await limiter.settle(hold, 1)


async def test_a_damaged_counter_in_the_file_is_named_once_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "myna.db-limits"
    async with _limited(FileCounters(path), FOR_EVER_S) as (limiter, card):

        async def runs() -> bool:
            try:
                hold = await limiter.admit(LOCAL_USER, card, TokenEstimate(1, 1, False), RequestRecord())
            except RateLimited:
                return False
            assert hold is not None
            await limiter.settle(hold, 1)
            return True

        assert await runs()
        for value in (b"xy", "text", 7):
            with closing(sqlite3.connect(path)) as other:
                other.execute("INSERT OR REPLACE INTO counters VALUES ('/seats/', ?)", (value,))
                other.commit()
            assert await runs()
            assert await runs()
    named = [record for record in caplog.records if "corrupt value" in record.getMessage()]
    assert len(named) == 1
    assert "/seats/" in named[0].getMessage()


async def test_the_refused_body_is_json_with_four_spaces() -> None:
    async with serving() as model:
        await _limit(model, requests_per_minute=1)
        await _chat(model)
        refused = await _chat(model)
        assert refused.text == json.dumps(refused.json(), indent=4) + "\n"
