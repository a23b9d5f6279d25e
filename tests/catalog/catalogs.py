"""Catalogs for tests, as files."""

import json
from typing import Any


def model(id: str = "bird-1b", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": id,
        "file": f"{id}-Q4_K_M.gguf",
        "bytes": 100,
        "sha256": (id.encode().hex() * 64)[:64],
        "publisher": "nest",
        "licence": "MIT",
        "architecture": "llama",
        "parameters": 1.0,
        "context": 2048,
        "capabilities": ["chat"],
        "languages": ["English"],
        "sources": [{"kind": "hub", "hub": "huggingface", "repository": "nest/bird-GGUF"}],
    }
    return made | changes


def catalog_bytes(*models: dict[str, Any], version: str = "2030-01-01", **changes: Any) -> bytes:
    recommended = {"chat": [made["id"] for made in models if "id" in made]}
    return json.dumps({"version": version, "recommended": recommended, "models": models} | changes).encode()
