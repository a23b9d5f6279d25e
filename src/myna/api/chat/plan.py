"""What the answer looks like, decided before its first token: both endings of the stream follow it."""

from dataclasses import dataclass

from myna.core.conversation import ToolSpec
from myna.core.renderer import ToolFormat


@dataclass(frozen=True, slots=True)
class Plan:
    """`id`, `created`, `model`, `service_tier` and `fingerprint` stand in every chunk. With a
    `tool_format` the answer is read for calls of the `tools`, which are told in
    the older words of `functions` where the request was."""

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
