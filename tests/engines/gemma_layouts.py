"""The layouts of Gemma 4, whose layers differ: windowed ones have other heads than global ones; and of
Gemma 3n, which has several inputs for each layer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.engines.layouts import Layout, Mixture, Shapes, Sizes

HEADS: Final = 4
LOCAL_HEAD, GLOBAL_HEAD = 16, 32
LOCAL_KV_HEADS, GLOBAL_KV_HEADS = 2, 1
WINDOWED: Final = (True, True, False, True, True, False)


@dataclass(frozen=True, slots=True)
class Gemma4Layout(Layout):
    """`with_keys` layers have keys and values of their own, `inputs` is the width of each layer's input."""

    windowed: Sequence[bool] = WINDOWED
    with_keys: int = len(WINDOWED)
    inputs: int = 0
    has_joined_experts: bool = False

    def sizes(self, sizes: Sizes, index: int) -> Sizes:
        head = LOCAL_HEAD if self.windowed[index] else GLOBAL_HEAD
        kv_heads = LOCAL_KV_HEADS if self.windowed[index] else GLOBAL_KV_HEADS
        width = sizes.feed_forward * (1 if index < self.with_keys else 2)
        return replace(sizes, query=HEADS * head, key_value=kv_heads * head, head=head, feed_forward=width)

    def layer(self, sizes: Sizes, index: int) -> Shapes:
        sizes = self.sizes(sizes, index)
        width = sizes.embedding
        shapes = Layout.layer(replace(self, mixture=None), sizes, index)
        shapes["layer_output_scale.weight"] = (1,)
        if not self.windowed[index]:  # the keys are the values, too
            del shapes["attn_v.weight"]
        if index >= self.with_keys:
            for name in ("attn_k.weight", "attn_v.weight", "attn_k_norm.weight"):
                shapes.pop(name, None)
        if self.inputs:
            shapes |= {"inp_gate.weight": (self.inputs, width), "proj.weight": (width, self.inputs)}
            shapes["post_norm.weight"] = (width,)
        if self.mixture:
            shapes |= self.mixture.tensors(width) | {
                "ffn_gate_inp.scale": (width,),
                "ffn_down_exps.scale": (self.mixture.experts,),
                "pre_ffw_norm_2.weight": (width,),
                "post_ffw_norm_1.weight": (width,),
                "post_ffw_norm_2.weight": (width,),
            }
        if self.has_joined_experts:
            count, hidden, _ = shapes.pop("ffn_gate_exps.weight")
            del shapes["ffn_up_exps.weight"]
            shapes["ffn_gate_up_exps.weight"] = (count, 2 * hidden, width)
        return shapes

    def model(self, sizes: Sizes, layers: int, tokens: int) -> Shapes:
        if not self.inputs:
            return {}
        width = self.inputs * layers
        return {
            "per_layer_token_embd.weight": (tokens, width),
            "per_layer_model_proj.weight": (width, sizes.embedding),
            "per_layer_proj_norm.weight": (self.inputs,),
        }


def gemma4(
    feed_forward: int,
    *,
    windowed: Sequence[bool] = WINDOWED,
    shared: int = 0,
    inputs: int = 0,
    mixture: Mixture | None = None,
    has_joined_experts: bool = False,
    cases: Mapping[str, Mapping[str, Any]] | None = None,
) -> Gemma4Layout:
    """`shared` layers read the keys and values of earlier ones."""
    with_keys = len(windowed) - shared
    metadata: dict[str, Any] = {
        "attention.head_count_kv": [LOCAL_KV_HEADS if w else GLOBAL_KV_HEADS for w in windowed],
        "attention.key_length": GLOBAL_HEAD,
        "attention.value_length": GLOBAL_HEAD,
        "attention.key_length_swa": LOCAL_HEAD,
        "attention.value_length_swa": LOCAL_HEAD,
        "attention.sliding_window": 24,
        "attention.sliding_window_pattern": list(windowed),
        "embedding_length_per_layer_input": inputs,
        "feed_forward_length": [feed_forward * (1 if i < with_keys else 2) for i in range(len(windowed))],
        "final_logit_softcapping": 5.0,
        "rope.freq_base": 1000000.0,
        "rope.freq_base_swa": 10000.0,
        "rope.dimension_count": GLOBAL_HEAD,
        "rope.dimension_count_swa": LOCAL_HEAD,
    }
    if shared:
        metadata["attention.shared_kv_layers"] = shared
    return Gemma4Layout(
        has_post_norms=True,
        head_norms="head",
        is_always_tied=True,
        factors=("rope_freqs",),
        # Scores aren't scaled, what routers read is scaled down: norms make up for it, as in real files.
        scales={"attn_q_norm.weight": 0.2, "ffn_gate_inp.scale": 8.0},
        layers=len(windowed),
        mixture=mixture,
        metadata=metadata,
        cases=cases or {},
        windowed=windowed,
        with_keys=with_keys,
        inputs=inputs,
        has_joined_experts=has_joined_experts,
    )


