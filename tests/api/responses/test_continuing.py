"""Responses that continue others: by the previous id, in a conversation, with references."""

from typing import Any

import msgspec
from tests.api.responses.reading import events_of, followed
from tests.api.stand_in import Model, error_of, serving
from tests.http.scripted import words

from myna.core.conversation import Message
from myna.core.stored_responses import StoredConversation

TOOL = {"type": "function", "name": "get", "parameters": {"type": "object", "properties": {}}}
CALL = '<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>'


async def respond(model: Model, **body: Any) -> dict[str, Any]:
    response = await model.ask("responses", **body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def shown(model: Model) -> list[tuple[str, str]]:
    """The roles and texts of the last conversation that the model saw."""
    return [(message.role, message.text) for message in model.prompting.conversations[-1]]


async def test_a_chain_shows_all_items_but_no_earlier_instructions() -> None:
    async with serving(words("One"), words("Two"), words("Three")) as model:
        first = await respond(model, input="a", instructions="be brief")
        second = await respond(model, input="b", previous_response_id=first["id"])
        assert shown(model) == [("user", "a"), ("assistant", "One"), ("user", "b")]
        third = await respond(model, input="c", previous_response_id=second["id"], instructions="be long")
        assert shown(model) == [
            ("system", "be long"),
            ("user", "a"),
            ("assistant", "One"),
            ("user", "b"),
            ("assistant", "Two"),
            ("user", "c"),
        ]
        assert third["previous_response_id"] == second["id"]
        assert len({one["id"][5:21] for one in (first, second, third)}) == 1  # OpenAI's chains share it


async def test_a_streamed_response_can_be_continued_as_soon_as_it_has_ended() -> None:
    async with serving(words("One"), words("Two")) as model:
        streamed = await model.ask("responses", input="a", stream=True)
        first = followed(events_of(streamed.text))
        await respond(model, input="b", previous_response_id=first["id"])
        assert shown(model) == [("user", "a"), ("assistant", "One"), ("user", "b")]
        stored = model.services.responses.get("default", first["id"])
        assert stored is not None
        body = msgspec.json.decode(stored.body)
        assert body | {"output": first["output"]} == first
        assert [msgspec.json.decode(item.json) for item in stored.output] == first["output"]


async def test_what_is_not_stored_can_not_be_continued() -> None:
    async with serving(words("One")) as model:
        first = await respond(model, input="a", store=False)
        assert first["store"] is False
        refused = await model.ask("responses", input="b", previous_response_id=first["id"])
        assert error_of(refused)["code"] == "previous_response_not_found"


async def test_a_reference_is_the_item_itself() -> None:
    async with serving(words("One"), words("Two")) as model:
        first = await respond(model, input="a")
        again = [{"role": "user", "content": "a"}, {"id": first["output"][0]["id"]}]
        await respond(model, input=[*again, {"role": "user", "content": "b"}])
        assert shown(model) == [("user", "a"), ("assistant", "One"), ("user", "b")]


async def test_references_can_not_multiply_a_large_item() -> None:
    async with serving() as model:
        large = {"role": "user", "content": "x" * 1_000_000}
        created = await model.client.post("/v1/conversations", json={"items": [large]})
        listed = await model.client.get(f"/v1/conversations/{created.json()['id']}/items")
        (item,) = listed.json()["data"]
        refused = await model.ask("responses", input=[{"id": item["id"]}] * 40)
        assert (refused.status_code, error_of(refused)["code"]) == (400, "too_large")
        again = await model.client.post("/v1/conversations", json={"items": [{"id": item["id"]}] * 20})
        assert again.status_code == 200


async def test_a_conversation_grows_with_its_responses() -> None:
    async with serving(words("One"), words("Two")) as model:
        project = "default"
        model.services.conversations.create(StoredConversation("conv_1", project, 1, {}))
        first = await respond(model, input="a", conversation="conv_1")
        assert first["conversation"] == {"id": "conv_1"}
        await respond(model, input="b", conversation={"id": "conv_1"})
        assert shown(model) == [("user", "a"), ("assistant", "One"), ("user", "b")]


async def test_a_call_of_the_previous_response_counts_as_a_call() -> None:
    async with serving(words(CALL), words("Sunny")) as model:
        first = await respond(model, input="weather?", tools=[TOOL])
        (call,) = first["output"]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sun"}
        refused = await model.ask("responses", input="b", previous_response_id=first["id"])
        assert error_of(refused)["message"] == f"No tool output found for function call {call['call_id']}."
        await respond(model, input=[output], previous_response_id=first["id"], tools=[TOOL])
        turns = model.prompting.conversations[-1]
        assert turns[1].tool_calls[0].id == call["call_id"] == turns[2].tool_call_id
        assert turns[2] == Message.of("tool", "sun", tool_call_id=call["call_id"])


async def test_the_rest_of_a_chain_survives_without_input() -> None:
    async with serving(words("One"), words("Two")) as model:
        first = await respond(model, input="a")
        await respond(model, input=[], previous_response_id=first["id"])
        assert shown(model) == [("user", "a"), ("assistant", "One")]
