"""The official client: its helpers for streams and typed results, counting and compacting; n8n's requests."""

from typing import Any

import pytest
from pydantic import BaseModel
from tests.api.stand_in import serving
from tests.http.scripted import words

CALL = '<tool_call>\n{"name": "get", "arguments": {"city": "Paris"}}\n</tool_call>'


class Person(BaseModel):
    name: str
    age: int


async def test_the_stream_helper_follows_text_and_calls() -> None:
    async with serving(words("Let me ", "see. ", CALL)) as model, model.openai() as client:
        tool: Any = {"type": "function", "name": "get", "parameters": {"type": "object", "properties": {}}}
        async with client.responses.stream(
            model="tiny", input="x", tools=[tool], extra_body={"store": False}
        ) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.completed"
        assert final.output_text == "Let me see. "
        assert [item.type for item in final.output] == ["message", "function_call"]


@pytest.mark.parametrize("by_alias", [False, True])
@pytest.mark.parametrize("kind", ["function", "custom"])
async def test_a_call_can_be_sent_back_as_the_client_dumps_it(kind: str, by_alias: bool) -> None:
    tool: Any = {"type": kind, "name": "get"}
    text = CALL if kind == "function" else CALL.replace("city", "input")
    async with serving(words(text), words("Sunny.")) as model, model.openai() as client:
        first = await client.responses.create(model="tiny", input="x", tools=[tool])
        (call,) = first.output
        assert call.type in ("function_call", "custom_tool_call")
        again: Any = [
            {"role": "user", "content": "x"},
            call.model_dump(by_alias=by_alias),
            {"type": f"{call.type}_output", "call_id": call.call_id, "output": "sun"},
        ]
        second = await client.responses.create(model="tiny", input=again, tools=[tool])
        assert second.output_text == "Sunny."


async def test_the_parse_helper_gets_its_type() -> None:
    text = '{"name": "Ann", "age": 3}'
    async with serving(words(text), words(text)) as model, model.openai() as client:
        parsed = await client.responses.parse(model="tiny", input="x", text_format=Person)
        assert parsed.output_parsed == Person(name="Ann", age=3)
        async with client.responses.stream(model="tiny", input="x", text_format=Person) as stream:
            final = await stream.get_final_response()
        assert final.output_parsed == Person(name="Ann", age=3)


async def test_a_chain_counted_and_compacted() -> None:
    async with serving(words("One"), words("Two"), words("Said one.")) as model, model.openai() as client:
        first = await client.responses.create(model="tiny", input="a")
        counted = await client.responses.input_tokens.count(
            model="tiny", input="b", previous_response_id=first.id
        )
        second = await client.responses.create(model="tiny", input="b", previous_response_id=first.id)
        assert counted.input_tokens == len(model.generator.requests[-1].prompt_tokens)
        compacted = await client.responses.compact(model="tiny", previous_response_id=second.id)
        assert [item.type for item in compacted.output] == ["message", "message", "compaction"]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_tool_turn_of_n8n_is_answered(is_stream: bool) -> None:
    """`text` is empty, and the call goes back with its id and status."""
    parameters = {"type": "object", "properties": {}, "$schema": "http://json-schema.org/draft-07/schema#"}
    tool = {"type": "function", "name": "get", "parameters": parameters, "strict": False}
    ask = [{"type": "message", "role": "user", "content": "x"}]
    async with serving(words(CALL), words("Sunny.")) as model:
        first = await model.ask("responses", input=ask, tools=[tool], text={}, stream=False)
        call = {**first.json()["output"][0]}
        assert sorted(call) == ["arguments", "call_id", "id", "name", "status", "type"]
        said = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
        last = await model.ask("responses", input=[*ask, call, said], tools=[tool], text={}, stream=is_stream)
    assert last.status_code == 200, last.text
    assert "Sunny." in last.text
