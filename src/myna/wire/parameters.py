"""Every parameter of OpenAI's requests and of our extensions: supported, a hint, or rejected by name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Final


class Support(Enum):
    """How a parameter is treated."""

    SUPPORTED = "supported"
    HINT = "hint"
    """Recorded, or used to serve better; it can't change the output, as at OpenAI."""
    REJECTED = "rejected"
    NO_EFFECT = "no effect"
    """Accepted with any value, which asks for nothing here."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`about` is the description in docs/parameters.md. `allowed` are the values of a rejected parameter that
    request nothing; `error_text` is OpenAI's own error text, if it has one."""

    support: Support = Support.SUPPORTED
    is_required: bool = False
    is_extension: bool = False
    allowed: tuple[object, ...] = (None,)
    error_text: str = ""
    about: str = ""


def _supported(about: str) -> Parameter:
    return Parameter(about=about)


def _hint(about: str) -> Parameter:
    return Parameter(Support.HINT, about=about)


def _required(about: str) -> Parameter:
    return Parameter(about=about, is_required=True)


def _extension(about: str) -> Parameter:
    return Parameter(about=about, is_extension=True)


def _rejected(about: str, *allowed: object, error_text: str = "") -> Parameter:
    return Parameter(Support.REJECTED, allowed=(None, *allowed), error_text=error_text, about=about)


def _accepted() -> Parameter:
    return Parameter(Support.NO_EFFECT, is_extension=True, about="Accepted with any value.")


def _neutral(value: object) -> Parameter:
    shown = json.dumps(value)
    return Parameter(
        Support.REJECTED, is_extension=True, allowed=(None, value), about=f"Accepted if it is `{shown}`."
    )


_MODEL: Final = _required("A model's id or one of its aliases; the response echoes it.")
_SHARED: Final = {
    "stop": _supported(
        "Up to 16 strings (4 at OpenAI); the first one generated ends the output and is not returned. Tool "
        "calls are not searched for them."
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
    "structured_outputs": _extension(
        "The format of the output: an object with `json` (a schema), `json_object`, `regex`, `choice` "
        "(texts) or `grammar` (Lark)."
    ),
    "guided_json": _extension("As `structured_outputs` with `json`."),
    "guided_regex": _extension("As `structured_outputs` with `regex`."),
    "guided_choice": _extension("As `structured_outputs` with `choice`."),
    "guided_grammar": _extension("As `structured_outputs` with `grammar`."),
}
OTHER_SERVERS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        # How a server manages its memory and threads.
        **dict.fromkeys(
            ("num_ctx", "num_batch", "num_gpu", "num_thread", "use_mmap", "use_mlock", "keep_alive"),
            _accepted(),
        ),
        **dict.fromkeys(("cache_prompt", "id_slot", "guided_decoding_backend"), _accepted()),
        # Details of samplers that the parameters below switch off.
        **dict.fromkeys(("repeat_last_n", "mirostat_tau", "mirostat_eta", "dynatemp_exponent"), _accepted()),
        **dict.fromkeys(("dry_base", "dry_allowed_length", "dry_penalty_last_n"), _accepted()),
        **dict.fromkeys(("dry_sequence_breakers", "xtc_threshold"), _accepted()),
        **dict.fromkeys(("repeat_penalty", "length_penalty", "tfs_z", "typical_p"), _neutral(1)),
        **dict.fromkeys(("mirostat", "dynatemp_range", "dry_multiplier", "xtc_probability"), _neutral(0)),
        **dict.fromkeys(("top_a", "smoothing_factor", "n_probs", "priority"), _neutral(0)),
        **dict.fromkeys(("use_beam_search", "penalize_nl", "include_stop_str_in_output"), _neutral(False)),
        **dict.fromkeys(("return_tokens_as_token_ids", "return_token_ids", "return_tokens"), _neutral(False)),
        **dict.fromkeys(("timings_per_token", "return_progress", "no_stop_trim"), _neutral(False)),
        **dict.fromkeys(("skip_special_tokens", "spaces_between_special_tokens"), _neutral(True)),
        "bad_words": _neutral([]),
        **dict.fromkeys(
            ("prompt_logprobs", "allowed_token_ids", "logits_processors", "truncate_prompt_tokens"),
            _neutral(None),
        ),
    }
)
"""Fields of other servers that Myna doesn't implement, with the value that asks for nothing."""

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
        "max_tokens": _supported(
            "Default 16; ends at `max_answer` and at the end of the context at the latest; 0 only processes "
            "the prompt."
        ),
        "n": _supported("1 to 128 choices per prompt."),
        "logprobs": _supported(
            "The 0 to 5 most likely tokens at each position, in the legacy format; at most 4,194,304 in all."
        ),
        **_SHARED,
        **OTHER_SERVERS,
        "add_special_tokens": _neutral(True),
    }
)

