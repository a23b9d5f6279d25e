"""The clients of the fleet bench: a few questions asked again and again, whose answers must stay the same."""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
from bench.chaos_client import JSON, TOOL, WORDS

NUM_QUESTIONS = 16
_KINDS = ("stream", "whole", "stream", "n", "stream", "tools", "stream", "stream")
_DEADLINE_S = 120.0


@dataclass(frozen=True)
class Question:
    number: int
    kind: str
    body: dict[str, object]


def questions(model: str, max_tokens: int) -> list[Question]:
    """Sampled with a seed each, so that they have one answer."""
    generator = random.Random(16)
    found = []
    for number in range(NUM_QUESTIONS):
        kind = _KINDS[number % len(_KINDS)]
        words = " ".join(generator.choices(WORDS, k=generator.choice((4, 20, 100))))
        body: dict[str, object] = {
            "model": model,
            "messages": [{"role": "user", "content": f"Write a long story about {words}."}],
            "max_tokens": max_tokens,
            "temperature": 1,
            "seed": number,
        }
        if kind == "tools":
            body |= {"tools": [TOOL], "tool_choice": "required"}
        if kind == "n":
            body["n"] = 2
        if kind != "whole":
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        found.append(Question(number, kind, body))
    return found


@dataclass
class Sent:
    """One request and its end: `answer`, `error` (a JSON body), `event` (an error in a stream), `cut` (the
    connection broke), `hung`. `silence_s` is the longest time between two events of a stream, `first_s` the
    time until the first. `events` are those with a part of the answer."""

    user: str
    question: Question
    server: int
    started: float
    end: str = "hung"
    detail: str = ""
    tokens: int | None = None
    events: int = 0
    first_s: float = 0.0
    silence_s: float = 0.0
    silent_at: float = 0.0
    ended: float = 0.0
    parts: dict[tuple[int, str], str] = field(default_factory=dict)

    @property
    def num_sequences(self) -> int:
        return int(str(self.question.body.get("n", 1)))


@dataclass
class FleetClients:
    """Each has a favourite server and takes the other when that is away."""

    urls: Sequence[str]
    key: str
    sent: list[Sent] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    by_user: dict[str, Sent] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def run(self, what: Sequence[Question], num_clients: int, goes_on: Callable[[], bool]) -> None:
        async def client(number: int) -> None:
            generator = random.Random(number)
            async with self.http() as http:
                while goes_on():
                    await self.ask(http, generator.choice(what), number)

        await asyncio.gather(*(client(number) for number in range(num_clients)))

    def http(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.key}", **JSON}
        return httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(None, connect=3))

    async def ask(self, http: httpx.AsyncClient, question: Question, favourite: int) -> Sent:
        """One request; a server that can't be reached was not asked."""
        for attempt in itertools.count(favourite):
            one = Sent(f"fleet-{next(self._numbers)}", question, attempt % len(self.urls), time.monotonic())
            try:
                await self._ask(http, one)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                await asyncio.sleep(0.3)
            else:
                return one
        raise AssertionError

    async def _ask(self, http: httpx.AsyncClient, one: Sent) -> None:
        body = json.dumps(one.question.body | {"user": one.user}).encode()
        self.running.add(one.user)
        self.by_user[one.user] = one
        try:
            async with asyncio.timeout(_DEADLINE_S):
                url = f"{self.urls[one.server]}/v1/chat/completions"
                async with http.stream("POST", url, content=body) as response:
                    await _read(one, response)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            del self.by_user[one.user]
            raise
        except TimeoutError:
            one.end = "hung"
        except httpx.HTTPError as exc:
            one.end, one.detail = "cut", type(exc).__name__
        finally:
            self.running.discard(one.user)
        one.ended = time.monotonic()
        self.sent.append(one)

    def num_sequences(self, server: int) -> int:
        """Of the requests that run at that server."""
        running = [self.by_user[user] for user in self.running]
        return sum(one.num_sequences for one in running if one.server == server)


async def _read(one: Sent, response: httpx.Response) -> None:
    if response.status_code != 200:
        error = json.loads(await response.aread())["error"]
        one.end, one.detail = "error", f"{response.status_code} {error.get('code') or error['message']}"
    elif response.headers["content-type"].startswith("text/event-stream"):
        heard = one.started
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            now = time.monotonic()
            if not one.first_s:
                one.first_s = now - one.started
            elif now - heard > one.silence_s:
                one.silence_s, one.silent_at = now - heard, heard
            heard = now
            _take(one, line.removeprefix("data: "))
    else:
        whole = json.loads(await response.aread())
        one.end, one.tokens = "answer", whole["usage"]["completion_tokens"]
        for choice in whole["choices"]:
            _add(one, choice["index"], choice["message"])


def _take(one: Sent, data: str) -> None:
    if data == "[DONE]":
        one.end = one.end if one.end == "event" else "answer"
        return
    event = json.loads(data)
    if "error" in event:
        one.end, one.detail = "event", str(event["error"].get("code") or event["error"]["message"])
        return
    if event.get("usage"):
        one.tokens = event["usage"]["completion_tokens"]
    for choice in event["choices"]:
        one.events += _add(one, choice["index"], choice["delta"])


def _add(one: Sent, index: int, message: dict[str, object]) -> bool:
    texts = {"content": message.get("content")}
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        texts["arguments"] = call["function"].get("arguments")
    for name, text in texts.items():
        if text:
            one.parts[index, name] = one.parts.get((index, name), "") + str(text)
    return any(texts.values())
