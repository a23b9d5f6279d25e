"""A model that thinks, on Myna's own engine: random weights, but a real file, template and vocabulary."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.e2e.server import KEY, serving
from tests.engines.tiny_models import Tiny, byte_level, write_tiny
from tests.prompts.templates import HYBRID

from myna.prompts.token_pieces import TokenKind

ASK: Any = [{"role": "user", "content": "Which colour?"}]
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "青"]}, "n": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["colour", "n"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "paint", "strict": True, "parameters": SCHEMA}}
FORM: Any = {"type": "json_schema", "json_schema": {"name": "c", "strict": True, "schema": SCHEMA}}
MARKS = {
    "<|im_start|>": TokenKind.CONTROL,
    "<|im_end|>": TokenKind.CONTROL,
    "<think>": TokenKind.USER_DEFINED,
    "</think>": TokenKind.USER_DEFINED,
}


def model() -> Tiny:
    vocabulary = byte_level(MARKS, bos="<|im_start|>", eos="<|im_end|>")
    own = {"tokenizer.chat_template": HYBRID, "general.name": "thinker"}
    return Tiny(overrides=vocabulary | own)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    home = tmp_path_factory.mktemp("home")
    path = write_tiny(home / "thinker.gguf", model())
    with (
        serving(home, str(path), "--engine", "native") as server,
        OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield client


def ask(client: OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(model="thinker", messages=ASK, **options)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_thought_ends_and_the_answer_is_of_its_schema(client: OpenAI, seed: int) -> None:
    options = {"reasoning_effort": "minimal", "response_format": FORM, "seed": seed, "max_tokens": 900}
    whole = ask(client, **options)
    message = whole.choices[0].message
    value = json.loads(message.content)
    assert value["colour"] in ("red", "青")
    assert 1 <= value["n"] <= 9
    assert whole.choices[0].finish_reason == "stop"
    assert 0 < whole.usage.completion_tokens_details.reasoning_tokens <= 256 + 2
    assert message.reasoning_content
    assert "</think>" not in message.reasoning_content
    deltas = [chunk.choices[0].delta for chunk in ask(client, **options, stream=True)]
    assert "".join(d.content or "" for d in deltas) == message.content
    thought = "".join(getattr(d, "reasoning_content", None) or "" for d in deltas)
    assert thought == message.reasoning_content


def test_a_forced_call_comes_behind_the_thought(client: OpenAI) -> None:
    answer = ask(
        client, reasoning_effort="minimal", tools=[TOOL], tool_choice="required", seed=1, max_tokens=900
    )
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["colour"] in ("red", "青")
    assert answer.choices[0].message.reasoning_content


def test_without_effort_nothing_is_thought(client: OpenAI) -> None:
    answer = ask(client, reasoning_effort="none", response_format=FORM, seed=2, max_tokens=300)
    assert json.loads(answer.choices[0].message.content)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0
    assert not hasattr(answer.choices[0].message, "reasoning_content")


def test_an_answer_cut_within_its_thought_says_so(client: OpenAI) -> None:
    answer = ask(client, reasoning_effort="high", response_format=FORM, seed=3, max_tokens=20)
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("length", "")
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20


def test_an_unknown_effort_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'none', 'minimal', 'low'"):
        ask(client, reasoning_effort="some")
