"""Writes small random models of several families and formats: write_models.py FOLDER. Run from the root
folder."""

import sys
from pathlib import Path

from tests.engines.tiny_models import Kind, Tiny, write_tiny

MODELS = {
    "llama-f32": Tiny("llama", head_dim=48),
    "qwen2-q8_0": Tiny("qwen2", weights=Kind.Q8_0),
    "qwen3-q5_0": Tiny("qwen3", head_dim=32, weights=Kind.Q5_0),
    "gemma3-q4_1": Tiny("gemma3", layers=7, tied=True, weights=Kind.Q4_1),
    "gemma2-q8_0": Tiny("gemma2", weights=Kind.Q8_0),
    "cohere2-f32": Tiny("cohere2"),
    "gpt-oss-q5_0": Tiny("gpt-oss", weights=Kind.Q5_0),
}

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, tiny in MODELS.items():
    write_tiny(folder / f"{name}.gguf", tiny)
