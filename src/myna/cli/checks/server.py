"""The server under test, through the official client and through plain HTTP."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import openai
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk

TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ServerUnderTest:
    """`client` never retries, so that a server error is seen at once."""

    base_url: str
    key: str
    model: str
    client: openai.OpenAI
    http: httpx.Client

    def post(self, path: str, body: object, *, key: str | None = None) -> httpx.Response:
        """A raw request, for what the client can't send."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        return self.http.post(f"{self.base_url}/{path}", json=body, headers=headers)

    def refused(self, path: str, body: Mapping[str, object], status: int = 400) -> dict[str, object]:
        """The inner error object of a request that must fail with that status, in OpenAI's envelope."""
        response = self.post(path, {"model": self.model, **body})
        expect(response.status_code == status, f"HTTP {response.status_code} instead of {status}")
        return envelope(response)

    def complete(self, prompt: object = "Once upon a time", **options: object) -> Completion:
        """A whole answer of the legacy endpoint, greedy and short by default."""
        create: Any = self.client.completions.create
        body = {"max_tokens": 8, "temperature": 0, **options}
        answer: Completion = create(model=self.model, prompt=prompt, **body)
        return answer

    def chat_stream(self, text: str, **options: object) -> list[ChatCompletionChunk]:
        """All chunks of a streamed chat answer."""
        create: Any = self.client.chat.completions.create
        body = {"max_tokens": 16, "temperature": 0, **options}
        return list(
            create(model=self.model, messages=[{"role": "user", "content": text}], stream=True, **body)
        )

    def events(self, path: str, body: Mapping[str, object]) -> Iterator[str]:
        """The lines of a stream as they are on the wire."""
        headers = {"Authorization": f"Bearer {self.key}"}
        whole = {"model": self.model, "stream": True, **body}
        with self.http.stream("POST", f"{self.base_url}/{path}", json=whole, headers=headers) as response:
            yield from response.iter_lines()


class ExpectationFailed(Exception):
    """An expectation that the server doesn't meet; says what was seen instead."""


@dataclass(frozen=True, slots=True)
class Check:
    """One behaviour. `run` returns if the server has it and raises if not; it is left out of servers to which
    it doesn't apply."""

    group: str
    behaviour: str
    run: Callable[[ServerUnderTest], None]
    applies: Callable[[ServerUnderTest], bool] = lambda server: True


def expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise ExpectationFailed(otherwise)


def envelope(response: httpx.Response) -> dict[str, object]:
    """`{"error": {message, type, param, code}}`, with a code that is a string or null."""
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        raise ExpectationFailed(f"no error object in {response.text[:80]!r}") from None
    expect(isinstance(error, dict), f"error is {error!r}, not an object")
    missing = {"message", "type", "param", "code"} - error.keys()
    expect(not missing, f"the error lacks {', '.join(sorted(missing))}")
    expect(error["code"] is None or isinstance(error["code"], str), f"code is {error['code']!r}")
    found: dict[str, object] = error
    return found


def connect(base_url: str, key: str, model: str | None) -> ServerUnderTest:
    """Connect; without a name, the first model that is listed. Raises openai's errors."""
    client = openai.OpenAI(base_url=base_url, api_key=key or "none", max_retries=0, timeout=TIMEOUT_S)
    chosen = model or client.models.list().data[0].id
    return ServerUnderTest(
        base_url.rstrip("/"), key or "none", chosen, client, httpx.Client(timeout=TIMEOUT_S)
    )
