"""`store: true`: a copy of the answer, as the stored-completions API shows it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from myna.api.chat.answer import AnswerFold
from myna.api.chat.messages import Message
from myna.api.chat.schema import ChatRequest
from myna.core.errors import InvalidRequest
from myna.core.events import Done, Event
from myna.core.generator import EventStream
from myna.core.stored import StoredCompletion
from myna.serving.call import Call

MAX_STORED_REQUEST_BYTES: Final = 4 << 20
"""Some fields are bounded by no context, and a request is stored whole, twice in part."""

log = logging.getLogger("myna.serving")

Keep = Callable[[Callable[[], bytes]], Awaitable[None]]


class Kept:
    """The stream itself. Its last event waits a moment for the store, so that a client that has seen the end
    can ask for the copy; it comes in any case. An answer that broke off is not kept."""

    def __init__(self, stream: EventStream, fold: AnswerFold, keep: Keep) -> None:
        self._stream = stream
        self._fold = fold
        self._keep = keep

    def __aiter__(self) -> "Kept":
        return self

    async def __anext__(self) -> Event:
        event = await self._stream.__anext__()
        self._fold.feed(event)
        if isinstance(event, Done):
            await self._keep(self._fold.body)
        return event

    async def aclose(self) -> None:
        await self._stream.aclose()


def keeper(call: Call, request: ChatRequest, sent: dict[str, Any], seed: int) -> Keep:
    """Puts an answer's body into the store of the call's project. `seed` is the one that was drawn with.
    Raises nothing: the answer is whole, and its copy is worth less."""

    def to_row(body: Callable[[], bytes]) -> StoredCompletion:
        project = call.principal.project
        return to_stored(orjson.loads(body()), request, sent, seed, project=project, request_id=call.id)

    async def keep(body: Callable[[], bytes]) -> None:
        try:
            row = await call.in_text_thread(to_row, body)
            await call.services.completion_writer.put(row)
        except Exception:
            log.exception("the answer to %s could not be stored", call.id)

    return keep


def check_storable(sent: Mapping[str, object]) -> None:
    """Raises `InvalidRequest` for a body that is too large to be stored. Takes a while if it is large."""
    num_bytes = len(orjson.dumps(sent))
    if num_bytes > MAX_STORED_REQUEST_BYTES:
        raise InvalidRequest(
            f"A request with 'store' may have at most {MAX_STORED_REQUEST_BYTES} bytes, and this one has "
            f"{num_bytes}. Shorten it, or send it without 'store'.",
            param="store",
            code="request_too_large_to_store",
        )


def to_stored(
    answer: dict[str, Any],
    request: ChatRequest,
    sent: dict[str, Any],
    seed: int,
    *,
    project: str,
    request_id: str,
) -> StoredCompletion:
    """The row of an answer; its keys stand in the service's own order, which is not that of the answer.
    `sent` is the request's body: with the seed filled in it is what `replay` sends again."""
    item = {
        "object": "chat.completion",
        "id": answer["id"],
        "model": answer["model"],
        "created": answer["created"],
        "request_id": request_id,
        "tool_choice": sent.get("tool_choice"),
        "usage": {
            name: answer["usage"][name] for name in ("total_tokens", "completion_tokens", "prompt_tokens")
        },
        "seed": _signed(seed),
        "top_p": _number(request.top_p, 1.0),
        "temperature": _number(request.temperature, 1.0),
        "presence_penalty": _number(request.presence_penalty, 0.0),
        "frequency_penalty": _number(request.frequency_penalty, 0.0),
        "system_fingerprint": answer["system_fingerprint"],
        "input_user": request.user,
        "service_tier": answer["service_tier"],
        "tools": None if not request.tools else [_tool(tool) for tool in sent["tools"]],
        "metadata": None,
        "choices": [_choice(choice) for choice in answer["choices"]],
        "response_format": sent.get("response_format"),
    }
    replay = {
        name: value for name, value in sent.items() if name not in ("store", "stream", "stream_options")
    }
    return StoredCompletion(
        id=answer["id"],
        project=project,
        created=answer["created"],
        model=answer["model"],
        item=orjson.dumps(item),
        messages=orjson.dumps([_message(message) for message in request.messages]),
        replay=orjson.dumps({**replay, "seed": _signed(seed)}),
        metadata=dict(request.metadata),
    )


def _number(value: float | None, default: float) -> float:
    return default if value is None else float(value)


def _signed(seed: int) -> int:
    """A seed as OpenAI shows and takes it: 64 bits with a sign."""
    return seed - 2**64 if seed >= 2**63 else seed


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] == "custom":
        return {"type": "custom", "custom": tool["custom"]}
    function = tool["function"]
    shown = {name: function.get(name) for name in ("parameters", "description", "name")}
    return {"type": "function", "function": shown}


def _choice(choice: dict[str, Any]) -> dict[str, Any]:
    message = choice["message"]
    calls = [
        {"type": call["type"], call["type"]: call[call["type"]], "id": call["id"]}
        for call in message.get("tool_calls", ())
    ]
    shown = {
        "content": message["content"],
        "role": "assistant",
        "tool_calls": calls or None,
        "function_call": message.get("function_call"),
    }
    return {
        "index": choice["index"],
        "message": shown,
        "finish_reason": choice["finish_reason"],
        "logprobs": choice["logprobs"],
    }


def _message(message: Message) -> dict[str, Any]:
    parts = None
    if isinstance(message.content, list):
        kinds = ("type", "text", "image_url", "input_audio", "file")
        parts = [{kind: getattr(part, kind) for kind in kinds} for part in message.content]
    content = message.text() if message.content is not None else None
    return {"role": message.role, "content": content, "content_parts": parts, "name": message.name}
