"""One choice of a request: vLLM's tokens through Myna's output processor."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from myna.core.errors import GenerationFailed
from myna.core.events import Event
from myna.core.requests import GenerationRequest, Thought
from myna.decoding.choice_output import SampledLogprobs
from myna.decoding.output_processor import RequestOutput
from myna.decoding.thinking import ThoughtText
from myna.decoding.token_table import TokenTable
from myna.workers.vllm.lark_grammar import to_lark
from myna.workers.vllm.parameters import priority, sampling_parameters

_NO_LOGPROBS: Final = SampledLogprobs(0.0)


class TokenSource(Protocol):
    """vLLM, as far as choices need it (`workers.vllm.engine.VllmEngine`)."""

    def generate(
        self,
        tokens: tuple[int, ...],
        parameters: Mapping[str, Any],
        id: str,
        *,
        grammar: str | None,
        cache_salt: str,
        priority: int,
        adapter: str,
    ) -> AsyncGenerator[Any, None]: ...


@dataclass(frozen=True, slots=True)
class Model:
    """What all requests share. `special` are the control tokens by their texts, `encode_mark` the tokens of a
    thought's mark."""

    source: TokenSource
    tokens: TokenTable
    special: Mapping[str, int]
    encode_mark: Callable[[str], Sequence[int]]


class Choice:
    """Choice `index` of a request. `prompt` is set once its prompt is computed, `grammar` is its constraint
    in llguidance's form, `emit` takes its events. `id` begins the names of its requests at vLLM, which must
    be unique there."""

    def __init__(
        self,
        model: Model,
        request: GenerationRequest,
        output: RequestOutput,
        index: int,
        *,
        grammar: str | None,
        id: str,
        prompt: asyncio.Event,
        emit: Callable[[Sequence[Event]], None],
    ) -> None:
        self._model = model
        self._request = request
        self._output = output
        self._index = index
        self._grammar = grammar
        self._id = id
        self._prompt = prompt
        self._emit = emit
        self._tokens: list[int] = []
        self._budget = _budget(model, request, grammar)

    async def run(self) -> None:
        """Raises a `MynaError`, or what vLLM raises when its engine has died."""
        await self._follow(self._request.thought)
        if self._is_done or self._budget is None:
            return
        # The thought is as long as it may be: its end mark is written for the model, which then answers.
        thought, self._budget = self._budget.thought, None
        for token in self._model.encode_mark(thought.end):
            self._push(token, _NO_LOGPROBS)
        if not self._is_done:
            await self._follow(None)

    @property
    def _is_done(self) -> bool:
        return self._output.choices[self._index].reason is not None

    async def _follow(self, thought: Thought | None) -> None:
        """Take tokens until the choice ends, or its thought must."""
        async with contextlib.aclosing(self._open(thought)) as outputs:
            async for output in outputs:
                await self._begin(output)
                if self._request.max_tokens == 0:
                    self._emit(self._output.finish(self._index, "length"))
                completion = output.outputs[0]
                for token, logprobs in _sampled_tokens(completion):
                    self._push(token, logprobs)
                    if self._is_done or (
                        self._budget is not None and not self._may_think(self._budget, token)
                    ):
                        return
                if completion.finish_reason is not None:
                    self._finish(completion.finish_reason)

    def _open(self, thought: Thought | None) -> AsyncGenerator[Any, None]:
        """A request of vLLM's that continues after the tokens so far."""
        request, num_generated = self._request, len(self._tokens)
        parameters = sampling_parameters(
            request,
            self._index,
            end_tokens=self._output.end_tokens,
            num_logprobs=self._output.num_logprobs,
            num_generated=num_generated,
        )
        grammar = None if self._grammar is None else to_lark(self._grammar, self._model.special, thought)
        return self._model.source.generate(
            (*request.prompt_tokens, *self._tokens),
            parameters,
            f"{self._id}-{self._index}-{num_generated}",
            grammar=grammar,
            cache_salt=request.cache_salt,
            priority=priority(request),
            adapter=request.adapter,
        )

    async def _begin(self, output: Any) -> None:
        """The request's first event comes with the first output of choice 0."""
        if self._prompt.is_set():
            return
        if self._index:
            await self._prompt.wait()
            return
        request = self._request
        if request.num_prompt_logprobs is not None:
            entries = zip(request.prompt_tokens[1:], output.prompt_logprobs[1:], strict=True)
            self._output.add_prompt_logprobs(_sampled(token, among) for token, among in entries)
        cached = min(output.num_cached_tokens or 0, request.num_prompt_tokens - 1)
        self._emit([self._output.prompt_done(cached)])
        self._prompt.set()

    def _may_think(self, budget: "_Budget", token: int) -> bool:
        budget.take(self._model.tokens.pieces[token])
        if budget.has_ended:
            self._budget = None
        return self._budget is None or budget.num_left > 0

    def _push(self, token: int, logprobs: SampledLogprobs | None) -> None:
        self._tokens.append(token)
        if self._output.num_logprobs is None:
            logprobs = None
        self._emit(self._output.push(self._index, token, logprobs))

    def _finish(self, reason: str) -> None:
        if reason not in ("stop", "length"):
            raise GenerationFailed("vLLM ended the request before its end.")
        self._emit(self._output.finish(self._index, "stop" if reason == "stop" else "length"))


class _Budget:
    """How many more tokens a thought may have before its end mark."""

    def __init__(self, thought: Thought, num_opening: int) -> None:
        self.thought = thought
        self.num_left = thought.max_tokens + (0 if thought.is_open else num_opening)
        self._text = ThoughtText(thought)

    @property
    def has_ended(self) -> bool:
        """The thought is over, or there is none."""
        return self._text.has_ended

    def take(self, data: bytes) -> None:
        self.num_left -= 1
        self._text.push(data)


def _budget(model: Model, request: GenerationRequest, grammar: str | None) -> _Budget | None:
    thought = request.thought
    if grammar is None or thought is None or not thought.max_tokens or thought.is_harmony:
        return None
    return _Budget(thought, len(model.encode_mark(thought.begin)))


def _sampled_tokens(completion: Any) -> Iterator[tuple[int, SampledLogprobs | None]]:
    if completion.logprobs is None:
        yield from ((token, None) for token in completion.token_ids)
        return
    for token, among in zip(completion.token_ids, completion.logprobs, strict=True):
        yield token, _sampled(token, among)


def _sampled(token: int, among: Mapping[int, Any]) -> SampledLogprobs:
    """vLLM lists the token, and the most likely ones by their rank."""
    best = sorted(among, key=lambda other: among[other].rank)
    return SampledLogprobs(among[token].logprob, best, [among[other].logprob for other in best])
