"""Detects what a chat template supports by rendering small conversations. Runs the template, so only
`render_process` may use it."""

from collections.abc import Mapping

import msgspec

from myna.core.renderer import Thinking
from myna.prompts.conversation import TemplateForms
from myna.prompts.template_forms import find_basic_forms, find_call_forms, find_thought_key, shows_tools
from myna.prompts.template_sandbox import RENDER_ERRORS, CompiledTemplate
from myna.prompts.thinking import find_thinking


class TemplateFeatures(msgspec.Struct, frozen=True):
    """What a template supports, and the form in which it takes values.

    `has_calls`: it shows the calls of earlier turns; `thinking`: None if it doesn't support thoughts."""

    has_developer: bool = False
    has_tools: bool = False
    has_calls: bool = False
    forms: TemplateForms = TemplateForms()
    thinking: Thinking | None = None
    fault: str = ""


def find_features(source: str, *, bos: str, eos: str) -> TemplateFeatures:
    """Compile and run the template. `fault` is why it can't be used."""
    try:
        template = CompiledTemplate(source)
    except RENDER_ERRORS as exc:
        return TemplateFeatures(fault=f"it is not a valid template ({_one_line(exc)})")
    fault = "it doesn't show the text of a simple message"

    def write(variables: Mapping[str, object]) -> str | None:
        nonlocal fault
        try:
            return template.render(
                {"add_generation_prompt": True, "bos_token": bos, "eos_token": eos, **variables}
            )
        except RENDER_ERRORS as exc:
            fault = f"it fails on a simple message ({_one_line(exc)})"
            return None

    basic = find_basic_forms(write)
    if basic is None:
        return TemplateFeatures(fault=fault)

    def greet(variables: Mapping[str, object]) -> str:
        content: object = "hello" if basic.content == "text" else [{"type": "text", "text": "hello"}]
        return write({"messages": [{"role": "user", "content": content}], **variables}) or ""

    has_tools = shows_tools(write, basic)
    calls = find_call_forms(write, basic, has_tools=has_tools)
    return TemplateFeatures(
        has_developer="developer" in source,
        has_tools=has_tools,
        has_calls=calls is not None,
        forms=find_thought_key(write, calls or basic),
        thinking=find_thinking(source, greet),
    )


def _one_line(exc: Exception) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