CHAT: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _MODEL,
        "messages": _required(
            "Up to 2,048, of all six roles, with text parts. Images, audio and files are rejected by name. "
            "`reasoning_content` (or `reasoning`) of an earlier answer is passed to templates that use it. "
            "Keys of responses that the SDKs send back (`parsed`, `id` …) are accepted and not used."
        ),
        "functions": _supported("The older form of `tools`; the response uses the older form, too."),
        "tools": _supported("Up to 128 functions, and custom tools with text, lark or regex input."),
        "tool_choice": _supported(
            "`none`, `auto`, `required`, a tool, `allowed_tools`; enforced by a grammar."
        ),
        "function_call": _supported("The older form of `tool_choice`: `none`, `auto`, or a name."),
        "parallel_tool_calls": _supported("`false`: at most one call per answer."),
        "max_completion_tokens": _supported(
            "Default: `max_answer`. Includes reasoning tokens. An answer ends at `max_answer` and at the end "
            "of the context at the latest; more is a 400 with the setting `strict_max_tokens`."
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
            "`flex` has a lower priority, `priority` and `fast` a higher one if the key has the scope "
            "`priority`; the response has the tier used."
        ),
        "store": _supported(
            "Store the completion for the stored-completions API and `myna replay`, for `stored_days` and up "
            "to `max_stored` per project; the request may have at most 4 MiB."
        ),
        "metadata": _supported("Up to 16 pairs, stored with the completion; lists can be filtered by them."),
        "response_format": _supported(
            "`text`, `json_object` (as an extension with a `schema`), `json_schema`; enforced by a grammar."
        ),
        "reasoning_effort": _supported(
            "For models that reason (recognized by their template): `none` disables reasoning if the "
            "template can, else makes it as short as possible; other values reach a template that has levels "
            "of effort as the nearest of them, else they limit the reasoning: `minimal` 256 tokens, `low` "
            "1,024, `medium` 4,096, `high` 16,384, `xhigh` and `max` unlimited. The reasoning is returned as "
            "`reasoning_content`. Other models ignore it."
        ),
        "prediction": _supported(
            "Predicted tokens are verified in batches; accepted and rejected ones are counted."
        ),
        "verbosity": _hint("`low`, `medium` or `high`, as newer models of OpenAI's accept it."),
        "modalities": _rejected('Anything but `["text"]`.', ["text"]),
        "audio": _rejected("No model generates audio."),
        "web_search_options": _rejected(
            "No model searches the web.", error_text="Web search options not supported with this model."
        ),
        "moderation": _rejected("No moderation is available."),
        "chat_template_kwargs": _extension(
            "Up to 64 variables for the model's chat template, such as `enable_thinking`; those that Myna "
            "sets itself are a 400."
        ),
        "enable_thinking": _extension(
            "Switches reasoning on or off if the template can and there is no `reasoning_effort`; no effect "
            "on other models."
        ),
        **OTHER_SERVERS,
        "best_of": _neutral(1),
        **dict.fromkeys(("echo", "add_special_tokens", "continue_final_message"), _neutral(False)),
        **dict.fromkeys(
            ("add_generation_prompt", "include_reasoning", "separate_reasoning", "stream_reasoning"),
            _neutral(True),
        ),
        "reasoning_format": _neutral("auto"),
    }
)

EMBEDDINGS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _MODEL,
        "input": _required(
            "A text, token ids, or up to 2,048 of either; each as long as the model's context, and at most "
            "300,000 tokens together."
        ),
        "encoding_format": _supported("`float`, or `base64`: little-endian float32."),
        "dimensions": _supported(
            "Cuts the vectors and scales them to unit length again, for models that were trained for it; a "
            "400 for others."
        ),
        "user": _hint("Recorded in the log."),
        "keep_alive": _accepted(),
        **dict.fromkeys(("input_type", "instruction", "prompt", "prompt_name", "task"), _neutral(None)),
        "truncate_prompt_tokens": _neutral(None),
        "truncate": _neutral(False),
        **dict.fromkeys(("add_special_tokens", "normalize", "normalized"), _neutral(True)),
        "embd_normalize": _neutral(2),
        "priority": _neutral(0),
    }
)

MODERATIONS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _supported("A name of the guard model; `omni-moderation-latest` by default."),
        "input": _required("A text, up to 2,048 of them, or one text in parts of type `text`."),
    }
)
"""The parameters of `POST /v1/moderations`."""

