"""Recompute the vectors that the tests of `myna import` compare with, by sentence-transformers (on CPU):

    python bench/embedding_references.py tests/catalog/conversion/references.json

Needs torch and sentence-transformers, which nothing else here does, and Myna's dependencies. Run it from the
root folder with PYTHONPATH=src:."""

import json
import sys
import tempfile
from pathlib import Path

from sentence_transformers import SentenceTransformer
from tests.catalog.conversion.tiny_folders import FOLDERS, TEXTS


def main() -> None:
    references = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, write in FOLDERS.items():
            folder = write(Path(temporary) / name)
            model = SentenceTransformer(str(folder), device="cpu")
            rows = [model.tokenizer(text)["input_ids"] for text in TEXTS]
            vectors = model.encode(list(TEXTS), normalize_embeddings=True, batch_size=1)
            references[name] = [
                {"text": text, "tokens": tokens, "vector": [round(float(x), 6) for x in vector]}
                for text, tokens, vector in zip(TEXTS, rows, vectors, strict=True)
            ]
    lines = [
        f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for name, rows in references.items()
    ]
    Path(sys.argv[1]).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
