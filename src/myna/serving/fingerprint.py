"""`system_fingerprint`: changes exactly when an answer could."""

from hashlib import sha256

from myna.core.generator import ModelInfo


def system_fingerprint(info: ModelInfo, template_source: str) -> str:
    """Of weights, engine and its arithmetic (the engine tells them), and the chat template."""
    digest = sha256(f"{info.fingerprint}\0{template_source}".encode()).hexdigest()
    return f"fp_{digest[:10]}"
