"""Converts a chat request to the types of `core` and `generation`. Pure."""

import json
from collections.abc import Sequence

from myna.api.chat.messages import MessageParam
from myna.api.chat.response_spec import ResponseSpec
from myna.api.chat.schema import ChatRequest
from myna.api.chat.tools import Function, FunctionSpec, NamedTool, Tool, ToolChoiceParam
from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.core.errors import InvalidRequest
from myna.core.requests import Sampling
from myna.generation.conversation import ConversationRequest
from myna.generation.sampling import to_sampling
from myna.generation.structured_outputs import structured_answer
from myna.generation.tool_choice import (
    ANY_TOOL,
    Answer,
    AnswerFormat,
    DeclaredTool,
    Mode,
    ResolvedTools,
    ToolChoice,
)
from myna.prompts.custom_input import as_arguments, grammar_tool, text_tool
from myna.prompts.tools import NO_PARAMETERS


def to_messages(messages: Sequence[MessageParam]) -> list[Message]:
    """The conversation as templates need it: all calls have ids, including those of `functions`."""
    conversation, num_functions = list[Message](), 0
    for message in messages:
        num_functions += message.function_call is not None
        is_result = message.role == "function"
        conversation.append(
            Message.of(
                role="tool" if is_result else message.role,
                text=None if message.content is None and message.refusal is None else _text(message),
                name=message.name,
                tool_calls=_calls(message, num_functions),
                tool_call_id=_function_id(num_functions) if is_result else message.tool_call_id,
                reasoning=message.reasoning_content or message.reasoning,
            )
        )
    return conversation


def _calls(message: MessageParam, num_functions: int) -> tuple[ToolCall, ...]:
    if message.function_call is not None:
        call = message.function_call
        return (ToolCall(_function_id(num_functions), call.name, call.arguments),)
    calls = []
    for tool_call in message.tool_calls or ():
        if tool_call.function is not None:
            calls.append(ToolCall(tool_call.id, tool_call.function.name, tool_call.function.arguments))
        elif tool_call.custom is not None:
            calls.append(ToolCall(tool_call.id, tool_call.custom.name, as_arguments(tool_call.custom.input)))
    return tuple(calls)


def _function_id(number: int) -> str:
    """An id for a call without one, of a length that all templates accept."""
    return f"call{number:05}"


def _text(message: MessageParam) -> str:
    """The content, or the refusal if there is none."""
    return message.text() or message.refusal or ""


def declared_tools(request: ChatRequest) -> tuple[DeclaredTool, ...]:
    """The tools of a request, including its `functions`, the older form."""
    functions = [
        DeclaredTool(_function_spec(function), f"functions[{i}].parameters", function.parameters)
        for i, function in enumerate(request.functions or ())
    ]
    return (*functions, *(_declared(i, tool) for i, tool in enumerate(request.tools or ())))


def _declared(i: int, tool: Tool) -> DeclaredTool:
    custom = tool.custom if tool.type == "custom" else None
    if custom is None:
        assert tool.function is not None
        place = f"tools[{i}].function.parameters"
        return DeclaredTool(_function_spec(tool.function), place, tool.function.parameters)
    description, grammar = custom.description or "", custom.format.grammar if custom.format else None
    spec = (
        text_tool(custom.name, description)
        if grammar is None
        else grammar_tool(custom.name, description, grammar.syntax, grammar.definition)
    )
    return DeclaredTool(spec, f"tools[{i}].custom.format.grammar.definition")


def _function_spec(function: Function) -> ToolSpec:
    parameters = json.dumps(function.parameters, ensure_ascii=False) if function.parameters else NO_PARAMETERS
    is_strict = isinstance(function, FunctionSpec) and bool(function.strict)
    return ToolSpec(function.name, function.description or "", parameters, is_strict)


