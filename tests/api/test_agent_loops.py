"""Agents of four steps over `/v1/responses` and `/v1/messages` with every published template.

The items and blocks of each answer come back as received, as the Agents SDK and Anthropic's libraries do it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs
from tests.api.chat.agent import WORD, SpeakingGenerator, client_of
from tests.api.chat.histories import Json
from tests.api.chat.test_agent_loops import ANSWER, CONTEXT, FUNCTIONS, STEPS, Call, Writer, is_parallel
from tests.http.scripted import INFO
from tests.prompts.template_gate import published, template_paths

from myna.backends.worker.fake_renderer import fake_renderer

RULES, QUESTION = "word14 rules", "word10 asks"


@dataclass(frozen=True)
class Api:
    """`thinks` asks for the thought of a model that thinks by default. `answer` has the parts of a response
    that come back, `read` the call in one, None if it is none, `text` what one says; `sent_back` are the
    messages after an answer with calls."""

    path: str
    body: Callable[[list[Json]], Json]
    thinks: Json
    answer: Callable[[Json], list[Json]]
    read: Callable[[Json], Call | None]
    text: Callable[[Json], str]
    sent_back: Callable[[list[Json], Sequence[str]], list[Json]]


def _responses_body(messages: list[Json]) -> Json:
    tools = [{"type": "function", "strict": False, **function} for function in FUNCTIONS]
    return {"input": messages, "instructions": RULES, "tools": tools, "store": False}


def _responses_call(item: Json) -> Call | None:
    return (item["name"], json.loads(item["arguments"])) if item["type"] == "function_call" else None


def _responses_text(item: Json) -> str:
    return item["content"][0]["text"] if item["type"] == "message" else ""


def _items(answer: list[Json], results: Sequence[str]) -> list[Json]:
    calls = [item for item in answer if item["type"] == "function_call"]
    return answer + [
        {"type": "function_call_output", "call_id": call["call_id"], "output": result}
        for call, result in zip(calls, results, strict=True)
    ]


def _messages_body(messages: list[Json]) -> Json:
    tools = [
        {"name": f["name"], "description": f["description"], "input_schema": f["parameters"]}
        for f in FUNCTIONS
    ]
    return {"messages": messages, "system": RULES, "tools": tools, "max_tokens": 4000}


def _messages_call(block: Json) -> Call | None:
    return (block["name"], block["input"]) if block["type"] == "tool_use" else None


def _messages_text(block: Json) -> str:
    return block["text"] if block["type"] == "text" else ""


def _blocks(answer: list[Json], results: Sequence[str]) -> list[Json]:
    calls = [block for block in answer if block["type"] == "tool_use"]
    made = [
        {"type": "tool_result", "tool_use_id": call["id"], "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    return [{"role": "assistant", "content": answer}, {"role": "user", "content": made}]


APIS = {
    "responses": Api(
        "/v1/responses",
        _responses_body,
        {},
        lambda response: response["output"],
        _responses_call,
        _responses_text,
        _items,
    ),
    "messages": Api(
        "/v1/messages",
        _messages_body,
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        lambda response: response["content"],
        _messages_call,
        _messages_text,
        _blocks,
    ),
}


@pytest.mark.parametrize("path", template_paths(), ids=lambda path: path.stem)
@pytest.mark.parametrize("api", APIS)
async def test_an_agent_reaches_its_answer(api: str, path: Path) -> None:
    client, renderer = APIS[api], fake_renderer(CONTEXT, published(path))
    writer = Writer(renderer)
    steps = [calls if is_parallel(renderer) else calls[:1] for calls in STEPS]
    says = [writer.says(calls) for calls in steps] + [writer.says([], ANSWER)]
    generator = SpeakingGenerator([], structs.replace(INFO, context_tokens=CONTEXT), texts=list(says))
    messages: list[Json] = [{"role": "user", "content": QUESTION}]
    thinks = client.thinks if renderer.thinking is not None and renderer.thinking.is_default else {}
    async with client_of(generator, renderer) as http:
        for number, calls in enumerate([*steps, []]):
            body = {"model": "tiny", "temperature": 1, **client.body(messages), **thinks}
            response = await http.post(client.path, json=body)
            assert response.status_code == 200, response.text
            prompt = renderer.decode(generator.requests[-1].prompt_tokens)
            expected = WORD.findall(RULES + json.dumps(messages, ensure_ascii=False))
            assert sorted(WORD.findall(prompt)) == sorted(expected), (number, prompt)
            answer = client.answer(response.json())
            assert [found for part in answer if (found := client.read(part))] == calls, (number, says[number])
            said = "".join(map(client.text, answer))
            assert said == ("" if calls else ANSWER)
            messages += client.sent_back(answer, [f"word{30 + 10 * number + i}" for i in range(len(calls))])
