"""Answers bound to a grammar, from request to events, together with others that are not."""

import asyncio
import json

import pytest

from myna.core.constraints import Constraint, JsonSchema, LarkGrammar, Regex
from myna.core.errors import InvalidRequest
from myna.core.events import ChoiceDone, Event, TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.engines import fake
from myna.scheduling.in_process import InProcessGenerator

COLOURS = JsonSchema('{"enum": ["red", "green", "blue"]}')
WORD = Regex("[a-z]{3,6}!")


def request(text: str, constraint: Constraint | None, **more: object) -> GenerationRequest:
    fields: dict[str, object] = {"constraint": constraint, "sampling": Sampling(temperature=0), **more}
    tokens = tuple(fake.tokenize(text, parse_special=True))
    return GenerationRequest(text, tokens, 40, **fields)  # type: ignore[arg-type]


async def ask(service: InProcessGenerator, wanted: GenerationRequest) -> list[Event]:
    return [event async for event in await service.generate(wanted)]


def text_of(events: list[Event], choice: int = 0) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.choice == choice)


async def test_an_answer_is_whole_and_ends_when_nothing_can_follow(service: InProcessGenerator) -> None:
    events = await ask(service, request("which colour?", COLOURS))
    assert json.loads(text_of(events)) in ("red", "green", "blue")
    assert [event.reason for event in events if isinstance(event, ChoiceDone)] == ["stop"]


async def test_bound_and_unbound_answers_run_in_one_batch(service: InProcessGenerator) -> None:
    free = request("[[say this is not bound by anything]]", None)
    constrained = [request(f"question {index}", COLOURS if index % 2 else WORD) for index in range(6)]
    free_events, *answers = await asyncio.gather(*(ask(service, wanted) for wanted in [free, *constrained]))
    assert text_of(free_events) == "this is not bound by anything"
    for index, events in enumerate(answers):
        text = text_of(events)
        assert json.loads(text) if index % 2 else text.endswith("!")


async def test_the_choices_of_one_request_each_follow_the_grammar(service: InProcessGenerator) -> None:
    hot = Sampling(temperature=2.0, seed=3)
    events = await ask(service, request("several", WORD, num_choices=4, best_of=4, sampling=hot))
    texts = [text_of(events, choice) for choice in range(4)]
    assert all(text.endswith("!") and 4 <= len(text) <= 7 for text in texts)
    assert len(set(texts)) > 1


async def test_a_text_that_is_not_a_grammar_is_refused_by_its_stream(service: InProcessGenerator) -> None:
    stream = await service.generate(request("bad", LarkGrammar("not a grammar")))
    with pytest.raises(InvalidRequest, match="grammar"):
        [event async for event in stream]


async def test_leaving_while_the_grammar_compiles_is_fine(service: InProcessGenerator) -> None:
    stream = await service.generate(request("leaves", COLOURS))
    await stream.aclose()
    assert json.loads(text_of(await ask(service, request("stays", COLOURS))))
