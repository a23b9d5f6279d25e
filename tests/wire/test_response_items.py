"""Items get OpenAI's errors, and are stored complete."""

import json
from typing import Any

import pytest
from tests.wire.items import read_items

from myna.core.errors import InvalidRequest
from myna.wire.ids import ItemIds, new_call_id
from myna.wire.response_items import ITEM_TYPES, PREFIXES, Item, read_stored, stored_item

USER = {"role": "user", "content": "x"}
NESTED: list[Any] = json.loads("[" * 300 + "]" * 300)
FAULTS: list[tuple[Any, str, str, str | None]] = [
    (
        7,
        "Invalid type for 'input[0]': expected an input item, but got an integer instead.",
        "input[0]",
        "invalid_type",
    ),
    (
        None,
        "Invalid type for 'input[0]': expected an input item, but got an object instead.",
        "input[0]",
        "invalid_type",
    ),
    (
        {"type": "bogus_item"},
        "Invalid value: 'bogus_item'. Supported values are: 'additional_tools', ",
        "input[0]",
        "invalid_value",
    ),
    ({"type": 3}, "Invalid value: ''. Supported values are: ", "input[0]", "invalid_value"),
    (
        {"role": "bogus", "content": "x"},
        "Invalid value: 'bogus'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
        "input[0]",
        "invalid_value",
    ),
    ({"content": "x"}, "Invalid value: ''. Supported values are: 'assistant', ", "input[0]", "invalid_value"),
    (
        {"role": "user"},
        "Missing required parameter: 'input[0].content'.",
        "input[0].content",
        "missing_required_parameter",
    ),
    (
        {**USER, "bogus": 1},
        "Unknown parameter: 'input[0].bogus'.",
        "input[0].bogus",
        "unknown_parameter",
    ),
    (
        {**USER, "phase": "commentary"},
        "Unknown parameter: 'input[0].phase'.",
        "input[0].phase",
        "unknown_parameter",
    ),
    (
        {"role": "assistant", "content": "x", "phase": [[]]},
        "Invalid type for 'input[0].phase': expected a string, but got an array instead.",
        "input[0].phase",
        "invalid_type",
    ),
    (
        {"role": "assistant", "content": [{"type": "output_text", "text": "x", "logprobs": NESTED}]},
        "Invalid 'input[0].content[0].logprobs': expected at most 5 arrays and objects inside one another.",
        "input[0].content[0].logprobs",
        "invalid_value",
    ),
    (
        {"role": "user", "content": [{"type": "bogus"}]},
        "Invalid value: 'bogus'. Supported values are: 'input_text', 'input_image', 'input_audio', "
        "'output_text', 'refusal', 'input_file', 'computer_screenshot', 'summary_text', and "
        "'encrypted_content'.",
        "input[0].content[0].type",
        "invalid_value",
    ),
    (
        {"role": "user", "content": [{"type": "output_text", "text": "x"}]},
        "Invalid value: 'output_text'. Supported values are: 'input_text', 'input_image', 'input_file', "
        "'scoped_content', and 'input_audio'.",
        "input[0].content[0]",
        "invalid_value",
    ),
    (
        {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]},
        "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.",
        "input[0].content[0]",
        "invalid_value",
    ),
    (
        {"role": "user", "content": [{"type": "input_text"}]},
        "Missing required parameter: 'input[0].content[0].text'.",
        "input[0].content[0].text",
        "missing_required_parameter",
    ),
    (
        {"role": "user", "content": [{"type": "input_image", "image_url": "x"}]},
        "Invalid content type. input_image is only supported by certain models.",
        "input[0].content[0].type",
        "invalid_value",
    ),
    (
        {"type": "web_search_call", "id": "ws_1"},
        "Unsupported value: 'input[0].type' does not support 'web_search_call' with this model.",
        "input[0].type",
        "unsupported_value",
    ),
    (
        {"type": "function_call", "call_id": "c", "name": "f"},
        "Missing required parameter: 'input[0].arguments'.",
        "input[0].arguments",
        "missing_required_parameter",
    ),
]


