"""The layouts of models with recurrent layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.engines.layouts import Layout, Shapes, Sizes

OF_ATTENTION = ("attn_q.", "attn_k.", "attn_v.", "attn_output.", "attn_q_norm.", "attn_k_norm.")


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
    heads = metadata.get("attention.head_count_kv")
    return isinstance(heads, list) and int(heads[index % len(heads)]) == 0


@dataclass(frozen=True, slots=True)
class RecurrentLayout(Layout):
    """Some layers have the tensors of `recurrent` in the place of attention's."""

    recurrent: Callable[[int, Mapping[str, Any]], Shapes] = short_convolution
    is_recurrent: Callable[[Mapping[str, Any], int], bool] = has_no_keys
    has_query_gate: bool = False

    def layer(self, sizes: Sizes, index: int) -> Shapes:
        shapes = Layout.layer(self, sizes, index)
        if self.is_recurrent(self.metadata, index):
            kept = {name: shape for name, shape in shapes.items() if not name.startswith(OF_ATTENTION)}
            return kept | self.recurrent(sizes.embedding, self.metadata)
        if self.has_query_gate:
            shapes["attn_q.weight"] = (2 * sizes.query, sizes.embedding)
        return shapes


@dataclass(frozen=True, slots=True)
class LoneLayout(RecurrentLayout):
    """A layer is recurrent, attention, or a feed-forward without a gate, each with the same norm."""

    def layer(self, sizes: Sizes, index: int) -> Shapes:
        widths = self.metadata["feed_forward_length"]
        width = widths if isinstance(widths, int) else widths[index % len(widths)]
        shapes = RecurrentLayout.layer(self, replace(sizes, feed_forward=width), index)
        gates = ("ffn_gate.", "ffn_gate_exps.", "ffn_gate_shexp.")
        return {
            name: shape
            for name, shape in shapes.items()
            if name == "attn_norm.weight"
            or (name.startswith(("ffn_", "exp_probs")) == bool(width) and not name.startswith(gates))
        }
