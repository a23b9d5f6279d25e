"""A transformer in numpy float32 over dequantised weights: what the native engine approximates."""

import math
from collections.abc import Sequence
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from myna.prompts.gguf import read_header

Array = npt.NDArray[np.float32]


class FloatReference:
    """One GGUF file; every weight is dequantised by the `gguf` package when it is first used."""

    def __init__(self, path: str) -> None:
        header = read_header(path)  # the package's own reader takes seconds for a vocabulary
        self._fields = header.metadata
        self._tensors = {tensor.name: tensor for tensor in header.tensors}
        self._bytes = np.asarray(np.memmap(path, np.uint8, "r"))  # the subclass makes each slice slower
        self._weights: dict[str, Array] = {}
        self.architecture = header.architecture

    def logits(self, tokens: Sequence[int]) -> Array:
        is_gemma = self.architecture == "gemma3"
        x = self._weight("token_embd.weight")[np.array(tokens)]
        if is_gemma:
            x = x * np.float32(np.sqrt(x.shape[1]))
        for layer in range(self._field("block_count")):
            x = x + self._post(layer, "post_attention_norm", self._attention(layer, x))
            normed = self._norm(f"blk.{layer}.ffn_norm", x)
            gate = normed @ self._weight(f"blk.{layer}.ffn_gate.weight").T
            up = normed @ self._weight(f"blk.{layer}.ffn_up.weight").T
            inner = np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)
            active = 0.5 * gate * (1 + np.tanh(inner)) if is_gemma else gate / (1 + np.exp(-gate))
            down = (active * up).astype(np.float32) @ self._weight(f"blk.{layer}.ffn_down.weight").T
            x = x + self._post(layer, "post_ffw_norm", down)
        name = "output.weight" if "output.weight" in self._tensors else "token_embd.weight"
        result: Array = self._norm("output_norm", x) @ self._weight(name).T
        return result

    def _attention(self, layer: int, x: Array) -> Array:
        heads = self._field("attention.head_count")
        kv_heads = self._field("attention.head_count_kv", heads)
        size = self._field("attention.key_length", x.shape[1] // heads)
        normed = self._norm(f"blk.{layer}.attn_norm", x)
        query, key, value = (
            self._project(f"blk.{layer}.attn_{part}", normed).reshape(len(x), count, size)
            for part, count in (("q", heads), ("k", kv_heads), ("v", kv_heads))
        )
        is_local = self.architecture == "gemma3" and layer % 6 != 5
        if f"blk.{layer}.attn_q_norm.weight" in self._tensors:
            query = self._norm(f"blk.{layer}.attn_q_norm", query)
            key = self._norm(f"blk.{layer}.attn_k_norm", key)
        query, key = self._rotate(query, is_local), self._rotate(key, is_local)
        position = np.arange(len(x))
        seen = position[:, None] >= position[None, :]
        if is_local:
            seen &= position[:, None] - position[None, :] < self._field("attention.sliding_window")
        out = np.empty_like(query)
        for head in range(heads):
            shared = head // (heads // kv_heads)
            scores = np.where(seen, query[:, head] @ key[:, shared].T / np.sqrt(size), -np.inf)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[:, head] = (weights / weights.sum(axis=1, keepdims=True)) @ value[:, shared]
        flat: Array = out.reshape(len(x), -1) @ self._weight(f"blk.{layer}.attn_output.weight").T
        return flat

    def _rotate(self, x: Array, is_local: bool) -> Array:
        size = self._field("rope.dimension_count", x.shape[2])
        base = 10000.0 if is_local else float(self._field("rope.freq_base", 10000.0))
        frequencies = base ** (-np.arange(0, size, 2) / size)
        if "rope_freqs.weight" in self._tensors:
            frequencies = frequencies / self._weight("rope_freqs.weight")
        angle = np.arange(len(x))[:, None, None] * frequencies
        cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        out = x.copy()
        if self.architecture == "llama":
            first, second = slice(0, size, 2), slice(1, size, 2)
        else:
            first, second = slice(0, size // 2), slice(size // 2, size)
        a, b = x[..., first], x[..., second]
        out[..., first], out[..., second] = a * cosine - b * sine, a * sine + b * cosine
        return out

    def _project(self, name: str, x: Array) -> Array:
        out: Array = x @ self._weight(name + ".weight").T
        return out + self._weight(name + ".bias") if name + ".bias" in self._tensors else out

    def _post(self, layer: int, name: str, x: Array) -> Array:
        full = f"blk.{layer}.{name}"
        return self._norm(full, x) if full + ".weight" in self._tensors else x

    def _norm(self, name: str, x: Array) -> Array:
        epsilon = self._field("attention.layer_norm_rms_epsilon")
        scale = 1 / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + epsilon)
        out: Array = (x * scale * self._weight(name + ".weight")).astype(np.float32)
        return out

    def _field(self, name: str, default: Any = None) -> Any:
        value = self._fields.get(f"{self.architecture}.{name}", default)
        return value[0] if isinstance(value, np.ndarray) else value

    def _weight(self, name: str) -> Array:
        if name not in self._weights:
            tensor = self._tensors[name]
            data = self._bytes[tensor.offset : tensor.offset + tensor.num_bytes]
            shape = tensor.shape[::-1]
            # The package takes 16 rows at a time: with several of ours in each, it makes fewer calls.
            num_rows = math.prod(shape[:-1])
            rows = data.reshape(num_rows // math.gcd(64, num_rows), -1)
            values = gguf.dequantize(rows, gguf.GGMLQuantizationType[tensor.type])
            self._weights[name] = np.ascontiguousarray(values.reshape(shape), dtype=np.float32)
        return self._weights[name]
