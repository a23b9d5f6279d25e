"""The native engine's vectors compared with those of sentence-transformers (on CPU), text by text:

    python bench/embedding_accuracy.py FOLDER FILE.gguf

FOLDER is the published model, FILE what `myna import` made of it. Needs torch and sentence-transformers, and
Myna's dependencies. Run it from the root folder with PYTHONPATH=src. Ends with 1 below 0.9999 for a float32
file, and below 0.999 for others."""

import sys

import numpy as np
from sentence_transformers import SentenceTransformer

from myna.engines.native_embedding import load
from myna.prompts.gguf import read_header

TEXTS = [
    "A bird sings.",
    "What is the capital of France?",
    "Les oiseaux chantent à l'aube.",
    "鸟儿在清晨歌唱。",
    "def add(a, b):\n    return a + b",
    "日本語の文章です。Über naïve café — “quotes” 123,456.78 👍",
    "OK",
    "Rain fell on the harbour while the last ferry turned towards the open sea. " * 10,
    "Rain fell on the harbour while the last ferry turned towards the open sea. " * 45,
]


def main() -> None:
    folder, path = sys.argv[1:3]
    reference = SentenceTransformer(folder, device="cpu")
    engine = load(path, context_tokens=0, memory_bytes=0, threads=0)
    limit = min(engine.info.context_tokens, reference.max_seq_length)
    encoded = reference.tokenizer(TEXTS, truncation=True, max_length=limit)
    theirs = reference.encode(TEXTS, normalize_embeddings=True, batch_size=1)
    cosines = (engine.embed(encoded["input_ids"]) * theirs).sum(axis=1)
    for text, cosine in zip(TEXTS, cosines, strict=True):
        print(f"{cosine:.6f}  {text[:60]!r}")
    is_float = read_header(path).integer("general.file_type") == 0
    print(f"least {cosines.min():.6f}")
    sys.exit(bool(np.any(cosines < (0.9999 if is_float else 0.999))))


if __name__ == "__main__":
    main()