# What llama.cpp assumes of Gemma 3n, whatever the file says.
WIDER: Final = 8  # than other feed-forwards, of which so few gates would remain that their products vanish
BRANCH_NORMS: Final = ("post_attention_norm.weight", "post_ffw_norm.weight")
INPUTS, LAYER_INPUT, RANK, SPARSE_LAYERS, SPARSITY = 4, 256, 64, 10, 1.6448536


@dataclass(frozen=True, slots=True)
class Gemma3nLayout(Layout):
    """Layers that read earlier ones' keys have some, too, which aren't used."""

    def layer(self, sizes: Sizes, index: int) -> Shapes:
        width, feed_forward = sizes.embedding, WIDER * sizes.feed_forward
        return Layout.layer(self, replace(sizes, feed_forward=feed_forward), index) | {
            "inp_gate.weight": (LAYER_INPUT, width),
            "proj.weight": (width, LAYER_INPUT),
            "post_norm.weight": (width,),
            "altup_router.weight": (INPUTS, width),
            "altup_router_norm.weight": (width,),
            "altup_predict_coef.weight": (INPUTS * INPUTS, INPUTS),
            "altup_correct_coef.weight": (INPUTS, INPUTS),
            "altup_correct_scale.weight": (width,),
            "laurel_l.weight": (RANK, width),
            "laurel_r.weight": (width, RANK),
            "laurel_post_norm.weight": (width,),
        }

    def model(self, sizes: Sizes, layers: int, tokens: int) -> Shapes:
        width = LAYER_INPUT * layers
        return {
            "per_layer_token_embd.weight": (tokens, width),
            "per_layer_model_proj.weight": (width, sizes.embedding),
            "per_layer_proj_norm.weight": (LAYER_INPUT,),
            "altup_proj.weight": (INPUTS - 1, sizes.embedding, sizes.embedding),
            "altup_unembd_proj.weight": (INPUTS - 1, sizes.embedding, sizes.embedding),
        }


def gemma3n(
    feed_forward: int,
    windowed: Sequence[bool] = WINDOWED,
    *,
    shared: int = 0,
    cases: Mapping[str, Mapping[str, Any]] | None = None,
) -> Gemma3nLayout:
    """`shared` layers, all after the twentieth, read the keys and values of earlier ones."""
    sparsity = [SPARSITY if i < SPARSE_LAYERS else -math.inf for i in range(len(windowed))]
    metadata: dict[str, Any] = {
        "activation_sparsity_scale": sparsity,
        "altup.active_idx": 0,
        "altup.num_inputs": INPUTS,
        "attention.shared_kv_layers": shared,
        "attention.sliding_window": 24,
        "attention.sliding_window_pattern": list(windowed),
        "embedding_length_per_layer_input": LAYER_INPUT,
        "feed_forward_length": [WIDER * feed_forward] * len(windowed),
        "rope.freq_base": 1000000.0,
    }
    return Gemma3nLayout(
        has_post_norms=True,
        head_norms="head",
        is_always_tied=True,
        # Otherwise so many layers turn the rounding of keys and values into far more.
        scales={"attn_q_norm.weight": 0.2} | dict.fromkeys(BRANCH_NORMS, 0.3),
        layers=len(windowed),
        metadata=metadata,
        cases=cases or {},
    )
