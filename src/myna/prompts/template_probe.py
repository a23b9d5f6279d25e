"""Detects what a chat template supports by rendering small conversations. Runs the template, so only
`render_process` may use it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from myna.core.renderer import Thinking
from myna.prompts.call_probe import find_call_format
from myna.prompts.template_sandbox import RENDER_ERRORS, CompiledTemplate
from myna.prompts.thinking import find_thinking

_SYSTEM, _DEVELOPER, _USER, _ASSISTANT = "probe-system", "probe-developer", "probe-user", "probe-assistant"
_TOOL, _ARGUMENTS = "probe_tool", '{"probe_key": "probe_value"}'


class TemplateFeatures(msgspec.Struct, frozen=True):
    """What a template supports.

    `arguments`: the form in which it expects the arguments of earlier calls (HuggingFace's templates: an
    object). `thinking`: None if it doesn't support thoughts. `call_format`: that of `call_formats.table` in
    which it writes calls; "" if it writes none, or in an unknown one."""

    has_system: bool = True
    has_late_system: bool = True
    has_developer: bool = False
    has_tools: bool = False
    has_tool_calls: bool = False
    has_tool_messages: bool = False
    arguments: Literal["object", "text"] = "object"
    thinking: Thinking | None = None
    fault: str = ""
    call_format: str = ""


def find_features(source: str, *, bos: str, eos: str) -> TemplateFeatures:
    """Compile and run the template. `fault` is why it can't be used."""
    try:
        template = CompiledTemplate(source)
    except RENDER_ERRORS as exc:
        return TemplateFeatures(fault=f"it is not a valid template ({_one_line(exc)})")

    def render(*messages: Mapping[str, object], **more: object) -> str:
        variables = {"messages": messages, "add_generation_prompt": True, "bos_token": bos, "eos_token": eos}
        return template.render(variables | more)

    def shows(needles: tuple[str, ...], *messages: Mapping[str, object], **more: object) -> bool:
        try:
            text = render(*messages, **more)
        except RENDER_ERRORS:
            return False
        return all(needle in text for needle in needles)

    def attempt(
        messages: Sequence[Mapping[str, object]], switches: Mapping[str, object], is_prompt: bool
    ) -> str:
        try:
            return render(*messages, **{**switches, "add_generation_prompt": is_prompt})
        except RENDER_ERRORS:
            return ""

    try:
        render(_message("user", _USER))
    except RENDER_ERRORS as exc:
        return TemplateFeatures(fault=f"it fails on a simple message ({_one_line(exc)})")
    return msgspec.structs.replace(
        _found(source, shows),
        thinking=find_thinking(source, attempt),
        call_format=find_call_format(render),
    )


def _found(source: str, shows: Callable[..., bool]) -> TemplateFeatures:
    user, assistant = _message("user", _USER), _message("assistant", _ASSISTANT)
    system, developer = _message("system", _SYSTEM), _message("developer", _DEVELOPER)
    spec = {"name": _TOOL, "description": "", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": spec}]
    as_text, as_object = _call(_ARGUMENTS), _call({"probe_key": "probe_value"})
    answer = _message("tool", "probe-result") | {"tool_call_id": "call00001", "name": _TOOL}
    object_shown = shows((_TOOL, _ARGUMENTS), user, as_object, answer, user, tools=tools)
    text_shown = shows((_TOOL, _ARGUMENTS), user, as_text, answer, user, tools=tools)
    return TemplateFeatures(
        has_system=shows((_SYSTEM, _USER), system, user),
        has_late_system=shows((_SYSTEM,), user, assistant, system, user),
        has_developer="developer" in source and shows((_DEVELOPER, _USER), developer, user),
        has_tools=shows((_TOOL,), user, tools=tools),
        has_tool_calls=object_shown or text_shown,
        has_tool_messages="tool" in source
        and shows(("probe-result",), user, as_object if object_shown else as_text, answer),
        arguments="text" if text_shown and not object_shown else "object",
    )


def _message(role: str, content: str) -> dict[str, object]:
    return {"role": role, "content": content}


def _call(arguments: object) -> dict[str, object]:
    function = {"name": _TOOL, "arguments": arguments}
    call = {"id": "call00001", "type": "function", "function": function}
    return _message("assistant", "") | {"tool_calls": [call]}


def _one_line(exc: Exception) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
