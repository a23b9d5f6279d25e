"""The format of a chat completion, fixed before its first token, for streamed and whole responses."""

from dataclasses import dataclass

from myna.core.events import FinishReason
from myna.generation.tool_choice import ResolvedTools
from myna.prompts.call_formats.base import CallReader


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """`id`, `created`, `model`, `service_tier` and `fingerprint` are in every chunk. The output is
    parsed for calls if there are `tools`. `has_functions`: request and response use the older
    `functions`."""

    id: str
    created: int
    model: str
    service_tier: str
    fingerprint: str | None
    num_choices: int = 1
    wants_logprobs: bool = False
    include_usage: bool = False
    obfuscate: bool = True
    tools: ResolvedTools | None = None
    has_functions: bool = False

    def new_reader(self) -> CallReader | None:
        """A parser of one choice's calls; None if there can be none."""
        return None if self.tools is None else self.tools.reader()

    def finish_reason(self, reason: FinishReason, *, has_called: bool) -> str:
        """The finish reason in OpenAI's terms: a regular stop after calls is reported as a call."""
        called = "function_call" if self.has_functions else "tool_calls"
        return called if has_called and reason == "stop" else reason
