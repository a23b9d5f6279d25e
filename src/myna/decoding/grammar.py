"""Grammars that answers must follow: compiled, masked, advanced. The only user of llguidance.

Grammars are texts here, in llguidance's own JSON form; `scheduling.grammar_text` writes them.
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
from myna.decoding.sampling_batch import Words
from myna.decoding.thinking import ThoughtGate

MAX_GRAMMAR_BYTES: Final = 512 << 10
# llguidance recurses along chains of rules and references, 3 to 9 KiB per link of at least 10 to 30 bytes of
# grammar, and overflowing the stack would end the process: this is more than twice what a grammar can use.
STACK_BYTES: Final = 512 << 20
_MAX_MESSAGE_CHARS: Final = 400
# A step's mask takes at most about 15 ms; with more fuel for the lexer, a literal of 100,000 characters does
# too, at every step.
_LIMITS: Final = LLParserLimits(initial_lexer_fuel=100_000, verbose_errors=False)
_NUM_TRIED: Final = 16
# llguidance panics, within a call, where a grammar needs more symbols than its integers can count.
_TOO_MUCH: Final = re.compile(r"^panic|too (big|large|many|complex)|limit|exceeded|precomputation|fuel")
_NO_GUESSES: Final[Mapping[int, Sequence[int]]] = MappingProxyType({})


def check(grammar: str) -> None:
    """Raise `InvalidRequest` where no model could follow the grammar; needs no vocabulary. As recursive as
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
    """One model's vocabulary as grammars need it. Thread-safe, but for the grammars it gives out. Building it
    holds the GIL for up to a second.

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
        source = _Source(pieces, controls, ends, encode, vocab_size)
        self._tokenizer = LLTokenizer(TokenizerWrapper(source), eos_token=sorted(ends))
        source.greedy = self._tokenizer.greedy_tokenize
        self._num_words = (vocab_size + 31) // 32
        self._executor = LLExecutor(num_threads=1)
        self._pieces, self._encode = pieces, encode
        self._marks: dict[str, list[int]] = {}
        self._any_text = _words(vocab_size, source.special_token_ids)
        white = [token for token, piece in enumerate(source.tokens) if piece[:1].isspace()]
        self._solid_text = self._any_text & _words(vocab_size, white)

    def compile(self, grammar: str) -> Grammar:
        """The grammar at its beginning: give each answer a copy, by `begin`.

        Raises `InvalidRequest` for what isn't a grammar, and `ConstraintTooComplex` for one that is too large
        or outgrows its limits in its first tokens. Releases the GIL, and takes milliseconds as a rule; a
        hostile one takes seconds, and a stack of `STACK_BYTES`.
        """
        _check_size(grammar)
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            raise _refusal(matcher.get_error())
        compiled = Grammar(matcher)
        self.try_out(compiled)
        return compiled

    def begin(self, grammar: Grammar, thought: Thought | None = None) -> Grammar:
        """A compiled grammar for one request. With a `thought` the grammar begins at its end."""
        place = grammar.copy()
        if thought is not None:
            place.gate = ThoughtGate(
                self._pieces, thought, self._mark(thought.begin), self._mark(thought.end)
            )
        return place

    def _mark(self, text: str) -> list[int]:
        """The tokens of a mark: its own, if the model has one for it."""
        if text not in self._marks:
            data = text.encode()
            self._marks[text] = [self._pieces.index(data)] if data in self._pieces else self._encode(text)
        return self._marks[text]

    def try_out(self, grammar: Grammar, text: str = "") -> None:
        """Write a few tokens of an answer that begins with the text, if one may: many a grammar that compiles
        outgrows its limits after a token or two. Raises as `compile` does."""
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


def _lowest(words: Words) -> int | None:
    """The lowest token that is allowed."""
    found = words.nonzero()[0]
    if not len(found):
        return None
    word = int(words[found[0]])
    return int(found[0]) * 32 + (word & -word).bit_length() - 1


def _check_size(grammar: str) -> None:
    size = len(grammar.encode("utf-8", "surrogatepass"))
    if size > MAX_GRAMMAR_BYTES:
        raise _refusal(f"its {size} bytes are more than {MAX_GRAMMAR_BYTES}", ConstraintTooComplex)


def _refusal(reason: str, kind: type[InvalidRequest] = InvalidRequest) -> InvalidRequest:
    text = _tidy(reason)
    if kind is ConstraintTooComplex or _TOO_MUCH.search(text):
        return ConstraintTooComplex(f"The grammar is too large or too complex: {text}")
    return InvalidRequest(f"The grammar can't be followed: {text}")


def _tidy(message: str) -> str:
    """Without what is for llguidance's developers."""
    return message.replace("<non-verbose/>", "").partition("<backtrace>")[0].strip()[:_MAX_MESSAGE_CHARS]
