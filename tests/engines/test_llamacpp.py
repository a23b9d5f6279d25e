"""What is llama.cpp's own beyond the contract: batches over its limit, load errors, its tokenizer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.scheduling.model import GREEDY, Driver
from tests.scheduling.test_speculation import ALWAYS

from myna.core.errors import ConfigurationError, ModelLoadFailed
from myna.core.requests import GenerationRequest
from myna.decoding.token_table import TokenTable
from myna.engines import llamacpp
from myna.engines.base import BatchRow

MODEL = "smollm2-135m-instruct"
ModelPath = Callable[[str], Path]


def test_a_batch_over_the_limit_is_cut_and_gathered(
    model_path: ModelPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(model_path(MODEL))
    tokens = [32 + i % 90 for i in range(100)]
    engine = llamacpp.load(path, context_tokens=256, memory_bytes=32 << 20, threads=1)
    expected = engine.forward([BatchRow(0, tokens, 0, 40), BatchRow(1, tokens[:5], 0, 5)]).array.copy()
    monkeypatch.setattr(llamacpp, "BATCH_TOKENS", 32)
    ours = engine.forward([BatchRow(2, tokens, 0, 40), BatchRow(3, tokens[:5], 0, 5)]).array
    assert ours.shape == expected.shape == (60, engine.info.vocab_size)
    assert np.abs(ours - expected).max() < 0.05 * np.abs(expected).max()
    engine.close()


def test_closing_twice_is_closing_once(model_path: ModelPath) -> None:
    engine = llamacpp.load(str(model_path(MODEL)), context_tokens=256, memory_bytes=16 << 20, threads=1)
    engine.close()
    engine.close()


def test_a_row_that_does_not_continue_its_sequence_is_an_error(model_path: ModelPath) -> None:
    engine = llamacpp.load(str(model_path(MODEL)), context_tokens=256, memory_bytes=16 << 20, threads=1)
    with pytest.raises(ValueError, match="has 0 tokens"):
        engine.forward([BatchRow(0, [1], 5, 0)])
    engine.close()


def test_a_batch_that_fails_in_its_second_part_changes_nothing(
    model_path: ModelPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = llamacpp.load(str(model_path(MODEL)), context_tokens=256, memory_bytes=16 << 20, threads=1)
    monkeypatch.setattr(llamacpp, "BATCH_TOKENS", 32)
    good, bad = BatchRow(0, list(range(1, 31)), 0, 29), BatchRow(1, [*range(1, 10), 10**9], 0, 9)
    expected = engine.forward([good]).array.copy()
    engine.free(0)
    with pytest.raises(RuntimeError, match="failed to decode"):
        engine.forward([good, bad])
    np.testing.assert_array_equal(engine.forward([good]).array, expected)
    assert engine.free_tokens == engine.info.kv_tokens - len(good.tokens)
    engine.close()


def test_its_tokenizer_parses_special_tokens_only_when_asked(model_path: ModelPath) -> None:
    engine = llamacpp.load(str(model_path(MODEL)), context_tokens=256, memory_bytes=16 << 20, threads=1)
    assert engine.tokenize("<|im_end|>", parse_special=True) == [2]
    assert len(engine.tokenize("<|im_end|>", parse_special=False)) > 1
    assert engine.tokenize("", parse_special=False) == []
    engine.close()


def test_its_kv_cache_may_have_8_bits(model_path: ModelPath) -> None:
    tokens, found = list(range(300, 350)), []
    for kv_cache_type in ("auto", "q8_0"):
        engine = llamacpp.load(
            str(model_path(MODEL)),
            context_tokens=256,
            memory_bytes=64 << 20,
            threads=1,
            kv_cache_type=kv_cache_type,
        )
        found.append((engine.info, engine.forward([BatchRow(0, tokens, 0, 49)]).array.copy()))
        engine.close()
    (usual, exact), (info, rounded) = found
    assert info.kv_tokens > 1.7 * usual.kv_tokens
    assert info.arithmetic == usual.arithmetic + "-q8_0"
    assert 0 < np.abs(exact - rounded).max() < 1


def test_load_errors_name_the_file_or_the_reason(model_path: ModelPath, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="does not exist"):
        llamacpp.load(str(tmp_path / "none.gguf"), context_tokens=0, memory_bytes=0, threads=1)
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")
    with pytest.raises(ModelLoadFailed, match=r"bad\.gguf"):
        llamacpp.load(str(bad), context_tokens=0, memory_bytes=0, threads=1)
    path = str(model_path(MODEL))
    with pytest.raises(ModelLoadFailed, match="KV cache"):
        llamacpp.load(path, context_tokens=0, memory_bytes=1 << 20, threads=1)
    with pytest.raises(ConfigurationError, match="context of 8000"):
        llamacpp.load(path, context_tokens=8000, memory_bytes=32 << 20, threads=1)


@pytest.mark.parametrize("has_draft_model", [False, True], ids=["repetitions", "draft model"])
def test_it_verifies_drafts(model_path: ModelPath, *, has_draft_model: bool) -> None:
    """Its sums depend on the batch, so that only the steps are compared, and the answer's length."""
    path, prompt = str(model_path(MODEL)), tuple(range(100, 120)) * 3
    engine, draft_engine = (
        llamacpp.load(path, context_tokens=256, memory_bytes=32 << 20, threads=1) for _ in range(2)
    )
    pieces = [b"x"] * engine.info.vocab_size
    driver = Driver(
        engine,
        TokenTable(pieces, pieces, frozenset(engine.info.eos_tokens)),
        draft_engine=draft_engine if has_draft_model else None,
    )
    driver.scheduler.speculation.costs.slope = 0.02 if has_draft_model else ALWAYS
    heard = driver.ask(GenerationRequest("r", prompt, 48, sampling=GREEDY, ignore_eos=True))
    assert heard.num_tokens() == 48
    assert len(driver.rows) < 40
    engine.close()
    draft_engine.close()
