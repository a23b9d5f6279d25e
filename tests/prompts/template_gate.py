"""What Myna makes of conversations with each chat template that llama.cpp publishes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tests.conftest import llama_cpp_models
from tests.prompts.conversations import CONVERSATIONS, Conversation
from tests.prompts.own_rendering import BOS, EOS, OwnTemplate, shows_all

from myna.core.errors import InvalidRequest
from myna.prompts.render_frames import Kind
from myna.prompts.render_pool import TemplateFault
from myna.prompts.render_process import Templates
from myna.prompts.template import ChatTemplate
from myna.prompts.template_probe import find_features
from myna.prompts.template_sandbox import TemplateRefusal

# The template's own rendering, rewritten for it, refused by name, or an error in Myna.
Outcome = Literal["own", "rewritten", "refused", "wrong"]

# Templates that by design put instructions into the last question.
MOVES_INSTRUCTIONS = ("mistralai-Mistral-Nemo-Instruct-2407",)
# Templates that take a single call a turn: results follow their calls.
ONE_CALL = (
    "GigaChat3-10B-A1.8B",
    "GigaChat3.1-10B-A1.8B",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "openai-gpt-oss-120b",
)
_INSTRUCTIONS = frozenset({"system", "developer"})


def template_paths() -> list[Path]:
    return sorted((llama_cpp_models() / "templates").glob("*.jinja"))


@dataclass(frozen=True)
class Result:
    outcome: Outcome
    prompt: str = ""
    error: InvalidRequest | None = None


def in_process(source: str) -> ChatTemplate:
    """The template without a process of its own, which would make thousands of renderings slow."""
    features = find_features(source, bos=BOS, eos=EOS)
    assert not features.fault
    return ChatTemplate(source, features, bos=BOS, eos=EOS, render_values=_renders(source))


@cache
def published(path: Path) -> ChatTemplate:
    return in_process(path.read_text(encoding="utf-8"))


@cache
def outcomes(path: Path) -> dict[str, Result]:
    """By conversation."""
    template = published(path)
    own = OwnTemplate(template.source)
    return {name: _result(path.stem, template, own, made) for name, made in CONVERSATIONS.items()}


def _result(name: str, template: ChatTemplate, own: OwnTemplate, conversation: Conversation) -> Result:
    moving = _INSTRUCTIONS if name in MOVES_INSTRUCTIONS else frozenset[str]()
    expected = next(own.renderings(conversation, moving=moving), None)
    try:
        prompt = template.render(conversation.messages, tools=conversation.tools)
    except InvalidRequest as exc:
        return Result("refused" if expected is None else "wrong", error=exc)
    if expected is not None:
        return Result("own" if prompt == expected else "wrong", prompt)
    moving = _INSTRUCTIONS | ({"tool"} if name in ONE_CALL else set())
    return Result("rewritten" if shows_all(prompt, conversation, moving=moving) else "wrong", prompt)


def _renders(source: str) -> Callable[[Mapping[str, object]], str]:
    templates = Templates()

    def render(variables: Mapping[str, object]) -> str:
        kind, text = templates.render(source, variables)
        if kind == Kind.TEXT:
            return text
        raise TemplateRefusal(text) if kind == Kind.REFUSAL else TemplateFault(text)

    return render
