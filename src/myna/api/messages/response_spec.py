"""The format of a message, fixed before its first token, for streamed and whole responses."""

from dataclasses import dataclass

import msgspec

from myna.core.events import ChoiceDone
from myna.generation.tool_choice import ResolvedTools
from myna.generation.usage import TokenUsage
from myna.prompts.call_formats.base import CallReader


class Usage(msgspec.Struct):
    """Tokens of the prompt are in one of the first three, those of the answer in the last."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """The answer is parsed for calls if there are `tools`. `shows_thoughts`: not only their signatures.
    `marks_cache`: the request marks something for the cache. `ends_with_context`: the answer's limit is the
    end of the context, not the request's."""

    id: str
    model: str
    tools: ResolvedTools | None = None
    shows_thoughts: bool = True
    marks_cache: bool = False
    ends_with_context: bool = False

    def new_reader(self) -> CallReader | None:
        """A parser of the calls; None if there can be none."""
        return self.tools.reader() if self.tools is not None and self.tools.callable else None

    def usage(self, counts: TokenUsage) -> Usage:
        """The counts, with those of the prefix cache apart, which keeps every prompt."""
        read, new = counts.cached_tokens, counts.prompt_tokens - counts.cached_tokens
        created = new if self.marks_cache else 0
        return Usage(new - created, created, read, counts.completion_tokens)

    def stop_reason(self, done: ChoiceDone, *, has_called: bool) -> str:
        """Why the answer ended."""
        if done.reason == "length":
            return "model_context_window_exceeded" if self.ends_with_context else "max_tokens"
        if done.stop:
            return "stop_sequence"
        return "tool_use" if has_called else "end_turn"
