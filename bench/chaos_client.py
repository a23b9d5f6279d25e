"""The clients of the chaos bench: requests of mixed kinds, and how each of them ended."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import httpx

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look something up.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string", "maxLength": 12}},
            "required": ["word"],
        },
    },
}
WORDS = ("bird", "river", "stone", "lamp", "green", "quick", "seven", "under", "猫", "山")
# Kinds of requests, and how often each is sent.
KINDS = {
    "stream": 30,
    "whole": 25,
    "completion": 10,
    "tools": 8,
    "stored": 8,
    "aborted": 9,
    "invalid": 8,
    "n": 2,
    "response": 10,
}


@dataclass
class Sent:
    """One request and its end. `end`: `answer`, `error` (a JSON error body), `event` (an error in a stream),
    `left` (the client hung up on purpose), `cut` (the connection broke), `hung`, or `odd` (anything else).
    `tokens` is what the answer's usage says."""

    user: str
    kind: str
    end: str = "hung"
    status: int = 0
    request_id: str = ""
    tokens: int | None = None
    detail: str = ""


@dataclass
class Clients:
    """Sends requests for `model` to `url`; each names a user of its own, which begins with `prefix`."""

    url: str
    key: str
    model: str
    random: random.Random
    prefix: str = "chaos"
    deadline_s: float = 240.0
    sent: list[Sent] = field(default_factory=list)

    async def run(self, numbers: Iterator[int], num_clients: int, pace_s: float) -> None:
        """Send a request for each number. `pace_s`: the least time from one request's start to the next
        one's, over all clients."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=num_clients)
        timeout = httpx.Timeout(None)
        gate = asyncio.Lock()

        async def client() -> None:
            headers = {"Authorization": f"Bearer {self.key}"}
            async with httpx.AsyncClient(
                base_url=self.url, headers=headers, limits=limits, timeout=timeout
            ) as http:
                for number in numbers:
                    async with gate:
                        await asyncio.sleep(pace_s)
                    await self._one(http, number)

        await asyncio.gather(*(client() for _ in range(num_clients)))

    @property
    def ends(self) -> Counter[str]:
        return Counter(one.end for one in self.sent)

    async def _one(self, http: httpx.AsyncClient, number: int) -> None:
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        one = Sent(f"{self.prefix}-{number}", kind)
        self.sent.append(one)
        path, body = self._request(one)
        try:
            async with asyncio.timeout(self.deadline_s):
                async with http.stream("POST", path, content=body, headers=JSON) as response:
                    one.status = response.status_code
                    one.request_id = response.headers.get("x-request-id", "")
                    await self._read(one, response)
        except TimeoutError:
            one.end = "hung"
        except httpx.HTTPError as exc:
            one.end, one.detail = "cut", type(exc).__name__

    async def _read(self, one: Sent, response: httpx.Response) -> None:
        if response.status_code != 200:
            body = json.loads(await response.aread())
            one.end, one.detail = "error", str(body["error"].get("code") or body["error"]["type"])
        elif one.kind == "aborted":
            async for _ in response.aiter_raw():
                break
            one.end = "left"
        elif response.headers["content-type"].startswith("text/event-stream"):
            async for line in response.aiter_lines():
                _take(one, line)
        else:
            usage = json.loads(await response.aread())["usage"]
            one.end, one.tokens = "answer", usage.get("completion_tokens", usage.get("output_tokens"))

    def _request(self, one: Sent) -> tuple[str, bytes]:
        words = " ".join(self.random.choices(WORDS, k=self.random.choice((4, 20, 200))))
        max_tokens = self.random.choice((4, 12, 24))
        message = [{"role": "user", "content": f"Write about {words}."}]
        body: dict[str, object] = {"model": self.model, "messages": message, "max_tokens": max_tokens}
        body |= {"user": one.user, "temperature": 1, "seed": self.random.randrange(1 << 30)}
        streams = {"stream": True, "stream_options": {"include_usage": True}}
        match one.kind:
            case "stream" | "aborted":
                body |= streams
            case "completion":
                del body["messages"]
                return "completions", json.dumps(body | {"prompt": words}).encode()
            case "tools":
                body |= {"tools": [TOOL], "tool_choice": "required", "max_tokens": 48}
                body |= streams if self.random.random() < 0.5 else {}
            case "stored":
                body |= {"store": True, "metadata": {"bench": "chaos"}}
            case "response":
                del body["messages"], body["max_tokens"], body["seed"]
                body |= {"input": words, "max_output_tokens": 16, "stream": self.random.random() < 0.5}
                return "responses", json.dumps(body).encode()
            case "n":
                body |= {"n": 4}
            case "invalid":
                return "chat/completions", self._invalid(body)
        return "chat/completions", json.dumps(body).encode()

    def _invalid(self, body: dict[str, object]) -> bytes:
        match self.random.randrange(5):
            case 0:
                return b'{"model": '
            case 1:
                return json.dumps(body | {"model": "no-such-model"}).encode()
            case 2:
                return json.dumps(body | {"temperature": 9}).encode()
            case 3:
                return json.dumps(body | {"messages": [{"role": "user", "content": "x " * 40_000}]}).encode()
            case _:
                return json.dumps(body | {"surprise": True}).encode()


JSON = {"Content-Type": "application/json"}


def _take(one: Sent, line: str) -> None:
    if line == "data: [DONE]":
        one.end = one.end if one.end == "event" else "answer"
    elif line.startswith("data: "):
        event = json.loads(line[6:])
        if event.get("type") in ("response.completed", "response.incomplete"):
            one.end, one.tokens = "answer", event["response"]["usage"]["output_tokens"]
        elif event.get("type") in ("response.failed", "error"):
            error = (event.get("response") or event).get("error") or event
            one.end, one.detail = "event", str(error.get("code"))
        elif "error" in event:
            one.end, one.detail = "event", str(event["error"].get("code") or event["error"]["type"])
        elif event.get("usage"):
            one.tokens = event["usage"]["completion_tokens"]


async def ledger_rows(url: str, key: str) -> AsyncIterator[dict[str, object]]:
    """Every row of the server's ledger."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        after: dict[str, str] = {}
        while True:
            page = (await http.get(f"{url}/organization/requests", params={"limit": "100", **after})).json()
            for row in page["data"]:
                yield row
            if not page["has_more"]:
                return
            after = {"after": page["last_id"]}
