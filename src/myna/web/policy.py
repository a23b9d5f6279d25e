"""What a browser may do with each of our answers: content policies and the headers beside them."""

from typing import Final

PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # Markup becomes a part of the page through DOMPurify or not at all.
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    )
)


def frame_policy(script_hash: str) -> str:
    """For the frame that Python runs in: one script by its hash, workers made of bytes that it was handed,
    WebAssembly; no network, no origin, no frame but this server's page around it."""
    return "; ".join(
        (
            "sandbox allow-scripts",
            "default-src 'none'",
            f"script-src '{script_hash}' blob: 'wasm-unsafe-eval'",
            "worker-src blob:",
            "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        )
    )


FILE_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"

_ALWAYS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def headers_with(policy: str) -> dict[str, str]:
    """The headers of an answer under that content policy."""
    return {"content-security-policy": policy, **_ALWAYS}
