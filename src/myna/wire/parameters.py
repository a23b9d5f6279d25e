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
    """`about` stands on the page of parameters. `neutral` are the values of a refused parameter that ask
    for nothing; `refusal` is what OpenAI says where it has words of its own."""

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


_MODEL: Final = _required("A model's id, or one of its aliases, which the answer echoes.")
_SHARED: Final = {
    "stop": _honoured("A string or up to 4; the first that is complete ends the answer and isn't shown."),
    "temperature": _honoured("0 to 2; 0 takes the likeliest token, at a tie the lower id."),
    "top_p": _honoured("0 to 1: only the likeliest tokens that together have this probability."),
    "presence_penalty": _honoured("-2 to 2, once for each token that the answer has already."),
    "frequency_penalty": _honoured("-2 to 2, for each time that the answer has a token already."),
    "logit_bias": _honoured("Up to 1,024 token ids, to -100 … 100."),
    "user": _hint("Stands in the log, and with a stored completion."),
    "seed": _honoured("The same seed and request give the same answer, whatever else the server does."),
    "stream": _honoured("Server-sent events, ended by `[DONE]`."),
    "stream_options": _honoured("`include_usage`, `include_obfuscation` (chat)."),
    "top_k": _extension("Only the k likeliest tokens; 0: all."),
    "min_p": _extension("Only tokens at least this many times as likely as the likeliest."),
    "ignore_eos": _extension("Goes on past the model's end of text, up to the longest answer."),
}

COMPLETIONS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _MODEL,
        "prompt": _honoured(
            "A string, token ids, or up to 2,048 of either; absent: the start of a document."
        ),
        "suffix": _honoured("What follows the gap; for models with tokens for filling in, else a 400."),
        "best_of": _honoured("Up to 20 candidates; the `n` with the best mean log-probability are told."),
        "echo": _honoured("The prompt comes first, with `logprobs` its log-probabilities, too."),
        "max_tokens": _honoured("Default 16, at most `max_answer`; 0 computes the prompt alone."),
        "n": _honoured("1 to 128 choices a prompt."),
        "logprobs": _honoured("0 to 5 likeliest tokens beside each, in the legacy shape; 4,194,304 in all."),
        **_SHARED,
    }
)

CHAT: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _MODEL,
        "messages": _required(
            "Up to 2,048, of all six roles; text parts. Images, audio and files are refused by name. "
            "`reasoning_content` (or `reasoning`) of an earlier answer goes to templates that show it."
        ),
        "functions": _honoured("The older form of `tools`; answered in its own words."),
        "tools": _honoured("Up to 128 functions, and custom tools with text, lark or regex input."),
        "tool_choice": _honoured("`none`, `auto`, `required`, a tool, `allowed_tools`: held by a grammar."),
        "function_call": _honoured("The older form of `tool_choice`: `none`, `auto`, or a name."),
        "parallel_tool_calls": _honoured("`false`: at most one call an answer."),
        "max_completion_tokens": _honoured("At most `max_answer`, thought included; default: that."),
        "max_tokens": _honoured("The older name of the same; both at once are a 400."),
        "n": _honoured("1 to 128 choices; the prompt counts once."),
        **_SHARED,
        "logprobs": _honoured("Log-probabilities of the answer's tokens, with their true bytes."),
        "top_logprobs": _honoured(
            "0 to 20 likeliest tokens beside each; 4,194,304 log-probabilities in all."
        ),
        "safety_identifier": _hint("At most 64 characters; stands in the log where there is no `user`."),
        "prompt_cache_options": _hint("Prefixes are cached in any case, for each project by itself."),
        "prompt_cache_key": _hint("Likewise."),
        "prompt_cache_retention": _hint("`in_memory` or `24h`; likewise."),
        "service_tier": _honoured(
            "`flex` waits behind others, `priority` and `fast` go before; the tier is told."
        ),
        "store": _honoured(
            "Keeps the answer for the stored-completions resources and `myna replay`, if the request has at "
            "most 4 MiB."
        ),
        "metadata": _honoured("Up to 16 pairs, kept with a stored completion; its list filters by them."),
        "response_format": _honoured("`text`, `json_object`, `json_schema`; held by a grammar."),
        "reasoning_effort": _honoured(
            "For models that think (their template says so): `none` skips the thought where the template "
            "can; other values go to templates that have words for them, else they bound the thought: "
            "`minimal` 256 tokens, `low` 1,024, `medium` 4,096, `high` 16,384, `xhigh` and `max` not at all. "
            "The thought is `reasoning_content` beside `content`. A 400 for other models."
        ),
        "prediction": _honoured("Guessed tokens are checked many at once; those accepted are counted."),
        "verbosity": _refused("Anything but `medium`.", "medium"),
        "modalities": _refused('Anything but `["text"]`.', ["text"]),
        "audio": _refused("No model here speaks."),
        "web_search_options": _refused(
            "No model here searches.", refusal="Web search options not supported with this model."
        ),
        "moderation": _refused("No model here moderates."),
    }
)

METADATA_UPDATE: Final[Mapping[str, Parameter]] = MappingProxyType(
    {"metadata": _required("The pairs that replace those there are.")}
)
