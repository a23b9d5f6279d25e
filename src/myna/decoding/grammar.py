"""Grammars that constrain answers: compiling, masks, advancing. The only user of llguidance.

Grammars are given as text in llguidance's JSON format; `scheduling.grammar_text` produces them.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Final

import numpy as np
from llguidance import LLExecutor, LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from myna.core.errors import ConstraintTooComplex, InvalidRequest, MynaError
from myna.core.requests import Thought
from myna.decoding.sampling_batch import Bitmask
from myna.decoding.thinking import ThoughtConstraint

MAX_GRAMMAR_BYTES: Final = 512 << 10
# llguidance recurses along chains of rules and references, 3 to 9 KiB of stack per link of at least 10 to 30
# bytes of grammar. A stack overflow would kill the process; this is more than twice what a grammar can use.
STACK_BYTES: Final = 512 << 20
_MAX_MESSAGE_CHARS: Final = 400
# Limits a mask to about 15 ms per step; with more lexer fuel, a literal of 100,000 characters would take
# longer at every step.
_LIMITS: Final = LLParserLimits(initial_lexer_fuel=100_000, verbose_errors=False)
_NUM_TRIED: Final = 16
# llguidance panics if a grammar needs more symbols than its integers can count.
_TOO_MUCH: Final = re.compile(r"^panic|too (big|large|many|complex)|limit|exceeded|precomputation|fuel")
_NO_DRAFTS: Final[Mapping[int, Sequence[int]]] = MappingProxyType({})


def check(grammar: str) -> None:
    """Raise `InvalidRequest` if no model could follow the grammar; needs no vocabulary, but as much stack as
    `Grammars.compile`."""
    _check_size(grammar)
    try:
        is_error, messages = LLMatcher.validate_grammar_with_warnings(grammar, limits=_LIMITS)
    except ValueError as error:
        raise _refusal(str(error)) from error
    if is_error:
        raise _refusal(messages[0])


def regex_grammar(pattern: str) -> str:
    """The grammar of texts that match the regular expression as a whole."""
    return LLMatcher.grammar_from_regex(pattern)


class Grammar:
    """The state of one choice in its grammar. Used by one thread at a time.

    Once a token was rejected, or the grammar exceeded its limits, it stays broken and allows nothing. While
    `thought` is set, it waits for the end of the model's thought.
    """

    __slots__ = ("matcher", "thought")

    def __init__(self, matcher: LLMatcher, thought: ThoughtConstraint | None = None) -> None:
        self.matcher = matcher
        self.thought = thought

    @property
    def may_stop(self) -> bool:
        """The text so far is a complete answer."""
        return self.thought is None and self.matcher.is_accepting() and not self.is_broken

    @property
    def must_stop(self) -> bool:
        """The answer is complete and nothing can be added: no next token is needed."""
        return self.thought is None and self.matcher.is_stopped() and not self.is_broken

    @property
    def is_broken(self) -> bool:
        return self.matcher.is_error()

    @property
    def error(self) -> str:
        """Why it is broken; empty if it is not."""
        return _tidy(self.matcher.get_error())

    def advance(self, token: int) -> bool:
        """Accept the next token, which may be an end-of-text token; False if the grammar forbids it."""
        thought = self.thought
        if thought is not None:
            if thought.is_waiting and token != thought.opening:
                self.thought = None
            else:
                if thought.advance(token):
                    self.thought = None
                return True
        return self.matcher.consume_token(token)

    def num_allowed(self, tokens: Sequence[int]) -> int:
        """How many of the tokens the grammar would accept in sequence, without advancing; 0 within the
        thought, where it can't be known."""
        return 0 if self.thought is not None else self.matcher.validate_tokens(list(tokens))

    def rewind(self, num_tokens: int) -> bool:
        """Undo the last tokens; False if there were fewer."""
        return self.matcher.rollback(num_tokens)

    def copy(self) -> "Grammar":
        """An independent copy of the state, for another choice of the request."""
        return Grammar(self.matcher.deep_copy(), self.thought and self.thought.copy())


