"""What users of self-hosted servers complain of, tried on a live server with a small real model.

docs/complaints.md says which test answers which complaint.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.e2e.server import ServerProcess, serving

from myna.wire.parameters import CHAT, COMPLETIONS, Support

MODEL = "smollm2-135m-instruct"
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time", "strict": True, "parameters": {
    "type": "object", "properties": {}, "required": [], "additionalProperties": False}}}  # fmt: skip


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]
) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("home"), str(model_path(MODEL)), "--context", "512") as running:
        yield running


def chat(client: OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(**{"model": MODEL, "messages": ASK, "temperature": 0, **options})


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def an_object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def test_a_parameter_without_effect_is_never_accepted(client: OpenAI) -> None:
    for path, table, start in (
        ("/chat/completions", CHAT, {"messages": ASK}),
        ("/completions", COMPLETIONS, {"prompt": "x"}),
    ):
        refused = [name for name, parameter in table.items() if parameter.support is Support.REJECTED]
        for name in [*refused, "no_such_parameter"]:
            with pytest.raises(openai.BadRequestError) as caught:
                client.post(path, body={"model": MODEL, **start, name: {"any": "thing"}}, cast_to=object)
            assert name in str(caught.value) or caught.value.param == name


def test_both_names_of_the_limit_hold_and_the_context_is_a_ceiling(client: OpenAI) -> None:
    for name in ("max_completion_tokens", "max_tokens"):
        answer = chat(client, **{name: 3})
        assert answer.usage.completion_tokens == 3
        assert answer.choices[0].finish_reason == "length"
    endless = client.completions.create(
        model=MODEL, prompt="bird " * 460, max_tokens=40, extra_body={"ignore_eos": True}
    )
    assert endless.usage is not None
    cut = client.completions.create(
        model=MODEL, prompt="bird " * 460, max_tokens=32000, extra_body={"ignore_eos": True}
    )
    assert cut.usage is not None
    assert (cut.usage.total_tokens, cut.choices[0].finish_reason) == (512, "length")
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model=MODEL, prompt="bird " * 520, max_tokens=1)
    unlimited = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "bird " * 440}],
        extra_body={"ignore_eos": True},
    )
    assert unlimited.usage is not None
    assert unlimited.usage.total_tokens == 512
    assert unlimited.choices[0].finish_reason == "length"


def test_several_choices_stream_under_their_own_index_and_their_prompt_counts_once(client: OpenAI) -> None:
    whole = chat(client, n=3, temperature=1, seed=5, max_tokens=8)
    assert whole.usage.prompt_tokens == chat(client, max_tokens=1).usage.prompt_tokens
    said = ["", "", ""]
    for chunk in chat(client, n=3, temperature=1, seed=5, max_tokens=8, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
    assert said == [choice.message.content for choice in whole.choices]
    assert len(set(said)) > 1


def test_every_tool_choice_is_enforced(client: OpenAI) -> None:
    named = {"type": "function", "function": {"name": "get_time"}}
    for seed in range(3):
        draw = {"tools": [WEATHER, TIME], "temperature": 1, "seed": seed, "max_tokens": 120}
        message = chat(client, tool_choice="none", **draw).choices[0].message
        assert not message.tool_calls
        message = chat(client, tool_choice=named, **draw).choices[0].message
        assert [call.function.name for call in message.tool_calls] == ["get_time"]
        message = chat(client, tool_choice="required", parallel_tool_calls=False, **draw).choices[0].message
        assert len(message.tool_calls) == 1
        arguments = json.loads(message.tool_calls[0].function.arguments)
        assert set(arguments) in ({"city", "unit"}, set())


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_streamed_arguments_are_those_of_the_whole_answer(client: OpenAI, choice: Any) -> None:
    for seed in range(3):
        options = {"tools": [WEATHER], "tool_choice": choice, "temperature": 1, "seed": seed}
        options |= {"max_tokens": 100, "parallel_tool_calls": False}
        whole = chat(client, **options).choices[0]
        chunks = list(chat(client, stream=True, **options))
        deltas = [delta for chunk in chunks for delta in chunk.choices[0].delta.tool_calls or []]
        assert {delta.index for delta in deltas} == {0}
        assert [delta.id for delta in deltas if delta.id] == [deltas[0].id]
        joined = "".join(delta.function.arguments or "" for delta in deltas)
        assert joined == whole.message.tool_calls[0].function.arguments
        assert json.loads(joined)["unit"] in ("C", "F")
        assert chunks[-1].choices[0].finish_reason == whole.finish_reason == "tool_calls"


def test_scoring_a_text_says_what_generating_it_said(client: OpenAI) -> None:
    prompt = "The capital of France is"
    said = client.completions.create(model=MODEL, prompt=prompt, max_tokens=5, temperature=0, logprobs=0)
    text = said.choices[0].text
    scored = client.completions.create(
        model=MODEL, prompt=prompt + text, max_tokens=0, echo=True, logprobs=1, temperature=0
    ).choices[0]
    generated, prompts = said.choices[0].logprobs, scored.logprobs
    assert scored.text == prompt + text
    assert generated is not None
    assert prompts is not None
    assert prompts.token_logprobs is not None
    assert prompts.token_logprobs[0] is None
    assert (prompts.tokens or [])[-5:] == generated.tokens
    assert prompts.token_logprobs[-5:] == pytest.approx(generated.token_logprobs, abs=1e-3)
    assert (prompts.text_offset or [])[-5] == len(prompt)
    top = (prompts.top_logprobs or [])[-1]
    assert generated.tokens is not None
    assert list(top) == [generated.tokens[-1]], "the greedy token is the most likely one"


def test_the_bytes_of_tokens_add_up_to_rare_characters(client: OpenAI) -> None:
    wanted = "犇🦜龘👩‍👩‍👧"
    answer = chat(
        client,
        logprobs=True,
        top_logprobs=2,
        response_format=form(an_object(x={"enum": [wanted]})),
        max_tokens=80,
    ).choices[0]
    assert json.loads(answer.message.content) == {"x": wanted}
    entries = answer.logprobs.content
    assert b"".join(bytes(entry.bytes) for entry in entries).decode() == answer.message.content
    assert len(entries) > len(answer.message.content) // 2
    halves = [entry for entry in entries if "\\x" in entry.token]
    assert halves, "this model has no token for these characters, only for bytes of them"
    assert all("\ufffd" not in entry.token for entry in entries)


def test_the_reason_for_the_end_is_the_engines_streamed_or_whole(client: OpenAI) -> None:
    for options, reason in (
        ({"max_tokens": 2}, "length"),
        ({"max_tokens": 60, "stop": ["a", "e"]}, "stop"),
        ({"response_format": form(an_object(ok={"type": "boolean"}))}, "stop"),
        ({"response_format": form(an_object(ok={"enum": ["a long word " * 9]})), "max_tokens": 9}, "length"),
        ({"tools": [TIME], "tool_choice": "required", "parallel_tool_calls": False}, "tool_calls"),
    ):
        assert chat(client, **options).choices[0].finish_reason == reason
        chunks = list(chat(client, stream=True, **options))
        assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == [reason]


def test_company_changes_no_answer(client: OpenAI) -> None:
    def ask(seed: int) -> str:
        answer = client.completions.create(
            model=MODEL,
            prompt="Once upon a time" * (1 + seed % 3),
            max_tokens=20,
            seed=seed,
            temperature=seed % 2,
        )
        return answer.choices[0].text

    alone = [ask(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as together:
        assert list(together.map(ask, range(8))) == alone


def test_a_developers_words_reach_the_model(client: OpenAI) -> None:
    developer, system = (
        chat(client, messages=[{"role": role, "content": "Be a pirate."}, *ASK], max_tokens=12)
        for role in ("developer", "system")
    )
    assert developer.choices[0].message.content == system.choices[0].message.content
    assert developer.usage.prompt_tokens == system.usage.prompt_tokens


def test_a_schema_and_tools_together_give_one_or_the_other(client: OpenAI) -> None:
    schema = form(an_object(answer={"type": "string", "maxLength": 8}))
    kinds = set()
    for seed in range(4):
        choice = chat(
            client, tools=[WEATHER], response_format=schema, temperature=1, seed=seed, max_tokens=200
        ).choices[0]
        if choice.message.tool_calls:
            kinds.add("call")
            assert set(json.loads(choice.message.tool_calls[0].function.arguments)) == {"city", "unit"}
        else:
            kinds.add("answer")
            assert set(json.loads(choice.message.content)) == {"answer"}
    assert kinds
