"""What files of each architecture hold, as llama.cpp reads them: a row each, for random models of any
size."""

from collections.abc import Callable, Mapping, Sequence
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
class Mixture:
    """The experts of all but the first `dense` layers; `shared` is the width of one that all rows have."""

    experts: int = 8
    used: int = 3
    width: int = 32
    shared: int = 0
    has_biases: bool = False
    has_choice_bias: bool = False
    has_shared_gate: bool = False
    dense: int = 0

    def metadata(self) -> dict[str, Any]:
        values = {
            "expert_count": self.experts,
            "expert_used_count": self.used,
            "expert_feed_forward_length": self.width,
        }
        return values | ({"leading_dense_block_count": self.dense} if self.dense else {})

    def tensors(self, embedding: int) -> Shapes:
        count, width = self.experts, self.width
        shapes: Shapes = {
            "ffn_gate_inp.weight": (count, embedding),
            "ffn_gate_exps.weight": (count, width, embedding),
            "ffn_up_exps.weight": (count, width, embedding),
            "ffn_down_exps.weight": (count, embedding, width),
        }
        if self.has_biases:
            shapes |= {name.replace("weight", "bias"): shape[:-1] for name, shape in shapes.items()}
        if self.has_choice_bias:
            shapes["exp_probs_b.bias"] = (count,)
        if self.has_shared_gate:
            shapes["ffn_gate_inp_shexp.weight"] = (embedding,)
        if self.shared:
            shapes["ffn_gate_shexp.weight"] = shapes["ffn_up_shexp.weight"] = (self.shared, embedding)
            shapes["ffn_down_shexp.weight"] = (embedding, self.shared)
        return shapes


def short_convolution(width: int, metadata: Mapping[str, Any]) -> Shapes:
    """The tensors of a layer in the place of attention."""
    return {
        "shortconv.in_proj.weight": (3 * width, width),
        "shortconv.conv.weight": (width, metadata["shortconv.l_cache"]),
        "shortconv.out_proj.weight": (width, width),
    }


def _recurrent_sizes(metadata: Mapping[str, Any]) -> tuple[int, int, int, int, int]:
    """Keys, heads, the length of a key, the width of all values, the channels of the convolution."""
    names = ("group_count", "time_step_rank", "state_size", "inner_size")
    keys, heads, length, width = (metadata[f"ssm.{name}"] for name in names)
    return keys, heads, length, width, width + 2 * keys * length


def delta_rule(width: int, metadata: Mapping[str, Any]) -> Shapes:
    _, heads, length, inner, channels = _recurrent_sizes(metadata)
    return {
        "attn_qkv.weight": (channels, width),
        "attn_gate.weight": (inner, width),
        "ssm_conv1d.weight": (channels, metadata["ssm.conv_kernel"]),
        "ssm_dt.bias": (heads,),
        "ssm_a": (heads,),
        "ssm_beta.weight": (heads, width),
        "ssm_alpha.weight": (heads, width),
        "ssm_norm.weight": (length,),
        "ssm_out.weight": (width, inner),
    }


def joined_delta_rule(width: int, metadata: Mapping[str, Any]) -> Shapes:
    """As above, with one tensor for two."""
    shapes = delta_rule(width, metadata)
    heads, _ = shapes.pop("ssm_beta.weight")
    del shapes["ssm_alpha.weight"]
    return shapes | {"ssm_ba.weight": (2 * heads, width)}


