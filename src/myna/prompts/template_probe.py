"""Detects what a chat template supports by rendering small conversations. Runs the template, so only
`render_process` may use it."""

from collections.abc import Mapping, Sequence

import msgspec

from myna.core.renderer import Thinking
from myna.prompts.call_probe import find_call_format
from myna.prompts.conversation import TemplateForms, chat_variables
from myna.prompts.template_forms import (
    find_basic_forms,
    find_call_forms,
    find_thought_key,
    find_tool_forms,
    find_tools_name,
)
from myna.prompts.template_sandbox import RENDER_ERRORS, CompiledTemplate
from myna.prompts.thinking import find_thinking


class TemplateFeatures(msgspec.Struct, frozen=True):
    """What a template supports, and the form in which it takes values.

    `has_calls`: it shows the calls of earlier turns. `thinking`: None if it doesn't support thoughts.
    `call_format`: that of `call_formats.table` in which it writes calls; "" if it writes none, or in an
    unknown one."""

    has_developer: bool = False
    has_tools: bool = False
    has_calls: bool = False
    forms: TemplateForms = TemplateForms()
    thinking: Thinking | None = None
    call_format: str = ""
    fault: str = ""


def find_features(source: str, *, bos: str, eos: str) -> TemplateFeatures:
    """Compile and run the template. `fault` is why it can't be used."""
    try:
        template = CompiledTemplate(source)
    except RENDER_ERRORS as exc:
        return TemplateFeatures(fault=f"it is not a valid template ({_one_line(exc)})")
    fixed = {"add_generation_prompt": True, "bos_token": bos, "eos_token": eos}
    fault = "it doesn't show the text of a simple message"

    def write(variables: Mapping[str, object]) -> str | None:
        nonlocal fault
        try:
            return template.render({**fixed, **variables})
        except RENDER_ERRORS as exc:
            fault = f"it fails on a simple message ({_one_line(exc)})"
            return None

    basic = find_basic_forms(write)
    if basic is None:
        return TemplateFeatures(fault=fault)

    with_tools = find_tools_name(write, basic)
    basic = with_tools or basic

    def render(*messages: Mapping[str, object], **more: object) -> str:
        if basic.tools_name != "tools" and "tools" in more:
            more = {**more, basic.tools_name: more["tools"]}
        given = map(_with_parts, messages) if basic.content == "parts" else messages
        return template.render({**fixed, **chat_variables((), (), basic), **more, "messages": list(given)})

    def attempt(
        messages: Sequence[Mapping[str, object]], switches: Mapping[str, object], is_prompt: bool
    ) -> str:
        try:
            return render(*messages, **{**switches, "add_generation_prompt": is_prompt})
        except RENDER_ERRORS:
            return ""

    has_tools = with_tools is not None
    calls = find_call_forms(write, basic, has_tools=has_tools)
    forms = find_tool_forms(write, find_thought_key(write, calls or basic))
    return TemplateFeatures(
        has_developer="developer" in source,
        has_tools=has_tools,
        has_calls=calls is not None,
        forms=forms,
        thinking=find_thinking(source, attempt),
        call_format=find_call_format(render),
    )


def _with_parts(message: Mapping[str, object]) -> dict[str, object]:
    content = message["content"]
    return {
        **message,
        "content": [{"type": "text", "text": content}] if isinstance(content, str) else content,
    }


def _one_line(exc: Exception) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
