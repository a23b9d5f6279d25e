"""A model's chat template: checked once when the model is loaded, then turns messages into text.

A template that can't take a conversation as it is gets a rewritten one: the first of `adaptations` in which
it shows all words, found with placeholders for the texts. `render_pool` runs the template, and `renderer`
tokenizes the result.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from myna.core.conversation import Message, ToolSpec
from myna.core.errors import InvalidRequest, ModelFileError
from myna.core.renderer import NO_SWITCHES
from myna.core.translatable import N_, Translatable, joined
from myna.prompts.adaptation import Adaptation, adapt, adaptations, without_developer
from myna.prompts.call_formats.base import CallFormat
from myna.prompts.call_formats.table import BARE
from myna.prompts.conversation import Wrap, chat_variables, check_tools, wrapped
from myna.prompts.failing_part import WHOLE, find_part
from myna.prompts.placeholders import (
    PlaceholderConversation,
    RenderedPlaceholders,
    compare,
    with_placeholders,
)
from myna.prompts.render_pool import TemplateFault, shared_pool
from myna.prompts.template_bounds import TemplateOutOfBounds
from myna.prompts.template_probe import TemplateFeatures
from myna.prompts.template_sandbox import CompiledTemplate, TemplateRefusal
from myna.prompts.template_variables import with_wrapped_texts

# For models without a template.
CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ROLE_PREFIXED: Final = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
_PLAIN: Final = TemplateFeatures()
_MAX_REMEMBERED: Final = 1024
_MAX_TRIES: Final = 128  # renders; published templates need up to 100

Render = Callable[[Mapping[str, object]], str]


class ChatTemplate:
    """Thread-safe. `source` is the template's text. `render_values` renders it: by default in a separate
    process, which isn't needed for Myna's own templates. `fault` is why the template can't be used: each
    `render` raises `InvalidRequest`."""

    def __init__(
        self,
        source: str,
        features: TemplateFeatures,
        *,
        bos: str,
        eos: str,
        render_values: Render | None = None,
        fault: Translatable | None = None,
    ) -> None:
        self.source = source
        self.features = features
        self.fault = fault
        self._fixed = {"bos_token": bos, "eos_token": eos}
        self._lock = threading.Lock()
        self._adaptations: dict[bytes, Adaptation] = {}  # the least recently used first
        self._render_values = render_values

    @classmethod
    def load(cls, source: str, *, bos: str, eos: str) -> "ChatTemplate":
        """Check a model's template. One that can't be used has a `fault`."""
        try:
            return cls(source, shared_pool().probe(source, bos=bos, eos=eos), bos=bos, eos=eos)
        except ModelFileError as exc:
            remedy = N_("To chat with this model, set chat_template for it under [models] in myna.toml.")
            return cls(source, _PLAIN, bos=bos, eos=eos, fault=joined(" ", (exc.text, remedy)))

    @classmethod
    def plain(cls, *, is_chatml: bool) -> "ChatTemplate":
        """Myna's own template, for a model without one."""
        source = CHATML if is_chatml else ROLE_PREFIXED
        return cls(source, _PLAIN, bos="", eos="", render_values=CompiledTemplate(source).render)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        form: CallFormat = BARE,
        add_generation_prompt: bool = True,
        switches: Mapping[str, object] = NO_SWITCHES,
        wrap: Wrap = str,
    ) -> str:
        """The prompt as text. Each text from the client passes through `wrap`; `switches` are additional
        variables; `form` is how calls are spelled that the template can't show. Raises `InvalidRequest` if
        the template can't show the whole conversation, and `Overloaded` if too many slow renders are
        running."""
        if self.fault is not None:
            raise InvalidRequest(self.fault, param="model")
        check_tools(tools)
        if not self.features.has_developer:
            messages = without_developer(messages)
        fixed = {
            **with_wrapped_texts(switches, wrap),
            **self._fixed,
            "add_generation_prompt": add_generation_prompt,
        }
        render = self._render_values or shared_pool().for_request(self.source)
        attempt = _Attempt(self.features, form, fixed, render)
        try:
            way = self._known_adaptation(with_placeholders(messages, tools), attempt)
            return attempt.text(*wrapped(messages, tools, wrap), way)
        except _Rejected as exc:
            attempt.text(messages, tools, exc.way)  # raises, in the words about this conversation
            raise _not_shown() from exc
        except TemplateOutOfBounds as exc:
            raise InvalidRequest(
                N_("The model's chat template was stopped: {reason}.", reason=exc), param="messages"
            ) from exc

    def _known_adaptation(self, marked: PlaceholderConversation, attempt: "_Attempt") -> Adaptation:
        """Remembers those of recent conversations of placeholders: there are few short ones."""
        text = repr((marked.messages, marked.tools, attempt.form.name, attempt.fixed))
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            way = self._adaptations.pop(key, None)
        if way is None:
            way = _adaptation(marked, attempt)
        with self._lock:
            self._adaptations[key] = way
            if len(self._adaptations) > _MAX_REMEMBERED:
                del self._adaptations[next(iter(self._adaptations))]
        return way


