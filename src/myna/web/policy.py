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
