"""Thoughts from request to events: apart from the answer, counted, before grammars and stop strings."""

import json

from myna.core.constraints import CallableTool, FinalChannel, JsonSchema, ToolCalls
from myna.core.conversation import ToolSpec
from myna.core.events import ChoiceDone, Done, Event, TextDelta
from myna.core.harmony import ANALYSIS, COMMENTARY, END, FINAL, MESSAGE, START
from myna.core.requests import GenerationRequest, Sampling, Thought
from myna.engines import fake
from myna.prompts.call_formats.base import CallArguments, CallStarted
from myna.prompts.call_formats.table import FORMATS
from myna.scheduling.in_process import InProcessGenerator

COLOURS = JsonSchema('{"enum": ["red", "green", "blue"]}')
THOUGHT = Thought("<think>", "</think>")
CHANNELS = Thought(ANALYSIS, END + START, is_harmony=True)


async def ask(
    service: InProcessGenerator, text: str, thought: Thought = THOUGHT, **more: object
) -> list[Event]:
    fields: dict[str, object] = {"thought": thought, "sampling": Sampling(temperature=0), **more}
    tokens = tuple(fake.tokenize(text, parse_special=True))
    max_tokens = fields.pop("max_tokens", 400)
    request = GenerationRequest(text, tokens, max_tokens, **fields)  # type: ignore[arg-type]
    return [event async for event in await service.generate(request)]


def texts(events: list[Event]) -> tuple[str, str]:
    """The thought and the answer."""
    deltas = [event for event in events if isinstance(event, TextDelta)]
    thought = "".join(delta.text for delta in deltas if delta.is_thought)
    return thought, "".join(delta.text for delta in deltas if not delta.is_thought)


def done(events: list[Event]) -> Done:
    assert isinstance(events[-1], Done)
    return events[-1]


async def test_thought_and_answer_are_separated_and_counted(service: InProcessGenerator) -> None:
    events = await ask(service, "[[say <think>\nit may rain 🙂\n</think>\n\nTake 你 along]]")
    assert texts(events) == ("it may rain 🙂", "Take 你 along")
    said = len(fake.tokenize("Take 你 along", parse_special=True)) + 1  # and the end
    assert done(events).completion_tokens - done(events).reasoning_tokens == said
    told = sum(e.num_tokens for e in events if isinstance(e, TextDelta | ChoiceDone))
    assert told == done(events).completion_tokens


async def test_an_answer_without_a_thought_is_an_answer(service: InProcessGenerator) -> None:
    events = await ask(service, "[[say <thin ice]]", num_logprobs=0)
    assert texts(events) == ("", "<thin ice")
    assert done(events).reasoning_tokens == 0
    entries = [entry for e in events if isinstance(e, TextDelta) for entry in e.logprobs]
    assert b"".join(entry.data for entry in entries) == b"<thin ice"


async def test_stop_strings_and_log_probabilities_are_the_answers_alone(service: InProcessGenerator) -> None:
    events = await ask(
        service, "[[say <think>stop</think>\n\ngo now stop here]]", stop=("stop",), num_logprobs=0
    )
    assert texts(events) == ("stop", "go now ")
    entries = [entry for e in events if isinstance(e, TextDelta) for entry in e.logprobs]
    assert b"".join(entry.data for entry in entries) == b"go now "


async def test_a_thought_that_is_cut_short_is_still_a_thought(service: InProcessGenerator) -> None:
    events = await ask(service, "[[say <think>one two three</think>four]]", max_tokens=12)
    assert texts(events)[1] == ""
    assert texts(events)[0].startswith("one")
    assert [e.reason for e in events if isinstance(e, ChoiceDone)] == ["length"]
    assert done(events).reasoning_tokens == 12


async def test_a_grammar_begins_where_the_thought_ends(service: InProcessGenerator) -> None:
    events = await ask(service, "[[say <think>which? red!</think>green]]", constraint=COLOURS)
    thought, said = texts(events)
    assert thought == "which? red!"
    assert json.loads(said) in ("red", "green", "blue")
    assert [e.reason for e in events if isinstance(e, ChoiceDone)] == ["stop"]


async def test_a_model_that_must_think_does_so_before_its_grammar_and_for_so_long(
    service: InProcessGenerator,
) -> None:
    short = Thought("<think>", "</think>", max_tokens=6)
    events = await ask(service, "[[say wind and rain and wind and rain and wind]]", short, constraint=COLOURS)
    thought, said = texts(events)
    assert thought.startswith("wind")
    assert json.loads(said) in ("red", "green", "blue")
    assert done(events).reasoning_tokens == 6 + len("<think></think>")


async def test_an_optional_thought_is_neither_forced_nor_forbidden(service: InProcessGenerator) -> None:
    optional = Thought("<think>", "</think>", is_optional=True)
    with_one = await ask(service, "[[say <think>hm</think>]]", optional, constraint=COLOURS)
    assert texts(with_one)[0] == "hm"
    assert json.loads(texts(with_one)[1]) in ("red", "green", "blue")
    without = await ask(service, '[[say "red"]]', optional, constraint=COLOURS)
    assert texts(without) == ("", '"red"')


async def test_json_in_channels_is_the_final_message(service: InProcessGenerator) -> None:
    events = await ask(service, f'[[say {FINAL}"red"]]', CHANNELS, constraint=FinalChannel(COLOURS))
    assert texts(events) == ("", '"red"')


async def test_calls_in_channels_follow_the_tools_schema(service: InProcessGenerator) -> None:
    tool = CallableTool("pick", '{"type": "object", "properties": {"c": {"enum": ["x"]}}, "required": ["c"]}')
    form = FORMATS["harmony"]
    said = f'{COMMENTARY} to=functions.pick <|constrain|>json{MESSAGE}{{"c": "x"}}'
    constraint = ToolCalls(form.name, (tool,), is_required=True)
    events = await ask(service, f"[[say {said}]]", CHANNELS, constraint=constraint, calls=form.marks)
    reader = form.reader([ToolSpec("pick")])
    pieces = [*reader.feed(texts(events)[1]), *reader.end()]
    assert pieces == [CallStarted(0, "pick"), CallArguments(0, '{"c": "x"}')]


async def test_each_choice_thinks_for_itself(service: InProcessGenerator) -> None:
    hot = Sampling(temperature=1.5, seed=5)
    short = Thought("<think>", "</think>", is_open=True, max_tokens=5)
    events = await ask(service, "several", short, constraint=COLOURS, num_choices=3, best_of=3, sampling=hot)
    for choice in range(3):
        mine: list[Event] = [e for e in events if isinstance(e, TextDelta) and e.choice == choice]
        assert json.loads(texts(mine)[1]) in ("red", "green", "blue")


async def test_of_candidates_that_lose_no_thought_is_reported(service: InProcessGenerator) -> None:
    hot = Sampling(temperature=4.0, seed=3)
    thinking = Thought("<think>", "</think>", is_open=True)
    events = await ask(service, "a riddle", thinking, best_of=4, sampling=hot, max_tokens=30)
    assert {event.choice for event in events if isinstance(event, TextDelta)} == {0}
