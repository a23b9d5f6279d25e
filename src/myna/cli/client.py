"""A small API client for the command line: model lists, whole and streamed answers, from any
OpenAI-compatible server."""

import http.client
import io
import ipaddress
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from myna.core.errors import OperatorError
from myna.core.translatable import N_, Translatable


class Refused(OperatorError):
    """The server's own message, its HTTP status, and OpenAI's code if there is one."""

    def __init__(self, message: str | Translatable, *, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BrokenOff(OperatorError):
    """The stream ended before the answer was complete."""


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of a streamed chat answer. Every field may be empty."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    num_tokens: int | None = None


def is_up(base_url: str) -> bool:
    """Whether an HTTP server answers there."""
    try:
        with _open(base_url, "", "models", timeout_s=1):
            return True
    except Refused:
        return True  # it requires a key, or lacks the path; the request itself will show
    except OperatorError:
        return False


def list_models(base_url: str, key: str) -> list[str]:
    """The ids of the models that the server lists, in its order; Myna's default model comes first."""
    with _open(base_url, key, "models", timeout_s=10) as response:
        try:
            models = [str(model["id"]) for model in json.load(response)["data"]]
        except (OSError, ValueError, LookupError, TypeError) as exc:
            raise OperatorError(
                N_("{base_url} is not an OpenAI-compatible server: it lists no models.", base_url=base_url)
            ) from exc
    return models


def first_model(base_url: str, key: str) -> str:
    if models := list_models(base_url, key):
        return models[0]
    raise OperatorError(
        N_("{base_url} is not an OpenAI-compatible server: it lists no models.", base_url=base_url)
    )


def post(base_url: str, key: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
    """A whole answer. Raises `OperatorError` with the server's own words."""
    with _open(base_url, key, path, body) as response:
        return _json_of(base_url, response)


def get(base_url: str, key: str, path: str) -> dict[str, Any]:
    """A JSON object. Raises `OperatorError` with the server's own words."""
    with open_response(base_url, key, path) as response:
        return _json_of(base_url, response)


def send(
    base_url: str, key: str, path: str, data: bytes | io.RawIOBase, headers: Mapping[str, str]
) -> dict[str, Any]:
    """The answer to a body of any kind; a stream needs its length in the headers."""
    with open_response(base_url, key, path, data, headers) as response:
        return _json_of(base_url, response)


def stream_completion(base_url: str, key: str, body: Mapping[str, object]) -> Iterator[str]:
    """The texts of a streamed completion. Raises `OperatorError` with the server's own words."""
    for event in _events(base_url, key, "completions", body):
        match event:
            case {"choices": [{"text": str(text)}, *_]}:
                yield text


def stream_chat(base_url: str, key: str, body: Mapping[str, object]) -> Generator[ChatDelta, None, None]:
    """The pieces of a streamed chat answer. Raises `Refused` before any of them, `BrokenOff` among them."""
    for event in _events(base_url, key, "chat/completions", body):
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else {}
        delta, usage = choice.get("delta") or {}, event.get("usage") or {}
        yield ChatDelta(
            text=f"{delta.get('content') or ''}{delta.get('refusal') or ''}",
            reasoning=str(delta.get("reasoning_content") or delta.get("reasoning") or ""),
            finish_reason=str(choice.get("finish_reason") or ""),
            num_tokens=usage.get("completion_tokens"),
        )


def _events(base_url: str, key: str, path: str, body: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    with _open(base_url, key, path, {**body, "stream": True}) as response:
        try:
            for raw in response:
                line = raw.decode("utf-8").strip()
                if line == "data: [DONE]":
                    return
                if line.startswith("data:"):
                    yield _event(line.removeprefix("data:"))
        except (OSError, ValueError, http.client.HTTPException) as exc:
            raise BrokenOff(
                N_("The server at {base_url} ended the answer before it was complete.", base_url=base_url)
            ) from exc
    raise BrokenOff(
        N_("The server at {base_url} ended the answer before it was complete.", base_url=base_url)
    )


def _event(text: str) -> dict[str, Any]:
    event = json.loads(text)
    match event:
        case {"error": {"message": message}} | {"error": str(message)}:
            raise BrokenOff(N_("The server interrupted the answer: {message}", message=message))
        case dict():
            return event
    raise ValueError("an event is not an object")


def _open(
    base_url: str,
    key: str,
    path: str,
    body: Mapping[str, object] | None = None,
    timeout_s: float | None = None,
) -> http.client.HTTPResponse:
    """Send a request: a POST if there is a body. Raises `Refused` for an error status, and
    `OperatorError` if there is no answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {} if data is None else {"Content-Type": "application/json"}
    return open_response(base_url, key, path, data, headers, timeout_s=timeout_s)


def _json_of(base_url: str, response: http.client.HTTPResponse) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.load(response)
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise _unreachable(base_url, exc) from exc
    return answer


def open_response(
    base_url: str,
    key: str,
    path: str,
    data: bytes | io.RawIOBase | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    timeout_s: float | None = None,
) -> http.client.HTTPResponse:
    """The response to a POST of the data, or to a GET. Raises as above."""
    own = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        request = urllib.request.Request(f"{_web(base_url)}/{path}", data, {**own, **headers})  # noqa: S310
        opened: http.client.HTTPResponse = _opener(base_url).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as exc:
        with exc:
            raise _refusal(exc) from exc
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise _unreachable(base_url, exc) from exc
    return opened


def _opener(base_url: str) -> urllib.request.OpenerDirector:
    """Servers on this machine are reached directly, not through the proxy of the environment."""
    host = urllib.parse.urlsplit(base_url).hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_here else []))


def _unreachable(base_url: str, exc: Exception) -> OperatorError:
    reason = getattr(exc, "reason", exc)
    return OperatorError(
        N_(
            "Can't reach {base_url} ({reason}). Check the address and whether its server is running; "
            "Myna's own starts with: myna serve",
            base_url=base_url,
            reason=reason,
        )
    )


def _refusal(exc: urllib.error.HTTPError) -> Refused:
    try:
        error = json.loads(exc.read())["error"]
        return Refused(str(error["message"]), status=exc.code, code=str(error.get("code") or ""))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return Refused(
            N_("The server returned {code} {reason}.", code=exc.code, reason=exc.reason), status=exc.code
        )


def _web(base_url: str) -> str:
    if not base_url.startswith(("http://", "https://")):
        raise OperatorError(
            N_("{base_url!r} is not a base URL; write it like http://127.0.0.1:8000/v1", base_url=base_url)
        )
    return base_url.rstrip("/")
