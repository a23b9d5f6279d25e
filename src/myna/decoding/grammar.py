"""Grammars that answers must follow: compiled, masked, advanced. The only user of llguidance."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Final

import numpy as np
from llguidance import LLExecutor, LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from myna.core.errors import InvalidRequest, MynaError
from myna.core.requests import Constraint, Thought
from myna.decoding.sampling_batch import Words
from myna.decoding.thinking import ThoughtGate

_MAX_CACHED: Final = 16
_MAX_MESSAGE_CHARS: Final = 400
# A grammar that needs more is refused when it is compiled, or ends its answer with an error: at most
# about 20 ms for its lexer, 15 ms a step.
_LIMITS: Final = LLParserLimits(verbose_errors=False)
_NO_GUESSES: Final[Mapping[int, Sequence[int]]] = MappingProxyType({})


def check(constraint: Constraint) -> None:
    """Raise `InvalidRequest` where no model could follow the constraint; needs no vocabulary."""
    try:
        is_error, messages = LLMatcher.validate_grammar_with_warnings(constraint.grammar, limits=_LIMITS)
    except ValueError as error:
        raise _refusal(str(error)) from error
    if is_error:
        raise _refusal(messages[0])


class Grammar:
    """Where one choice stands in its grammar. Used by one thread at a time.

    Once a token was refused, or the grammar grew past its limits, it is broken for good and allows
    nothing. Behind a `gate` it waits for the end of the model's thought.
    """

    __slots__ = ("gate", "matcher")

    def __init__(self, matcher: LLMatcher, gate: ThoughtGate | None = None) -> None:
        self.matcher = matcher
        self.gate = gate

    @property
    def may_stop(self) -> bool:
        """What was generated so far is a whole answer."""
        return self.gate is None and self.matcher.is_accepting() and not self.is_broken

    @property
    def must_stop(self) -> bool:
        """A whole answer to which nothing can be added: no next token needs to be computed."""
        return self.gate is None and self.matcher.is_stopped() and not self.is_broken

    @property
    def is_broken(self) -> bool:
        return self.matcher.is_error()

    @property
    def error(self) -> str:
        """Why it is broken; empty if it is not."""
        return _tidy(self.matcher.get_error())

    def advance(self, token: int) -> bool:
        """Take the next token, an end-of-text token included; False if the grammar forbids it."""
        gate = self.gate
        if gate is not None:
            if gate.is_waiting and token != gate.opening:
                self.gate = None
            else:
                if gate.take(token):
                    self.gate = None
                return True
        return self.matcher.consume_token(token)

    def num_allowed(self, tokens: Sequence[int]) -> int:
        """How many of the tokens, from the first on, the grammar would take; it stays where it is. Before the
        thought's end it doesn't tell."""
        return 0 if self.gate is not None else self.matcher.validate_tokens(list(tokens))

    def rewind(self, num_tokens: int) -> bool:
        """Forget the last tokens; False if there were fewer."""
        return self.matcher.rollback(num_tokens)

    def copy(self) -> "Grammar":
        """The same place, going its own way: for the children of `n`."""
        return Grammar(self.matcher.deep_copy(), self.gate and self.gate.copy())


class Grammars:
    """One model's vocabulary as grammars need it. Thread-safe, but for the grammars it gives out.

    `pieces` are the tokens' bytes, `controls` the tokens that stand for no text, `ends` those that
    end an answer, `encode` tokenises plain text.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        controls: Collection[int],
        ends: Collection[int],
        encode: Callable[[str], list[int]],
        vocab_size: int,
    ) -> None:
        """`vocab_size` is the length of a row of logits: files may name fewer tokens."""
        if not ends:
            raise InvalidRequest("This model has no token that ends an answer, so it can't follow a grammar.")
        self._source = _Source(pieces, controls, ends, encode, vocab_size)
        self._ends = sorted(ends)
        self._num_words = (vocab_size + 31) // 32
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._executor = LLExecutor(num_threads=1)
        self._pieces, self._encode = pieces, encode
        self._any_text = _words(vocab_size, self._source.special_token_ids)

    def prepare(self) -> None:
        """Build the tables over the vocabulary unless they are there: up to a second that holds the GIL,
        so best done while nobody waits for a token. The first `compile` does it otherwise."""
        self._tables()

    def _tables(self) -> LLTokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = LLTokenizer(TokenizerWrapper(self._source), eos_token=self._ends)
                self._source.greedy = self._tokenizer.greedy_tokenize
            return self._tokenizer

    def compile(self, constraint: Constraint, thought: Thought | None = None) -> Grammar:
        """Raises `InvalidRequest` for what isn't a grammar, or one that is too large or unsupported.
        Takes milliseconds after the first, releases the GIL, and remembers the last few. With a `thought`
        the grammar begins at its end."""
        gate = None
        if thought is not None:
            gate = ThoughtGate(self._pieces, thought, self._mark(thought.begin), self._mark(thought.end))
        return Grammar(self._matcher(constraint), gate)

    def _mark(self, text: str) -> list[int]:
        """The tokens of a mark: its own, if the model has one for it."""
        data = text.encode()
        return [self._pieces.index(data)] if data in self._pieces else self._encode(text)

    def _matcher(self, constraint: Constraint) -> LLMatcher:
        with self._lock:
            matcher = self._compiled.get(constraint.grammar)
            if matcher is not None:
                self._compiled.move_to_end(constraint.grammar)
                return matcher.deep_copy()
        matcher = LLMatcher(self._tables(), constraint.grammar, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            raise _refusal(matcher.get_error())
        with self._lock:
            self._compiled[constraint.grammar] = matcher
            if len(self._compiled) > _MAX_CACHED:
                self._compiled.popitem(last=False)
            return matcher.deep_copy()

    def masks(self, grammars: Sequence[Grammar], guesses: Mapping[int, Sequence[int]] = _NO_GUESSES) -> Words:
        """Which tokens may come next, as `SamplingBatch.masks` wants them: a row a grammar, followed by one
        for each token that `guesses` says may follow, by the grammar's index; the grammar allows those.

        Releases the GIL, so another thread can do this while the engine computes the logits. A row of
        a broken grammar allows nothing.
        """
        sizes = [1 + len(guesses.get(index, ())) for index in range(len(grammars))]
        rows = list(accumulate(sizes, initial=0))
        masks = np.zeros((rows[-1], self._num_words), np.uint32)
        where = masks.ctypes.data, masks.shape[1] * masks.itemsize, len(masks)
        whole = [
            index
            for index, grammar in enumerate(grammars)
            if (grammar.gate is None or grammar.gate.is_waiting) and not grammar.matcher.is_error()
        ]
        alone = [(grammars[index].matcher, rows[index]) for index in whole if index not in guesses]
        if alone:
            self._executor.unsafe_compute_mask_ptr(alone, *where)
        ahead = [(grammars[i].matcher, rows[i], list(guesses[i])) for i in whole if i in guesses]
        if ahead:
            self._executor.unsafe_compute_mask_ptr_with_draft_token(ahead, *where)
        for index in whole:
            if grammars[index].matcher.is_error():
                # It grew past its limits just now; llguidance then allows the end.
                masks[rows[index] : rows[index + 1]] = 0
        for row, grammar in zip(rows, grammars, strict=False):
            if grammar.gate is not None:
                self._let_through(masks[row], grammar.gate)
        return masks

    def _let_through(self, words: Words, gate: ThoughtGate) -> None:
        if gate.is_waiting:
            words[gate.opening // 32] |= np.uint32(1 << gate.opening % 32)
        elif gate.forced is None:
            words[:] = self._any_text
        else:
            words[:] = 0
            words[gate.forced // 32] = 1 << gate.forced % 32


class _Source:
    """The vocabulary under the names that llguidance looks for."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        controls: Collection[int],
        ends: Collection[int],
        encode: Callable[[str], list[int]],
        vocab_size: int,
    ) -> None:
        self.tokens = [*pieces[:vocab_size], *[b""] * (vocab_size - len(pieces))]
        self.special_token_ids = sorted({*controls, *ends})
        self.eos_token_id = min(ends)
        self.bos_token_id = None
        self.greedy: Callable[[str], list[int]] | None = None
        self._encode = encode

    def __call__(self, data: bytes) -> list[int]:
        """Called with text that the grammar forces; one tokenisation is as right as another."""
        text = data.decode("utf-8", "replace")
        try:
            return self._encode(text)
        except MynaError:  # a pre-tokenizer that ours doesn't know
            return self.greedy(text) if self.greedy is not None else []


def _words(vocab_size: int, without: Collection[int]) -> Words:
    """A row that allows all tokens but some."""
    allowed = np.ones((vocab_size + 31) // 32 * 32, np.uint8)
    allowed[vocab_size:] = 0
    allowed[list(without)] = 0
    return np.packbits(allowed, bitorder="little").view(np.uint32)


def _refusal(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The grammar can't be followed: {_tidy(reason)}")


def _tidy(message: str) -> str:
    return message.replace("<non-verbose/>", "").strip()[:_MAX_MESSAGE_CHARS]
