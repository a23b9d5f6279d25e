"""How client libraries send a conversation with tool calls back: each in its own manner."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_CALL_KEYS = ("id", "type", "function")


@dataclass(frozen=True)
class Client:
    """`turn` is the assistant's message as the library sends it back; `result` that of a call. `system` is
    the role of its instructions, if any."""

    turn: Callable[[Json], list[Json]]
    result: Callable[[Json, str], Json]
    system: str = ""
    is_stream: bool = False
    is_legacy: bool = False
    has_parts: bool = False

    def opening(self, instructions: str, question: str) -> list[Json]:
        content: Any = [{"type": "text", "text": question}] if self.has_parts else question
        system = [{"role": self.system, "content": instructions}] if self.system else []
        return [*system, {"role": "user", "content": content}]

    def declare(self, functions: Sequence[Json]) -> Json:
        if self.is_legacy:
            return {"functions": functions}
        return {"tools": [{"type": "function", "function": function} for function in functions]}

    def calls(self, message: Json) -> list[Json]:
        """The calls of an answer."""
        if self.is_legacy:
            return [{"function": message["function_call"]}] if message.get("function_call") else []
        return message.get("tool_calls") or []


def _bare(call: Json) -> Json:
    return {key: call[key] for key in _CALL_KEYS}


def _result(call: Json, text: str) -> Json:
    return {"role": "tool", "tool_call_id": call["id"], "content": text}


def _as_received(message: Json) -> list[Json]:
    return [message]


def _dump(message: Json) -> list[Json]:
    nothing: Json = {
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    return [nothing | message]


def _langchain(message: Json) -> list[Json]:
    calls = [
        _bare(call)
        | {
            "function": call["function"]
            | {"arguments": json.dumps(json.loads(call["function"]["arguments"]))}
        }
        for call in message.get("tool_calls") or []
    ]
    if not calls:
        return [{"role": "assistant", "content": message["content"] or ""}]
    return [{"role": "assistant", "content": message["content"] or None, "tool_calls": calls}]


def _empty_content(message: Json) -> list[Json]:
    calls = [_bare(call) for call in message.get("tool_calls") or []]
    return [{"role": "assistant", "content": message["content"] or "", "tool_calls": calls or None}]


def _llama_index(message: Json) -> list[Json]:
    """From its blocks; a thought's is left out."""
    calls = [
        {key: call[key] for key in ("type", "function", "id")} for call in message.get("tool_calls") or []
    ]
    content = message["content"] or (None if calls else "")
    return [{"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}]


def _litellm(message: Json) -> list[Json]:
    calls = [_bare(call) for call in message.get("tool_calls") or []]
    extra = {"function_call": None, "provider_specific_fields": None, "name": None}
    return [{"content": message["content"], "role": "assistant", "tool_calls": calls or None, **extra}]


def _ai_sdk(message: Json) -> list[Json]:
    thought = message.get("reasoning_content")
    [sent] = _empty_content(message)
    return [sent | ({"reasoning_content": thought} if thought else {})]


def _no_content(message: Json) -> list[Json]:
    calls = [_bare(call) for call in message.get("tool_calls") or []]
    text = {"content": message["content"]} if message["content"] else {}
    return [{"role": "assistant", **text, **({"tool_calls": calls} if calls else {})}]


def _apart(message: Json) -> list[Json]:
    """The text and the calls in messages of their own."""
    said = [{"role": "assistant", "content": message["content"]}] if message["content"] else []
    calls = [_bare(call) for call in message.get("tool_calls") or []]
    return said + ([{"role": "assistant", "content": None, "tool_calls": calls}] if calls else [])


def _numbered(message: Json) -> list[Json]:
    calls = [{**_bare(call), "index": i} for i, call in enumerate(message.get("tool_calls") or [])]
    return [{"role": "assistant", "content": message["content"], **({"tool_calls": calls} if calls else {})}]


def _legacy_result(call: Json, text: str) -> Json:
    return {"role": "function", "name": call["function"]["name"], "content": text}


CLIENTS = {
    "OpenAI's Python library": Client(_dump, _result, "system"),
    "OpenAI's Node library": Client(_as_received, _result, "developer", is_stream=True),
    "LangChain": Client(_langchain, _result, "system"),
    "LangChain.js": Client(_empty_content, _result, is_stream=True),
    "LlamaIndex": Client(_llama_index, _result, "system", is_stream=True),
    "LiteLLM": Client(
        _litellm, lambda call, text: _result(call, text) | {"name": call["function"]["name"]}, "system"
    ),
    "AI SDK": Client(
        _ai_sdk,
        lambda call, text: _result(call, json.dumps({"type": "text", "value": text})),
        "system",
        is_stream=True,
        has_parts=True,
    ),
    "pydantic-ai": Client(_no_content, _result),
    "OpenCode": Client(_as_received, _result, "system", is_stream=True),
    "Codex": Client(_apart, _result, "developer", is_stream=True),
    "RAGFlow": Client(_numbered, _result, "system"),
    "results as parts": Client(
        _dump, lambda call, text: _result(call, "") | {"content": [{"type": "text", "text": text}]}
    ),
    "functions": Client(_dump, _legacy_result, "system", is_legacy=True),
}
