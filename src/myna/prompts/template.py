"""A model's chat template: checked once at load, then messages to text.

Owns the rendering; what the text becomes in tokens is `prompting`'s.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from myna.core.errors import InvalidRequest
from myna.core.translatable import N_
from myna.prompts.conversation import Wrap, fit, message_values, tool_values
from myna.prompts.messages import Message, ToolSpec
from myna.prompts.template_probe import TemplateFeatures, probe
from myna.prompts.template_sandbox import (
    RENDER_ERRORS,
    CompiledTemplate,
    TemplateOutOfBounds,
    TemplateRefusal,
)

# For models whose file has no template.
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
_NO_SWITCHES: Final[Mapping[str, object]] = MappingProxyType({})


class ChatTemplate:
    """Thread-safe. `source` is the template's text, part of what an answer depends on."""

    def __init__(self, source: str, features: TemplateFeatures, *, bos: str, eos: str) -> None:
        self.source = source
        self.features = features
        self._bos, self._eos = bos, eos
        self._compiled = CompiledTemplate(source)

    @classmethod
    def load(cls, source: str, *, bos: str, eos: str) -> "ChatTemplate":
        """Try the template in another process, then keep it. Raises `ModelFileError`."""
        return cls(source, probe(source, bos=bos, eos=eos), bos=bos, eos=eos)

    @classmethod
    def plain(cls, *, is_chatml: bool) -> "ChatTemplate":
        """Our own, for a model that brings none."""
        return cls(CHATML if is_chatml else ROLE_PREFIXED, _PLAIN, bos="", eos="")

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        add_generation_prompt: bool = True,
        switches: Mapping[str, object] = _NO_SWITCHES,
        wrap: Wrap = str,
    ) -> str:
        """The prompt as text. `wrap` sees each text of the client's first; `switches` are more variables.
        Raises `InvalidRequest` where the template refuses the conversation."""
        fitted = fit(messages, self.features)
        variables: dict[str, object] = {
            **switches,
            "messages": [message_values(message, self.features, wrap) for message in fitted],
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self._bos,
            "eos_token": self._eos,
        }
        if tools:
            variables["tools"] = [tool_values(tool, wrap) for tool in tools]
        try:
            return self._compiled.render(variables)
        except TemplateRefusal as exc:
            raise InvalidRequest(
                N_("The model's chat template refuses these messages: {reason}", reason=exc), param="messages"
            ) from exc
        except TemplateOutOfBounds as exc:
            raise InvalidRequest(
                N_("The model's chat template was stopped: {reason}.", reason=exc), param="messages"
            ) from exc
        except RENDER_ERRORS as exc:
            kind = type(exc).__name__
            raise InvalidRequest(
                N_("The model's chat template can't render these messages ({kind}).", kind=kind),
                param="messages",
            ) from exc
