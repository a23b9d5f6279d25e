"""The layout of attention over latent vectors (DeepSeek V2 and later, GLM-4.7-Flash)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.engines.layouts import Layout, Mixture, Shapes, Sizes

HEADS: Final = 4
RANK, ROTATED, PLAIN, VALUE = 32, 16, 48, 64


@dataclass(frozen=True, slots=True)
class LatentLayout(Layout):
    """`query_rank` 0: queries are projected from the residual at once."""

    query_rank: int = 0

    def layer(self, sizes: Sizes, index: int) -> Shapes:
        width = sizes.embedding
        shapes = Layout.layer(self, sizes, index)
        for name in ("attn_q", "attn_k", "attn_v"):
            del shapes[f"{name}.weight"]
        query = HEADS * (PLAIN + ROTATED)
        if self.query_rank:
            shapes["attn_q_a.weight"] = (self.query_rank, width)
            shapes["attn_q_a_norm.weight"] = (self.query_rank,)
            shapes["attn_q_b.weight"] = (query, self.query_rank)
        else:
            shapes["attn_q.weight"] = (query, width)
        return shapes | {
            "attn_kv_a_mqa.weight": (RANK + ROTATED, width),
            "attn_kv_a_norm.weight": (RANK,),
            "attn_k_b.weight": (HEADS, RANK, PLAIN),
            "attn_v_b.weight": (HEADS, VALUE, RANK),
            "attn_output.weight": (width, HEADS * VALUE),
        }


def deepseek2(query_rank: int = 48, cases: Mapping[str, Mapping[str, Any]] | None = None) -> LatentLayout:
    return LatentLayout(
        layers=3,
        mixture=Mixture(shared=32, dense=1, has_choice_bias=True),
        metadata={
            "attention.head_count_kv": 1,
            "attention.key_length": RANK + ROTATED,
            "attention.value_length": RANK,
            "attention.key_length_mla": PLAIN + ROTATED,
            "attention.value_length_mla": VALUE,
            "attention.kv_lora_rank": RANK,
            "attention.q_lora_rank": query_rank,
            "rope.dimension_count": ROTATED,
            "expert_shared_count": 1,
            "expert_gating_func": 2,
            "expert_weights_norm": True,
            "expert_weights_scale": 1.8,
        },
        cases=cases or {},
        query_rank=query_rank,
    )
