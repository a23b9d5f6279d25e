"""An engine without weights, but with a real paged KV cache: generates what its prompt asks for.

Product code: `myna serve --engine fake` demonstrates the API without a model, and tests predict all of its
tokens with `script`. It knows nothing about the scheduler."""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from os import abort
from pathlib import PurePath
from typing import Final

import numpy as np
import numpy.typing as npt

from myna.core.errors import ModelLoadFailed
from myna.core.generator import ModelInfo
from myna.core.translatable import N_
from myna.engines.base import BatchRow, KVCacheFull

BLOCK_TOKENS: Final = 16
SPECIAL: Final = ("<|end|>", "<|start|>", "<|turn|>", "<|pad|>")
END, START = 256, 257
SPECIAL_IDS: Final = range(256, 256 + len(SPECIAL))
_WORD_LIST: Final = (
    "a able about after all also an and any are as at back be because been before bird but by call can "
    "caw come could day did do each even every far feather find first fly for from get give go good had "
    "has have he hear her here him his home how I if in into is it its just know large last leaf light "
    "like line little live long look loud low made make man many may me mean mine more most much must my "
    "myna name near nest new next no not now number of old on once one only or other our out over own "
    "part people perch place play put rain read right said same say see seed she should sing sky small so "
    "some song sound speak still such take talk tell than that the their them then there these they thing "
    "think this those time to today too tree two under until up us use very voice want was water way we "
    "well went were what when where which while who why will wind wing with word words work world would "
    "write year yes yet you young your "
)
_WORDS: Final = tuple(_WORD_LIST.split())
VOCABULARY: Final[tuple[bytes, ...]] = (
    *(bytes([value]) for value in range(256)),
    *(name.encode() for name in SPECIAL),
    *(f" {word}".encode() for word in _WORDS),
)
_IDS: Final = {data: token for token, data in enumerate(VOCABULARY)}
_WORD_PATTERN: Final = "|".join(sorted((f" {word}" for word in _WORDS), key=len, reverse=True))
_PIECES: Final = re.compile(rf"(?:{_WORD_PATTERN})(?!\w)".encode())
_PIECES_AND_SPECIAL: Final = re.compile(
    "|".join(re.escape(name) for name in SPECIAL).encode() + b"|" + _PIECES.pattern
)
_DIRECTIVE: Final = re.compile(rb"\[\[(say|fail|crash|hang|slow)(?: ([^\]]*))?\]\]")
_FIRST_WORD: Final = 256 + len(SPECIAL)
_TOKEN_BYTES: Final = 4
_HASH_MASK: Final = (1 << 61) - 1
_END_ONE_IN: Final = 24  # without a directive, an answer ends after about this many words


def tokenize(text: str, *, parse_special: bool) -> list[int]:
    """Separate words of the small vocabulary become one token, everything else bytes."""
    data, tokens, end = text.encode(), list[int](), 0
    for match in (_PIECES_AND_SPECIAL if parse_special else _PIECES).finditer(data):
        tokens += data[end : match.start()]
        tokens.append(_IDS[match.group()])
        end = match.end()
    tokens += data[end:]
    return tokens


def script(prompt: Sequence[int], num_tokens: int) -> list[int]:
    """The next `num_tokens` tokens of greedy decoding after `prompt`, end tokens included."""
    text, answer = _TextState(), list[int]()
    text.feed(prompt)
    for _ in range(num_tokens):
        answer.append(text.next_tokens()[0])
        text.feed(answer[-1:])
    return answer


def run_directives(text: Sequence[int]) -> None:
    """Follow the directives in a text that aren't about its continuation: wait, fail, crash or hang."""
    state = _TextState()
    state.feed(text)
    if state.delay_s:
        time.sleep(state.delay_s)
    if state.fault:
        _fail(state.fault)


