"""The official client: its helpers for streams and typed results, counting and compacting."""

from typing import Any

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
