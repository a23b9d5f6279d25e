"""Responses and the events of streams are of OpenAI's own schemas, except where its service isn't either."""

from typing import Any, Final

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from tests.api.responses.document import check_event, of_the_document, validator
from tests.api.responses.reading import events_of, followed, without_ids
from tests.api.stand_in import serving
from tests.http.scripted import Step, words

from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta, TokenLogprob

OPENAIS_TYPES: Final[TypeAdapter[ResponseStreamEvent]] = TypeAdapter(ResponseStreamEvent)
CALL = '<tool_call>\n{"name": "get", "arguments": {"city": "Paris"}}\n</tool_call>'
RUN = '<tool_call>\n{"name": "run", "arguments": {"input": "SELECT 1"}}\n</tool_call>'
TOOLS = [
    {"type": "function", "name": "get", "parameters": {"type": "object", "properties": {}}, "strict": False},
    {"type": "custom", "name": "run"},
    {
        "type": "namespace",
        "name": "agents",
        "description": "d",
        "tools": [{"type": "function", "name": "spawn"}],
    },
]


def thinking(*texts: str) -> list[Step]:
    thoughts = [TextDelta(0, text, 1, is_thought=True) for text in ("Hm, ", "so.")]
    return [PromptDone(3, 1), *thoughts, *words(*texts)[1:]]


def with_logprobs(text: str) -> list[Step]:
    entry = TokenLogprob(1, -0.5, text.encode(), ((1, -0.5, text.encode()), (2, -1.5, b"x")))
    return [PromptDone(3, 1), TextDelta(0, text, 1, (entry,)), ChoiceDone(0, "stop", 1, 2), Done(2)]


def cut(text: str) -> list[Step]:
    return [PromptDone(3, 1), TextDelta(0, text, 1), ChoiceDone(0, "length", 0, 16), Done(16)]


FIXTURES: list[tuple[list[Step], dict[str, Any]]] = [
    (words("Hello", " you"), {}),
    (words("Hello"), {"metadata": {"a": "b"}, "instructions": "x", "temperature": 0, "user": "me"}),
    (words(CALL, RUN), {"tools": TOOLS}),
    (words("Let me see. ", CALL), {"tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": False}),
    (words(CALL), {"tools": TOOLS, "tool_choice": {"type": "function", "name": "get"}}),
    (thinking("Two"), {"reasoning": {"effort": "low"}}),
    (thinking(CALL), {"tools": TOOLS, "reasoning": {"summary": "auto"}}),
    (thinking("Two"), {"include": ["reasoning.encrypted_content"], "store": False}),
    (with_logprobs("Two"), {"include": ["message.output_text.logprobs"], "top_logprobs": 2}),
    (cut("Hello"), {"max_output_tokens": 16}),
    (
        words('{"a": 1}'),
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}},
    ),
]


@pytest.mark.parametrize(("script", "options"), FIXTURES, ids=range(len(FIXTURES)))
async def test_streamed_and_whole_responses_are_equal_and_of_the_schema(
    script: list[Step], options: dict[str, Any]
) -> None:
    async with serving(list(script), list(script)) as model:
        whole = await model.ask("responses", input="x", **options)
        assert whole.status_code == 200, whole.text
        validator("Response").validate(of_the_document(whole.json()))
        streamed = await model.ask("responses", input="x", stream=True, **options)
    events = events_of(streamed.text)
    for event in events:
        check_event(event)
        typed = OPENAIS_TYPES.validate_python(event)
        assert typed.to_dict() == event, "the official client has a type for each event, and drops nothing"
    same, other = (without_ids(response) for response in (followed(events), whole.json()))
    assert [item.pop("encrypted_content", None) for item in same["output"]] == [
        item.pop("encrypted_content", None) for item in other["output"]
    ]
    assert same == other
