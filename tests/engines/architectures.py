"""What files of each architecture hold, as llama.cpp reads them: a row each, for random models of any
size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Those of one model."""

    embedding: int
    feed_forward: int
    query: int
    key_value: int
    head: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of a layer beyond a plain block's, and the metadata beyond the common.

    `norms` are those before attention and feed-forward, `biases` the tensors that have one, `head_norms`
    "head" or "whole". `shapes` are names of test cases, each with the `Tiny` fields that it changes; every
    architecture has at least the first."""

    norms: Sequence[str] = ("attn_norm", "ffn_norm")
    has_post_norms: bool = False
    head_norms: str = ""
    biases: Sequence[str] = ()
    joined: Sequence[str] = ()
    is_always_tied: bool = False
    layers: int = 2
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def layer(self, sizes: Sizes) -> Shapes:
        width, query, kv, ffn = sizes.embedding, sizes.query, sizes.key_value, sizes.feed_forward
        shapes: Shapes = {"attn_output.weight": (width, query), "ffn_down.weight": (width, ffn)}
        if "qkv" in self.joined:
            shapes["attn_qkv.weight"] = (query + 2 * kv, width)
        else:
            rows = {"attn_q": query, "attn_k": kv, "attn_v": kv}
            shapes |= {f"{name}.weight": (count, width) for name, count in rows.items()}
        if "gate" in self.joined:
            shapes["ffn_up.weight"] = (2 * ffn, width)
        else:
            shapes |= {"ffn_gate.weight": (ffn, width), "ffn_up.weight": (ffn, width)}
        shapes |= {f"{name}.bias": shapes[f"{name}.weight"][:1] for name in self.biases}
        norms = [*self.norms, *(("post_attention_norm", "post_ffw_norm") if self.has_post_norms else ())]
        shapes |= {f"{name}.weight": (width,) for name in norms}
        if self.head_norms:
            is_whole = self.head_norms == "whole"
            shapes["attn_q_norm.weight"] = (query if is_whole else sizes.head,)
            shapes["attn_k_norm.weight"] = (kv if is_whole else sizes.head,)
        return shapes


_QKV_BIASES: Final = ("attn_q", "attn_k", "attn_v")
_SECTIONS: Final = {"rope.dimension_sections": [3, 3, 2, 0]}
_YARN: Final = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
}
_WIDE: Final = {"head_dim": 32}
_TIED: Final = {"tied": True}

LAYOUTS: Final[dict[str, Layout]] = {
    "llama": Layout(
        cases={
            "llama 3's rope": {"factors": ("rope_freqs",)},
            "linear rope": {"metadata": {"rope.scaling.type": "linear", "rope.scaling.factor": 2.5}},
            "linear rope of old files": {"metadata": {"rope.scale_linear": 1.5}},
            "yarn": {"metadata": _YARN},
            "a factor on the rope": {"metadata": {"rope.scaling.attn_factor": 1.25}},
            "heads of 48": {"head_dim": 48},
            "biases": {"biases": (*_QKV_BIASES, "attn_output", "ffn_gate", "ffn_up", "ffn_down")},
        }
    ),
    "qwen2": Layout(biases=_QKV_BIASES, cases={"yarn": {"metadata": _YARN}, "tied": _TIED}),
    "qwen2vl": Layout(biases=_QKV_BIASES, metadata=_SECTIONS),
    "qwen3": Layout(head_norms="head", cases={"wide heads": _WIDE, "tied": _TIED}),
    "qwen3vl": Layout(head_norms="head", metadata=_SECTIONS, cases={"tied": _TIED}),
    "seed_oss": Layout(
        norms=("attn_norm", "post_attention_norm"), biases=_QKV_BIASES, cases={"wide heads": _WIDE}
    ),
    "internlm2": Layout(),
    "ernie4_5": Layout(cases={"wide heads": _WIDE, "tied": _TIED}),
    "smollm3": Layout(layers=5, cases={"tied": _TIED}),
    "mistral3": Layout(
        metadata=_YARN
        | {
            "rope.scaling.yarn_beta_fast": 32.0,
            "rope.scaling.yarn_beta_slow": 1.0,
            "rope.scaling.yarn_log_multiplier": 0.7,
            "attention.temperature_scale": 0.1,
        },
        cases={"other betas": {"metadata": {"rope.scaling.yarn_beta_fast": 4.0}}, "wide heads": _WIDE},
    ),
    "granite": Layout(
        metadata={
            "attention.scale": 0.1,
            "embedding_scale": 6.0,
            "residual_scale": 0.22,
            "logit_scale": 8.0,
        },
        cases={"no rope": {"metadata": {"rope.scaling.finetuned": False}}, "tied": _TIED},
    ),
    "hunyuan-dense": Layout(
        head_norms="head", cases={"alpha": {"metadata": {"rope.scaling.alpha": 50.0}}, "wide heads": _WIDE}
    ),
    "phi3": Layout(
        joined=("qkv", "gate"),
        cases={
            "long context": {
                "factors": ("rope_factors_long", "rope_factors_short"),
                "metadata": {
                    "rope.scaling.type": "longrope",
                    "rope.scaling.original_context_length": 256,
                    "rope.scaling.attn_factor": 1.19,
                },
            },
            "short context": {
                "factors": ("rope_factors_long", "rope_factors_short"),
                "metadata": {"rope.scaling.original_context_length": 1024},
            },
            "half of a head rotates": {"head_dim": 16, "metadata": {"rope.dimension_count": 8}},
        },
    ),
    "glm4": Layout(
        joined=("gate",),
        has_post_norms=True,
        biases=_QKV_BIASES,
        metadata={"rope.dimension_count": 8},
        cases={"sees images": {"metadata": {"rope.dimension_sections": [2, 1, 1, 0]}}},
    ),
    "gemma2": Layout(
        has_post_norms=True,
        is_always_tied=True,
        layers=4,
        metadata={
            "attention.sliding_window": 24,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 3.0,
        },
        cases={
            "default caps": {"metadata": {"attn_logit_softcapping": None, "final_logit_softcapping": None}},
            "46 layers": {"layers": 46},
        },
    ),
    "gemma3": Layout(
        has_post_norms=True,
        head_norms="head",
        layers=7,
        metadata={"attention.sliding_window": 24, "rope.freq_base": 1000000.0},
        cases={
            "tied": _TIED,
            "every second layer": {"metadata": {"attention.sliding_window_pattern": 2}},
            "layers by name": {
                "metadata": {"attention.sliding_window_pattern": [True, False, True] * 2 + [True]}
            },
            "no window": {"metadata": {"attention.sliding_window": None}},
            "other local rope": {"metadata": {"rope.freq_base_swa": 500.0}},
            "linear rope": {"metadata": {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}},
            "capped logits": {"metadata": {"final_logit_softcapping": 4.0}},
        },
    ),
    "olmo2": Layout(
        norms=(),
        has_post_norms=True,
        head_norms="whole",
        layers=5,
        cases={
            "windows": {"metadata": _YARN | {"attention.sliding_window": 24}},
            "no windows": {},
        },
    ),
    "exaone4": Layout(
        norms=(),
        has_post_norms=True,
        head_norms="head",
        cases={"windows": {"layers": 64, "metadata": {"attention.sliding_window": 24}}, "tied": _TIED},
    ),
    "cohere2": Layout(
        norms=("attn_norm",),
        is_always_tied=True,
        layers=5,
        metadata={
            "attention.layer_norm_epsilon": 1e-5,
            "attention.layer_norm_rms_epsilon": None,
            "attention.sliding_window": 24,
            "logit_scale": 0.25,
        },
        cases={"every second layer": {"metadata": {"attention.sliding_window_pattern": 2}}},
    ),
}
