"""`store: true`: the row of a chat completion, as the stored-completions API shows it."""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import orjson

from myna.api.chat.answer import ChatCompletionAccumulator, Choice
from myna.api.chat.messages import MessageParam
from myna.api.chat.schema import ChatRequest
from myna.api.chat.usage import Usage
from myna.core.errors import InvalidRequest
from myna.core.requests import Sampling
from myna.core.stored import StoredCompletion
from myna.generation.json_parts import json_parts
from myna.generation.storing import replay, signed_seed
from myna.http.rendering import render_off_loop
from myna.request.context import RequestContext

MAX_STORED_REQUEST_BYTES: Final = 4 << 20
"""Some fields are not limited by the context, and a request is stored whole, parts of it twice."""

log = logging.getLogger("myna.serving")


def check_storable(sent: Mapping[str, object]) -> None:
    """Raises `InvalidRequest` for a body that is too large to be stored. Slow for a large body."""
    num_bytes = len(orjson.dumps(sent))
    if num_bytes > MAX_STORED_REQUEST_BYTES:
        raise InvalidRequest(
            f"A request with 'store' may have at most {MAX_STORED_REQUEST_BYTES} bytes, but this one has "
            f"{num_bytes}. Shorten it, or send it without 'store'.",
            param="store",
            code="request_too_large_to_store",
        )


async def may_store(context: RequestContext, sent: Mapping[str, object]) -> bool:
    """Whether the answer will be stored; a hint in the response says why not. Raises `InvalidRequest` for a
    body that is too large to be stored."""
    await context.in_text_thread(check_storable, sent)
    if await context.services.store_writer.has_room(context.principal.project):
        return True
    context.record.hint(
        "This answer is not stored: what the project has stored has reached the server's limit "
        "(max_stored). Delete some, or send requests without 'store'."
    )
    return False


async def store(
    context: RequestContext,
    request: ChatRequest,
    sent: dict[str, Any],
    sampling: Sampling,
    accumulator: ChatCompletionAccumulator,
) -> None:
    """Store the answer in the project's stored completions. `sent` is the request's body, `sampling` what was
    used. Never raises: failing to store must not fail the response."""
    writer, project = context.services.store_writer, context.principal.project
    try:
        item, size = list[bytes](), 0
        parts = item_parts(accumulator, request, sent, sampling, context.id)
        async for part in render_off_loop(parts, context.services.text_threads):
            item.append(part)
            size += len(part)
            if size > writer.max_row_bytes:
                writer.drop_large()
                return
        row = await context.in_text_thread(
            _row, accumulator, request, sent, sampling, b"".join(item), project
        )
        await writer.put(project, row.num_bytes, partial(context.services.completions.put, row))
    except Exception:
        log.exception("the answer to %s could not be stored", context.id)


def item_parts(
    accumulator: ChatCompletionAccumulator,
    request: ChatRequest,
    sent: dict[str, Any],
    sampling: Sampling,
    request_id: str,
) -> Iterator[bytes]:
    """The JSON of the item; OpenAI's stored completions have another order of keys than responses."""
    answer = accumulator.completion()
    item = {
        "object": "chat.completion",
        "id": answer.id,
        "model": answer.model,
        "created": answer.created,
        "request_id": request_id,
        "tool_choice": sent.get("tool_choice"),
        "usage": _usage(answer.usage),
        "seed": signed_seed(sampling.seed),
        "top_p": sampling.top_p,
        "temperature": sampling.temperature,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "system_fingerprint": answer.system_fingerprint,
        "input_user": request.user,
        "service_tier": answer.service_tier,
        "tools": None if not request.tools else [_tool(tool) for tool in sent["tools"]],
        "metadata": None,
        "choices": answer.choices.then(_choice),
        "response_format": sent.get("response_format"),
    }
    return json_parts(item, is_indented=False)


def _row(
    accumulator: ChatCompletionAccumulator,
    request: ChatRequest,
    sent: dict[str, Any],
    sampling: Sampling,
    item: bytes,
    project: str,
) -> StoredCompletion:
    answer = accumulator.completion()
    return StoredCompletion(
        id=answer.id,
        project=project,
        created=answer.created,
        model=answer.model,
        item=item,
        messages=orjson.dumps([_message(message) for message in request.messages]),
        replay=replay(sent, sampling),
        metadata=dict(request.metadata),
    )


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "total_tokens": usage.total_tokens,
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens": usage.prompt_tokens,
    }


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] == "custom":
        return {"type": "custom", "custom": tool["custom"]}
    function = tool["function"]
    shown = {name: function.get(name) for name in ("parameters", "description", "name")}
    return {"type": "function", "function": shown}


def _choice(choice: Choice) -> dict[str, Any]:
    message = choice.message
    calls = [
        {"type": call.type, call.type: call.custom if call.type == "custom" else call.function, "id": call.id}
        for call in message.tool_calls or ()
    ]
    shown = {
        "content": message.content,
        "role": "assistant",
        "tool_calls": calls or None,
        "function_call": message.function_call or None,
    }
    return {
        "index": choice.index,
        "message": shown,
        "finish_reason": choice.finish_reason,
        "logprobs": choice.logprobs,
    }


def _message(message: MessageParam) -> dict[str, Any]:
    parts = None
    if isinstance(message.content, list):
        kinds = ("type", "text", "image_url", "input_audio", "file")
        parts = [{kind: getattr(part, kind) for kind in kinds} for part in message.content]
    content = message.text() if message.content is not None else None
    return {"role": message.role, "content": content, "content_parts": parts, "name": message.name}
