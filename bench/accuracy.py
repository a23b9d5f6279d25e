"""How near to float32 our engine's logits are, and llama.cpp's, on the same quantised weights.

    PYTHONPATH=src:. python bench/accuracy.py model.gguf [...] --tokens 4000

Teacher-forced over mixed text (this repository's English and Chinese pages and its code) in windows of
500 tokens. Prints the mean KL(float32 || engine) of both, the 95 % bootstrap interval of the difference
over tokens, and how often the likeliest token is float32's.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tests.engines.divergence import compare, divergences
from tests.engines.float_reference import FloatReference
from tests.engines.oracle import Oracle

from myna.engines.base import Row
from myna.engines.native import load

ROOT = Path(__file__).parent.parent
TEXTS = ("README.md", "README.zh-CN.md", "src/myna/scheduling/scheduler.py", "docs/architecture.md")
WINDOW = 500


def windows(oracle: Oracle, num_tokens: int, begin: list[int]) -> list[list[int]]:
    """Text of every kind in equal shares, cut into windows."""
    share = -(-num_tokens // (len(TEXTS) * WINDOW)) * WINDOW
    cut = []
    for name in TEXTS:
        tokens = oracle.tokenize((ROOT / name).read_text(encoding="utf-8"))[:share]
        cut += [begin + tokens[start : start + WINDOW] for start in range(0, len(tokens), WINDOW)]
    return cut


def measure(path: str, num_tokens: int) -> dict[str, object]:
    oracle, reference = Oracle(path), FloatReference(path)
    engine = load(path, context_tokens=1024, memory_bytes=256 << 20, threads=0)
    begin = [2] if reference.architecture == "gemma3" else []
    ours, theirs, top_ours, top_theirs = [], [], [], []
    for window in windows(oracle, num_tokens, begin):
        exact = reference.logits(window)
        mine = engine.forward([Row(0, window, 0, 0)]).array
        other = oracle.logits(window)
        ours.append(divergences(exact, mine))
        theirs.append(divergences(exact, other))
        top_ours.append(mine.argmax(axis=1) == exact.argmax(axis=1))
        top_theirs.append(other.argmax(axis=1) == exact.argmax(axis=1))
        engine.free(0)
    engine.close()
    oracle.close()
    compared = compare(np.concatenate(ours), np.concatenate(theirs))
    return {
        "model": Path(path).stem,
        "tokens": sum(len(window) for window in ours),
        "kl_myna": round(compared.ours, 6),
        "kl_llama_cpp": round(compared.theirs, 6),
        "difference_95": [round(compared.low, 6), round(compared.high, 6)],
        "top1_myna": round(float(np.concatenate(top_ours).mean()), 4),
        "top1_llama_cpp": round(float(np.concatenate(top_theirs).mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="+")
    parser.add_argument("--tokens", type=int, default=4000)
    args = parser.parse_args()
    for path in args.model:
        print(json.dumps(measure(path, args.tokens)), flush=True)


if __name__ == "__main__":
    main()
