"""Every array of every request has a bound, which is checked before its elements; the first fault ends it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from myna.api.chat.schema import ChatRequest
from myna.api.completions.schema import CompletionRequest
from myna.api.organization import schema as organization
from myna.api.stored.routes import MetadataUpdate
from myna.core.errors import InvalidRequest
from myna.wire.fields import MAX_BIASES, MAX_LABEL, MAX_TEXT
from myna.wire.parameters import CHAT, COMPLETIONS, Parameter
from myna.wire.validation import WireModel, validate

HI: dict[str, Any] = {"role": "user", "content": "hi"}
TEXT = {"type": "text", "text": "a"}
FUNCTION: dict[str, Any] = {"name": "f"}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
ALLOWED = {"mode": "auto", "tools": [{"type": "function", "function": FUNCTION}] * 129}


def fault(schema: type[WireModel], table: Mapping[str, Parameter], body: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        validate(schema, {"model": "m"} | body, table)
    return caught.value


def chat_fault(**changes: Any) -> InvalidRequest:
    return fault(ChatRequest, CHAT, {"messages": [HI]} | changes)


LONG_ARRAYS: list[tuple[dict[str, Any], str, int]] = [
    ({"messages": [HI] * 2049}, "messages", 2048),
    ({"messages": [HI, {"role": "user", "content": [TEXT] * 2049}]}, "messages[1].content", 2048),
    ({"messages": [{"role": "assistant", "tool_calls": [CALL] * 129}]}, "messages[0].tool_calls", 128),
    ({"messages": [{**HI, "annotations": [1] * 2049}]}, "messages[0].annotations", 2048),
    ({"tools": [TOOL] * 129}, "tools", 128),
    ({"functions": [FUNCTION] * 129}, "functions", 128),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": ALLOWED}},
        "tool_choice.allowed_tools.tools",
        128,
    ),
    ({"stop": ["a"] * 17}, "stop", 16),
    ({"prediction": {"type": "content", "content": [TEXT] * 2049}}, "prediction.content", 2048),
]


@pytest.mark.parametrize(("changes", "place", "limit"), LONG_ARRAYS, ids=[row[1] for row in LONG_ARRAYS])
def test_a_long_array_is_refused_in_openais_words(changes: dict[str, Any], place: str, limit: int) -> None:
    error = chat_fault(**changes)
    assert (error.param, error.code) == (place, "array_above_max_length")
    assert f"Expected an array with maximum length {limit}, but got an array with length " in error.message


def test_a_long_array_is_refused_before_its_elements() -> None:
    assert chat_fault(messages=[{}] * 2049).code == "array_above_max_length"
    assert chat_fault(messages=[{"role": "user", "content": [7] * 2049}]).code == "array_above_max_length"


def test_prompts_are_bounded_in_number_and_length() -> None:
    for prompt in (["a"] * 2049, [[1]] * 2049):
        error = fault(CompletionRequest, COMPLETIONS, {"prompt": prompt})
        assert (error.param, error.code) == ("prompt", "array_above_max_length")
    error = fault(CompletionRequest, COMPLETIONS, {"prompt": ["a", "a" * (MAX_TEXT + 1)]})
    assert (error.param, error.code) == ("prompt[1]", "string_above_max_length")


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"logit_bias": {str(number): "wrong" for number in range(MAX_BIASES + 1)}}, 1024),
        ({"prompt_cache_options": {str(number): number for number in range(17)}}, 16),
        ({"metadata": {str(number): number for number in range(17)}}, 16),
    ],
    ids=["logit_bias", "prompt_cache_options", "metadata"],
)
def test_an_object_of_many_properties_is_refused_before_they_are_looked_at(
    changes: dict[str, Any], limit: int
) -> None:
    [name] = changes
    error = chat_fault(**changes)
    assert (error.param, error.code) == (name, "object_above_max_properties")
    assert f"Expected an object with at most {limit} properties" in error.message


@pytest.mark.parametrize(
    ("changes", "place", "limit"),
    [
        ({"user": "a" * (MAX_LABEL + 1)}, "user", MAX_LABEL),
        ({"prompt_cache_key": "a" * (MAX_LABEL + 1)}, "prompt_cache_key", MAX_LABEL),
        ({"stop": "a" * 4097}, "stop", 4096),
        ({"stop": ["a", "a" * 4097]}, "stop[1]", 4096),
        ({"messages": [{**HI, "content": "a" * (MAX_TEXT + 1)}]}, "messages[0].content", MAX_TEXT),
        (
            {"messages": [{"role": "tool", "content": "", "tool_call_id": "a" * 41}]},
            "messages[0].tool_call_id",
            40,
        ),
    ],
    ids=["user", "prompt_cache_key", "stop", "stop[1]", "content", "tool_call_id"],
)
def test_a_long_string_is_refused(changes: dict[str, Any], place: str, limit: int) -> None:
    error = chat_fault(**changes)
    assert (error.param, error.code) == (place, "string_above_max_length")
    assert f"maximum length {limit}, but" in error.message


def _lists(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every list in a pydantic core schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "list":
            yield schema
        for part in schema.values():
            yield from _lists(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _lists(part)


BODIES = [
    ChatRequest,
    CompletionRequest,
    MetadataUpdate,
    *(
        kind
        for kind in vars(organization).values()
        if isinstance(kind, type) and issubclass(kind, WireModel) and kind is not WireModel
    ),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_every_list_stops_at_its_first_wrong_element(body: type[WireModel]) -> None:
    assert all(found.get("fail_fast") for found in _lists(body.__pydantic_core_schema__))


def test_of_many_unknown_keys_the_first_is_reported_after_the_wrong_values() -> None:
    unknown = {f"key_{number}": number for number in range(1000)}
    assert chat_fault(messages=[HI | unknown]).param == "messages[0].key_0"
    assert chat_fault(messages=[unknown | {"role": "user", "content": 1}]).param == "messages[0].content"
    assert chat_fault(tools=[{"type": "function", "function": unknown | {"name": ""}}]).param == (
        "tools[0].function.name"
    )


def test_a_clients_key_of_any_length_makes_a_short_error() -> None:
    name = "k" * 1_000_000
    for error in (chat_fault(**{name: 1}), chat_fault(metadata={name: "a"})):
        assert len(error.message) + len(error.param or "") < 4096