def tool_choice(request: ChatRequest) -> ToolChoice:
    """The choice made by `tool_choice` or by the older `function_call`."""
    choice, call = request.tool_choice, request.function_call
    if call is not None:
        if call.name is not None:
            return ToolChoice("required", ((True, call.name),), is_single=True)
        return ToolChoice(_mode(call.mode))
    if choice is None:
        return ANY_TOOL
    if choice.allowed_tools is not None:
        allowed = choice.allowed_tools
        return ToolChoice(_mode(allowed.mode), tuple(_key(tool) for tool in allowed.tools))
    if choice.type in ("function", "custom"):
        return ToolChoice("required", (_key(choice),), is_single=True)
    return ToolChoice(_mode(choice.type))


def _key(tool: NamedTool | ToolChoiceParam) -> tuple[bool, str]:
    named = tool.function if tool.type == "function" else tool.custom
    return tool.type == "function", named.name if named is not None else ""


def _mode(text: str | None) -> Mode:
    return "none" if text == "none" else "required" if text == "required" else "auto"


def answer_format(request: ChatRequest) -> Answer | None:
    """The format requested by `response_format` or by an extension; None for text. Raises `InvalidRequest` if
    both request one."""
    structured, response_format = structured_answer(request), request.response_format
    if response_format is None or response_format.type == "text":
        return structured
    if structured is not None:
        raise InvalidRequest(
            "Setting 'response_format' and another format of the answer at the same time is not supported.",
            param="response_format",
            code="invalid_parameter_combination",
        )
    if response_format.json_schema is None:
        return AnswerFormat("response_format", "json_object", response_format.schema_)
    schema = response_format.json_schema
    return AnswerFormat("response_format", schema.name, schema.schema_, bool(schema.strict))


def to_response_spec(
    request: ChatRequest,
    tools: ResolvedTools | None,
    *,
    id: str,
    created: int,
    model: str,
    service_tier: str,
    fingerprint: str | None,
) -> ResponseSpec:
    """The format of the response."""
    options = request.stream_options
    return ResponseSpec(
        id=id,
        created=created,
        model=model,
        service_tier=service_tier,
        fingerprint=fingerprint,
        num_choices=request.n or 1,
        wants_logprobs=bool(request.logprobs),
        include_usage=bool(options and options.include_usage),
        obfuscate=not (options and options.include_obfuscation is False),
        tools=tools if tools is not None and tools.callable else None,
        has_functions=bool(request.functions),
    )


def to_conversation(
    request: ChatRequest, defaults: Sampling, service_tier: str = "default"
) -> ConversationRequest:
    """The request in the form that all endpoints share. `defaults` are the model's; `service_tier` is the one
    that serves the request."""
    return ConversationRequest(
        messages=to_messages(request.messages),
        sampling=to_sampling(request, defaults),
        requested_tokens=requested_tokens(request),
        num_choices=request.n or 1,
        num_logprobs=num_logprobs(request),
        stop=request.stop,
        stop_token_ids=request.stop_token_ids,
        min_tokens=request.min_tokens or 0,
        tools=declared_tools(request),
        tool_choice=tool_choice(request),
        is_parallel=request.parallel_tool_calls is not False and not request.functions,
        answer=answer_format(request),
        effort=request.reasoning_effort,
        thinks=thinks(request),
        template_variables=request.chat_template_kwargs or {},
        service_tier=service_tier,
        prediction=request.prediction.text() if request.prediction else None,
        ignore_eos=bool(request.ignore_eos),
        is_stream=bool(request.stream),
    )


def thinks(request: ChatRequest) -> bool | None:
    """Whether the request switches reasoning on or off, itself or in a variable that templates use."""
    variables = request.chat_template_kwargs or {}
    values = (request.enable_thinking, variables.get("enable_thinking"), variables.get("thinking"))
    return next((value for value in values if isinstance(value, bool)), None)


def num_logprobs(request: ChatRequest) -> int | None:
    """The number of top log-probabilities, as in `GenerationRequest`."""
    return (request.top_logprobs or 0) if request.logprobs else None


def requested_tokens(request: ChatRequest) -> int | None:
    """The token limit, by either of its two names; None: what the context allows."""
    return request.max_completion_tokens if request.max_tokens is None else request.max_tokens
