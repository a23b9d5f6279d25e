"""vLLM's outputs become events, whatever their cut; a thought that has reached its limit ends."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.contract.answers import Answer

from myna.core.constraints import TextChoice
from myna.core.errors import GenerationFailed, InvalidRequest, MynaError
from myna.core.events import Done, Event
from myna.core.requests import GenerationRequest, Thought
from myna.decoding.token_table import TokenTable
from myna.scheduling.grammar_text import grammar_text
from myna.scheduling.sequence import RequestEvent
from myna.workers.vllm.choice import Model
from myna.workers.vllm.requests import RunningRequests

PIECES = [b"", b"a", b"b", b" ", b"<t>", b"</t>"]
TABLE = TokenTable(PIECES, PIECES, frozenset((0,)))


def output(*tokens: int, finish: str | None = None, cached: int = 0, top: bool = False) -> Any:
    entry = {token: SimpleNamespace(logprob=-1.0, rank=2) for token in tokens}
    logprobs = [{token: entry[token], 3: SimpleNamespace(logprob=-0.5, rank=1)} for token in tokens]
    shown = logprobs if top else None
    completion = SimpleNamespace(token_ids=list(tokens), logprobs=shown, finish_reason=finish)
    prompt = [None, *({token: SimpleNamespace(logprob=-2.0, rank=1)} for token in (2, 3))]
    return SimpleNamespace(outputs=[completion], num_cached_tokens=cached, prompt_logprobs=prompt)


def failed(error: Exception) -> MynaError:
    return GenerationFailed(str(error))


@dataclass
class Script:
    """Stands for vLLM: the outputs of each request in turn, or an error."""

    runs: list[Sequence[Any] | Exception]
    asked: list[tuple[tuple[int, ...], Mapping[str, Any], str | None]] = field(default_factory=list)
    num_closed: int = 0

    async def generate(
        self,
        tokens: tuple[int, ...],
        parameters: Mapping[str, Any],
        id: str,
        *,
        grammar: str | None,
        cache_salt: str,
        priority: int,
        adapter: str,
    ) -> AsyncGenerator[Any, None]:
        self.asked.append((tokens, parameters, grammar))
        run = self.runs.pop(0)
        try:
            if isinstance(run, Exception):
                raise run
            for one in run:
                yield one
            await asyncio.Event().wait()
        finally:
            self.num_closed += 1


async def answer_of(script: Script, request: GenerationRequest, grammar: str | None = None) -> Answer:
    events = await events_of(script, request, grammar)
    return Answer(request, [event for event in events if not isinstance(event, MynaError)])


async def events_of(
    script: Script, request: GenerationRequest, grammar: str | None = None
) -> list[Event | MynaError]:
    """All events, in frames of one turn."""
    idle = asyncio.Event()
    frames: list[list[RequestEvent]] = []
    model = Model(script, TABLE, {}, lambda text: [PIECES.index(text.encode())])
    running = RunningRequests(model, frames.append, idle.set, failed)
    running.start(7, request, grammar)
    await idle.wait()
    await asyncio.sleep(0)
    assert not len(running)
    return [event for frame in frames for _, event in frame]


async def test_tokens_become_text_and_the_request_of_vllm_is_closed() -> None:
    request = GenerationRequest("r", (1, 2, 3), 8, num_logprobs=1, num_prompt_logprobs=0)
    last = output(0, finish="stop", top=True)
    script = Script([[output(1, cached=3, top=True), output(2, 3, top=True), last]])
    answer = await answer_of(script, request)
    assert answer.text() == "ab "
    assert [(entry.token, entry.top) for entry in answer.logprobs()] == [
        (1, ((3, -0.5, b" "),)),
        (2, ((3, -0.5, b" "),)),
        (3, ((3, -0.5, b" "),)),
    ]
    assert answer.prompt.cached_tokens == 2, "one token at least is computed"
    assert [entry.logprob for entry in answer.prompt.logprobs] == [None, -2.0, -2.0]
    assert script.num_closed == 1


async def test_choices_wait_for_the_prompt_and_a_stop_string_closes_only_its_own() -> None:
    request = GenerationRequest("r", (1, 2), 3, num_choices=2, stop=("b",))
    script = Script([[output(1), output(2), output(1)], [output(1, 1, 1)]])
    answer = await answer_of(script, request)
    assert [answer.text(0), answer.text(1)] == ["a", "aaa"]
    assert [answer.end(0).reason, answer.end(1).reason] == ["stop", "length"]
    assert script.num_closed == 2


async def test_a_thought_that_is_too_long_is_ended_and_the_answer_follows_the_constraint() -> None:
    thought = Thought("<t>", "</t>", max_tokens=2)
    request = GenerationRequest("r", (1,), 9, constraint=TextChoice(("a",)), thought=thought)
    grammar = grammar_text(TextChoice(("a",)))
    script = Script([[output(4, 2), output(2, 2)], [output(1), output(0)]])
    answer = await answer_of(script, request, grammar)
    assert (answer.thought(), answer.text()) == ("bb", "a")
    (_, _, first), (tokens, parameters, second) = script.asked
    assert tokens == (1, 4, 2, 2, 5)
    assert parameters["max_tokens"] == 9 - 4
    assert first is not None
    assert second is not None
    assert "thinking" in first
    assert "thinking" not in second


async def test_a_thought_within_its_limit_is_not_interrupted() -> None:
    thought = Thought("<t>", "</t>", max_tokens=5)
    request = GenerationRequest("r", (1,), 9, constraint=TextChoice(("a",)), thought=thought)
    script = Script([[output(4), output(2), output(5), output(1), output(0)]])
    answer = await answer_of(script, request, grammar_text(TextChoice(("a",))))
    assert (answer.thought(), answer.text()) == ("b", "a")


async def test_an_error_ends_the_request_and_its_other_choices() -> None:
    request = GenerationRequest("r", (1, 2), 3, num_choices=2)
    refused = Script([InvalidRequest("no"), [output(1)]])
    assert isinstance((await events_of(refused, request))[-1], InvalidRequest)
    broken = Script([RuntimeError("broken"), [output(1)]])
    assert isinstance((await events_of(broken, request))[-1], GenerationFailed)
    ended = Script([[output(1), output(finish="abort")], [output(1)]])
    assert isinstance((await events_of(ended, request))[-1], GenerationFailed)


async def test_a_request_that_only_scores_its_prompt_shows_no_token() -> None:
    request = GenerationRequest("r", (1, 2, 3), 0, num_prompt_logprobs=0)
    answer = await answer_of(Script([[output(1, finish="length")]]), request)
    assert len(answer.events) == 3
    assert isinstance(answer.events[-1], Done)


async def test_an_aborted_request_has_no_further_events() -> None:
    idle, begun, frames = asyncio.Event(), asyncio.Event(), list[list[RequestEvent]]()

    def take(frame: list[RequestEvent]) -> None:
        frames.append(frame)
        begun.set()

    script = Script([[output(1)]])
    model = Model(script, TABLE, {}, lambda text: [])
    running = RunningRequests(model, take, idle.set, failed)
    running.start(1, GenerationRequest("r", (1,), 9), None)
    await begun.wait()
    running.abort(1)
    running.abort(2)
    await idle.wait()
    await asyncio.sleep(0)
    assert script.num_closed == 1
    assert len(frames) == 1