class _Rejected(Exception):
    """The template fails, however the conversation is written; `way` is the first."""

    def __init__(self, way: Adaptation) -> None:
        super().__init__()
        self.way = way


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Renders one request's conversation, rewritten in different ways."""

    features: TemplateFeatures
    form: CallFormat
    fixed: Mapping[str, object]
    render: Render

    def text(self, messages: Sequence[Message], tools: Sequence[ToolSpec], way: Adaptation) -> str:
        """Raises `InvalidRequest` that names the part on which the template fails."""
        try:
            return self._text(messages, tools, way)
        except (TemplateRefusal, TemplateFault) as exc:
            raise _failed(exc, self._failing_part(messages, tools, way)) from exc

    def shown(self, marked: PlaceholderConversation, way: Adaptation) -> RenderedPlaceholders | None:
        """What the template makes of the placeholders; None if it fails."""
        adapted, _ = adapt(marked.messages, marked.tools, way, self.form)
        try:
            return compare(self._text(marked.messages, marked.tools, way), adapted, marked)
        except (TemplateRefusal, TemplateFault, InvalidRequest):
            return None

    def _failing_part(self, messages: Sequence[Message], tools: Sequence[ToolSpec], way: Adaptation) -> str:
        def failure(some: Sequence[Message], declared: Sequence[ToolSpec]) -> str:
            try:
                self._text(some, declared, way)
            except (TemplateRefusal, TemplateFault) as exc:
                return repr(exc)
            return ""

        try:
            return find_part(failure, messages, tools)
        except TemplateOutOfBounds:  # the request's time is over
            return WHOLE

    def _text(self, messages: Sequence[Message], tools: Sequence[ToolSpec], way: Adaptation) -> str:
        adapted = adapt(messages, tools, way, self.form)
        return self.render({**self.fixed, **chat_variables(*adapted, self.features.forms)})


def _adaptation(marked: PlaceholderConversation, attempt: _Attempt) -> Adaptation:
    """The first in which the template shows all words in order; else the first in another order. Raises
    `InvalidRequest` if there is none."""
    features = attempt.features
    ways = adaptations(
        marked.messages, marked.tools, has_tools=features.has_tools, has_calls=features.has_calls
    )
    tried = set[object]()
    failures = list[RenderedPlaceholders | None]()
    unordered: Adaptation | None = None
    for way in ways:
        adapted = adapt(marked.messages, marked.tools, way, attempt.form)
        if adapted in tried:
            continue
        tried.add(adapted)
        shown = attempt.shown(marked, way)
        if shown is not None and shown.is_complete:
            if shown.is_ordered:
                return way
            unordered = unordered or way
        failures.append(shown)
        if len(tried) == _MAX_TRIES:
            break
    if unordered is not None:
        return unordered
    first = failures[0]
    if first is None:
        raise _Rejected(ways[0])
    place = next((marked.places[n] for n in (*first.lost, *first.repeated) if n in marked.places), None)
    if place is None:
        raise _not_shown()
    raise InvalidRequest(
        N_(
            "The model's chat template can't show messages[{place}] (role {role!r}) in this conversation.",
            place=place,
            role=marked.messages[place].role,
        ),
        param=f"messages.[{place}]",
    )


def _not_shown() -> InvalidRequest:
    return InvalidRequest(N_("The model's chat template can't show this conversation."), param="messages")


def _failed(exc: Exception, part: str) -> InvalidRequest:
    """The template's failure as an error about that part of the conversation."""
    if isinstance(exc, TemplateRefusal):
        text = N_("The model's chat template rejected {part}: {reason}", part=part, reason=exc)
    else:
        text = N_(
            "The model's chat template can't render {part} ({kind}). Change or leave out that part, or set "
            "another chat_template for the model under [models] in myna.toml.",
            part=part,
            kind=exc,
        )
    return InvalidRequest(text, param=part.replace("[", ".["))
