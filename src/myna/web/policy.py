"""Content security policies and other security headers of the page's responses."""

from typing import Final

PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # Markup is only inserted into the page through DOMPurify.
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    )
)


def frame_policy(script_hash: str) -> str:
    """The policy of the frame in which Python runs: allows one script by its hash, workers from blobs, and
    WebAssembly; no network, no origin, and only this server's page as its parent."""
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
    """The headers of a response with that content security policy."""
    return {"content-security-policy": policy, **_ALWAYS}
