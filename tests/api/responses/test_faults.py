"""What a bad request to the Responses API gets: OpenAI's error, before anything is generated."""

from typing import Any

import pytest
from tests.api.stand_in import BytePrompting, error_of, serving
from tests.http.scripted import KEY

TOOL = {"type": "function", "name": "get", "parameters": {"type": "object", "properties": {}}}
CALL = {"type": "function_call", "call_id": "call_1", "name": "get", "arguments": "{}"}
MOVED = (
    "Unsupported parameter: '{old}'. In the Responses API, this parameter has moved to '{new}'. Try again "
    "with the new parameter. See the API documentation for more information: "
    "https://platform.openai.com/docs/api-reference/responses/create."
)
FAULTS: list[tuple[dict[str, Any], str, str | None, str | None]] = [
    ({}, "Missing required parameter: 'input'.", "input", "missing_required_parameter"),
    (
        {"input": None},
        "Invalid type for 'input': expected a string, but got an object instead.",
        "input",
        "invalid_type",
    ),
    (
        {"input": {}},
        "Invalid type for 'input': expected one of a string or array of input items, but got an object "
        "instead.",
        "input",
        "invalid_type",
    ),
    (
        {"input": ""},
        "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
        None,
        "missing_required_parameter",
    ),
    (
        {"input": []},
        "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
        None,
        "missing_required_parameter",
    ),
    ({"stop": "x"}, "Missing required parameter: 'input'.", "input", "missing_required_parameter"),
    (
        {"input": "x", "stop": "x"},
        "Unknown parameter: 'stop'. Did you mean 'store'?",
        "stop",
        "unknown_parameter",
    ),
    ({"input": "x", "n": 2}, "Unknown parameter: 'n'.", "n", "unknown_parameter"),
    ({"messages": []}, MOVED.format(old="messages", new="input"), None, "unsupported_parameter"),
    (
        {"input": "x", "response_format": {}},
        MOVED.format(old="response_format", new="text.format"),
        None,
        "unsupported_parameter",
    ),
    (
        {"input": "x", "max_output_tokens": 15},
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15 "
        "instead.",
        "max_output_tokens",
        "integer_below_min_value",
    ),
    (
        {"input": "x", "truncation": "bogus"},
        "Invalid value: 'bogus'. Supported values are: 'auto' and 'disabled'.",
        "truncation",
        "invalid_value",
    ),
    (
        {"input": "x", "text": {"format": {"type": "json_schema"}}},
        "Missing required parameter: 'text.format.name'.",
        "text.format.name",
        "missing_required_parameter",
    ),
    (
        {"input": "x", "text": {"format": {"type": "bogus"}}},
        "Invalid value: 'bogus'. Supported values are: 'json_object', 'text', and 'json_schema'.",
        "text.format.type",
        "invalid_value",
    ),
    (
        {"input": "x", "text": {"format": {"type": "json_object"}}},
        "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
        "'json_object'.",
        "input",
        None,
    ),
    (
        {
            "input": "x",
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": 1}, "strict": True}},
        },
        "Invalid schema for response_format 'n': schema must be a JSON Schema of 'type: \"object\"', got "
        "'type: \"1\"'.",
        "text.format.schema",
        "invalid_json_schema",
    ),
    (
        {"input": "x", "tools": [{"type": "function", "function": {"name": "get"}}]},
        "Missing required parameter: 'tools[0].name'.",
        "tools[0].name",
        "missing_required_parameter",
    ),
    (
        {"input": "x", "tools": [{}]},
        "Missing required parameter: 'tools[0].type'.",
        "tools[0].type",
        "missing_required_parameter",
    ),
    (
        {"input": "x", "tools": [{"type": "web_search"}]},
        "Tools of type 'web_search' don't run on this server. Declare a function that does the same.",
        "tools[0].type",
        "unsupported_value",
    ),
    (
        {"input": "x", "tools": 7},
        "Invalid type for 'tools': expected an array of tools, but got an integer instead.",
        "tools",
        "invalid_type",
    ),
    (
        {"input": "x", "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get"}}},
        "Missing required parameter: 'tool_choice.name'.",
        "tool_choice.name",
        "missing_required_parameter",
    ),
    (
        {"input": "x", "tools": [TOOL], "tool_choice": {"type": "function", "name": "put"}},
        "Tool choice 'put' not found in 'tools' parameter.",
        "tool_choice",
        None,
    ),
    (
        {
            "input": "x",
            "tools": [TOOL],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "get", "server_label": [[]]}],
            },
        },
        "Invalid type for 'tool_choice.tools[0].server_label': expected a string, but got an array instead.",
        "tool_choice.tools[0].server_label",
        "invalid_type",
    ),
    (
        {"input": "x", "tool_choice": "required"},
        "Tool choice 'required' must be specified with 'tools' parameter.",
        "tool_choice",
        None,
    ),
    (
        {"input": "x", "tool_choice": 7},
        "Invalid type for 'tool_choice': expected one of an object or 'none', 'auto', or 'required', but got "
        "an integer instead.",
        "tool_choice",
        "invalid_type",
    ),
    (
        {"input": "x", "include": ["bogus"]},
        "Invalid value: 'bogus'. Supported values are: 'file_search_call.results', "
        "'web_search_call.results', 'web_search_call.action.sources', 'message.input_image.image_url', "
        "'computer_call_output.output.image_url', 'code_interpreter_call.outputs', "
        "'reasoning.encrypted_content', and 'message.output_text.logprobs'.",
        "include[0]",
        "invalid_value",
    ),
    (
        {"input": "x", "reasoning": {"generate_summary": "auto"}},
        "Unknown parameter: 'reasoning.generate_summary'.",
        "reasoning.generate_summary",
        "unknown_parameter",
    ),
    (
        {"input": "x", "stream": True, "stream_options": {"include_usage": True}},
        "Unknown parameter: 'stream_options.include_usage'.",
        "stream_options.include_usage",
        "unknown_parameter",
    ),
    (
        {"input": [CALL]},
        "No tool output found for function call call_1.",
        "input",
        None,
    ),
    (
        {"input": [{"type": "function_call_output", "call_id": "call_1", "output": "x"}]},
        "No tool call found for function call output with call_id call_1.",
        "input",
        None,
    ),
    (
        {"input": [{"type": "custom_tool_call", "call_id": "call_1", "name": "run", "input": "x"}]},
        "No tool output found for custom tool call call_1.",
        "input",
        None,
    ),
    (
        {"input": "x", "previous_response_id": "resp_1", "conversation": "conv_1"},
        "Mutually exclusive parameters: ''. Ensure you are only providing one of: 'previous_response_id' or "
        "'conversation'.",
        None,
        "mutually_exclusive_parameters",
    ),
    (
        {"input": "x", "previous_response_id": "resp_unknown"},
        "Previous response with id 'resp_unknown' not found.",
        "previous_response_id",
        "previous_response_not_found",
    ),
    (
        {"input": [{"type": "compaction", "encrypted_content": "not ours"}]},
        "The encrypted content of the item 'compaction' could not be verified.",
        "input",
        "invalid_encrypted_content",
    ),
    (
        {"input": "x" * 5000},
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "input",
        "context_length_exceeded",
    ),
    # Of several faults the one that comes first in OpenAI's order is reported.
    (
        {"input": "x", "tool_choice": 7, "truncation": 7, "stop": 1},
        "Unknown parameter: 'stop'. Did you mean 'store'?",
        "stop",
        "unknown_parameter",
    ),
    (
        {"temperature": 7, "top_logprobs": 21, "tools": [{}], "input": "x"},
        "Missing required parameter: 'tools[0].type'.",
        "tools[0].type",
        "missing_required_parameter",
    ),
]


