"""What the model sees of a request: items as turns, tokens counted, truncated, and compacted."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.api.responses.test_continuing import respond, shown
from tests.api.stand_in import BytePrompting, error_of, serving
from tests.http.scripted import Step, words
from tests.wire.items import read_items

from myna.accounts.sealing import Sealer
from myna.accounts.secret import Secret
from myna.api.responses.messages import to_messages
from myna.api.responses.truncation import fitting
from myna.core.conversation import Message, ToolCall
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta
from myna.wire.response_items import Item, ItemReference

CALL = {"type": "function_call", "call_id": "call_1", "name": "get", "arguments": '{"a": 1}'}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
RUN = {"type": "custom_tool_call", "call_id": "call_2", "name": "run", "input": 'say "hi"'}
RAN = {
    "type": "custom_tool_call_output",
    "call_id": "call_2",
    "output": [{"type": "input_text", "text": "h"}, {"type": "input_text", "text": "i"}],
}


def thought(text: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
        **more,
    }


def items_of(*values: dict[str, Any]) -> list[Item]:
    return [item for item in read_items(list(values)) if not isinstance(item, ItemReference)]


def turns(*values: dict[str, Any]) -> list[Message]:
    return to_messages(None, items_of(*values), lambda token: f"opened {token}")


def test_reasoning_a_message_and_calls_are_one_turn() -> None:
    said = {"role": "assistant", "content": "Let me look."}
    assert turns(thought("Hm."), said, CALL, RUN, OUTPUT, RAN) == [
        Message.of(
            "assistant",
            "Let me look.",
            tool_calls=(
                ToolCall("call_1", "get", '{"a": 1}'),
                ToolCall("call_2", "run", '{"input": "say \\"hi\\""}'),
            ),
            reasoning="Hm.",
        ),
        Message.of("tool", "sun", tool_call_id="call_1"),
        Message.of("tool", "hi", tool_call_id="call_2"),
    ]


def test_two_messages_of_the_assistant_stay_two_turns() -> None:
    first, second = ({"role": "assistant", "content": text} for text in "ab")
    assert [turn.text for turn in turns(first, second)] == ["a", "b"]


def test_a_thought_that_led_to_nothing_is_left_out() -> None:
    assert turns(thought("Hm."), {"role": "user", "content": "x"}) == [Message.of("user", "x")]


def test_a_thought_is_read_from_its_token_first() -> None:
    said = {"role": "assistant", "content": "a"}
    (turn,) = turns(thought("changed", encrypted_content="token"), said)
    assert turn.reasoning == "opened token"
    (turn,) = to_messages(None, items_of(thought("shown", encrypted_content="x"), said), lambda token: None)
    assert turn.reasoning == "shown"


def test_instructions_come_first_and_parts_are_joined_without_a_separator() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    asked = items_of({"role": "developer", "content": "be kind"}, {"role": "user", "content": parts})
    assert to_messages("be brief", asked, lambda token: None) == [
        Message.of("system", "be brief"),
        Message.of("developer", "be kind"),
        Message.of("user", "ab"),
    ]


def test_a_call_of_a_namespace_is_shown_under_its_whole_name() -> None:
    (turn,) = turns({**CALL, "namespace": "agents"})
    assert turn.tool_calls[0].name == "agents__get"


@given(st.text(), st.text())
def test_a_token_comes_back_intact_and_no_other_is_accepted(text: str, noise: str) -> None:
    sealer, stranger = (Sealer(Secret(letter * 32)) for letter in "ab")
    token = sealer.seal(text, "reasoning")
    assert sealer.open(token, "reasoning") == text
    assert sealer.open(token, "compaction") is None
    assert stranger.open(token, "reasoning") is None
    assert sealer.open(token[:-4], "reasoning") is None
    assert sealer.open(noise, "reasoning") is None


async def test_encrypted_reasoning_is_shown_to_the_model_again() -> None:
    script: list[Step] = [
        PromptDone(3, 1),
        TextDelta(0, "Hm, ", 1, is_thought=True),
        TextDelta(0, "two.", 1, is_thought=True),
        TextDelta(0, "2", 1),
        ChoiceDone(0, "stop", 1, 4),
        Done(4, reasoning_tokens=2),
    ]
    async with serving(script, words("4")) as model:
        first = await respond(
            model, input="1+1", store=False, include=["reasoning.encrypted_content"], reasoning={}
        )
        reasoning, message = first["output"]
        assert first["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}
        assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hm, two."}]
        bare = {**reasoning, "content": None}
        question = {"role": "user", "content": "2+2"}
        await respond(model, input=[{"role": "user", "content": "1+1"}, bare, message, question])
        assert model.prompting.conversations[-1][1].reasoning == "Hm, two."


async def test_a_summary_shows_the_thought_as_summary() -> None:
    script: list[Step] = [
        PromptDone(3, 1),
        TextDelta(0, "Hm.", 1, is_thought=True),
        TextDelta(0, "2", 1),
        ChoiceDone(0, "stop", 1, 4),
        Done(4),
    ]
    async with serving(script) as model:
        answer = await respond(model, input="1+1", reasoning={"effort": "low", "summary": "auto"})
        assert answer["reasoning"] == {"context": None, "effort": "low", "summary": "detailed"}
        assert answer["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
        assert answer["output"][0]["content"] == []
        assert "encrypted_content" not in answer["output"][0]


async def test_counted_tokens_are_those_of_the_response() -> None:
    async with serving() as model:
        asked = {"input": "how many?", "instructions": "count", "tools": [{"type": "function", "name": "f"}]}
        counted = await model.ask("responses/input_tokens", **asked)
        assert counted.text.startswith('{\n  "object": "response.input_tokens",\n  "input_tokens": ')
        await respond(model, **asked)
        assert counted.json()["input_tokens"] == len(model.generator.requests[-1].prompt_tokens)
        assert error_of(await model.ask("responses/input_tokens"))["param"] is None
        assert len(model.generator.requests) == 1
        assert [row.endpoint for row in model.ledger.rows] == ["responses"]


def test_truncation_drops_the_oldest_units_and_keeps_pairs_and_instructions() -> None:
    values = [
        {"role": "user", "content": "0"},
        {"role": "system", "content": "1"},
        thought("2"),
        {**CALL},
        {**OUTPUT},
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "6"},
    ]
    items = items_of(*values)

    def kept(limit: int) -> list[int] | None:
        found = fitting(items, lambda some: list(some) if len(some) <= limit else None)
        return None if found is None else [items.index(item) for item in found]

    assert kept(7) == [0, 1, 2, 3, 4, 5, 6]
    assert kept(6) == [1, 2, 3, 4, 5, 6]
    assert kept(5) == kept(4) == kept(3) == [1, 5, 6]
    assert kept(2) == [1, 6]
    assert kept(1) is None


async def test_a_truncated_input_is_answered_without_its_oldest_items() -> None:
    async with serving() as model:
        asked = [{"role": "user", "content": letter * 1500} for letter in "abcd"]
        refused = await model.ask("responses", input=asked)
        assert error_of(refused)["code"] == "context_length_exceeded"
        answer = await respond(model, input=asked, truncation="auto")
        assert answer["truncation"] == "auto"
        prompt = bytes(model.generator.requests[-1].prompt_tokens).decode()
        assert [turn[:1] for turn in prompt.split("<user>")] == ["", "c", "d"]


async def test_a_compacted_context_has_the_users_messages_and_a_summary_that_the_model_sees_again() -> None:
    async with serving(words("They", " spoke."), words("Yes")) as model:
        context = [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
        ]
        compacted = await model.ask("responses/compact", input=context)
        assert compacted.status_code == 200, compacted.text
        body = compacted.json()
        assert list(body) == ["id", "object", "created_at", "output", "usage"]
        assert body["object"] == "response.compaction"
        assert body["usage"]["total_tokens"] == 6
        user, blob = body["output"]
        assert user["content"] == [{"type": "input_text", "text": "a"}]
        assert list(blob) == ["id", "type", "encrypted_content"]
        assert "spoke" not in blob["encrypted_content"]
        await respond(model, input=[*body["output"], {"role": "user", "content": "c"}])
        (_, a), (_, summary), (_, c) = shown(model)
        assert (a, c) == ("a", "c")
        assert summary.endswith("They spoke.")


async def test_a_stored_chain_is_compacted_without_input() -> None:
    async with serving(words("One"), words("They spoke.")) as model:
        first = await respond(model, input="a")
        compacted = await model.ask("responses/compact", input=[], previous_response_id=first["id"])
        assert [item["type"] for item in compacted.json()["output"]] == ["message", "compaction"]


async def test_a_model_without_chat_template_counts_nothing() -> None:
    async with serving(prompting=BytePrompting(has_chat_template=False)) as model:
        refused = await model.ask("responses/input_tokens", input="x")
        assert error_of(refused)["param"] == "model"


async def test_opaque_tokens_can_not_unpack_to_any_size() -> None:
    async with serving() as model:
        token = model.services.sealer.seal("x" * 9_000_000, "reasoning")
        small = {"type": "reasoning", "summary": [], "encrypted_content": token}
        refused = await model.ask("responses", input=[*[small] * 4, {"role": "user", "content": "Hi"}])
        assert error_of(refused)["code"] == "context_length_exceeded"
        counted = await model.ask("responses/input_tokens", input=[*[small] * 4])
        assert error_of(counted)["code"] == "context_length_exceeded"
        assert (
            await model.ask("responses", input=[*[small] * 3, {"role": "user", "content": "Hi"}])
        ).is_success
