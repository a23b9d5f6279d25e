"""The fake engine says what the prompt asks for, and its KV ledger is a real one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.errors import ModelLoadFailed
from myna.engines import fake
from myna.engines.base import BatchRow, KVCacheFull
from myna.engines.fake import FakeEngine


def prompt(text: str) -> list[int]:
    return fake.tokenize(text, parse_special=True)


def next_token(engine: FakeEngine, sequence: int, tokens: list[int], start: int) -> int:
    logits = engine.forward([BatchRow(sequence, tokens, start, len(tokens) - 1)]).array
    assert logits.shape == (1, engine.info.vocab_size)
    return int(np.argmax(logits[0]))


@given(st.text())
def test_every_text_survives_its_tokens(text: str) -> None:
    text = text.encode(errors="replace").decode()
    tokens = fake.tokenize(text, parse_special=False)
    assert b"".join(fake.VOCABULARY[token] for token in tokens).decode() == text


def test_special_tokens_are_parsed_where_asked() -> None:
    assert fake.tokenize("<|end|>", parse_special=True) == [fake.END]
    assert fake.END not in fake.tokenize("<|end|>", parse_special=False)


def test_says_its_line_then_ends() -> None:
    said = fake.script(prompt("please [[say aab aaab]] now"), 9)
    assert said == [*prompt("aab aaab"), fake.END]


@given(st.lists(st.integers(0, len(fake.VOCABULARY) - 1), min_size=1, max_size=60), st.data())
def test_logits_don_t_depend_on_chunks_forks_or_trims(tokens: list[int], data: st.DataObject) -> None:
    engine = FakeEngine(1000, 2048, 8)
    cut = data.draw(st.integers(1, len(tokens)))
    if cut < len(tokens):
        engine.forward([BatchRow(0, tokens[:cut], 0, cut)])
        whole = next_token(engine, 0, tokens[cut:], cut)
    else:
        whole = next_token(engine, 0, tokens, 0)
    assert whole == fake.script(tokens, 1)[0]
    keep = data.draw(st.integers(1, len(tokens)))
    engine.fork(0, 1, keep)
    assert next_token(engine, 1, [65], keep) == fake.script([*tokens[:keep], 65], 1)[0]
    engine.trim(0, keep)
    assert next_token(engine, 0, [66], keep) == fake.script([*tokens[:keep], 66], 1)[0]
    engine.free(0)
    engine.free(1)
    engine.free(7)
    assert engine.free_tokens == engine.info.kv_tokens


def test_shared_tokens_count_once_until_someone_writes() -> None:
    engine = FakeEngine(1000, 160, 8)
    engine.forward([BatchRow(0, [65] * 40, 0, 40)])
    assert engine.free_tokens == 112
    engine.fork(0, 1, 40)
    assert engine.free_tokens == 112
    engine.forward([BatchRow(1, [66], 40, 0)])  # its own copy of the last block
    assert engine.free_tokens == 96
    engine.free(0)
    assert engine.free_tokens == 112


def test_out_of_room_changes_nothing() -> None:
    engine = FakeEngine(1000, 64, 8)
    engine.forward([BatchRow(0, [65] * 40, 0, 40)])
    before = engine.free_tokens
    with pytest.raises(KVCacheFull):
        engine.forward([BatchRow(0, [65], 40, 0), BatchRow(1, [65] * 17, 0, 17)])
    assert engine.free_tokens == before
    assert next_token(engine, 0, [65], 40) == fake.script([65] * 41, 1)[0]


@pytest.mark.parametrize(
    "rows",
    [
        [BatchRow(0, [1], 1, 0)],
        [BatchRow(0, [], 0, 0)],
        [BatchRow(8, [1], 0, 0)],
        [BatchRow(0, [1], 0, 0), BatchRow(0, [1], 0, 0)],
    ],
)
def test_a_breach_of_the_seams_rules_is_caught(rows: list[BatchRow]) -> None:
    with pytest.raises(AssertionError):
        FakeEngine(1000, 64, 8).forward(rows)


def test_the_next_logits_hold_nothing_of_the_last() -> None:
    engine = FakeEngine(1000, 4096, 128)
    for count in (100, 3):
        rows = [BatchRow(index, [index % 7 + 65], int(count == 3), 0) for index in range(count)]
        assert all(np.count_nonzero(row) == 2 for row in engine.forward(rows).array)


def test_fails_to_load_as_its_name_says() -> None:
    with pytest.raises(ModelLoadFailed):
        fake.load("my-broken", context_tokens=0, memory_bytes=0, threads=0)
    assert fake.load("x", context_tokens=100, memory_bytes=64 * 1024, threads=0).info.kv_tokens == 64
