"""Structured answers of a small model drawn at temperature 1: whatever ends with `stop` is of its schema."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openai import OpenAI
from tests.e2e.server import KEY, serving

from myna.prompts.vocabulary import Vocabulary

MODEL = "smollm2-135m-instruct"
WORD = {"type": "string", "maxLength": 8}
NODE = {"$ref": "#/$defs/node"}


def an_object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMAS: dict[str, dict[str, Any]] = {
    "scalars": an_object(a=WORD, b={"type": "integer"}, c={"type": "number"}, d={"type": "boolean"}),
    "null": an_object(a={"type": ["string", "null"], "maxLength": 8}, b={"type": "null"}),
    "nested": an_object(a=an_object(b=an_object(c=an_object(d=WORD)))),
    "enum": an_object(a={"enum": ["x", "y", 3, None, True]}, b={"const": "only this"}),
    "array": an_object(a={"type": "array", "items": WORD, "minItems": 2, "maxItems": 3}),
    "array of objects": an_object(a={"type": "array", "items": an_object(b=WORD), "maxItems": 2}),
    "anyOf": an_object(a={"anyOf": [an_object(b=WORD), {"type": "integer", "maximum": 9}, {"type": "null"}]}),
    "recursion": {
        **an_object(head=NODE),
        "$defs": {"node": an_object(v={"enum": [1, 2]}, next={"anyOf": [NODE, {"type": "null"}]})},
    },
    "recursion to the root": an_object(v={"enum": [1]}, next={"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
    "integers": an_object(
        a={"type": "integer", "minimum": -3, "maximum": 12},
        b={"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3},
        c={"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 500},
    ),
    "numbers": an_object(a={"type": "number", "minimum": 0.5, "maximum": 1.25}),
    "pattern": an_object(a={"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}),
    "date-time": an_object(a={"type": "string", "format": "date-time"}),
    "date and time": an_object(
        a={"type": "string", "format": "date"}, b={"type": "string", "format": "time"}
    ),
    "duration": an_object(a={"type": "string", "format": "duration"}),
    "addresses": an_object(a={"type": "string", "format": "ipv4"}, b={"type": "string", "format": "ipv6"}),
    "uuid": an_object(a={"type": "string", "format": "uuid"}),
    "email and hostname": an_object(
        a={"type": "string", "format": "email", "maxLength": 20},
        b={"type": "string", "format": "hostname", "maxLength": 20},
    ),
    "Chinese keys": an_object(姓名=WORD, 年龄={"type": "integer", "minimum": 0, "maximum": 150}),
    "odd keys": an_object(**{'a "b"': WORD, "c\\d\n": {"type": "boolean"}, "": {"type": "null"}, "🦜": WORD}),
}
# Python's own check of a time knows no nanoseconds; RFC 3339 does, and this is its grammar.
FORMATS = ("date", "email", "ipv4", "ipv6", "uuid")
TIME = re.compile(
    r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.IGNORECASE
)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "allOf": (an_object(a={"allOf": [WORD]}), "'allOf' is not permitted."),
    "not": (an_object(a={**WORD, "not": {"const": "x"}}), "'not' is not permitted."),
    "oneOf": (an_object(a={"oneOf": [WORD]}), "'oneOf' is not permitted."),
    "if": (an_object(a=WORD) | {"if": {}, "then": {}}, "'if' is not permitted."),
    "default": (an_object(a={**WORD, "default": "x"}), "'default' is not permitted."),
    "dependentRequired": (an_object(a=WORD) | {"dependentRequired": {}}, "'dependentRequired' is not"),
    "optional": (an_object(a=WORD) | {"required": []}, "Missing 'a'."),
    "open": ({"type": "object", "properties": {}, "required": []}, "'additionalProperties' is required"),
    "no object": ({"type": "array", "items": WORD}, "got 'type: \"array\"'."),
    "a root of anyOf": ({"anyOf": [an_object(a=WORD)]}, "got 'type: \"None\"'."),
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(model_path: Callable[[str], Path]) -> Path:
    return model_path(MODEL)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[OpenAI]:
    with (
        serving(tmp_path_factory.mktemp("home"), str(weights), "--context", "1024") as server,
        OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield client


def draw(client: OpenAI, schema: dict[str, Any], seed: int, **options: Any) -> tuple[str, str]:
    """Text and reason of its end."""
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    body: dict[str, Any] = {"temperature": 1, "max_tokens": 300, "seed": seed, **options}
    answer: Any = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Write something as JSON."}],
        response_format=form,
        **body,
    )
    return answer.choices[0].message.content, answer.choices[0].finish_reason


@pytest.fixture(scope="module")
def endings(weights: Path) -> dict[str, int]:
    """A push towards null: a small model would nest a recursive schema for ever."""
    pieces = Vocabulary.read(weights).pieces
    return {str(token): 20 for token, piece in enumerate(pieces) if piece.strip() in (b"null", b"n", b"nu")}


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_ends_by_itself_is_of_its_schema(client: OpenAI, name: str, endings: dict[str, int]) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=FormatChecker(FORMATS))
    options: dict[str, Any] = {"logit_bias": endings} if "recursion" in name else {}
    with ThreadPoolExecutor(4) as together:
        answers = list(together.map(lambda seed: draw(client, schema, seed, **options), range(4)))
    ended = [text for text, reason in answers if reason == "stop"]
    assert ended, answers
    for text in ended:
        value = json.loads(text)
        validator.validate(value)
        assert "time" not in value or TIME.fullmatch(value["time"])
        assert list(value) == list(schema["properties"]), "keys come in the schema's order"


@pytest.mark.parametrize("name", REFUSED)
def test_what_strict_schemas_may_not_say_is_a_400_in_openais_words(client: OpenAI, name: str) -> None:
    schema, tail = REFUSED[name]
    with pytest.raises(openai.BadRequestError) as caught:
        draw(client, schema, 0)
    assert caught.value.param == "response_format"
    assert "Invalid schema for response_format 'x': " in str(caught.value)
    assert tail in str(caught.value)


def test_a_model_that_wants_to_write_nothing_but_white_space_ends_all_the_same(
    client: OpenAI, weights: Path
) -> None:
    pieces = Vocabulary.read(weights).pieces
    white = [token for token, piece in enumerate(pieces) if piece and not piece.strip(b" \n\t\r")]
    schema = an_object(a={"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2})
    text, reason = draw(client, schema, 0, logit_bias={str(token): 100 for token in white})
    assert reason == "stop"
    assert len(json.loads(text)["a"]) == 2
    assert text.count(" ") > 9, "it was let write some"


def custom(name: str, **grammar: str) -> Any:
    form = {"type": "grammar", "grammar": grammar} if grammar else {"type": "text"}
    return {"type": "custom", "custom": {"name": name, "description": "Does what is asked.", "format": form}}


INPUTS: dict[str, tuple[Any, str]] = {
    "lark": (custom("sum", syntax="lark", definition='start: N ("+" N)+\nN: /[0-9]{1,3}/'), r"\d+(\+\d+)+"),
    "regex": (custom("at", syntax="regex", definition=r"(左|右)/[0-9]{2}"), r"[左右]/\d\d"),
    "text": (custom("note"), r"(?s).*"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_custom_tools_input_is_of_its_grammar_streamed_and_whole(client: OpenAI, name: str) -> None:
    tool, pattern = INPUTS[name]
    create: Any = client.chat.completions.create
    for seed in range(3):
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "What is 1 + 2?"}],
            "tools": [tool],
            "tool_choice": "required",
            "seed": seed,
            "max_tokens": 120,
        }
        choice = create(**body).choices[0]
        (call,) = choice.message.tool_calls
        assert (call.type, call.custom.name) == ("custom", tool["custom"]["name"])
        if choice.finish_reason == "tool_calls":
            assert re.fullmatch(pattern, call.custom.input)
        chunks = create(**body, stream=True)
        deltas = [d for chunk in chunks for d in chunk.choices[0].delta.tool_calls or ()]
        pieces = [getattr(delta, "custom", None) or {} for delta in deltas]
        assert "".join(piece["input"] for piece in pieces) == call.custom.input


def test_a_function_call_by_name_has_arguments_of_its_schema(client: OpenAI) -> None:
    schema = an_object(城市=WORD, days={"type": "integer", "minimum": 1, "maximum": 9})
    create: Any = client.chat.completions.create
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "How will the weather be?"}],
        "functions": [{"name": "forecast", "parameters": schema}],
        "function_call": {"name": "forecast"},
        "seed": 5,
        "max_tokens": 200,
    }
    choice = create(**body).choices[0]
    assert choice.finish_reason == "function_call"
    Draft202012Validator(schema).validate(json.loads(choice.message.function_call.arguments))
    calls = [chunk.choices[0].delta.function_call for chunk in create(**body, stream=True)]
    assert "".join(call.arguments for call in calls if call) == choice.message.function_call.arguments


def test_the_formats_of_other_servers_hold_in_chats_and_in_raw_completions(client: OpenAI) -> None:
    for seed in range(4):
        chat = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Is the sky green?"}],
            seed=seed,
            extra_body={"structured_outputs": {"choice": ["yes", "no", "天"]}},
        )
        assert chat.choices[0].message.content in ("yes", "no", "天")
        text = client.completions.create(
            model=MODEL,
            prompt="A colour: #",
            max_tokens=32,
            seed=seed,
            extra_body={"guided_regex": "[0-9a-f]{6}"},
        )
        assert re.fullmatch("[0-9a-f]{6}", text.choices[0].text)
        assert text.choices[0].finish_reason == "stop"
        chunks = client.completions.create(
            model=MODEL,
            prompt="{",
            max_tokens=200,
            seed=seed,
            stream=True,
            extra_body={"guided_json": SCHEMAS["enum"]},
        )
        answer = json.loads("".join(chunk.choices[0].text for chunk in chunks))
        assert answer["b"] == "only this"
