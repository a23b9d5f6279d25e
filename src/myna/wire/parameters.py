"""Every parameter of OpenAI's requests and of our extensions: supported, a hint, or rejected by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Use(Enum):
    """How a parameter is handled; every parameter is one of these."""

    HONOURED = "honoured"
    HINT = "hint"
    """Recorded, or used to serve faster; it never changes the answer, as with OpenAI."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Parameter:
    """`about` is its text in docs/parameters.md. `neutral` are the values of a rejected parameter that are
    accepted, since they ask for nothing; `refusal` is OpenAI's own message, if it has a special one."""

    use: Use = Use.HONOURED
    is_required: bool = False
    is_extension: bool = False
    neutral: tuple[object, ...] = (None,)
    refusal: str = ""
    about: str = ""


def _honoured(about: str) -> Parameter:
    return Parameter(about=about)


def _hint(about: str) -> Parameter:
    return Parameter(Use.HINT, about=about)


def _required(about: str) -> Parameter:
    return Parameter(about=about, is_required=True)


def _extension(about: str) -> Parameter:
    return Parameter(about=about, is_extension=True)


def _refused(about: str, *neutral: object, refusal: str = "") -> Parameter:
    return Parameter(Use.REFUSED, neutral=(None, *neutral), refusal=refusal, about=about)


_MODEL: Final = _required("A model's id or one of its aliases; the response echoes it.")
_SHARED: Final = {
    "stop": _honoured("A string, or up to 4. The answer ends before the first one that occurs."),
    "temperature": _honoured("0 to 2; 0 always chooses the most likely token (on a tie, the lower id)."),
    "top_p": _honoured("0 to 1; keeps only the most likely tokens whose probabilities add up to this."),
    "presence_penalty": _honoured("-2 to 2; applied once to each token that already occurs in the answer."),
    "frequency_penalty": _honoured("-2 to 2; applied to a token once per previous occurrence."),
    "logit_bias": _honoured("Up to 1,024 token ids, each mapped to -100 … 100."),
    "user": _hint("Recorded in the log and with stored completions."),
    "seed": _honoured("The same request with the same seed returns the same answer, at any load."),
    "stream": _honoured("Server-sent events, terminated by `[DONE]`."),
    "stream_options": _honoured("`include_usage`, `include_obfuscation` (chat)."),
    "top_k": _extension("Keeps only the k most likely tokens; 0: all."),
    "min_p": _extension("Drops tokens less likely than `min_p` × the most likely token's probability."),
    "ignore_eos": _extension("Continues past the end-of-text token, up to the maximum length."),
}

COMPLETIONS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _MODEL,
        "prompt": _honoured("A string, token ids, or up to 2,048 of either; default: an empty document."),
        "suffix": _honoured("Text after the gap. A 400 for models without fill-in-the-middle tokens."),
        "best_of": _honoured("Up to 20 candidates; the `n` with the best mean log-probability are returned."),
        "echo": _honoured("Returns the prompt before the answer; with `logprobs`, scores it as well."),
        "max_tokens": _honoured("Default 16, at most `max_answer`; 0 only processes the prompt."),
        "n": _honoured("1 to 128 choices per prompt."),
        "logprobs": _honoured(
            "0 to 5 alternatives per token, in the legacy format; at most 4,194,304 in total."
        ),
        **_SHARED,
    }
)

CHAT: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _MODEL,
        "messages": _required(
            "Up to 2,048, with any of the six roles and up to 2,048 text parts each. Images, audio and "
            "files are rejected. `reasoning_content` (or `reasoning`) of an earlier answer is passed to the "
            "template."
        ),
        "functions": _honoured("Deprecated form of `tools`; the answer uses the deprecated form as well."),
        "tools": _honoured("Up to 128 functions and custom tools with text, Lark or regex input."),
        "tool_choice": _honoured(
            "`none`, `auto`, `required`, a tool, or `allowed_tools`; enforced by a grammar."
        ),
        "function_call": _honoured("Deprecated form of `tool_choice`: `none`, `auto`, or a name."),
        "parallel_tool_calls": _honoured("`false`: at most one call per answer."),
        "max_completion_tokens": _honoured("At most `max_answer`, which is the default. Includes reasoning."),
        "max_tokens": _honoured("Deprecated name of `max_completion_tokens`; sending both is a 400."),
        "n": _honoured("1 to 128 choices; the prompt is counted once."),
        **_SHARED,
        "logprobs": _honoured("Log-probabilities of the answer's tokens, with their exact bytes."),
        "top_logprobs": _honoured(
            "0 to 20 alternatives per token; at most 4,194,304 log-probabilities in total."
        ),
        "safety_identifier": _hint("At most 64 characters; recorded in the log if there is no `user`."),
        "prompt_cache_options": _hint("Prefixes are always cached, separately for each project."),
        "prompt_cache_key": _hint("See `prompt_cache_options`."),
        "prompt_cache_retention": _hint("`in_memory` or `24h`; see `prompt_cache_options`."),
        "service_tier": _honoured(
            "`flex` queues behind other requests, `priority` and `fast` ahead; the response has the tier."
        ),
        "store": _honoured(
            "Stores the completion for the stored-completions endpoints and `myna replay`; the request may "
            "have at most 4 MiB."
        ),
        "metadata": _honoured("Up to 16 pairs, stored with the completion; lists can be filtered by them."),
        "response_format": _honoured("`text`, `json_object` or `json_schema`; enforced by a grammar."),
        "reasoning_effort": _honoured(
            "For reasoning models (according to their template): `none` turns reasoning off if the template "
            "supports that. Other values are passed to templates that accept them; otherwise they limit the "
            "reasoning: `minimal` to 256 tokens, `low` 1,024, `medium` 4,096, `high` 16,384; `xhigh`, `max`: "
            "unlimited. Reasoning is returned as `reasoning_content`, next to `content`. A 400 for other "
            "models."
        ),
        "prediction": _honoured("Predicted tokens are verified in parallel; accepted ones are counted."),
        "verbosity": _refused("Anything but `medium`.", "medium"),
        "modalities": _refused('Anything but `["text"]`.', ["text"]),
        "audio": _refused("No model here outputs audio."),
        "web_search_options": _refused(
            "No model here searches the web.", refusal="Web search options not supported with this model."
        ),
        "moderation": _refused("No model here moderates content."),
    }
)

METADATA_UPDATE: Final[Mapping[str, Parameter]] = MappingProxyType(
    {"metadata": _required("The pairs that replace the existing ones.")}
)
