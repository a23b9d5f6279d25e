"""Tries a chat template in a process of its own, with a deadline, and finds out what it can do.

`probe` asks; run as a module, this file is the process that answers: the template's first run is there.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.template_sandbox import RENDER_ERRORS, CompiledTemplate
from myna.prompts.thinking import Thinking, find_thinking

DEADLINE_S: Final = 20.0
MEMORY_BYTES: Final = 1 << 30

_SYSTEM, _DEVELOPER, _USER, _ASSISTANT = "probe-system", "probe-developer", "probe-user", "probe-assistant"
_TOOL, _ARGUMENTS = "probe_tool", '{"probe_key": "probe_value"}'


class TemplateFeatures(msgspec.Struct, frozen=True):
    """What a template was seen to do with small conversations.

    `arguments`: how it wants a past call's arguments (HuggingFace's templates: an object). `thinking`: None
    for one that knows no thoughts.
    """

    has_system: bool = True
    has_late_system: bool = True
    has_developer: bool = False
    has_tools: bool = False
    has_tool_calls: bool = False
    has_tool_messages: bool = False
    arguments: Literal["object", "text"] = "object"
    thinking: Thinking | None = None
    fault: str = ""


class _Question(msgspec.Struct, frozen=True):
    source: str
    bos: str
    eos: str


def probe(source: str, *, bos: str, eos: str, deadline_s: float = DEADLINE_S) -> TemplateFeatures:
    """Compile the template and render small conversations, elsewhere. Raises `ModelFileError` for one that
    fails on a single user message, does not end in time, or takes too much memory."""
    package_root = str(Path(__file__).parents[2])
    environment = {"PYTHONPATH": package_root, "PYTHONIOENCODING": "utf-8"}
    if "SYSTEMROOT" in os.environ:
        environment["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module; the template is its stdin
            [sys.executable, "-m", __name__],
            input=msgspec.json.encode(_Question(source, bos, eos)),
            capture_output=True,
            env=environment,
            timeout=deadline_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _unusable(f"it did not render a greeting within {deadline_s:g} s") from None
    try:
        features = msgspec.json.decode(done.stdout, type=TemplateFeatures)
    except msgspec.DecodeError:
        raise _unusable("rendering it ended its process (too much memory, or too deep)") from None
    if features.fault:
        raise _unusable(features.fault)
    return features


def _unusable(why: str) -> ModelFileError:
    return ModelFileError(N_("The model's chat template can't be used: {why}.", why=why))


def find_features(source: str, *, bos: str, eos: str) -> TemplateFeatures:
    """The probing itself; runs the template."""
    try:
        template = CompiledTemplate(source)
    except RENDER_ERRORS as exc:
        return TemplateFeatures(fault=f"it is no valid template ({_one_line(exc)})")

    def render(*messages: Mapping[str, object], **more: object) -> str:
        variables = {"messages": messages, "add_generation_prompt": True, "bos_token": bos, "eos_token": eos}
        return template.render(variables | more)

    def shows(needles: tuple[str, ...], *messages: Mapping[str, object], **more: object) -> bool:
        try:
            text = render(*messages, **more)
        except RENDER_ERRORS:
            return False
        return all(needle in text for needle in needles)

    def greet(variables: Mapping[str, object]) -> str:
        try:
            return render(_message("user", _USER), **variables)
        except RENDER_ERRORS:
            return ""

    try:
        render(_message("user", _USER))
    except RENDER_ERRORS as exc:
        return TemplateFeatures(fault=f"it fails on a plain greeting ({_one_line(exc)})")
    return msgspec.structs.replace(_found(source, shows), thinking=find_thinking(source, greet))


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


def _main() -> None:
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=_Question)
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    except (ImportError, ValueError, OSError):
        pass  # no such limit on this system: the deadline still holds
    features = find_features(question.source, bos=question.bos, eos=question.eos)
    sys.stdout.buffer.write(msgspec.json.encode(features))


if __name__ == "__main__":
    _main()
