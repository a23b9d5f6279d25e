"""Forty tool conversations on the default model at temperature 1: every call valid, or refused by name."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from jsonschema import Draft202012Validator
from openai import OpenAI
from tests.e2e.server import KEY, serving
from tests.e2e.tool_scenarios import ANSWER, SCENARIOS, Scenario

MODEL = "qwen2.5-coder-0.5b-instruct"
_AT_ONCE: Final = 4
_MANY_TOOLS: Final = 10
Answers = tuple[Any, list[Any]]
"""The answer as one object, and its tool calls' deltas from a stream of the same request if it has an end."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[OpenAI]:
    with (
        serving(tmp_path_factory.mktemp("home"), str(model_path(MODEL)), "--context", "8192") as server,
        OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def asked(client: OpenAI, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Answers]]]:
    """The answers to the scenarios that are tested, by name: several at once, which takes the model less
    time and changes no answer. Those with many tools come first and alone, since the time to compile a
    grammar is bounded."""
    items = [item for item in request.session.items if item.path == request.path]
    chosen = [item.callspec.params["scenario"] for item in items if hasattr(item, "callspec")]
    answers: dict[str, Future[Answers]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for scenario in sorted(chosen, key=_num_tools, reverse=True):
            answers[scenario.name] = pool.submit(_ask, client, scenario)
            if _num_tools(scenario) > _MANY_TOOLS:
                wait([answers[scenario.name]])
        yield answers


def _num_tools(scenario: Scenario) -> int:
    return len(scenario.options.get("tools", ()))


def _ask(client: OpenAI, scenario: Scenario) -> Answers:
    create: Any = client.chat.completions.create
    body = {"model": MODEL, "messages": scenario.messages, "seed": 1, "max_tokens": 160, **scenario.options}
    choice = create(**body).choices[0]
    if choice.finish_reason == "length":
        return choice, []
    stream = create(**body, stream=True)
    return choice, [delta for chunk in stream for delta in chunk.choices[0].delta.tool_calls or []]


def test_there_are_forty() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS) == 40


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_a_scenario(asked: dict[str, Future[Answers]], scenario: Scenario) -> None:
    if scenario.refused:
        with pytest.raises(openai.BadRequestError) as caught:
            asked[scenario.name].result()
        assert scenario.refused in f"{caught.value.param} {caught.value}"
        return
    choice, deltas = asked[scenario.name].result()
    if choice.finish_reason == "length":
        assert not scenario.must_call, f"never finished its call: {choice.message}"
        return
    calls = choice.message.tool_calls or []
    assert choice.finish_reason == ("tool_calls" if calls else "stop")
    assert calls or not scenario.must_call
    assert len(calls) <= 1 or "parallel_tool_calls" not in scenario.options
    for call in calls:
        _check_call(call, scenario.options)
    if not calls and scenario.options.get("response_format") is ANSWER:
        assert list(json.loads(choice.message.content)) == ["answer"]
    joined = [""] * len(calls)
    for delta in deltas:
        joined[delta.index] += delta.function.arguments or ""
    assert joined == [call.function.arguments for call in calls]


def _check_call(call: Any, options: dict[str, Any]) -> None:
    """It is of a declared and allowed tool, and its arguments follow the tool's schema."""
    declared = {tool["function"]["name"]: tool["function"] for tool in options["tools"]}
    choice = options.get("tool_choice")
    assert choice != "none"
    if isinstance(choice, dict):
        assert call.function.name in json.dumps(choice)
    assert re.fullmatch("call_[0-9A-Za-z]{24}", call.id)
    schema = declared[call.function.name].get("parameters", {"type": "object", "maxProperties": 0})
    Draft202012Validator(schema).validate(json.loads(call.function.arguments))
