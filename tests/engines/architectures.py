"""What files of each architecture hold, as llama.cpp reads them: a row each, for random models of any
size."""

from typing import Final

from tests.engines.gemma_layouts import gemma3n, gemma4
from tests.engines.latent_layouts import deepseek2
from tests.engines.layouts import Layout, Mixture
from tests.engines.recurrent_layouts import (
    LoneLayout,
    RecurrentLayout,
    by_interval,
    delta_rule,
    joined_delta_rule,
    scan,
)

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
# A scan, attention, a feed-forward, and the same again.
_LONE: Final = _RECURRENT | {
    "attention.head_count_kv": [0, 2, 0, 0, 2, 0],
    "feed_forward_length": [0, 0, 96, 0, 0, 96],
    "attention.layer_norm_epsilon": 1e-5,
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
    "gemma3n": gemma3n(
        96,
        cases={
            "wide heads": _WIDE,
            "other local rope": {"metadata": {"rope.freq_base_swa": 500.0}},
            "E2B's layers": {"variant": gemma3n(96, ([True] * 4 + [False]) * 6, shared=10)},
        },
    ),
    "gemma4": gemma4(
        96,
        cases={
            "inputs and shared keys": {"variant": gemma4(96, shared=3, inputs=48)},
            "mixture": {"variant": gemma4(96, mixture=Mixture())},
            "joined experts": {"variant": gemma4(96, mixture=Mixture(), has_joined_experts=True)},
            "all of it": {
                "variant": gemma4(
                    96,
                    windowed=(True, False) * 4,
                    shared=2,
                    inputs=16,
                    mixture=Mixture(experts=16, used=4),
                )
            },
            "no cap": {"metadata": {"final_logit_softcapping": None}},
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
    "qwen35": RecurrentLayout(
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
    "qwen35moe": RecurrentLayout(
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
    "qwen3next": RecurrentLayout(
        norms=("attn_norm", "post_attention_norm"),
        head_norms="head",
        layers=5,
        recurrent=joined_delta_rule,
        is_recurrent=by_interval,
        has_query_gate=True,
        mixture=Mixture(shared=48, has_shared_gate=True),
        metadata=_RECURRENT | {"expert_shared_feed_forward_length": 48},
    ),
    "granitehybrid": RecurrentLayout(
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
    "nemotron_h": LoneLayout(
        norms=("attn_norm",),
        layers=6,
        recurrent=scan,
        metadata=_LONE,
        cases={
            "tied": _TIED,
            "one group": {"metadata": {"ssm.group_count": 1}},
            "biases": {"biases": (*_QKV_BIASES, "attn_output", "ffn_up", "ffn_down")},
            "starts with a feed-forward, ends with a scan": {
                "metadata": {
                    "attention.head_count_kv": [0, 2, 0, 0, 2, 0],
                    "feed_forward_length": [96, 0, 0, 96, 0, 0],
                }
            },
            "ends with attention": {
                "metadata": {
                    "attention.head_count_kv": [0, 0, 0, 0, 0, 2],
                    "feed_forward_length": [0, 96, 0, 0, 96, 0],
                }
            },
            "another epsilon": {
                "metadata": {
                    "attention.layer_norm_epsilon": 0.01,
                    "attention.layer_norm_rms_epsilon": None,
                }
            },
        },
    ),
    "nemotron_h_moe": LoneLayout(
        norms=("attn_norm",),
        layers=6,
        recurrent=scan,
        mixture=Mixture(shared=48, has_choice_bias=True),
        metadata=_LONE
        | {
            "expert_shared_feed_forward_length": 48,
            "expert_weights_norm": True,
            "expert_weights_scale": 1.8,
        },
        cases={"as they are": {"metadata": {"expert_weights_norm": False}}},
    ),
    "lfm2": RecurrentLayout(
        head_norms="head",
        layers=4,
        output_norm="token_embd_norm",
        metadata={"attention.head_count_kv": [0, 2, 0, 2], "shortconv.l_cache": 3},
        cases={
            "tied": _TIED,
            "ends with a convolution": {"metadata": {"attention.head_count_kv": [0, 2, 0, 0]}},
            "two taps": {"metadata": {"shortconv.l_cache": 2}},
        },
    ),
    "lfm2moe": RecurrentLayout(
        head_norms="head",
        layers=4,
        output_norm="token_embd_norm",
        mixture=Mixture(dense=1, has_choice_bias=True),
        metadata={
            "attention.head_count_kv": [0, 2, 0, 2],
            "shortconv.l_cache": 3,
            "expert_gating_func": 2,
        },
    ),
    "deepseek2": deepseek2(
        cases={
            "queries at once": {"variant": deepseek2(0)},
            "softmax as it is": {
                "metadata": {"expert_gating_func": None, "expert_weights_norm": False},
            },
            "groups": {"metadata": {"expert_group_count": 4, "expert_group_used_count": 2}},
            "yarn": {"metadata": _YARN},
            "yarn that scales scores": {"metadata": _YARN | {"rope.scaling.yarn_log_multiplier": 0.0707}},
            "a factor on the rope": {"metadata": {"rope.scaling.attn_factor": 1.25}},
        }
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
