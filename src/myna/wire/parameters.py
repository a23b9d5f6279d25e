"""Every parameter of OpenAI's requests and of our extensions: supported, a hint, or rejected by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Use(Enum):
    """How a parameter is treated."""

    SUPPORTED = "supported"
    HINT = "hint"
    """Recorded, or used to serve better; it can't change the output, as at OpenAI."""
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Parameter:
    """`about` is the description in docs/parameters.md. `allowed` are the values of a rejected parameter that
    request nothing; `error_text` is OpenAI's own error text, if it has one."""

    use: Use = Use.SUPPORTED
    is_required: bool = False
    is_extension: bool = False
    allowed: tuple[object, ...] = (None,)
    error_text: str = ""
    about: str = ""


def _supported(about: str) -> Parameter:
    return Parameter(about=about)


def _hint(about: str) -> Parameter:
    return Parameter(Use.HINT, about=about)


def _required(about: str) -> Parameter:
    return Parameter(about=about, is_required=True)


def _extension(about: str) -> Parameter:
    return Parameter(about=about, is_extension=True)


def _rejected(about: str, *allowed: object, error_text: str = "") -> Parameter:
    return Parameter(Use.REJECTED, allowed=(None, *allowed), error_text=error_text, about=about)


_MODEL: Final = _required("A model's id or one of its aliases; the response echoes it.")
_SHARED: Final = {
    "stop": _supported(
        "Up to 4 strings; the first one generated ends the output and is not returned. Tool calls are not "
        "searched for them."
    ),
    "temperature": _supported(
        "0 to 2; 0 picks the most likely token, on a tie the lower id. If it is set, none of the model's "
        "[defaults](configuration.md#sampling-defaults) apply."
    ),
    "top_p": _supported("0 to 1: sample only from the most likely tokens with this total probability."),
    "presence_penalty": _supported("-2 to 2, applied once to each token that already occurs in the output."),
    "frequency_penalty": _supported(
        "-2 to 2, applied for each time that a token already occurs in the output."
    ),
    "logit_bias": _supported("Up to 1,024 token ids, each with a bias from -100 to 100."),
    "user": _hint("Recorded in the log and in stored completions."),
    "seed": _supported("The same seed and request give the same output, independent of the server's load."),
    "stream": _supported("Server-sent events, ended by `[DONE]`."),
    "stream_options": _supported("`include_usage`, `include_obfuscation` (chat)."),
    "top_k": _extension("Sample only from the k most likely tokens; 0 or -1: all."),
    "min_p": _extension("Drop tokens whose probability is below `min_p` × that of the most likely token."),
    "repetition_penalty": _extension(
        "0.01 to 10, as in Transformers and vLLM: divides positive logits of tokens that the prompt or the "
        "output already contains, and multiplies negative ones; 1: off."
    ),
    "min_tokens": _extension(
        "No end-of-text token, stop token or stop string ends the output before it has this many tokens; a "
        "grammar may."
    ),
    "stop_token_ids": _extension("Up to 128 token ids that end the output like an end-of-text token."),
    "ignore_eos": _extension("Continue past the model's end-of-text token, up to the token limit."),
}

COMPLETIONS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _MODEL,
        "prompt": _supported(
            "A string, token ids, or up to 2,048 of either; default: the start of a document."
        ),
        "suffix": _supported(
            "The text after the completion, for models with fill-in-the-middle tokens; a 400 for others."
        ),
        "best_of": _supported(
            "Up to 20 candidates; the `n` with the highest mean log-probability are returned."
        ),
        "echo": _supported(
            "Return the prompt before the completion, including its log-probabilities with `logprobs`."
        ),
        "max_tokens": _supported("Default 16, at most `max_answer`; 0 only processes the prompt."),
        "n": _supported("1 to 128 choices per prompt."),
        "logprobs": _supported(
            "The 0 to 5 most likely tokens at each position, in the legacy format; at most 4,194,304 in all."
        ),
        **_SHARED,
    }
)

CHAT: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _MODEL,
        "messages": _required(
            "Up to 2,048, of all six roles, with text parts. Images, audio and files are rejected by name. "
            "`reasoning_content` (or `reasoning`) of an earlier answer is passed to templates that use it."
        ),
        "functions": _supported("The older form of `tools`; the response uses the older form, too."),
        "tools": _supported("Up to 128 functions, and custom tools with text, lark or regex input."),
        "tool_choice": _supported(
            "`none`, `auto`, `required`, a tool, `allowed_tools`; enforced by a grammar."
        ),
        "function_call": _supported("The older form of `tool_choice`: `none`, `auto`, or a name."),
        "parallel_tool_calls": _supported("`false`: at most one call per answer."),
        "max_completion_tokens": _supported(
            "At most `max_answer`, which is the default; includes reasoning tokens."
        ),
        "max_tokens": _supported("The older name of `max_completion_tokens`; setting both is a 400."),
        "n": _supported("1 to 128 choices; the prompt is counted once."),
        **_SHARED,
        "logprobs": _supported("Log-probabilities of the output tokens, with their exact bytes."),
        "top_logprobs": _supported(
            "The 0 to 20 most likely tokens at each position; at most 4,194,304 log-probabilities in all."
        ),
        "safety_identifier": _hint("At most 64 characters; logged if there is no `user`."),
        "prompt_cache_options": _hint("Prefixes are always cached, separately for each project."),
        "prompt_cache_key": _hint("Likewise."),
        "prompt_cache_retention": _hint("`in_memory` or `24h`; likewise."),
        "service_tier": _supported(
            "`flex` has a lower priority, `priority` and `fast` a higher one; the response has the tier used."
        ),
        "store": _supported(
            "Store the completion for the stored-completions API and `myna replay`; the request may have at "
            "most 4 MiB."
        ),
        "metadata": _supported("Up to 16 pairs, stored with the completion; lists can be filtered by them."),
        "response_format": _supported("`text`, `json_object`, `json_schema`; enforced by a grammar."),
        "reasoning_effort": _supported(
            "For reasoning models (recognized by their template): `none` disables reasoning if the template "
            "can; other values are passed to templates that support them, else they limit the reasoning: "
            "`minimal` 256 tokens, `low` 1,024, `medium` 4,096, `high` 16,384, `xhigh` and `max` unlimited. "
            "The reasoning is returned as `reasoning_content`. A 400 for other models."
        ),
        "prediction": _supported(
            "Predicted tokens are verified in batches; accepted and rejected ones are counted."
        ),
        "verbosity": _rejected("Anything but `medium`.", "medium"),
        "modalities": _rejected('Anything but `["text"]`.', ["text"]),
        "audio": _rejected("No model generates audio."),
        "web_search_options": _rejected(
            "No model searches the web.", error_text="Web search options not supported with this model."
        ),
        "moderation": _rejected("No moderation is available."),
    }
)

METADATA_UPDATE: Final[Mapping[str, Parameter]] = MappingProxyType(
    {"metadata": _required("The pairs that replace the existing ones.")}
)