@pytest.mark.parametrize(("item", "message", "param", "code"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_gets_openais_error(item: Any, message: str, param: str, code: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_items([item])
    assert raised.value.message.startswith(message)
    assert (raised.value.param, raised.value.code) == (param, code)


TEXT = {"type": "output_text", "annotations": [], "logprobs": [], "text": "x"}
STORED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        USER,
        {
            "id": "msg_1",
            "type": "message",
            "status": "completed",
            "content": [{"type": "input_text", "text": "x"}],
            "role": "user",
        },
    ),
    (
        {"role": "assistant", "content": "x", "id": "mine", "type": None, "phase": "commentary"},
        {
            "id": "mine",
            "type": "message",
            "status": "completed",
            "content": [TEXT],
            "phase": "commentary",
            "role": "assistant",
        },
    ),
    (
        {"role": "assistant", "content": [TEXT, {"type": "refusal", "refusal": "no"}]},
        {
            "id": "msg_1",
            "type": "message",
            "status": "completed",
            "content": [TEXT, {"type": "refusal", "refusal": "no"}],
            "role": "assistant",
        },
    ),
    (
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "n"},
        {
            "id": "fc_1",
            "type": "function_call",
            "status": "completed",
            "arguments": "{}",
            "call_id": "c",
            "name": "f",
            "namespace": "n",
        },
    ),
    (
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "y"}]},
        {
            "id": "fco_1",
            "type": "function_call_output",
            "status": "completed",
            "call_id": "c",
            "output": [{"type": "input_text", "text": "y"}],
        },
    ),
    (
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "SELECT", "status": "incomplete"},
        {
            "id": "ctc_1",
            "type": "custom_tool_call",
            "status": "incomplete",
            "call_id": "c",
            "input": "SELECT",
            "name": "f",
        },
    ),
    (
        {"type": "custom_tool_call_output", "call_id": "c", "output": "y"},
        {
            "id": "ctco_1",
            "type": "custom_tool_call_output",
            "status": "completed",
            "call_id": "c",
            "output": "y",
        },
    ),
    (
        {"type": "reasoning", "id": "rs_9", "summary": [], "content": None, "encrypted_content": "blob"},
        {"id": "rs_9", "type": "reasoning", "content": [], "encrypted_content": "blob", "summary": []},
    ),
    (
        {"type": "compaction", "encrypted_content": "blob"},
        {"id": "cmp_1", "type": "compaction", "encrypted_content": "blob"},
    ),
]


@pytest.mark.parametrize(("item", "stored"), STORED, ids=range(len(STORED)))
def test_an_item_is_stored_complete_and_read_back_as_it_was(
    item: dict[str, Any], stored: dict[str, Any]
) -> None:
    (read,) = read_items([item])
    assert isinstance(read, Item)
    shown = stored_item(read, lambda prefix: f"{prefix}1")
    assert list(shown.items()) == list(stored.items())
    again = read_stored(json.dumps(shown).encode())
    assert stored_item(again, lambda prefix: "not needed") == stored


def test_an_item_without_type_is_a_message_or_a_reference() -> None:
    items = read_items([USER, {"id": "msg_1"}, {"id": "msg_1", "type": None}])
    assert [type(item).__name__ for item in items] == ["MessageItem", "ItemReference", "ItemReference"]


def test_every_kind_that_is_stored_is_one_of_openais() -> None:
    assert set(PREFIXES) < set(ITEM_TYPES)
    assert len(ITEM_TYPES) == 33


def test_ids_of_a_chain_share_their_root() -> None:
    ids = ItemIds.continuing(None)
    first = ids.new("resp_", 1787150064)
    assert len(first) == len("resp_") + 50
    assert first[21:31] == f"00{1787150064:08x}"
    assert ItemIds.continuing(first) == ids
    assert ItemIds.continuing("resp_short") != ids
    assert len(new_call_id()) == len("call_") + 24
