"""What is particular to llama.cpp's embeddings: texts longer than a micro-batch, and limits."""

from pathlib import Path

import numpy as np
import pytest
from tests.engines.tiny_embedders import CONTEXT, write_bert, write_qwen3_embedding

from myna.core.errors import ConfigurationError
from myna.engines import llamacpp_embedding

TEXTS = [[5 + (7 * i) % 200 for i in range(size)] for size in (1500, 30, 200, 7)]


def test_a_causal_text_may_be_longer_than_a_micro_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(write_qwen3_embedding(tmp_path / "m.gguf", qwen3__context_length=2048))
    found = []
    for size in (4096, 64):
        monkeypatch.setattr(llamacpp_embedding, "MICRO_BATCH_TOKENS", size)
        engine = llamacpp_embedding.load(path, context_tokens=0, memory_bytes=0, threads=1)
        found.append(engine.embed(TEXTS))
        engine.close()
    assert np.abs(found[0] - found[1]).max() < 0.01
    assert np.sum(found[0] * found[1], axis=1).min() > 0.9999


def test_the_context_is_the_models_or_smaller(tmp_path: Path) -> None:
    path = str(write_bert(tmp_path / "m.gguf"))
    engine = llamacpp_embedding.load(path, context_tokens=0, memory_bytes=0, threads=1)
    assert engine.info.context_tokens == CONTEXT
    engine.close()
    with pytest.raises(ConfigurationError, match="exceeds what this model"):
        llamacpp_embedding.load(path, context_tokens=CONTEXT + 1, memory_bytes=0, threads=1)
