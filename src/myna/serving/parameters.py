"""Every parameter of OpenAI's requests and of our extensions: honoured, a hint, or refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Use(Enum):
    """What becomes of a parameter. There is no fourth way."""

    HONOURED = "honoured"
    HINT = "hint"
    """Recorded or used to serve better; it can't change the answer, and OpenAI doesn't let it either."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Parameter:
    """`neutral` are the values of a refused parameter that ask for nothing; `refusal` is what OpenAI
    says where it has words of its own."""

    use: Use = Use.HONOURED
    is_required: bool = False
    is_extension: bool = False
    neutral: tuple[object, ...] = (None,)
    refusal: str = ""


_HONOURED: Final = Parameter()
_HINT: Final = Parameter(Use.HINT)
_REQUIRED: Final = Parameter(is_required=True)
_EXTENSION: Final = Parameter(is_extension=True)


def _refused(*neutral: object) -> Parameter:
    return Parameter(Use.REFUSED, neutral=(None, *neutral))


COMPLETIONS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _REQUIRED,
        "prompt": _HONOURED,
        "suffix": _HONOURED,
        "best_of": _HONOURED,
        "echo": _HONOURED,
        "max_tokens": _HONOURED,
        "n": _HONOURED,
        "stop": _HONOURED,
        "temperature": _HONOURED,
        "top_p": _HONOURED,
        "presence_penalty": _HONOURED,
        "frequency_penalty": _HONOURED,
        "logprobs": _HONOURED,
        "logit_bias": _HONOURED,
        "user": _HINT,
        "seed": _HONOURED,
        "stream": _HONOURED,
        "stream_options": _HONOURED,
        "top_k": _EXTENSION,
        "min_p": _EXTENSION,
        "ignore_eos": _EXTENSION,
    }
)

CHAT: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _REQUIRED,
        "messages": _REQUIRED,
        "functions": _HONOURED,
        "tools": _HONOURED,
        "tool_choice": _HONOURED,
        "function_call": _HONOURED,
        "parallel_tool_calls": _HONOURED,
        "max_completion_tokens": _HONOURED,
        "max_tokens": _HONOURED,
        "n": _HONOURED,
        "stop": _HONOURED,
        "temperature": _HONOURED,
        "top_p": _HONOURED,
        "presence_penalty": _HONOURED,
        "frequency_penalty": _HONOURED,
        "logprobs": _HONOURED,
        "top_logprobs": _HONOURED,
        "logit_bias": _HONOURED,
        "user": _HINT,
        "seed": _HONOURED,
        "safety_identifier": _HINT,
        "prompt_cache_options": _HINT,
        "prompt_cache_key": _HINT,
        "prompt_cache_retention": _HINT,
        "service_tier": _HONOURED,
        "stream": _HONOURED,
        "stream_options": _HONOURED,
        "store": _HONOURED,
        "metadata": _HONOURED,
        "response_format": _HONOURED,
        "verbosity": _refused("medium"),
        "reasoning_effort": _HONOURED,
        "prediction": _HONOURED,
        "modalities": _refused(["text"]),
        "audio": _refused(),
        "web_search_options": Parameter(
            Use.REFUSED, refusal="Web search options not supported with this model."
        ),
        "moderation": _refused(),
        "top_k": _EXTENSION,
        "min_p": _EXTENSION,
        "ignore_eos": _EXTENSION,
    }
)

METADATA_UPDATE: Final[Mapping[str, Parameter]] = MappingProxyType({"metadata": _REQUIRED})
