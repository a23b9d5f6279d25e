"""Writes small GGUF files as seeds for the fuzzer: fuzz_seeds.py FOLDER. Needs numpy and gguf."""

import sys
from pathlib import Path

import gguf
import numpy as np

TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
TYPES += ("IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4")


def write(path: Path, types: tuple[str, ...]) -> None:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_bool("a.bool", True)
    writer.add_int8("a.int8", -3)
    writer.add_uint64("a.uint64", 1 << 40)
    writer.add_float64("a.float64", 0.5)
    writer.add_array("an.array", [1, 2, 3])
    writer.add_token_list(["<s>", "a", "本"])
    writer.add_token_scores([0.0, -1.0, -2.0])
    for name in types:
        kind = gguf.GGMLQuantizationType[name]
        columns, num_bytes = gguf.GGML_QUANT_SIZES[kind]
        data = np.zeros((2, num_bytes * max(1, 32 // columns)), np.uint8)
        writer.add_tensor(f"blk.0.{name}.weight", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    folder = Path(sys.argv[1])
    write(folder / "all.gguf", TYPES)
    for name in TYPES:
        write(folder / f"{name}.gguf", (name,))
    write(folder / "none.gguf", ())


if __name__ == "__main__":
    main()
