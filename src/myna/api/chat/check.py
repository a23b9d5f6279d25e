"""Checks of a chat request beyond its single fields. Pure; raises the first error."""

from collections.abc import Iterable
from typing import Final

from myna.api.chat.messages import MessageParam
from myna.api.chat.schema import ChatRequest
from myna.core.errors import InvalidRequest
from myna.core.generator import ModelInfo
from myna.generation.budgets import AnswerLimits
from myna.generation.sampling import check_biased_tokens, check_stop_tokens
from myna.wire import validation_errors

_UNSUPPORTED_PARTS: Final = ("image_url", "input_audio", "file")


def check_combinations(request: ChatRequest) -> None:
    """Raise for parameters that exclude or require each other."""
    if request.max_tokens is not None and request.max_completion_tokens is not None:
        raise InvalidRequest(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            param="max_tokens",
            code="invalid_parameter_combination",
        )
    for name, others in (
        ("tool_choice", "tools"), ("parallel_tool_calls", "tools"), ("function_call", "functions"),
    ):  # fmt: skip
        if not getattr(request, others) and getattr(request, name) is not None:
            raise InvalidRequest(
                f"Invalid value for '{name}': '{name}' is only allowed when '{others}' are specified.",
                param=name,
            )
    if request.tools and request.functions:
        raise InvalidRequest(
            "Setting 'functions' and 'tools' at the same time is not supported.",
            param="functions",
            code="invalid_parameter_combination",
        )
    if request.top_logprobs is not None and not request.logprobs:
        raise _only_with("top_logprobs", "logprobs")
    if request.stream_options is not None and not request.stream:
        raise _only_with("stream_options", "stream")
    _check_prediction(request)
    form = request.response_format
    is_any_object = form is not None and form.type == "json_object" and form.schema_ is None
    if is_any_object and not _mentions_json(request.messages):
        raise InvalidRequest(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
            "'json_object'.",
            param="messages",
        )


def _check_prediction(request: ChatRequest) -> None:
    """Raise for parameters that OpenAI documents as unsupported with a prediction."""
    if request.prediction is None:
        return
    incompatible: dict[str, object] = {
        "n": (request.n or 1) > 1,
        "logprobs": request.logprobs,
        "tools": request.tools,
        "functions": request.functions,
        "presence_penalty": (request.presence_penalty or 0) > 0,
        "frequency_penalty": (request.frequency_penalty or 0) > 0,
        "max_completion_tokens": request.max_completion_tokens,
    }
    for name, is_set in incompatible.items():
        if is_set:
            raise InvalidRequest(
                f"Setting 'prediction' and '{name}' at the same time is not supported.",
                param=name,
                code="invalid_parameter_combination",
            )


def check_model_support(request: ChatRequest, info: ModelInfo, limits: AnswerLimits) -> None:
    """Raise for what this model or server doesn't support."""
    for name in ("max_completion_tokens", "max_tokens"):
        limits.check(name, getattr(request, name))
    check_biased_tokens(request.logit_bias, info.vocab_size)
    check_stop_tokens(request.stop_token_ids, info.vocab_size)
    for i, message in enumerate(request.messages):
        if message.audio is not None:
            raise validation_errors.unsupported().at_param(f"messages[{i}].audio")
        if isinstance(message.content, list):
            for j, part in enumerate(message.content):
                if part.type in _UNSUPPORTED_PARTS:
                    raise InvalidRequest(
                        f"Invalid content type. {part.type} is only supported by certain models.",
                        param=f"messages.[{i}].content.[{j}].type",
                    )


def check_conversation(messages: list[MessageParam]) -> None:
    """Raise for tool messages without a call, calls without a tool message, and missing content."""
    _check_calls(messages)
    for i, message in enumerate(messages):
        extras, thoughts = _assistant_only_keys(message), _thoughts(message)
        if message.content is None and not (message.role == "assistant" and (extras or thoughts)):
            raise InvalidRequest(
                "Invalid value for 'content': expected a string, got null.", param=f"messages.[{i}].content"
            )
        if message.role != "assistant" and (extras := extras + thoughts):
            raise validation_errors.unknown().at_param(f"messages[{i}].{extras[0]}")
        if message.role != "tool" and message.tool_call_id is not None:
            raise validation_errors.unknown().at_param(f"messages[{i}].tool_call_id")


def _assistant_only_keys(message: MessageParam) -> list[str]:
    """The keys that only an assistant's message may have, instead of content."""
    keys = {
        "tool_calls": message.tool_calls,
        "function_call": message.function_call,
        "refusal": message.refusal,
    }
    return [key for key, value in keys.items() if value is not None]


def _thoughts(message: MessageParam) -> list[str]:
    return [key for key in ("reasoning_content", "reasoning") if getattr(message, key) is not None]


def _check_calls(messages: list[MessageParam]) -> None:
    unanswered: list[str] = []
    answered: dict[str, int] = {}
    for i, message in enumerate(messages):
        if message.role == "tool":
            _check_answer(i, message, unanswered, answered)
            continue
        _reject_unanswered(i, unanswered)
        answered = {}
        if message.role == "assistant" and message.tool_calls:
            unanswered = [call.id for call in message.tool_calls]
    _reject_unanswered(len(messages), unanswered)


def _check_answer(i: int, message: MessageParam, unanswered: list[str], answered: dict[str, int]) -> None:
    """Check a tool message; moves its call from `unanswered` to `answered`."""
    call = message.tool_call_id or ""
    if call in unanswered:
        unanswered.remove(call)
        answered[call] = i
    elif call in answered:
        raise InvalidRequest(
            f"Invalid parameter: Duplicate value for 'tool_call_id' of '{call}', "
            f"in messages[{answered[call]}] and messages[{i}].",
            param=f"messages.[{i}].tool_call_id",
        )
    elif not unanswered and not answered:
        raise InvalidRequest(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
            "'tool_calls'.",
            param=f"messages.[{i}].role",
        )
    else:
        raise InvalidRequest(
            f"Invalid parameter: 'tool_call_id' of '{validation_errors.echoed(call)}' not found in "
            "'tool_calls' of previous message.",
            param=f"messages.[{i}].tool_call_id",
        )


def _reject_unanswered(i: int, unanswered: list[str]) -> None:
    """`i` is the index of the message found instead of a tool message."""
    if unanswered:
        raise InvalidRequest(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(unanswered)}",
            param=f"messages.[{i - 1}].role",
        )


def _only_with(name: str, other: str) -> InvalidRequest:
    return InvalidRequest(f"The '{name}' parameter is only allowed when '{other}' is enabled.", param=name)


def _mentions_json(messages: Iterable[MessageParam]) -> bool:
    return any("json" in message.text().lower() for message in messages)