class Grammars:
    """Compiles grammars for one model's vocabulary. Thread-safe, except for the grammars it returns. Creating
    it holds the GIL for up to a second.

    `pieces` are the tokens' bytes, `controls` the tokens without text, `ends` those that end an answer;
    `encode` tokenizes plain text.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        controls: Collection[int],
        ends: Collection[int],
        encode: Callable[[str], list[int]],
        vocab_size: int,
    ) -> None:
        """`vocab_size` is the length of a row of logits: the model file may list fewer tokens."""
        if not ends:
            raise InvalidRequest("This model has no end-of-text token, so it can't follow a grammar.")
        source = _Source(pieces, controls, ends, encode, vocab_size)
        self._tokenizer = LLTokenizer(TokenizerWrapper(source), eos_token=sorted(ends))
        source.greedy = self._tokenizer.greedy_tokenize
        self._num_words = (vocab_size + 31) // 32
        self._executor = LLExecutor(num_threads=1)
        self._pieces, self._encode = pieces, encode
        self._marks: dict[str, list[int]] = {}
        self._any_text = _bitmask(vocab_size, source.special_token_ids)
        white = [token for token, piece in enumerate(source.tokens) if piece[:1].isspace()]
        self._solid_text = self._any_text & _bitmask(vocab_size, white)

    def compile(self, grammar: str) -> Grammar:
        """The grammar in its initial state; give each request a copy with `begin`.

        Raises `InvalidRequest` for an invalid grammar, and `ConstraintTooComplex` for one that is too large
        or exceeds its limits within its first tokens. Releases the GIL. Usually takes milliseconds; a hostile
        grammar takes seconds and a stack of `STACK_BYTES`."""
        _check_size(grammar)
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            raise _refusal(matcher.get_error())
        compiled = Grammar(matcher)
        self.try_out(compiled)
        return compiled

    def begin(self, grammar: Grammar, thought: Thought | None = None) -> Grammar:
        """A copy of a compiled grammar for one request. With a `thought`, the grammar applies after its
        end; a grammar for harmony has its own rules for thoughts."""
        state = grammar.copy()
        if thought is not None and not thought.is_harmony:
            state.thought = ThoughtConstraint(
                self._pieces, thought, self._mark(thought.begin), self._mark(thought.end)
            )
        return state

    def _mark(self, text: str) -> list[int]:
        """The tokens of a marker: a single one if the vocabulary has it."""
        if text not in self._marks:
            data = text.encode()
            self._marks[text] = [self._pieces.index(data)] if data in self._pieces else self._encode(text)
        return self._marks[text]

    def try_out(self, grammar: Grammar, text: str = "") -> None:
        """Generate a few tokens of an answer that begins with the text, if the grammar allows it: some
        grammars compile but exceed their limits after a token or two. Raises as `compile` does."""
        matcher = grammar.matcher.deep_copy()
        if text and not matcher.consume_tokens(self._tokenizer.tokenize_str(text)):
            return
        for _ in range(_NUM_TRIED):
            if matcher.is_stopped() and not matcher.is_error():
                return
            mask = np.frombuffer(matcher.compute_bitmask(), np.uint32)[: self._num_words]
            if matcher.is_error():
                reason = matcher.get_error()
                if reason.startswith("NoExtension"):
                    raise _refusal("nothing satisfies it")
                raise _refusal(reason, ConstraintTooComplex)
            token = _lowest(mask & self._solid_text)
            if token is None:
                token = _lowest(mask & self._any_text)
            if token is None:
                if matcher.is_accepting():
                    return
                raise _refusal("nothing satisfies it")
            matcher.consume_token(token)

    def masks(self, grammars: Sequence[Grammar], drafts: Mapping[int, Sequence[int]] = _NO_DRAFTS) -> Bitmask:
        """The allowed next tokens, as `SamplingBatch.masks` needs them: one row per grammar, followed by one
        for each of its draft tokens. `drafts` holds those by grammar index; the grammar must allow them.

        Releases the GIL, so that another thread can do this while the engine computes the logits. The rows of
        a broken grammar allow nothing.
        """
        sizes = [1 + len(drafts.get(index, ())) for index in range(len(grammars))]
        rows = list(accumulate(sizes, initial=0))
        masks = np.zeros((rows[-1], self._num_words), np.uint32)
        where = masks.ctypes.data, masks.shape[1] * masks.itemsize, len(masks)
        whole = [
            index
            for index, grammar in enumerate(grammars)
            if (grammar.thought is None or grammar.thought.is_waiting) and not grammar.matcher.is_error()
        ]
        alone = [(grammars[index].matcher, rows[index]) for index in whole if index not in drafts]
        if alone:
            self._executor.unsafe_compute_mask_ptr(alone, *where)
        ahead = [(grammars[i].matcher, rows[i], list(drafts[i])) for i in whole if i in drafts]
        if ahead:
            self._executor.unsafe_compute_mask_ptr_with_draft_token(ahead, *where)
        for index in whole:
            if grammars[index].matcher.is_error():
                # It has just exceeded its limits; llguidance then allows an end token.
                masks[rows[index] : rows[index + 1]] = 0
        for row, grammar in zip(rows, grammars, strict=False):
            if grammar.thought is not None:
                self._apply_thought(masks[row], grammar.thought)
        return masks

    def _apply_thought(self, mask: Bitmask, thought: ThoughtConstraint) -> None:
        if thought.is_waiting:
            mask[thought.opening // 32] |= np.uint32(1 << thought.opening % 32)
        elif thought.forced is None:
            mask[:] = self._any_text
            for token in thought.ending:  # it may be a control token
                mask[token // 32] |= np.uint32(1 << token % 32)
        else:
            mask[:] = 0
            mask[thought.forced // 32] = 1 << thought.forced % 32


class _Source:
    """The vocabulary with the attributes that llguidance expects."""

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
        """Called with text that the grammar forces; any tokenization is acceptable."""
        text = data.decode("utf-8", "replace")
        try:
            return self._encode(text)
        except MynaError:  # a pre-tokenizer that Myna doesn't support
            return self.greedy(text) if self.greedy is not None else []


def _bitmask(vocab_size: int, without: Collection[int]) -> Bitmask:
    """A row that allows all tokens except those `without`."""
    allowed = np.ones((vocab_size + 31) // 32 * 32, np.uint8)
    allowed[vocab_size:] = 0
    allowed[list(without)] = 0
    return np.packbits(allowed, bitorder="little").view(np.uint32)


def _lowest(words: Bitmask) -> int | None:
    """The lowest allowed token."""
    found = words.nonzero()[0]
    if not len(found):
        return None
    word = int(words[found[0]])
    return int(found[0]) * 32 + (word & -word).bit_length() - 1


def _check_size(grammar: str) -> None:
    size = len(grammar.encode("utf-8", "surrogatepass"))
    if size > MAX_GRAMMAR_BYTES:
        raise _refusal(f"its {size} bytes exceed the limit of {MAX_GRAMMAR_BYTES}", ConstraintTooComplex)


def _refusal(reason: str, kind: type[InvalidRequest] = InvalidRequest) -> InvalidRequest:
    text = _tidy(reason)
    if kind is ConstraintTooComplex or _TOO_MUCH.search(text):
        return ConstraintTooComplex(f"The grammar is too large or too complex: {text}")
    return InvalidRequest(f"The grammar can't be followed: {text}")


def _tidy(message: str) -> str:
    """The message without the parts meant for llguidance's developers."""
    return message.replace("<non-verbose/>", "").partition("<backtrace>")[0].strip()[:_MAX_MESSAGE_CHARS]
