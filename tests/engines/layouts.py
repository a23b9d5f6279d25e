"""What the file of a layer's architecture holds: the parts of `architectures.LAYOUTS`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of a layer beyond a plain block's, and the metadata beyond the common.

    `norms` are those before attention and feed-forward, `biases` the tensors that have one, `head_norms`
    "head" or "whole". `shapes` are names of test cases, each with the `Tiny` fields that it changes; every
    architecture has at least the first. `factors` are tensors of the rope,
    `scales` factors on tensors whose name ends so."""

    norms: Sequence[str] = ("attn_norm", "ffn_norm")
    has_post_norms: bool = False
    head_norms: str = ""
    biases: Sequence[str] = ()
    joined: Sequence[str] = ()
    mixture: Mixture | None = None
    has_sinks: bool = False
    output_norm: str = "output_norm"
    is_always_tied: bool = False
    factors: Sequence[str] = ()
    scales: Mapping[str, float] = field(default_factory=dict)
    layers: int = 2
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def model(self, sizes: Sizes, layers: int, tokens: int) -> Shapes:
        """Tensors of the whole model beyond the usual ones."""
        return {}

    def layer(self, sizes: Sizes, index: int) -> Shapes:
        width, query, kv, ffn = sizes.embedding, sizes.query, sizes.key_value, sizes.feed_forward
        shapes: Shapes = {"attn_output.weight": (width, query)}
        if "qkv" in self.joined:
            shapes["attn_qkv.weight"] = (query + 2 * kv, width)
        else:
            rows = {"attn_q": query, "attn_k": kv, "attn_v": kv}
            shapes |= {f"{name}.weight": (count, width) for name, count in rows.items()}
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
        if self.head_norms:
            is_whole = self.head_norms == "whole"
            shapes["attn_q_norm.weight"] = (query if is_whole else sizes.head,)
            shapes["attn_k_norm.weight"] = (kv if is_whole else sizes.head,)
        return shapes
