"""A model that names the recipient of each part of its answers, Functionary 3.2: clients see neither."""

import json

import pytest
from msgspec import structs
from tests.api.chat.agent import SpeakingGenerator, ask, client_of
from tests.api.chat.histories import Json
from tests.http.scripted import INFO
from tests.prompts.template_gate import published, template_paths

from myna.backends.worker.fake_renderer import fake_renderer
from myna.prompts.renderer import GgufRenderer

CONTEXT = 8192
PROMPT = "<|start_header_id|>assistant<|end_header_id|>\n\n>>>"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str) -> Json:
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": PARAMETERS}}


TOOLS: Json = {"tools": [tool("weather")]}


@pytest.fixture(scope="module")
def renderer() -> GgufRenderer:
    [path] = [path for path in template_paths() if "functionary-medium-v3.2" in path.stem]
    return fake_renderer(CONTEXT, published(path))


async def answered(
    renderer: GgufRenderer, says: str, options: Json, *, is_stream: bool
) -> tuple[Json, str, str]:
    """The answer's message, its reason to end, and the prompt."""
    generator = SpeakingGenerator([], structs.replace(INFO, context_tokens=CONTEXT), texts=[says])
    body = {"messages": [{"role": "user", "content": "Hi, JSON"}], **options}
    async with client_of(generator, renderer) as client:
        message, reason = await ask(client, body, is_stream=is_stream)
    return message, reason, renderer.decode(generator.requests[-1].prompt_tokens)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {**TOOLS, "tool_choice": "none"}, {"stop": ["\n\n"]}], ids=["plain", "none", "stop"]
)
async def test_text_that_can_be_nothing_else_is_begun_in_the_prompt(
    renderer: GgufRenderer, options: Json, is_stream: bool
) -> None:
    message, reason, prompt = await answered(renderer, ">>> 1\n2", options, is_stream=is_stream)
    assert (message["content"], reason) == (">>> 1\n2", "stop")
    assert prompt.endswith(PROMPT + "all\n")


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("says", "content", "cities"),
    [
        ("all\nHello.\n", "Hello.\n", []),
        ('weather\n{"city": "北京"}', None, ["北京"]),
        ('all\nI look.>>>weather\n{"city": "a"}>>>weather\n{"city": "b"}', "I look.", ["a", "b"]),
        ('all\n>>> weather("x")', '>>> weather("x")', []),
        ("Hello.", "Hello.", []),
    ],
)
async def test_recipients_separate_text_from_calls(
    renderer: GgufRenderer, says: str, content: str | None, cities: list[str], is_stream: bool
) -> None:
    options = {**TOOLS, "stop": ["city", ">>>\n"]}
    message, reason, prompt = await answered(renderer, says, options, is_stream=is_stream)
    calls = [call["function"] for call in message.get("tool_calls") or []]
    assert message["content"] == content
    assert [json.loads(call["arguments"])["city"] for call in calls] == cities
    assert reason == ("tool_calls" if cities else "stop")
    assert prompt.endswith(PROMPT)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_requested_json_may_come_instead_of_a_call(renderer: GgufRenderer, is_stream: bool) -> None:
    options = {**TOOLS, "response_format": {"type": "json_object"}}
    message, reason, _ = await answered(renderer, 'all\n{"a": 1}', options, is_stream=is_stream)
    assert (message["content"], reason) == ('{"a": 1}', "stop")


async def test_a_tool_with_the_recipients_name_is_refused(renderer: GgufRenderer) -> None:
    generator = SpeakingGenerator([], INFO)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "tools": [tool("all")]}
    async with client_of(generator, renderer) as client:
        response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert "can't call a tool with the name 'all'" in response.json()["error"]["message"]
