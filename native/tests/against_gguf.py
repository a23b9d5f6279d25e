"""Compares the kernels with the `gguf` package's dequantisation, in float64: `against_gguf.py PROBE`.

Every block is random, so every code of every format is met; the seed is printed, MYNA_TEST_SEED repeats it.
"""

import os
import secrets
import subprocess
import sys

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

QUANTISED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
QUANTISED += ["IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4"]
QUANTISED += ["IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_S", "IQ1_M"]
FLOATS = ["F32", "F16", "BF16"]
# Byte offsets of a block's f16 scales, which must be finite.
SCALES = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
SCALES |= {"Q2_K": [80, 82], "Q3_K": [108], "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [], "NVFP4": []}
SCALES |= {"IQ1_M": []}  # in four parts
BLOCK = 32


def random_bytes(rng, name, outputs, inputs):
    """Weights of `outputs` rows as GGUF bytes."""
    block_values, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    if name == "F32":
        return rng.standard_normal((outputs, inputs), dtype=np.float32).view(np.uint8)
    if name == "F16":
        return rng.standard_normal((outputs, inputs)).astype(np.float16).view(np.uint8)
    if name == "BF16":
        wide = rng.standard_normal((outputs, inputs), dtype=np.float32).view(np.uint32)
        return (wide >> 16).astype(np.uint16).view(np.uint8)
    blocks = rng.integers(0, 256, (outputs, inputs // block_values, block_bytes), dtype=np.uint8)
    for at in SCALES.get(name, [0]):
        scale = rng.uniform(-0.1, 0.1, (*blocks.shape[:2], 1)).astype(np.float16)
        blocks[:, :, at : at + 2] = scale.view(np.uint8).reshape(*blocks.shape[:2], 2)
    if name == "IQ1_M":
        scale = rng.uniform(-0.1, 0.1, blocks.shape[:2]).astype(np.float16).view(np.uint16)
        for i in range(4):
            blocks[:, :, 49 + 2 * i] = blocks[:, :, 49 + 2 * i] & 15 | ((scale >> (4 * i) & 15) << 4)
    if name == "MXFP4":  # powers of two that halves have
        blocks[:, :, 0] = rng.integers(108, 128, blocks.shape[:2])
    return blocks.reshape(outputs, -1)


class Answer:
    """What the probe writes, taken apart."""

    def __init__(self, data, outputs, inputs, rows):
        self.data, self.at = data, 0
        num_blocks = -(-inputs // BLOCK)
        self.weights = self.take(np.float32, outputs, inputs)
        self.values = self.take(np.int8, rows, num_blocks, BLOCK)
        self.scales = self.take(np.float32, rows, num_blocks)
        (num_tables,) = self.take(np.int64, 1)
        # Whether activations are bfloat16, and the product.
        self.products = [
            (bool(self.take(np.int64, 1)[0]), self.take(np.float32, rows, outputs)) for _ in range(num_tables)
        ]
        assert self.at == len(data)

    def take(self, dtype, *shape):
        count = int(np.prod(shape))
        out = np.frombuffer(self.data, dtype, count, self.at).reshape(shape)
        self.at += out.nbytes
        return out


def ask(probe, name, weights, x, outputs, inputs):
    header = np.array([GGMLQuantizationType[name].value, outputs, inputs, len(x)], np.int64)
    sent = header.tobytes() + weights.tobytes() + x.tobytes()
    done = subprocess.run(probe, input=sent, stdout=subprocess.PIPE, check=True)  # noqa: S603
    return Answer(done.stdout, outputs, inputs, len(x))


def check_quantisation(answer, x):
    """Scale = largest magnitude / 127 and integers to nearest even, computed in float32."""
    blocks = x.reshape(len(x), -1, BLOCK)
    peak = np.abs(blocks).max(axis=2)
    np.testing.assert_array_equal(answer.scales, peak / np.float32(127))
    expected = np.rint(blocks * (np.float32(127) / peak)[:, :, None])
    np.testing.assert_array_equal(answer.values, expected)


def check(probe, rng, name, outputs, inputs, rows):
    weights = random_bytes(rng, name, outputs, inputs)
    x = (rng.standard_normal((rows, inputs)) * rng.uniform(0.1, 10)).astype(np.float32)
    answer = ask(probe, name, weights, x, outputs, inputs)
    reference = quants.dequantize(weights, GGMLQuantizationType[name]).reshape(outputs, inputs)
    np.testing.assert_allclose(answer.weights, reference, rtol=2e-6, atol=1e-6 * np.abs(reference).max())
    if name in QUANTISED:
        check_quantisation(answer, x)
        seen = (answer.values * answer.scales.astype(np.float64)[:, :, None]).reshape(rows, inputs)
        steps = inputs / 16
    else:
        np.testing.assert_array_equal(answer.weights, reference)
        seen, steps = x.astype(np.float64), inputs
    exact = seen @ reference.T.astype(np.float64)
    magnitude = np.abs(seen) @ np.abs(reference.T).astype(np.float64)
    worst = 0.0
    for _, product in (bfloats for bfloats in answer.products if bfloats[0]):
        # Half an ulp of either factor; for weights, also what their scales and offsets lost as halves.
        lost = np.abs(x).sum(axis=1)[:, None] * np.abs(reference).max(axis=1)[None, :] * 2.0**-9
        rounded = np.abs(x) @ np.abs(reference.T) * 2.0**-8
        difference = np.abs(product - x.astype(np.float64) @ reference.T.astype(np.float64))
        assert (difference <= 1.5 * rounded + lost).all(), (name, outputs, inputs, rows)
    shared = [product for is_bfloat, product in answer.products if not is_bfloat]
    for product in shared:
        error = np.abs(product - exact) / (magnitude + 1e-30)
        # Half an ulp of rounding per step; cancelled minimums or offsets are at most a few times the sum.
        assert error.max() <= (steps + 8) * 2.0**-24 * 4, (name, outputs, inputs, rows, error.max())
        np.testing.assert_array_equal(product, shared[0])
        worst = max(worst, float(error.max()))
    return worst


def main():
    seed = int(os.environ.get("MYNA_TEST_SEED") or secrets.randbits(32))
    print(f"MYNA_TEST_SEED={seed}", flush=True)
    rng = np.random.default_rng(seed)
    for name in QUANTISED + FLOATS:
        unit = GGML_QUANT_SIZES[GGMLQuantizationType[name]][0]
        unit = max(unit, BLOCK)
        worst = 0.0
        for outputs, rows in [(1, 1), (37, 5), (64, 70)]:
            worst = max(worst, check(sys.argv[1:], rng, name, outputs, unit * int(rng.integers(1, 6)), rows))
        print(f"{name}: largest error {worst:.2e} of the sum of magnitudes")


if __name__ == "__main__":
    main()
