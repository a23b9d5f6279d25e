"""Every parameter of Anthropic's Messages, in the order in which they are checked."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from myna.wire.parameters import Parameter, Support

_ACCEPTED: Final = Parameter(Support.NO_EFFECT, about="Accepted with any value.")
_PROMPT: Final = {
    "model": Parameter(is_required=True, about="A model's id or one of its aliases; the response echoes it."),
    "tool_choice": Parameter(
        about="`auto`, `any`, `none` or a `tool`, with `disable_parallel_tool_use`; enforced by a grammar."
    ),
    "tools": Parameter(
        about="Functions with an `input_schema`. Tools that run at Anthropic (`web_search_…`) or whose "
        "schema only its models know (`bash_…`) are a 400 that names them, and dropped with "
        "`unknown_parameters` `ignore`."
    ),
    "messages": Parameter(
        is_required=True,
        about="Of `user`, `assistant` and `system`, with text, calls, results, thinking, and documents of "
        "plain text. Images are a 400. If the last message is the assistant's, the answer continues it; a "
        "model that must reason first refuses that.",
    ),
    "system": Parameter(about="Text, or blocks of text. Claude Code's billing header is dropped."),
    "thinking": Parameter(
        about="`enabled` with a limit in tokens, `adaptive`, or `disabled`, with `display`; without it, the "
        "model is asked not to reason. Models that don't reason ignore it."
    ),
    "output_config": Parameter(
        about="`format` is a JSON schema that the answer follows, enforced by a grammar; `effort` limits the "
        "reasoning as `reasoning_effort` does."
    ),
    "cache_control": Parameter(
        Support.HINT,
        about="Here and in blocks and tools. Prompts are always cached; with it, `usage` counts what is new "
        "in the cache as `cache_creation_input_tokens`.",
    ),
}

MESSAGES: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        **_PROMPT,
        "max_tokens": Parameter(
            is_required=True,
            about="At least 1. An answer ends at `max_answer` and at the end of the context at the latest.",
        ),
        "metadata": Parameter(Support.HINT, about="`user_id` is recorded in the log."),
        "stop_sequences": Parameter(about="Up to 16 strings; the one that ended the answer is reported."),
        "temperature": Parameter(about="0 to 2 (1 at Anthropic); as in chat completions."),
        "service_tier": _ACCEPTED,
        "top_k": Parameter(about="Sample only from the k most likely tokens; 0: all."),
        "top_p": Parameter(
            about="0 to 1: sample only from the most likely tokens with this total probability."
        ),
        "stream": Parameter(about="Named server-sent events."),
        **dict.fromkeys(("container", "inference_geo", "context_management", "mcp_servers"), _ACCEPTED),
        **dict.fromkeys(("speed", "diagnostics", "user_profile_id", "workspace_id"), _ACCEPTED),
    }
)

COUNT_TOKENS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {**_PROMPT, **dict.fromkeys(("context_management", "mcp_servers"), _ACCEPTED)}
)
