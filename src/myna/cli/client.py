"""A small client of the API for the command line: one streamed completion, from any OpenAI-like server."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from myna.core.errors import OperatorError


def is_up(base_url: str) -> bool:
    """Whether something answers there like an HTTP server."""
    try:
        with urllib.request.urlopen(f"{_web(base_url)}/models", timeout=1):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True  # it wants a key, or knows no such path; the request itself will tell
    except OSError:
        return False


def first_model(base_url: str, key: str) -> str:
    """The id of the first model that the server lists: what it was started with."""
    request = urllib.request.Request(  # noqa: S310
        f"{_web(base_url)}/models", headers={"Authorization": f"Bearer {key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return str(json.load(response)["data"][0]["id"])
    except urllib.error.HTTPError as exc:
        raise OperatorError(_said(exc)) from exc
    except OSError as exc:
        raise _unreachable(base_url, exc) from exc
    except (ValueError, LookupError, TypeError) as exc:
        raise OperatorError(f"{base_url} is no OpenAI-compatible server: it lists no models.") from exc


def post(base_url: str, key: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
    """A whole answer. Raises `OperatorError` with the server's own words."""
    request = urllib.request.Request(  # noqa: S310
        f"{_web(base_url)}/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as exc:
        raise OperatorError(_said(exc)) from exc
    except (OSError, ValueError) as exc:
        raise _unreachable(base_url, exc) from exc


def stream_completion(base_url: str, key: str, body: Mapping[str, object]) -> Iterator[str]:
    """The texts of a streamed completion. Raises `OperatorError` with the server's own words."""
    request = urllib.request.Request(  # noqa: S310
        f"{_web(base_url)}/completions",
        json.dumps({**body, "stream": True}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310
            is_done = False
            for raw in response:
                line = raw.decode("utf-8").strip()
                if line == "data: [DONE]":
                    is_done = True
                elif line.startswith("data: "):
                    yield from _texts(json.loads(line[6:]))
            if not is_done:
                raise OperatorError(f"The server at {base_url} ended the answer before it was whole.")
    except urllib.error.HTTPError as exc:
        raise OperatorError(_said(exc)) from exc
    except OSError as exc:
        raise _unreachable(base_url, exc) from exc


def _texts(event: object) -> Iterator[str]:
    match event:
        case {"error": {"message": message}}:
            raise OperatorError(f"The server broke off: {message}")
        case {"choices": [{"text": str(text)}, *_]}:
            yield text


def _unreachable(base_url: str, exc: Exception) -> OperatorError:
    reason = getattr(exc, "reason", exc)
    return OperatorError(f"Can't reach {base_url} ({reason}); start it with: myna serve")


def _said(exc: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(exc.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {exc.code} {exc.reason}."


def _web(base_url: str) -> str:
    if not base_url.startswith(("http://", "https://")):
        raise OperatorError(f"{base_url!r} is no base URL; write it like http://127.0.0.1:8000/v1")
    return base_url.rstrip("/")
