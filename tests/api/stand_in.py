"""A model for endpoint tests: bytes as tokens, a plain template, and whatever events the test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from httpx import ASGITransport, AsyncClient, Request, Response
from openai import AsyncOpenAI
from starlette.types import ASGIApp
from starlette.types import Message as AsgiMessage
from tests.http.scripted import (
    KEY,
    Ledger,
    ScriptedGenerator,
    Step,
    loading,
    local,
    looking_at,
    services,
    words,
)

from myna.app import create_app
from myna.catalog.pool import ModelPool
from myna.catalog.registry import ModelCard
from myna.core.conversation import Message, ToolSpec
from myna.core.errors import InvalidRequest
from myna.core.events import Event
from myna.core.renderer import Thinking
from myna.core.sampling_defaults import NO_DEFAULTS, SamplingDefaults
from myna.core.stored import CompletionStore
from myna.core.stored_responses import ResponseStore
from myna.generation.budgets import AnswerLimits
from myna.request.services import Services
from myna.stores.registry import Stores
from myna.stores.store_writer import WriterLimits

BOS = 2


@dataclass
class BytePrompting:
    """A `core.renderer.Renderer` that keeps what it was given."""

    has_chat_template: bool = True
    can_fill: bool = True
    template_id: str = "plain"
    call_format: str = "hermes"
    document_start: list[int] = field(default_factory=lambda: [BOS])
    conversations: list[Sequence[Message]] = field(default_factory=list)
    tools: list[Sequence[ToolSpec]] = field(default_factory=list)
    thinking: Thinking | None = None
    switches: list[Mapping[str, object]] = field(default_factory=list)

    def least_tokens(self, text: str) -> int:
        return len(text) // 8

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        return list(text.encode())

    def encode_batch(self, texts: Sequence[str], *, parse_special: bool) -> list[list[int]]:
        return [list(text.encode()) for text in texts]

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        switches: Mapping[str, object] = MappingProxyType({}),
        prefill: str = "",
    ) -> list[int]:
        self.switches.append(switches)
        self.conversations.append(messages)
        self.tools.append(tools)
        text = (
            "".join(f"<{message.role}>{message.text}" for message in messages)
            + "<assistant>"
            + "<a tool, forty characters in the prompt>" * len(tools)
            + prefill
        )
        if "refuse me" in text:
            raise InvalidRequest("The model's chat template does not take these messages.", param="messages")
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", "replace")

    def fim(self, prefix: str, suffix: str) -> list[int] | None:
        return list(f"P{prefix}S{suffix}M".encode()) if self.can_fill else None


@dataclass
class Model:
    """What a test talks to, and what it may look at afterwards."""

    client: AsyncClient
    generator: ScriptedGenerator
    prompting: BytePrompting
    ledger: Ledger
    completions: CompletionStore
    services: Services
    asgi: ASGIApp

    async def ask(self, path: str, **body: Any) -> Response:
        return await self.client.post(f"/v1/{path}", json={"model": "tiny", **body})

    async def ask_raw(self, path: str, **body: Any) -> list[bytes]:
        """The answer's body as the server sends it, piece by piece; no client works in the loop's thread."""
        request, pieces = json.dumps({"model": "tiny", **body}).encode(), list[bytes]()
        headers = {"host": "localhost", "authorization": f"Bearer {KEY}", "content-type": "application/json"}
        waiting: list[AsgiMessage] = [{"type": "http.request", "body": request, "more_body": False}]

        async def receive() -> AsgiMessage:
            if not waiting:
                await asyncio.Event().wait()
            return waiting.pop()

        async def send(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                assert message["status"] == 200
            else:
                pieces.append(message["body"])

        await self.asgi(
            {
                "type": "http",
                "method": "POST",
                "path": f"/v1/{path}",
                "query_string": b"",
                "client": ("127.0.0.1", 1),
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            },
            receive,
            send,
        )
        return pieces

    def openai(self) -> AsyncOpenAI:
        """The official client over the same transport; its newer versions name another httpx."""
        transport: Any = self.client
        return AsyncOpenAI(api_key=KEY, base_url="http://localhost/v1", http_client=transport)


class ServerTask(ASGITransport):
    """Runs the application in a task of its own, as a server does; `tests.loop_guard` distinguishes them."""

    async def handle_async_request(self, request: Request) -> Response:
        return await asyncio.create_task(super().handle_async_request(request))


@asynccontextmanager
async def serving(
    *scripts: Sequence[Step] | Exception,
    prompting: BytePrompting | None = None,
    max_answer_tokens: int = 0,
    strict_max_tokens: bool = False,
    ignores_unknown: bool = False,
    completions: CompletionStore | None = None,
    responses: ResponseStore | None = None,
    stores: Stores | None = None,
    writer_limits: WriterLimits | None = None,
    sampling: SamplingDefaults = NO_DEFAULTS,
) -> AsyncIterator[Model]:
    """The real application over a scripted model; without a script every request says "Hi"."""
    prompting = prompting or BytePrompting()
    generator = ScriptedGenerator(list(scripts) or [words("Hi") for _ in range(64)])
    ledger = Ledger()

    cards = [
        ModelCard("gpt-4o-mini", 0, "", "alias", "tiny"),
        ModelCard("gpt-3.5-turbo-instruct", 0, "", "instruct", "tiny"),
    ]
    load = loading(generator, prompting)
    pool = ModelPool(looking_at([local("tiny")], cards, sampling), load, delete_files=lambda file: None)
    everything = replace(
        services(
            pool,
            ledger,
            completions=completions,
            responses=responses,
            stores=stores,
            writer_limits=writer_limits,
        ),
        answer_limits=AnswerLimits(max_answer_tokens, strict_max_tokens),
        ignores_unknown=ignores_unknown,
    )
    app = create_app(everything)
    headers = {"authorization": f"Bearer {KEY}"}
    async with AsyncClient(
        transport=ServerTask(app.asgi), base_url="http://localhost", headers=headers
    ) as client:
        yield Model(client, generator, prompting, ledger, everything.completions, everything, app.asgi)


def error_of(response: Response) -> dict[str, Any]:
    """The error's four keys; asserts that it is one."""
    body = response.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    error: dict[str, Any] = body["error"]
    return error


def chunks_of(response: Response) -> list[dict[str, Any]]:
    """The chunks of a whole stream; asserts its framing and its end."""
    return parsed_chunks(response.text)


def parsed_chunks(text: str) -> list[dict[str, Any]]:
    """The same of a body."""
    lines = text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def script(*events: Event) -> list[Step]:
    return list(events)
