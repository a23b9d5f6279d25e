"""How close to float32 the logits of Myna's engine and of llama.cpp are, with the same quantised weights.

    PYTHONPATH=src:. python bench/accuracy.py model.gguf [...] --tokens 4000 --out bench/reports/accuracy.json

Teacher-forced over mixed text (this repository's English and Chinese pages and its code) in windows of 500
tokens. Prints the mean KL(float32 || engine) of both, the 95 % bootstrap interval of the difference over
tokens, and how often the most likely token is float32's; the same of a KV cache in 8 bits (`q8_0`), and its
divergence from Myna's usual one. Then greedy answers: how many of 64 tokens match
float32's until the first difference, and by how much float32 preferred its own token there.
"""

import argparse
import json
import os
import sys
from pathlib import Path

# Set before llama.cpp is imported: its idle threads would otherwise spin and take cores from others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from tests.engines.divergence import compare, divergences
from tests.engines.float_reference import FloatReference
from tests.engines.oracle import Oracle

from myna.engines.base import BatchRow, Engine
from myna.engines.registry import load_engine

ROOT = Path(__file__).parent.parent
TEXTS = ("README.md", "README.zh-CN.md", "src/myna/scheduling/scheduler.py", "docs/architecture.md")
WINDOW = 500
NUM_ANSWERS, PROMPT_TOKENS, ANSWER_TOKENS = 8, 48, 64


def windows(oracle: Oracle, num_tokens: int, begin: list[int]) -> list[list[int]]:
    """Equal shares of each kind of text, split into windows."""
    share = -(-num_tokens // (len(TEXTS) * WINDOW)) * WINDOW
    cut = []
    for name in TEXTS:
        tokens = oracle.tokenize((ROOT / name).read_text(encoding="utf-8"))[:share]
        cut += [begin + tokens[start : start + WINDOW] for start in range(0, len(tokens), WINDOW)]
    return cut


def answers(engine: Engine, prompts: list[list[int]]) -> list[list[int]]:
    """Prompts and their greedy answers, each computed alone."""
    whole = [list(prompt) for prompt in prompts]
    for tokens in whole:
        start = 0
        for _ in range(ANSWER_TOKENS):
            logits = engine.forward([BatchRow(0, tokens[start:], start, len(tokens) - start - 1)]).array
            start = len(tokens)
            tokens.append(int(logits[0].argmax()))
        engine.free(0)
    return whole


def first_differences(reference: FloatReference, whole: list[list[int]]) -> list[float]:
    """By how many logits float32 prefers its token where a greedy answer first differs from its own."""
    gaps = []
    for tokens in whole:
        first = len(tokens) - ANSWER_TOKENS
        exact = reference.logits(tokens)[first - 1 : -1]
        said = np.array(tokens[first:])
        wrong = np.flatnonzero(exact.argmax(axis=1) != said)
        if len(wrong):
            row = exact[wrong[0]]
            gaps.append(float(row.max() - row[said[wrong[0]]]))
    return gaps


def greedy(reference: FloatReference, whole: list[list[int]]) -> dict[str, object]:
    gaps = first_differences(reference, whole)
    return {
        "answers": len(whole),
        "same": len(whole) - len(gaps),
        "epsilon": round(max(gaps, default=0.0), 4),
    }


def measure(path: str, num_tokens: int) -> dict[str, object]:
    oracle, reference = Oracle(path), FloatReference(path)
    options = {"context_tokens": 1024, "memory_bytes": 256 << 20, "threads": 0}
    engine = load_engine("native", path, **options)
    small = load_engine("native", path, **options, kv_cache_type="q8_0")
    begin = [2] if reference.architecture == "gemma3" else []
    cut = windows(oracle, num_tokens, begin)
    ours, theirs, top_ours, top_theirs = [], [], [], []
    with_q8, from_usual, top_q8 = [], [], []
    for number, window in enumerate(cut, 1):
        print(f"{Path(path).stem}: window {number} of {len(cut)}", file=sys.stderr, flush=True)
        exact = reference.logits(window)
        mine = engine.forward([BatchRow(0, window, 0, 0)]).array
        other = oracle.logits(window)
        ours.append(divergences(exact, mine))
        theirs.append(divergences(exact, other))
        top_ours.append(mine.argmax(axis=1) == exact.argmax(axis=1))
        top_theirs.append(other.argmax(axis=1) == exact.argmax(axis=1))
        rounded = small.forward([BatchRow(0, window, 0, 0)]).array
        with_q8.append(divergences(exact, rounded))
        from_usual.append(divergences(mine, rounded))
        top_q8.append(rounded.argmax(axis=1) == exact.argmax(axis=1))
        engine.free(0)
        small.free(0)
    oracle.close()
    small.close()
    prompts = [window[:PROMPT_TOKENS] for window in cut] + [
        window[200 : 200 + PROMPT_TOKENS] for window in cut
    ]
    prompts = prompts[:NUM_ANSWERS]
    said = answers(engine, prompts)
    engine.close()
    engine = load_engine("llamacpp", path, **options)
    said_theirs = answers(engine, prompts)
    engine.close()
    compared = compare(np.concatenate(ours), np.concatenate(theirs))
    return {
        "model": Path(path).stem,
        "tokens": sum(len(window) for window in ours),
        "kl_myna": round(compared.ours, 6),
        "kl_llama_cpp": round(compared.theirs, 6),
        "difference_95": [round(compared.low, 6), round(compared.high, 6)],
        "kl_q8_0": round(float(np.concatenate(with_q8).mean()), 6),
        "kl_q8_0_from_usual": round(float(np.concatenate(from_usual).mean()), 6),
        "top1_q8_0": round(float(np.concatenate(top_q8).mean()), 4),
        "top1_myna": round(float(np.concatenate(top_ours).mean()), 4),
        "top1_llama_cpp": round(float(np.concatenate(top_theirs).mean()), 4),
        "greedy_myna": greedy(reference, said),
        "greedy_llama_cpp": greedy(reference, said_theirs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="+")
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--out", type=Path, help="write the results to this file as JSON")
    args = parser.parse_args()
    rows = []
    for path in args.model:
        rows.append(measure(path, args.tokens))
        print(json.dumps(rows[-1]), flush=True)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
