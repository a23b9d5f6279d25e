"""Calls in every format, from a request's constraint through the engine's tokens to what is read; harmony's
are in `test_thoughts.py`."""

import asyncio
import json
from typing import Any

from msgspec import structs
from tests.prompts.call_formats.test_grammars import PLAIN
from tests.prompts.call_formats.written import read, same, summed, written
from tests.scheduling.test_grammars import ask, request, text_of

from myna.core.constraints import CallableTool, ToolCalls
from myna.core.conversation import ToolSpec
from myna.core.events import ChoiceDone
from myna.core.requests import Sampling
from myna.prompts.call_formats.table import FORMATS
from myna.scheduling.in_process import InProcessGenerator

LAMP: dict[str, Any] = {
    "type": "object",
    "properties": {
        "room": {"type": "string", "enum": ["厨房", "hall", 'the "den"']},
        "on": {"type": "boolean"},
        "level": {"type": "integer", "enum": [1, 20, -3]},
    },
    "required": ["room", "on", "level"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [ToolSpec("lamp", "", json.dumps(LAMP), strict=True), ToolSpec("weather", "", json.dumps(CITY))]
CALLABLE = tuple(CallableTool(tool.name, tool.parameters, tool.strict) for tool in TOOLS)


async def test_a_required_call_of_a_random_model_is_read_and_follows_its_schema(
    service: InProcessGenerator,
) -> None:
    await asyncio.gather(*(_required(service, name) for name in PLAIN))


async def _required(service: InProcessGenerator, name: str) -> None:
    form = FORMATS[name]
    constraint = ToolCalls(name, CALLABLE[:1], is_required=True, is_parallel=False)
    hot = Sampling(temperature=2.0, seed=7)
    wanted = request("lights!", constraint, sampling=hot, stop=("hall", "\n", "{"), calls=form.marks)
    events = await ask(service, structs.replace(wanted, max_tokens=900))
    said, [(called, arguments)] = summed(read(form.reader(TOOLS), text_of(events)))
    assert (said, called) == ("", "lamp"), name
    values = json.loads(arguments)
    assert values.keys() == LAMP["properties"].keys()
    assert values["room"] in ("厨房", "hall", 'the "den"')
    assert isinstance(values["on"], bool) and values["level"] in (1, 20, -3)
    assert [event.reason for event in events if isinstance(event, ChoiceDone)] == ["stop"]


async def test_a_model_that_calls_in_its_own_form_is_understood(service: InProcessGenerator) -> None:
    await asyncio.gather(*(_own_form(service, name) for name in PLAIN))


async def _own_form(service: InProcessGenerator, name: str) -> None:
    form = FORMATS[name]
    call = ("weather", '{"city": "Paris 巴黎"}')
    before = "Let me look. " if form.marks.anywhere else ""
    text = before + written(form, call)
    if "]" in text:
        return  # it can't be in what the fake engine is asked to say
    wanted = request(f"[[say {text}]]", ToolCalls(name, CALLABLE), stop=("Paris", "}"), calls=form.marks)
    events = await ask(service, structs.replace(wanted, max_tokens=900))
    said, found = summed(read(form.reader(TOOLS), text_of(events)))
    assert (said.strip(), same(found, [call])) == (before.strip(), True), name