@pytest.mark.parametrize(("body", "message", "param", "code"), FAULTS, ids=range(len(FAULTS)))
async def test_a_fault_gets_openais_error(
    body: dict[str, Any], message: str, param: str | None, code: str | None
) -> None:
    async with serving() as model:
        response = await model.ask("responses", **body)
        assert response.status_code == 400
        assert error_of(response) == {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }
        assert model.generator.requests == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"input": "x", "conversation": "conv_1"}, "Conversation with id 'conv_1' not found."),
        ({"input": "x", "prompt": {"id": "pmpt_1"}}, "Prompt with id 'pmpt_1' not found."),
        ({"input": [{"id": "msg_1"}]}, "Item with id 'msg_1' not found."),
    ],
)
async def test_what_is_not_stored_is_a_404_without_param(body: dict[str, Any], message: str) -> None:
    async with serving() as model:
        response = await model.ask("responses", **body)
        assert response.status_code == 404
        assert error_of(response) == {
            "message": message,
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }


@pytest.mark.parametrize(
    ("name", "message", "code"),
    [
        ("nope", "The requested model 'nope' does not exist.", "model_not_found"),
        ("", "The requested model '' does not exist.", "model_not_found"),
        (
            None,
            "Invalid type for 'model': expected a string, but got an object instead.",
            "invalid_type",
        ),
        (7, "Invalid type for 'model': expected a string, but got an integer instead.", "invalid_type"),
    ],
)
async def test_a_wrong_model_is_a_400(name: object, message: str, code: str) -> None:
    async with serving() as model:
        response = await model.client.post("/v1/responses", json={"model": name})
        assert response.status_code == 400
        error = error_of(response)
        assert (error["message"], error["param"], error["code"]) == (message, "model", code)
        missing = await model.client.post("/v1/responses", json={"input": "x"})
        assert error_of(missing)["message"] == "Missing required parameter: 'model'."


async def test_a_model_without_a_chat_template_is_refused_by_name() -> None:
    async with serving(prompting=BytePrompting(has_chat_template=False)) as model:
        error = error_of(await model.ask("responses", input="x"))
        assert error["message"] == "The requested model 'tiny' cannot be used with the Responses API."


@pytest.mark.parametrize("key", [None, f"{KEY}x"])
async def test_a_missing_key_is_reported_by_the_backend(key: str | None) -> None:
    async with serving() as model:
        headers = {"authorization": "" if key is None else f"Bearer {key}"}
        response = await model.client.post("/v1/responses", json={"model": "tiny"}, headers=headers)
        assert response.status_code == 401
        assert response.text.startswith('{\n  "error": {\n    "message": ')
        assert not response.text.endswith("\n")
        assert response.headers["content-type"] == "application/json"
        assert "openai-processing-ms" in response.headers
        error = error_of(response)
        if key is None:
            assert error["message"] == "Missing bearer or basic authentication in header"
            assert error["code"] is None
        else:
            assert error["code"] == "invalid_api_key"