RESPONSES: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "model": _MODEL,
        "input": _required(
            "A text, or up to 4,096 items: messages with text parts, calls of functions and custom tools, "
            "their outputs, reasoning, compactions, and references to stored items. Images, audio, files and "
            "items of hosted tools are rejected by name."
        ),
        "instructions": _supported("A system message before everything else; not kept for later responses."),
        "previous_response_id": _supported("The stored response that this one continues."),
        "conversation": _supported("The conversation that this response belongs to: an id, or an object."),
        "prompt": _supported("There are no prompt templates: a 404, as for an unknown one at OpenAI."),
        "include": _supported(
            "`message.output_text.logprobs` and `reasoning.encrypted_content`; OpenAI's other names are "
            "accepted and have no effect."
        ),
        "tools": _supported(
            "Up to 512 functions, custom tools with text, lark or regex input, and namespaces of both. "
            "`web_search` with `external_web_access: false` is accepted and never called; other hosted tools "
            "are rejected by name."
        ),
        "tool_choice": _supported(
            "`none`, `auto`, `required`, a function, a custom tool, `allowed_tools`; enforced by a grammar."
        ),
        "parallel_tool_calls": _supported("`false`: at most one call per response."),
        "max_tool_calls": _hint("Limits calls of hosted tools, of which there are none."),
        "max_output_tokens": _supported(
            "At least 16; default: `max_answer`. Includes reasoning tokens. A response that ends there is "
            "`incomplete`."
        ),
        "temperature": _SHARED["temperature"],
        "top_p": _SHARED["top_p"],
        "presence_penalty": _SHARED["presence_penalty"],
        "frequency_penalty": _SHARED["frequency_penalty"],
        "top_logprobs": _supported("The 0 to 20 most likely tokens at each position of the text."),
        "text": _supported(
            "`format`: `text`, `json_object` or `json_schema`, enforced by a grammar. `verbosity` has no "
            "effect."
        ),
        "reasoning": _supported(
            "`effort` as `reasoning_effort` of chat completions. Reasoning is returned as the item's "
            "`content`, or as its summary if a `summary` is requested. `context` and `mode` are accepted."
        ),
        "stream": _supported("Server-sent events, each with its name and `sequence_number`."),
        "stream_options": _supported(
            "`include_obfuscation`: `true` pads deltas to a multiple of 16 characters, as OpenAI does by "
            "default."
        ),
        "store": _supported("Default `true`: keep the response, so that later requests can continue it."),
        "background": _supported("Generate the response after the request has ended."),
        "truncation": _supported(
            "`auto` drops the oldest items of an input that doesn't fit; `disabled`, the default, is a 400."
        ),
        "metadata": _supported("Up to 16 pairs, returned with the response."),
        "service_tier": CHAT["service_tier"],
        "user": _hint("Recorded in the log."),
        "safety_identifier": CHAT["safety_identifier"],
        "prompt_cache_options": CHAT["prompt_cache_options"],
        "prompt_cache_key": CHAT["prompt_cache_key"],
        "prompt_cache_retention": CHAT["prompt_cache_retention"],
        "context_management": _rejected("Send the input to `/v1/responses/compact` instead.", []),
        "moderation": CHAT["moderation"],
        "client_metadata": _accepted(),
    }
)
"""The parameters of `POST /v1/responses`."""

INPUT_TOKENS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        **{
            name: replace(RESPONSES[name], is_required=name == "model")
            for name in (
                "model", "input", "instructions", "previous_response_id", "conversation", "tools",
                "tool_choice", "parallel_tool_calls", "text", "reasoning", "truncation",
            )
        },
        "personality": _hint("A style that some models of OpenAI's have."),
    }
)  # fmt: skip
"""The parameters of `POST /v1/responses/input_tokens`."""

COMPACT: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        name: replace(RESPONSES[name], is_required=name == "model")
        for name in (
            "model", "input", "instructions", "previous_response_id", "prompt_cache_key",
            "prompt_cache_retention", "prompt_cache_options", "service_tier",
        )
    }
)  # fmt: skip
"""The parameters of `POST /v1/responses/compact`."""

CONVERSATION: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "metadata": RESPONSES["metadata"],
        "items": _supported(
            "Up to 20 items that the conversation begins with, as in the `input` of a response."
        ),
    }
)
"""The parameters of `POST /v1/conversations`."""

CONVERSATION_ITEMS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {"items": _required("Up to 20 items, as in the `input` of a response.")}
)
"""The parameters of `POST /v1/conversations/{conversation_id}/items`."""

METADATA_UPDATE: Final[Mapping[str, Parameter]] = MappingProxyType(
    {"metadata": _required("The pairs that replace the existing ones.")}
)
