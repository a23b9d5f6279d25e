"""What a request used is recorded before its client has it, and once more when it has ended."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest
from tests.http.live import request_bytes, running
from tests.http.scripted import Ledger, ScriptedGenerator, Step, pool_of, services, words

from myna.core.errors import EngineDead, InvalidRequest, Overloaded
from myna.core.events import Done, PromptDone, TextDelta
from myna.core.ledger import UsageRow
from myna.usage.log import NullUsageEntry, UsageEntry
from myna.usage.metering import Meter


@dataclass
class Paper(NullUsageEntry):
    """A usage entry that shows its counts."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    first_token_ms: int | None = None

    def count_prompt(self, prompt_tokens: int, cached_tokens: int) -> None:
        self.prompt, self.cached = prompt_tokens, cached_tokens

    def count_completion(self, tokens: int) -> None:
        assert tokens > self.completion
        self.completion = tokens

    def note_first_token(self, after_ms: int) -> None:
        assert self.first_token_ms is None
        self.first_token_ms = after_ms


@dataclass
class Papers(Ledger):
    entry: Paper = field(default_factory=Paper)
    opened: list[UsageRow] = field(default_factory=list)

    def open(self, row: UsageRow) -> UsageEntry:
        self.opened.append(row)
        return self.entry


async def test_tokens_are_written_down_before_each_part_is_sent_and_no_sooner() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    script: list[Step] = [
        PromptDone(3, 1),
        TextDelta(0, "a", 1),
        first,
        TextDelta(0, "b", 2),
        second,
        Done(3),
    ]
    usage_log = Papers()
    async with running(services(pool_of(ScriptedGenerator([script])), usage_log)) as live:
        connection = await live.send(request_bytes("POST", "/v1/words", b'{"model":"tiny","stream":true}'))
        await connection.head()
        assert await connection.chunk() == b"data: 0:a\n\n"
        assert (usage_log.entry.prompt, usage_log.entry.cached, usage_log.entry.completion) == (3, 1, 1)
        assert usage_log.entry.first_token_ms is not None
        first.set()
        assert await connection.chunk() == b"data: 0:b\n\n"
        assert usage_log.entry.completion == 3
        assert usage_log.rows == []
        second.set()
        await connection.reader.read()
        await connection.close()
    (row,) = usage_log.rows
    assert (row.completion_tokens, row.outcome, row.is_stream) == (3, "completed", True)
    assert row.first_token_ms is not None and row.first_token_ms <= row.duration_ms


async def test_a_whole_answer_is_written_down_before_its_head() -> None:
    usage_log = Papers()
    async with running(services(pool_of(ScriptedGenerator([words("a", "b")])), usage_log)) as live:
        connection = await live.send(request_bytes("POST", "/v1/words", b'{"model":"tiny"}'))
        await connection.reader.readexactly(1)
        assert usage_log.entry.completion == 3
        await connection.close()


async def test_the_row_is_begun_with_who_asks_for_what() -> None:
    usage_log = Papers()
    body = {"model": "gpt-4o-mini", "stream": True, "user": "mia\n\0x" + "y" * 200, "service_tier": "flex"}
    async with running(services(pool_of(ScriptedGenerator([words("a")])), usage_log)) as live:
        await live.ask("POST", "/v1/words", json.dumps(body).encode())
    (opened,), (row,) = usage_log.opened, usage_log.rows
    for one in (opened, row):
        assert (one.model, one.asked_model, one.endpoint) == ("tiny", "gpt-4o-mini", "words")
        assert (one.project, one.service_tier, one.is_stream) == ("default", "flex", True)
        assert one.user == "mia??x" + "y" * 122
    assert opened.id == row.id
    assert opened.arrived_ms == row.arrived_ms


@pytest.mark.parametrize(
    ("body", "script", "outcome", "status", "error"),
    [
        (b'{"model":"tiny"}', Overloaded("full"), "refused", 503, "Overloaded"),
        (b'{"model":"tiny"}', InvalidRequest("no"), "refused", 400, "InvalidRequest"),
        (b'{"model":"tiny"}', [EngineDead("dead")], "failed", 503, "EngineDead"),
        (b'{"model":"tiny","stream":true}', [*words("a")[:2], EngineDead("x")], "failed", 503, "EngineDead"),
        (b'{"model":"nothing"}', None, "refused", 404, "ModelNotFound"),
        (b"{", None, "refused", 400, "UnparsableBody"),
    ],
)
async def test_whatever_ends_it_has_a_row(
    body: bytes, script: object, outcome: str, status: int, error: str
) -> None:
    usage_log = Papers()
    scripts = [] if script is None else [script]
    async with running(services(pool_of(ScriptedGenerator(scripts)), usage_log)) as live:  # type: ignore[arg-type]
        await live.ask("POST", "/v1/words", body)
    (row,) = usage_log.rows
    assert (row.outcome, row.status, row.error) == (outcome, status, error)


async def test_an_error_in_the_middle_of_a_stream() -> None:
    gate, usage_log = asyncio.Event(), Papers()
    script: list[Step] = [*words("a")[:2], gate, EngineDead("x")]
    async with running(services(pool_of(ScriptedGenerator([script])), usage_log)) as live:
        connection = await live.send(request_bytes("POST", "/v1/words", b'{"model":"tiny","stream":true}'))
        await connection.head()
        await connection.chunk()
        gate.set()
        await connection.reader.read()
        await connection.close()
    (row,) = usage_log.rows
    assert (row.outcome, row.status, row.error, row.completion_tokens) == ("failed", 200, "EngineDead", 1)


async def test_a_bug_of_ours_and_a_stranger() -> None:
    usage_log = Papers()
    async with running(services(pool_of(ScriptedGenerator([])), usage_log)) as live:
        await live.ask("POST", "/v1/fail", b'{"model":"tiny"}')
        await live.ask("POST", "/v1/words", b'{"model":"tiny"}', key="sk-a-stranger")
    (row,) = usage_log.rows
    assert (row.outcome, row.status, row.error) == ("failed", 500, "ZeroDivisionError")


def test_what_best_of_discarded_counts_and_thought_is_counted_separately() -> None:
    entry = Paper()
    meter = Meter(entry, None, 0.0)
    for event in (PromptDone(5, 0), TextDelta(0, "a", 1), Done(9, reasoning_tokens=4)):
        meter.feed(event)
    meter.commit()
    meter.commit()
    row = meter.apply_to(UsageRow("r", "p", "k", "e", 0))
    assert (entry.completion, row.completion_tokens, row.reasoning_tokens) == (9, 9, 4)
