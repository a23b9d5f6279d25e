"""An agent over the API: a model that says the texts of a script, and the client that asks it."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from httpx import AsyncClient, Response
from tests.api.chat.histories import Client, Json
from tests.api.stand_in import ServerTask, chunks_of
from tests.http.scripted import KEY, ScriptedGenerator, ScriptedStream, loading, local, looking_at, services

from myna.app import create_app
from myna.catalog.pool import ModelPool
from myna.core.events import Event
from myna.core.generator import Generator
from myna.core.renderer import Renderer
from myna.core.requests import GenerationRequest
from myna.decoding.output_processor import RequestOutput
from myna.decoding.token_table import TokenTable
from myna.engines import fake

_TABLE = TokenTable(fake.VOCABULARY, fake.VOCABULARY, frozenset({fake.END}))


@dataclass
class SpeakingGenerator(ScriptedGenerator):
    """Says the next of its texts in each answer, as an engine's tokens become events."""

    texts: list[str] = field(default_factory=list)

    async def generate(self, request: GenerationRequest) -> ScriptedStream:
        output = RequestOutput(request, _TABLE)
        events = list[Event]([output.prompt_done(0)])
        for token in (*fake.tokenize(self.texts.pop(0), parse_special=False), fake.END):
            events += output.push(0, token)
        self.scripts.append(events)
        return await super().generate(request)


@asynccontextmanager
async def client_of(generator: Generator, renderer: Renderer) -> AsyncIterator[AsyncClient]:
    """A client of the real application over that model."""
    pool = ModelPool(
        looking_at([local("tiny")], []), loading(generator, renderer), delete_files=lambda file: None
    )
    app = create_app(services(pool))
    headers = {"authorization": f"Bearer {KEY}"}
    async with AsyncClient(
        transport=ServerTask(app.asgi), base_url="http://localhost", headers=headers
    ) as client:
        yield client


async def ask(client: AsyncClient, body: Json, *, is_stream: bool) -> tuple[Json, str]:
    """The answer's message and its reason to end; asserts that there is one."""
    response = await client.post("/v1/chat/completions", json={"model": "tiny", **body, "stream": is_stream})
    assert response.status_code == 200, response.text
    if is_stream:
        return joined(response)
    [choice] = response.json()["choices"]
    return choice["message"], choice["finish_reason"]


def joined(response: Response) -> tuple[Json, str]:
    """The message that the chunks are of, as client libraries put it together."""
    message: Json = {"role": "assistant", "content": None}
    reason = ""
    for chunk in chunks_of(response):
        for choice in chunk["choices"]:
            reason = choice["finish_reason"] or reason
            _add(message, choice["delta"])
    for call in message.get("tool_calls", ()):
        del call["index"]
    return message, reason


def _add(message: Json, delta: Json) -> None:
    for key in ("content", "reasoning_content"):
        if delta.get(key):
            message[key] = (message.get(key) or "") + delta[key]
    if part := delta.get("function_call"):
        call = message.setdefault("function_call", {"name": "", "arguments": ""})
        call["name"] += part.get("name") or ""
        call["arguments"] += part.get("arguments") or ""
    for part in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        if part["index"] == len(calls):
            calls.append({**part, "function": {"arguments": "", **part["function"]}})
        else:
            calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]


WORD = re.compile(r"word\d\d")


def words_of(client: Client, messages: Sequence[Any]) -> list[str]:
    """Each word that the conversation's messages contain."""
    found = list[str]()
    for message in messages:
        content = message.get("content") or ""
        text = content if isinstance(content, str) else "".join(part["text"] for part in content)
        found += WORD.findall(text)
        for call in client.calls(message):
            found += WORD.findall(call["function"]["arguments"])
    return sorted(found)
