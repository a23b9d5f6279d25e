"""Every architecture that the native engine runs: small random files against llama.cpp, and the engine's own
promises. Adding an architecture is adding a row to `architectures.LAYOUTS`."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.architectures import LAYOUTS
from tests.engines.divergence import divergences
from tests.engines.hostile import attempt
from tests.engines.oracle import Oracle
from tests.engines.tiny_models import VOCABULARY, Tiny, write_tiny

from myna import _native
from myna.core.errors import ModelLoadFailed
from myna.engines.base import BatchRow
from myna.engines.native import load

CASES = {
    f"{name}: {case}": Tiny(name, **changes)
    for name, layout in LAYOUTS.items()
    for case, changes in {"plain": {}, **layout.cases}.items()
}
TOKENS = [int(t) for t in np.random.default_rng(5).integers(0, VOCABULARY, 150)]
LENGTH = len(TOKENS)
# Keys and values are stored as halves, but not in the oracle; everything else is float32. Halves
# alone change llama.cpp's own logits by 4e-4 of their norm in two layers; a wrong formula by 1e-2 and more.
CLOSE = 2.5e-3
# Of converters, and epsilons of norms that an architecture doesn't have.
REMARKS = {
    "vocab_size",
    "tensor_data_layout",
    "rope.scaling.finetuned",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
}
# Of mixtures, whose tensors say the same.
MIXTURE_REMARKS = {
    "expert_feed_forward_length",
    "expert_shared_count",
    "expert_shared_feed_forward_length",
    "interleave_moe_layer_step",
    "leading_dense_block_count",
}
# Of a rope, in architectures without one.
ROPE_REMARKS = {"rope.dimension_count", "rope.freq_base"}
# Sizes that the tensors contradict, and what is only about images.
CHECKED = {
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.key_length_mla",
    "attention.key_length_swa",
    "attention.kv_lora_rank",
    "altup.num_inputs",
    "attention.q_lora_rank",
    "attention.value_length_mla",
    "attention.value_length_swa",
    "attention.sliding_window_pattern",  # where it says which layers have which heads
    "embedding_length_per_layer_input",
    "rope.dimension_count",
    "rope.dimension_sections",
    "expert_count",
    "expert_used_count",
    "nextn_predict_layers",
    "shortconv.l_cache",
    "ssm.conv_kernel",
    "ssm.group_count",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.time_step_rank",
}
IGNORED = {"context_length", "n_deepstack_layers", "rope.dimension_sections"}
YARN = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
}
WINDOWS = {"attention.sliding_window": 24}
# For each key that some architecture honours, a value with an effect and the metadata that it needs for that.
EFFECTS: dict[str, tuple[dict[str, Any], Any]] = {
    **{key: ({}, 3) for key in CHECKED | IGNORED},
    "block_count": ({}, 1000),
    "shortconv.l_cache": ({}, 4),
    "ssm.conv_kernel": ({}, 3),
    "ssm.group_count": ({}, 1),
    "ssm.time_step_rank": ({}, 8),
    "full_attention_interval": ({}, 2),
    "attention.recurrent_layers": ({}, [True, False, True, True, True]),
    "context_length": ({}, 2048),
    "rope.dimension_sections": ({}, [3, 3, 2, 1]),
    "attention.layer_norm_epsilon": ({}, 0.5),
    "attention.layer_norm_rms_epsilon": ({}, 0.5),
    "rope.dimension_count": ({}, 4),
    "rope.dimension_count_swa": ({}, 4),
    "activation_sparsity_scale": ({}, [0.5] * 6),
    "attention.shared_kv_layers": ({}, 3),
    "rope.freq_base": ({}, 77.0),
    "rope.scale_linear": ({"rope.scaling.type": None, "rope.scaling.factor": None}, 3.0),
    "rope.scaling.attn_factor": ({}, 1.5),
    "rope.scaling.factor": (YARN, 3.0),
    "rope.scaling.original_context_length": (YARN, 32),
    "rope.scaling.type": (YARN, "linear"),
    "rope.scaling.yarn_beta_fast": (YARN, 1.0),
    "rope.scaling.yarn_beta_slow": (YARN | {"rope.scaling.yarn_beta_fast": 4.0}, 0.01),
    "rope.scaling.yarn_log_multiplier": (YARN, 0.3),
    "rope.scaling.alpha": ({}, 50.0),
    "attention.sliding_window": ({}, 13),
    "attention.sliding_window_pattern": (WINDOWS, 1),
    "rope.scaling.finetuned": ({}, False),
    "rope.freq_base_swa": (WINDOWS, 77.0),
    "attn_logit_softcapping": ({}, 2.0),
    "final_logit_softcapping": ({}, 2.0),
    "attention.scale": ({}, 0.3),
    "embedding_scale": ({}, 3.0),
    "residual_scale": ({}, 0.3),
    "logit_scale": ({}, 3.0),
    "attention.temperature_scale": (YARN, 0.5),
    "expert_used_count": ({}, 2),
    "expert_gating_func": ({"expert_gating_func": 1}, 2),
    "expert_group_count": ({"expert_group_used_count": 2, "expert_group_count": 1}, 4),
    "expert_group_used_count": ({"expert_group_count": 4, "expert_group_used_count": 4}, 2),
    "expert_weights_norm": ({"expert_weights_norm": True}, False),
    "expert_weights_scale": ({}, 2.5),
}
Rows = npt.NDArray[np.float32]


def logits(path: str, cuts: tuple[int, ...] = (), *, threads: int = 2) -> Rows:
    engine = load(path, context_tokens=512, memory_bytes=64 << 20, threads=threads)
    parts = [
        engine.forward([BatchRow(0, TOKENS[start:end], start, 0)]).array.copy()
        for start, end in pairwise((0, *cuts, LENGTH))
    ]
    engine.close()
    return np.concatenate(parts)


def distances(ours: Rows, theirs: Rows) -> Rows:
    """Of each row, as a part of its norm."""
    result: Rows = np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    return result


def test_the_table_has_the_architectures_of_the_engine() -> None:
    assert sorted(LAYOUTS) == sorted(_native.architectures())


@pytest.mark.parametrize("case", CASES)
def test_an_architecture_computes_what_llama_cpp_does(case: str, tmp_path: Path) -> None:
    path = str(write_tiny(tmp_path / "tiny.gguf", CASES[case]))
    oracle = Oracle(path, context=512, is_exact=True)
    theirs = oracle.logits(TOKENS)
    oracle.close()
    ours = logits(path)
    # Where two experts are all but equal, rounding chooses, and that row's logits differ by more.
    worst = np.median if CASES[case].layout.mixture else np.max
    assert worst(distances(ours, theirs)) < CLOSE
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.97
    assert worst(divergences(theirs, ours)) < 1e-4


@pytest.mark.parametrize("name", LAYOUTS)
def test_chunks_company_and_threads_change_no_bit(name: str, tmp_path: Path) -> None:
    path = str(write_tiny(tmp_path / "tiny.gguf", Tiny(name)))
    whole = logits(path)
    assert logits(path, (1, 2, 19, 64, 130)).tobytes() == whole.tobytes()
    assert logits(path, (100,), threads=1).tobytes() == whole.tobytes()
    engine = load(path, context_tokens=512, memory_bytes=64 << 20, threads=2)
    lengths = (0, 5, 23, 24, 25, 64, 140)
    for i, length in enumerate(lengths):
        if length:
            engine.forward([BatchRow(i, TOKENS[:length], 0, length)])
    batch = [BatchRow(i, TOKENS[length : length + 1], length, 0) for i, length in enumerate(lengths)]
    company = engine.forward([BatchRow(9, TOKENS[20:60], 0, 40), *batch]).array
    assert company.tobytes() == whole[list(lengths)].tobytes()
    engine.close()


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=25)
@given(data=st.data())
def test_changed_header_bytes_never_crash(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    content = bytearray(write_tiny(folder / "tiny.gguf", Tiny(name, layers=2)).read_bytes())
    values_end = content.index(b"token_embd.weight")
    for _ in range(data.draw(st.integers(1, 3))):
        width = data.draw(st.sampled_from([1, 4, 8]))
        at = data.draw(st.integers(24, values_end - width))
        interesting = [0, 1, 2, 7, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
        value = data.draw(st.one_of(st.sampled_from(interesting), st.integers(0, 2**64 - 1)))
        content[at : at + width] = (value % 256**width).to_bytes(width, "little")
    attempt(folder / "model", bytes(content))


def ggml_keys() -> list[str]:
    """All that ggml knows of an architecture, without the architecture."""
    groups = [group for group in vars(gguf.Keys).values() if isinstance(group, type)]
    names = [value for group in groups for value in vars(group).values() if isinstance(value, str)]
    found = {name.removeprefix("{arch}.") for name in names if name.startswith("{arch}.")}
    return sorted({name for name in found if "{" not in name} | {"rope.scale_linear", "hidden_activation"})


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_key_that_the_engine_does_not_honour_is_refused_by_name(name: str, tmp_path: Path) -> None:
    honoured = _native.architectures()[name]
    others = set(ggml_keys()) - set(honoured) - REMARKS
    if "expert_count" in honoured:
        others -= MIXTURE_REMARKS
    if "rope.freq_base" not in honoured:
        others -= ROPE_REMARKS
    assert len(others) > 60
    for key in others:
        path = write_tiny(tmp_path / "tiny.gguf", Tiny(name, metadata={key: 3}))
        with pytest.raises(ModelLoadFailed, match=re.escape(f"'{name}.{key}' is not supported")):
            logits(str(path))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_key_that_the_engine_honours_changes_logits_or_is_checked(name: str, tmp_path: Path) -> None:
    """The cases above show that they change as llama.cpp's do."""
    for key in _native.architectures()[name]:
        around, value = EFFECTS[key]
        changed, plain = Tiny(name, metadata={**around, key: value}), Tiny(name, metadata=around)
        before = logits(str(write_tiny(tmp_path / "plain.gguf", plain)))
        try:
            after = logits(str(write_tiny(tmp_path / "changed.gguf", changed)))
        except ModelLoadFailed:
            assert key in CHECKED, key
            continue
        is_dense = LAYOUTS[name].mixture is None
        unused = key.startswith("expert_") if is_dense else key == "feed_forward_length"
        assert after.tobytes() != before.tobytes() or key in IGNORED or unused, key
