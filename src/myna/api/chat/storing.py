"""`store: true`: the answer is kept before its end is told, as the stored-completions API shows it."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from myna.api.chat.answer import AnswerFold
from myna.api.chat.messages import Message
from myna.api.chat.schema import ChatRequest
from myna.core.events import Done, Event
from myna.core.generator import EventStream
from myna.core.stored import StoredCompletion
from myna.serving.call import Call

Keep = Callable[[bytes], Awaitable[None]]


class Kept:
    """The stream itself. Its last event comes when the answer is in the store, so that whoever saw the
    end can ask for it; an answer that broke off is not kept."""

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
            await self._keep(self._fold.body())
        return event

    async def aclose(self) -> None:
        await self._stream.aclose()


def keeper(call: Call, request: ChatRequest, sent: dict[str, Any], seed: int) -> Keep:
    """Puts an answer's body into the store of the call's project. `seed` is the one that was drawn with."""

    async def keep(body: bytes) -> None:
        row = to_stored(
            orjson.loads(body), request, sent, seed, project=call.principal.project, request_id=call.id
        )
        await call.in_text_thread(call.services.completions.put, row)

    return keep


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