@dataclass(slots=True)
class _TextState:
    """The continuation of a text: a pure function of all its tokens, updated token by token.

    `[[say …]]` anywhere in the text sets what will be generated; the longest prefix of it with which the text
    ends counts as already generated. Otherwise a hash of the text picks words.
    """

    history: list[int] = field(default_factory=list)
    digest: int = 1
    scripted: tuple[int, ...] = ()
    num_said: int = 0
    delay_s: float = 0.0
    fault: str = ""

    def feed(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            self.history.append(token)
            self.digest = (self.digest * 1_000_003 + token + 1) & _HASH_MASK
            if self.scripted:
                self._advance(token)
            if token == 93 and self.history[-2:-1] == [93]:
                self._handle()

    def next_tokens(self) -> tuple[int, int]:
        """The most likely token and the second, for when a constraint forbids the first."""
        digest = (self.digest ^ (self.digest >> 29)) * 0x9E3779B1 >> 7
        word = _FIRST_WORD + digest % len(_WORDS)
        if self.scripted:
            return (self.scripted[self.num_said] if self.num_said < len(self.scripted) else END), word
        if digest % _END_ONE_IN == 0:
            return END, word
        return word, _FIRST_WORD + (digest + 1) % len(_WORDS)

    def _advance(self, token: int) -> None:
        if self.num_said < len(self.scripted) and self.scripted[self.num_said] == token:
            self.num_said += 1
            return
        tail = self.history[-len(self.scripted) :]
        self.num_said = next(
            size
            for size in range(min(len(tail), len(self.scripted) - 1), -1, -1)
            if size == 0 or tuple(tail[-size:]) == self.scripted[:size]
        )

    def _handle(self) -> None:
        matches = list(_DIRECTIVE.finditer(b"".join(VOCABULARY[token] for token in self.history[-4096:])))
        if not matches:
            return
        verb, argument = matches[-1].groups()
        if verb == b"say" and argument:
            self.scripted, self.num_said = (
                tuple(tokenize(argument.decode(errors="replace"), parse_special=True)),
                0,
            )
        elif verb == b"slow":
            self.delay_s = min(float(argument or b"20"), 1000.0) / 1000
        else:
            self.fault = verb.decode()


class _SequenceState:
    """One sequence: its text and its KV blocks."""

    __slots__ = ("blocks", "text")

    def __init__(self, text: _TextState, blocks: list[int]) -> None:
        self.text = text
        self.blocks = blocks


class _Blocks:
    """Reference-counted KV blocks: shared by fork, copied on write."""

    def __init__(self, num_blocks: int) -> None:
        self._free = list(range(num_blocks))
        self._holders = [0] * num_blocks

    @property
    def num_free(self) -> int:
        return len(self._free)

    def needed(self, blocks: list[int], old_tokens: int, new_tokens: int) -> int:
        copies = 1 if old_tokens % BLOCK_TOKENS and self._holders[blocks[-1]] > 1 else 0
        return copies + -(-new_tokens // BLOCK_TOKENS) - len(blocks)

    def extend(self, blocks: list[int], old_tokens: int, new_tokens: int) -> None:
        if old_tokens % BLOCK_TOKENS and self._holders[blocks[-1]] > 1:
            self.drop(blocks, len(blocks) - 1)
        while len(blocks) * BLOCK_TOKENS < new_tokens:
            blocks.append(self._free.pop())
            self._holders[blocks[-1]] = 1

    def share(self, blocks: list[int], num_tokens: int) -> list[int]:
        shared = blocks[: -(-num_tokens // BLOCK_TOKENS)]
        for block in shared:
            self._holders[block] += 1
        return shared

    def drop(self, blocks: list[int], keep: int) -> None:
        while len(blocks) > keep:
            block = blocks.pop()
            self._holders[block] -= 1
            if not self._holders[block]:
                self._free.append(block)


class _FakeLogits:
    __slots__ = ("array",)

    def __init__(self, array: npt.NDArray[np.float32]) -> None:
        self.array = array


class _SavedBlocks:
    """A `base.BlockStorage`: a block is its tokens."""

    block_bytes: Final = BLOCK_TOKENS * _TOKEN_BYTES

    def __init__(self, engine: "FakeEngine") -> None:
        self._engine = engine

    def read_blocks(self, sequence: int, first: int, target: npt.NDArray[np.uint8]) -> None:
        num_tokens = len(target) // _TOKEN_BYTES
        tokens = self._engine.history(sequence)[first * BLOCK_TOKENS :][:num_tokens]
        assert len(tokens) == num_tokens
        target[:] = np.array(tokens, np.int32).view(np.uint8)

    def append_blocks(self, sequence: int, source: npt.NDArray[np.uint8]) -> None:
        tokens, start = source.view(np.int32).tolist(), len(self._engine.history(sequence))
        assert start % BLOCK_TOKENS == 0
        self._engine.forward([BatchRow(sequence, tokens, start, len(tokens))])


class FakeEngine:
    """See the module. Asserts the rules of `engines.base.Engine`, so that tests catch violations."""

    can_trim = True
    num_threads = 1
    prefix_grid = 1
    is_batch_invariant = True

    def __init__(self, context_tokens: int, kv_tokens: int, max_sequences: int) -> None:
        self._blocks = _Blocks(kv_tokens // BLOCK_TOKENS)
        self._states: dict[int, _SequenceState] = {}
        self._logits = np.zeros((64, len(VOCABULARY)), np.float32)
        self._written: tuple[list[int], list[int], list[int]] = ([], [], [])
        self.blocks: Final = _SavedBlocks(self)
        self.prefix_cache_tokens = kv_tokens // 2
        self.info = ModelInfo(
            engine="fake",
            architecture="fake",
            vocab_size=len(VOCABULARY),
            context_tokens=context_tokens,
            kv_tokens=kv_tokens // BLOCK_TOKENS * BLOCK_TOKENS,
            max_sequences=max_sequences,
            arithmetic="fake-1",
            eos_tokens=(END,),
            is_batch_invariant=True,
        )

    @property
    def free_tokens(self) -> int:
        return self._blocks.num_free * BLOCK_TOKENS

    def forward(self, batch: Sequence[BatchRow]) -> _FakeLogits:
        self._allocate(batch)
        rows, first, second = list[int](), list[int](), list[int]()
        delay_s = 0.0
        for row in batch:
            text = self._states[row.sequence].text
            text.feed(row.tokens[: row.logits_from])
            for token in row.tokens[row.logits_from :]:
                text.feed((token,))
                most_likely, runner_up = text.next_tokens()
                rows.append(len(rows))
                first.append(most_likely)
                second.append(runner_up)
            if text.delay_s > delay_s:
                delay_s = text.delay_s
            if text.fault:
                _fail(text.fault)
        if delay_s:
            time.sleep(delay_s)
        return _FakeLogits(self._write(rows, first, second))

    def reusable(self, sequence: int, num_tokens: int) -> int:
        return num_tokens and min(num_tokens, len(self._states[sequence].text.history))

    def fork(self, source: int, target: int, num_tokens: int) -> None:
        assert target not in self._states
        assert 0 <= target < self.info.max_sequences
        state = self._states[source]
        assert 0 < num_tokens <= len(state.text.history)
        text = _TextState()
        text.feed(state.text.history[:num_tokens])
        self._states[target] = _SequenceState(text, self._blocks.share(state.blocks, num_tokens))

    def trim(self, sequence: int, num_tokens: int) -> None:
        state = self._states[sequence]
        assert 0 < num_tokens <= len(state.text.history)
        text = _TextState()
        text.feed(state.text.history[:num_tokens])
        state.text = text
        self._blocks.drop(state.blocks, -(-num_tokens // BLOCK_TOKENS))

    def free(self, sequence: int) -> None:
        if state := self._states.pop(sequence, None):
            self._blocks.drop(state.blocks, 0)

    def history(self, sequence: int) -> list[int]:
        """The tokens that it holds."""
        state = self._states.get(sequence)
        return state.text.history if state else []

    def prepare_memory(self) -> bool:
        return False

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        if text == "[[hang]]":
            _fail("hang")
        return tokenize(text, parse_special=parse_special)

    def close(self) -> None:
        self._states.clear()

    def _allocate(self, batch: Sequence[BatchRow]) -> None:
        """Check every row, then allocate for all; nothing changes if memory is short."""
        plan, needed = list[tuple[int, list[int], int, int]](), 0
        for row in batch:
            state = self._states.get(row.sequence)
            blocks, old = (state.blocks, len(state.text.history)) if state else ([], 0)
            assert row.start == old, f"sequence {row.sequence} holds {old} tokens, not {row.start}"
            assert row.tokens
            assert 0 <= row.sequence < self.info.max_sequences
            new = old + len(row.tokens)
            needed += self._blocks.needed(blocks, old, new)
            plan.append((row.sequence, blocks, old, new))
        assert len({sequence for sequence, *_ in plan}) == len(plan), "a sequence may only have one row"
        if needed > self._blocks.num_free:
            raise KVCacheFull
        for sequence, blocks, old, new in plan:
            if not old:
                self._states[sequence] = _SequenceState(_TextState(), blocks)
            self._blocks.extend(blocks, old, new)

    def _write(self, rows: list[int], first: list[int], second: list[int]) -> npt.NDArray[np.float32]:
        old_rows, old_first, old_second = self._written
        self._logits[old_rows, old_first] = 0.0
        self._logits[old_rows, old_second] = 0.0
        if len(rows) > len(self._logits):
            self._logits = np.zeros((2 * len(rows), len(VOCABULARY)), np.float32)
        self._logits[rows, second] = 12.0
        self._logits[rows, first] = 24.0
        self._written = (rows, first, second)
        return self._logits[: len(rows)]


def _fail(fault: str) -> None:
    if fault == "crash":
        abort()
    while fault == "hang":
        time.sleep(3600)
    raise RuntimeError("the prompt asked the fake engine to fail")


def check_name(path: str) -> None:
    """A model whose name ends in `broken`, `crash` or `stuck` fails to load in that way."""
    name = PurePath(path).name
    if name.endswith("broken"):
        raise ModelLoadFailed(N_("The fake model {path!r} is broken, as its name says.", path=path))
    if name.endswith("crash"):
        abort()
    if name.endswith("stuck"):
        time.sleep(3600)


def load(
    path: str,
    *,
    context_tokens: int,
    memory_bytes: int,
    threads: int,
    max_kv_bytes: int = 0,
    kv_cache_type: str = "auto",
) -> FakeEngine:
    """`path` may be any name; see `check_name`.

    A token of KV counts as 1 KiB of `memory_bytes`; the other arguments mean nothing here.
    """
    del threads, max_kv_bytes, kv_cache_type
    check_name(path)
    context = context_tokens or 8192
    kv_tokens = max(memory_bytes // 1024, 2 * BLOCK_TOKENS) if memory_bytes else 32 * context
    return FakeEngine(context, kv_tokens, max_sequences=256)
