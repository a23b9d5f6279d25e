"""What a chat completion looks like, decided before its first token, for streamed and whole answers."""

from dataclasses import dataclass

from myna.core.conversation import ToolSpec
from myna.core.events import FinishReason
from myna.core.renderer import ToolFormat


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """`id`, `created`, `model`, `service_tier` and `fingerprint` are in every chunk. With a `tool_format` the
    answer is parsed for calls of the `tools`; `has_functions`: the request used the older `functions`, and so
    does the answer."""

    id: str
    created: int
    model: str
    service_tier: str
    fingerprint: str | None
    num_choices: int = 1
    wants_logprobs: bool = False
    include_usage: bool = False
    obfuscate: bool = True
    tool_format: ToolFormat | None = None
    tools: tuple[ToolSpec, ...] = ()
    has_functions: bool = False

    def finish_reason(self, reason: FinishReason, *, has_called: bool) -> str:
        """An answer that ended by itself after calls ended because of them."""
        called = "function_call" if self.has_functions else "tool_calls"
        return called if has_called and reason == "stop" else reason
