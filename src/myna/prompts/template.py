"""A model's chat template: checked once when the model is loaded, then turns messages into text.

Owns the variables that a template sees; `render_pool` runs it, and `renderer` tokenizes the result.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from myna.core.conversation import Message, ToolSpec
from myna.core.errors import InvalidRequest
from myna.core.renderer import NO_SWITCHES
from myna.core.translatable import N_
from myna.prompts.conversation import Wrap, fit, message_values, tool_values
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


Render = Callable[[Mapping[str, object]], str]


class ChatTemplate:
    """Thread-safe. `source` is the template's text. `render_values` renders it: by default in a separate
    process, which isn't needed for Myna's own templates."""

    def __init__(
        self,
        source: str,
        features: TemplateFeatures,
        *,
        bos: str,
        eos: str,
        render_values: Render | None = None,
    ) -> None:
        self.source = source
        self.features = features
        self._bos, self._eos = bos, eos
        self._render = render_values or partial(shared_pool().render, source)

    @classmethod
    def load(cls, source: str, *, bos: str, eos: str) -> "ChatTemplate":
        """Check a model's template. Raises `ModelFileError`."""
        return cls(source, shared_pool().probe(source, bos=bos, eos=eos), bos=bos, eos=eos)

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
        add_generation_prompt: bool = True,
        switches: Mapping[str, object] = NO_SWITCHES,
        wrap: Wrap = str,
    ) -> str:
        """The prompt as text. Each text from the client passes through `wrap`; `switches` are additional
        variables. Raises `InvalidRequest` if the template rejects the conversation, and `Overloaded` if too
        many slow renders are running."""
        fitted = fit(messages, self.features)
        variables: dict[str, object] = {
            **with_wrapped_texts(switches, wrap),
            "messages": [message_values(message, self.features, wrap) for message in fitted],
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self._bos,
            "eos_token": self._eos,
        }
        if tools:
            variables["tools"] = [tool_values(tool, wrap) for tool in tools]
        try:
            return self._render(variables)
        except TemplateRefusal as exc:
            raise InvalidRequest(
                N_("The model's chat template rejected these messages: {reason}", reason=exc),
                param="messages",
            ) from exc
        except TemplateOutOfBounds as exc:
            raise InvalidRequest(
                N_("The model's chat template was stopped: {reason}.", reason=exc), param="messages"
            ) from exc
        except TemplateFault as exc:
            raise InvalidRequest(
                N_("The model's chat template can't render these messages ({kind}).", kind=exc),
                param="messages",
            ) from exc