def scan(width: int, metadata: Mapping[str, Any]) -> Shapes:
    keys, heads, _, inner, channels = _recurrent_sizes(metadata)
    return {
        "ssm_in.weight": (inner + channels + heads, width),
        "ssm_conv1d.weight": (channels, metadata["ssm.conv_kernel"]),
        "ssm_conv1d.bias": (channels,),
        "ssm_dt.bias": (heads,),
        "ssm_a": (heads, 1),
        "ssm_d": (heads, 1),
        "ssm_norm.weight": (keys, inner // keys),
        "ssm_out.weight": (width, inner),
    }


def by_interval(metadata: Mapping[str, Any], index: int) -> bool:
    """Which layers have the delta rule."""
    flags = metadata.get("attention.recurrent_layers")
    if isinstance(flags, list):
        return bool(flags[index % len(flags)])
    interval: int = metadata.get("full_attention_interval", 4)
    return (index + 1) % interval != 0


def has_no_keys(metadata: Mapping[str, Any], index: int) -> bool:
    """How most files say which layers are recurrent."""
    heads = metadata["attention.head_count_kv"]
    return isinstance(heads, list) and int(heads[index % len(heads)]) == 0


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
    mixture: Mixture | None = None
    has_sinks: bool = False
    recurrent: Callable[[int, Mapping[str, Any]], Shapes] | None = None
    is_recurrent: Callable[[Mapping[str, Any], int], bool] = has_no_keys
    output_norm: str = "output_norm"
    has_query_gate: bool = False
    is_always_tied: bool = False
    layers: int = 2
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def layer(self, sizes: Sizes, index: int) -> Shapes:
        width, query, kv, ffn = sizes.embedding, sizes.query, sizes.key_value, sizes.feed_forward
        is_recurrent = self.recurrent is not None and self.is_recurrent(self.metadata, index)
        if self.recurrent and is_recurrent:
            shapes = self.recurrent(width, self.metadata)
        else:
            shapes = self._attention(width, query, kv)
        if self.mixture and index >= self.mixture.dense:
            shapes |= self.mixture.tensors(width)
        elif "gate" in self.joined:
            shapes |= {"ffn_up.weight": (2 * ffn, width), "ffn_down.weight": (width, ffn)}
        else:
            shapes |= {"ffn_gate.weight": (ffn, width), "ffn_up.weight": (ffn, width)}
            shapes["ffn_down.weight"] = (width, ffn)
        if self.has_sinks:
            shapes["attn_sinks.weight"] = (sizes.query // sizes.head,)
        shapes |= {f"{name}.bias": shapes[f"{name}.weight"][:1] for name in self.biases}
        norms = [*self.norms, *(("post_attention_norm", "post_ffw_norm") if self.has_post_norms else ())]
        shapes |= {f"{name}.weight": (width,) for name in norms}
        if self.head_norms and not is_recurrent:
            is_whole = self.head_norms == "whole"
            shapes["attn_q_norm.weight"] = (query if is_whole else sizes.head,)
            shapes["attn_k_norm.weight"] = (kv if is_whole else sizes.head,)
        return shapes

    def _attention(self, width: int, query: int, kv: int) -> Shapes:
        shapes: Shapes = {"attn_output.weight": (width, query)}
        if "qkv" in self.joined:
            return shapes | {"attn_qkv.weight": (query + 2 * kv, width)}
        rows = {"attn_q": query * (1 + self.has_query_gate), "attn_k": kv, "attn_v": kv}
        return shapes | {f"{name}.weight": (count, width) for name, count in rows.items()}


_QKV_BIASES: Final = ("attn_q", "attn_k", "attn_v")
_SECTIONS: Final = {"rope.dimension_sections": [3, 3, 2, 0]}
_YARN: Final = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
}
_GRANITE: Final = {
    "attention.scale": 0.1,
    "embedding_scale": 6.0,
    "residual_scale": 0.22,
    "logit_scale": 8.0,
}
_RECURRENT: Final = {
    "ssm.conv_kernel": 4,
    "ssm.group_count": 2,
    "ssm.time_step_rank": 4,
    "ssm.state_size": 32,
    "ssm.inner_size": 128,
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
            "mixtral": {
                "mixture": Mixture(width=96, used=2),
                "metadata": {"expert_feed_forward_length": None},
            },
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
        metadata=_GRANITE,
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
    "qwen2moe": Layout(
        biases=_QKV_BIASES,
        mixture=Mixture(shared=48, has_shared_gate=True),
        metadata={"expert_shared_feed_forward_length": 48},
    ),
    "qwen3moe": Layout(
        head_norms="head",
        mixture=Mixture(),
        cases={
            "many experts": {"head_dim": 32, "mixture": Mixture(experts=40, used=7)},
            "one expert": {"mixture": Mixture(experts=4, used=1)},
        },
    ),
    "qwen3vlmoe": Layout(head_norms="head", mixture=Mixture(), metadata=_SECTIONS),
    "olmoe": Layout(
        head_norms="whole",
        mixture=Mixture(width=96),
        metadata={"expert_feed_forward_length": None, "attention.head_count_kv": 4},
    ),
    "granitemoe": Layout(
        mixture=Mixture(width=96),
        metadata=_GRANITE | {"expert_feed_forward_length": None},
        cases={
            "shared": {
                "mixture": Mixture(width=96, shared=48),
                "metadata": {"expert_shared_feed_forward_length": 48},
            }
        },
    ),
    "hunyuan-moe": Layout(
        head_norms="head",
        mixture=Mixture(width=96, shared=48),
        metadata={"expert_shared_feed_forward_length": 48},
    ),
    "ernie4_5-moe": Layout(
        layers=3,
        mixture=Mixture(shared=48, dense=1, has_choice_bias=True),
        metadata={"expert_shared_feed_forward_length": 48, "interleave_moe_layer_step": 1},
    ),
    "glm4moe": Layout(
        norms=("attn_norm", "post_attention_norm"),
        layers=3,
        biases=_QKV_BIASES,
        mixture=Mixture(shared=32, dense=1, has_choice_bias=True),
        metadata={
            "rope.dimension_count": 8,
            "expert_shared_count": 1,
            "expert_gating_func": 2,
            "expert_weights_norm": True,
            "expert_weights_scale": 1.5,
        },
        cases={
            "as they are": {"metadata": {"expert_weights_norm": False, "expert_gating_func": None}},
            "softmax": {"metadata": {"expert_gating_func": 1}},
            "groups": {"metadata": {"expert_group_count": 4, "expert_group_used_count": 2}},
        },
    ),
    "qwen35": Layout(
        norms=("attn_norm", "post_attention_norm"),
        head_norms="head",
        layers=5,
        recurrent=delta_rule,
        is_recurrent=by_interval,
        has_query_gate=True,
        metadata=_RECURRENT | {"rope.dimension_sections": [3, 3, 2, 0]},
        cases={
            "tied": _TIED,
            "a part of a head rotates": {"head_dim": 32, "metadata": {"rope.dimension_count": 16}},
            "every second layer": {"metadata": {"full_attention_interval": 2}},
            "layers by name": {"metadata": {"attention.recurrent_layers": [True, False, False, True, True]}},
            "wide states": {"metadata": {"ssm.state_size": 80, "ssm.inner_size": 320}},
            "a key for each head": {"metadata": {"ssm.group_count": 4}},
        },
    ),
    "qwen35moe": Layout(
        norms=("attn_norm", "post_attention_norm"),
        head_norms="head",
        layers=5,
        recurrent=delta_rule,
        is_recurrent=by_interval,
        has_query_gate=True,
        mixture=Mixture(shared=48, has_shared_gate=True),
        metadata=_RECURRENT
        | {"rope.dimension_sections": [3, 3, 2, 0], "expert_shared_feed_forward_length": 48},
    ),
    "qwen3next": Layout(
        norms=("attn_norm", "post_attention_norm"),
        head_norms="head",
        layers=5,
        recurrent=joined_delta_rule,
        is_recurrent=by_interval,
        has_query_gate=True,
        mixture=Mixture(shared=48, has_shared_gate=True),
        metadata=_RECURRENT | {"expert_shared_feed_forward_length": 48},
    ),
    "granitehybrid": Layout(
        layers=4,
        recurrent=scan,
        metadata=_GRANITE | _RECURRENT | {"attention.head_count_kv": [0, 2, 0, 0]},
        cases={
            "no rope": {"metadata": {"rope.scaling.finetuned": False}},
            "one group": {"metadata": {"ssm.group_count": 1}},
            "mixture": {
                "mixture": Mixture(width=96, shared=48),
                "metadata": {"expert_shared_feed_forward_length": 48, "expert_feed_forward_length": None},
            },
        },
    ),
    "lfm2": Layout(
        head_norms="head",
        layers=4,
        recurrent=short_convolution,
        output_norm="token_embd_norm",
        metadata={"attention.head_count_kv": [0, 2, 0, 2], "shortconv.l_cache": 3},
        cases={
            "tied": _TIED,
            "ends with a convolution": {"metadata": {"attention.head_count_kv": [0, 2, 0, 0]}},
            "two taps": {"metadata": {"shortconv.l_cache": 2}},
        },
    ),
    "lfm2moe": Layout(
        head_norms="head",
        layers=4,
        recurrent=short_convolution,
        output_norm="token_embd_norm",
        mixture=Mixture(dense=1, has_choice_bias=True),
        metadata={
            "attention.head_count_kv": [0, 2, 0, 2],
            "shortconv.l_cache": 3,
            "expert_gating_func": 2,
        },
    ),
    "gpt-oss": Layout(
        norms=("attn_norm", "post_attention_norm"),
        layers=4,
        biases=(*_QKV_BIASES, "attn_output"),
        mixture=Mixture(has_biases=True),
        has_sinks=True,
        metadata={**_YARN, "attention.sliding_window": 24},
        cases={"wide heads": _WIDE},
    ),
}
