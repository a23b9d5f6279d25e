"""Encodes the prompts of a request. Slow: runs in a thread."""

from collections.abc import Sequence

from myna.api.completions.convert import EncodedPrompt, to_spec
from myna.api.completions.schema import CompletionRequest, Prompt
from myna.core.conversation import Message
from myna.core.errors import InvalidRequest
from myna.core.renderer import Renderer
from myna.generation.budgets import MAX_COUNTED_CHARS, AnswerLimits, completion_tokens
from myna.generation.reasoning import without_thought
from myna.wire import validation_errors


class PromptEncoder:
    """Encodes the prompts of one request. `wraps`: the requested name is that of an instruct model, so plain
    text prompts are sent as a user's message."""

    def __init__(
        self,
        request: CompletionRequest,
        renderer: Renderer,
        *,
        wraps: bool,
        context_tokens: int,
        limits: AnswerLimits,
    ) -> None:
        self._request = request
        self._renderer = renderer
        self._max_tokens = to_spec(request).max_tokens
        self._context_tokens = context_tokens
        self._limits = limits
        is_raw = request.suffix or request.echo or request.logprobs is not None
        self._wraps = wraps and not is_raw

    def encode(self) -> list[EncodedPrompt]:
        """All prompts. Raises `ContextLengthExceeded` for huge texts before tokenizing them."""
        prompts = self._request.prompt
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        self._check_huge([*texts, self._request.suffix or ""])
        if not prompts:
            return [EncodedPrompt(tuple(self._document_start()), "")]
        if len(texts) == len(prompts) and not self._wraps and not self._request.suffix:
            rows = self._renderer.encode_batch(texts, parse_special=True)
            pairs = zip(rows, texts, strict=True)
            return [EncodedPrompt(tuple(row or self._document_start()), text) for row, text in pairs]
        return [self._encoded(prompt) for prompt in prompts]

    def _encoded(self, prompt: Prompt) -> EncodedPrompt:
        if not isinstance(prompt, str):
            return EncodedPrompt(prompt, self._renderer.decode(prompt) if self._shows_prompt() else "")
        if self._wraps:
            reasoning = without_thought(self._renderer.thinking)
            messages = [Message.of("user", prompt)]
            tokens = self._renderer.encode_chat(messages, switches=reasoning.switches)
            return EncodedPrompt(tuple(tokens), prompt, reasoning)
        if self._request.suffix:
            return EncodedPrompt(self._fill_in_middle(prompt, self._request.suffix), prompt)
        return EncodedPrompt(tuple(self._renderer.encode(prompt, parse_special=True)), prompt)

    def _fill_in_middle(self, prefix: str, suffix: str) -> tuple[int, ...]:
        tokens = self._renderer.fim(prefix, suffix)
        if tokens is None:
            raise validation_errors.unsupported().at_param("suffix")
        return tuple(tokens)

    def _document_start(self) -> list[int]:
        tokens = self._renderer.document_start
        if not tokens:
            raise InvalidRequest(
                "This model has no beginning-of-sequence token, so it needs a prompt.", param="prompt"
            )
        return tokens

    def _shows_prompt(self) -> bool:
        return bool(self._request.echo) or self._request.logprobs is not None

    def _check_huge(self, texts: Sequence[str]) -> None:
        if sum(map(len, texts)) > MAX_COUNTED_CHARS:
            for text in texts:
                fewest = self._renderer.least_tokens(text)
                completion_tokens(
                    fewest, self._max_tokens, self._context_tokens, self._limits, is_lower_bound=True
                )
