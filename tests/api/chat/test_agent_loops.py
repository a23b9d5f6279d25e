"""Agents of four steps with every published template, in the manner of every client library: the model calls
tools in its own form, the calls come back with their results, and the model answers."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs
from tests.api.chat.agent import WORD, SpeakingGenerator, ask, client_of, words_of
from tests.api.chat.histories import CLIENTS, Client, Json
from tests.http.scripted import INFO
from tests.prompts.template_gate import published, template_paths

from myna.backends.worker.fake_renderer import fake_renderer
from myna.core.conversation import ToolCall
from myna.core.functionary import LEAD, TO_ALL
from myna.prompts.call_formats.bare import BareFormat
from myna.prompts.call_formats.table import FORMATS
from myna.prompts.renderer import GgufRenderer

CONTEXT = 32768
CLIENTS_EACH = 3
FUNCTIONS: list[Json] = [
    {
        "name": "weather",
        "description": "The weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
    {
        "name": "send",
        "description": "Sends",
        "parameters": {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["text"],
        },
    },
]
Call = tuple[str, Json]
# The calls of each step; the last step answers.
FIRST: list[Call] = [("weather", {"city": "word20 北京"})]
SECOND: list[Call] = [("weather", {"city": "word21", "days": 3}), ("send", {"text": "word22", "tags": []})]
THIRD: list[Call] = [("send", {"text": 'word23 "a"\n<b> {c} \\ 你好', "tags": ["word24", "x, y"]})]
STEPS = (FIRST, SECOND, THIRD)
ANSWER = "word29 is the answer: 你好 [1]"
THOUGHT = "I should think first"


@dataclass(frozen=True)
class Writer:
    """Writes what the model says, behind the template's prompt."""

    renderer: GgufRenderer

    def says(self, calls: list[Call], text: str = "") -> str:
        """After a thought, if the model thinks by default."""
        thinking, form = self.renderer.thinking, FORMATS[self.renderer.call_format]
        before = after = ""
        if thinking is not None and thinking.is_known and thinking.is_default:
            begin = "" if thinking.is_open else thinking.begin
            before = f"{begin}{THOUGHT}{thinking.end}"
        if calls:
            made = [
                ToolCall(f"call0000{i}", name, json.dumps(values, ensure_ascii=False))
                for i, (name, values) in enumerate(calls)
            ]
            return before + form.write(made).removeprefix(LEAD if form.marks.has_recipients else "")
        if thinking is not None:
            before, after = before + thinking.answer, thinking.close
        return before + (TO_ALL if form.marks.has_recipients else "") + text + after


@pytest.mark.parametrize("path", template_paths(), ids=lambda path: path.stem)
async def test_an_agent_reaches_its_answer(path: Path) -> None:
    renderer = fake_renderer(CONTEXT, published(path))
    names, number = list(CLIENTS), template_paths().index(path)
    for i in range(CLIENTS_EACH):
        name = names[(number + i * len(names) // CLIENTS_EACH) % len(names)]
        await _loop(CLIENTS[name], renderer, name)


async def _loop(client: Client, renderer: GgufRenderer, name: str) -> None:
    writer = Writer(renderer)
    is_single = client.is_legacy or not is_parallel(renderer)
    steps = [calls[:1] if is_single else calls for calls in STEPS]
    says = [writer.says(calls) for calls in steps] + [writer.says([], ANSWER)]
    messages = client.opening("word14 rules", "word10 asks")
    generator = SpeakingGenerator([], structs.replace(INFO, context_tokens=CONTEXT), texts=list(says))
    async with client_of(generator, renderer) as http:
        for number, calls in enumerate(steps):
            body = {"messages": messages, "temperature": 0, **client.declare(FUNCTIONS)}
            message, reason = await ask(http, body, is_stream=client.is_stream)
            _check_prompt(client, messages, generator, renderer, f"{name}, step {number}")
            found = client.calls(message)
            read = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in found]
            assert read == calls, (name, number, message, says[number])
            assert reason == ("function_call" if client.is_legacy else "tool_calls")
            assert not message["content"], (name, number, message)
            messages += client.turn(message)
            texts = [f"word{30 + 10 * number + i} measured" for i in range(len(found))]
            messages += [client.result(call, text) for call, text in zip(found, texts, strict=True)]
        body = {"messages": messages, "temperature": 0, **client.declare(FUNCTIONS)}
        message, reason = await ask(http, body, is_stream=client.is_stream)
        _check_prompt(client, messages, generator, renderer, f"{name}, the last step")
    assert (message["content"], reason) == (ANSWER, "stop"), (name, message)


def is_parallel(renderer: GgufRenderer) -> bool:
    form = FORMATS[renderer.call_format]
    return not isinstance(form, BareFormat) and getattr(form, "between", "") is not None


def _check_prompt(
    client: Client, messages: list[Json], generator: SpeakingGenerator, renderer: GgufRenderer, where: str
) -> None:
    prompt = renderer.decode(generator.requests[-1].prompt_tokens)
    assert sorted(WORD.findall(prompt)) == words_of(client, messages), (where, prompt)
