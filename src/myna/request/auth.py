"""The first checks of a request, in OpenAI's order: authentication, then whether the body is JSON."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import orjson
from starlette.requests import Request

from myna.accounts.keys import mask_key
from myna.accounts.principal import LOCAL_USER, Principal, Scope
from myna.core.errors import AuthenticationFailed, InvalidRequest, MissingScope
from myna.http.json_bodies import INLINE_BYTES, check_levels, check_size, parse
from myna.http.origin import host_name, is_loopback
from myna.http.record import record_of, request_header
from myna.request.in_process import KEY_ID
from myna.request.services import Services
from myna.wire import validation_errors
from myna.wire.errors import UnparsableBody, UnsupportedContentEncoding, UnsupportedContentType

_PROXY_HEADERS: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
NO_KEY_TEXT: Final = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using "
    "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if "
    "you're accessing the API from your browser and are prompted for a username and password. On the "
    "machine that runs this server, `myna key` prints your API key."
)
WRONG_KEY_TEXT: Final = (
    "Incorrect API key provided: {key}. "
    "You can find your API key with `myna key` on the machine that runs this server."
)
BATCH_KEY_TEXT: Final = "The API key that created this batch was revoked or has expired."
MISSING_SCOPE_TEXT: Final = (
    "You have insufficient permissions for this operation. Missing scopes: {scope}. Check that you have "
    "the correct role in your organization (Reader, Writer, Owner) and project (Member, Owner), and if "
    "you're using a restricted API key, that it has the necessary scopes."
)
UNPARSABLE_TEXT: Final = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
    "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you "
    "have trouble figuring out how to fix this, check the bytes that your program sends with a JSON "
    "parser.)"
)
NO_MODEL_TEXT: Final = "you must provide a model parameter"


def presented_key(authorization: str) -> str:
    """The key in an Authorization header: a bearer token, or the password of Basic authentication; empty if
    there is none."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(rest.strip(), validate=True).decode("utf-8", "replace")
        except binascii.Error:
            return ""
        return decoded.partition(":")[2]
    return ""


def presented_keys(request: Request) -> list[str]:
    """The keys of a request: in `Authorization`, as OpenAI's clients send them, and in `x-api-key`, as
    Anthropic's do."""
    scope = request.scope
    found = (
        presented_key(request_header(scope, b"authorization")),
        request_header(scope, b"x-api-key").strip(),
    )
    return [key for key in found if key]


async def authenticate(request: Request, services: Services, no_key_text: str = NO_KEY_TEXT) -> Principal:
    """The principal of the request's key. Raises `AuthenticationFailed`, with the key masked, or with
    `no_key_text` if there is none."""
    await services.accounts.refresh()
    if (key_id := request.scope.get(KEY_ID)) is not None:
        return _principal_of_batch(services, key_id)
    if services.keys is None:
        return LOCAL_USER
    # Claude Code may send two: a token, and an API key of Anthropic's that it found.
    keys = presented_keys(request)
    for key in keys:
        if (principal := services.keys.find(key) or await services.accounts.find(key)) is not None:
            return principal
    if not keys:
        raise AuthenticationFailed(no_key_text)
    if reason := services.accounts.rejection_reason(keys[0]):
        record_of(request.scope).hint(reason)
    raise AuthenticationFailed(WRONG_KEY_TEXT.format(key=mask_key(keys[0])), code="invalid_api_key")


def _principal_of_batch(services: Services, key_id: str) -> Principal:
    principal = services.principal(key_id)
    if principal is None:
        raise AuthenticationFailed(BATCH_KEY_TEXT, code="invalid_api_key")
    return replace(principal, is_background=True)


def is_local_request(request: Request) -> bool:
    """Whether the request comes from a program on this machine that is not a proxy for other clients, nor a
    browser that shows another page. A proxy that adds no header and replaces Host often speaks HTTP/1.0,
    which hardly any other program does."""
    headers = request.headers
    is_forwarded = request.scope["http_version"] == "1.0" or any(name in headers for name in _PROXY_HEADERS)
    return not is_forwarded and "origin" not in headers and is_loopback(host_name(headers.get("host", "")))


def require(principal: Principal, scope: Scope) -> None:
    """Raise `MissingScope` if the key doesn't have the scope."""
    if not principal.may(scope):
        raise MissingScope(MISSING_SCOPE_TEXT.format(scope=scope))


def check_content_type(request: Request) -> None:
    """The body must be declared as JSON, which another site's page can't do without a CORS preflight, and not
    be compressed."""
    encoding = request_header(request.scope, b"content-encoding")
    if encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedContentEncoding(
            f"Unsupported content encoding: '{encoding}'. This API only accepts request bodies that are not "
            "compressed."
        )
    declared = request_header(request.scope, b"content-type")
    if declared.split(";", 1)[0].strip().lower() != "application/json":
        raise UnsupportedContentType(
            f"Unsupported content type: '{declared}'. This API method only accepts 'application/json' "
            f"requests, but you specified the header 'Content-Type: {declared}'. "
            "Please try again with a supported content type."
        )


def parse_json_object(data: bytes, no_object_text: str = NO_MODEL_TEXT) -> dict[str, object]:
    """The JSON object in a body. Raises `UnparsableBody` if it is not JSON, and `InvalidRequest` if it is not
    an object, has too many values, or is nested too deeply."""
    if len(data) > INLINE_BYTES:
        check_size(data)
    check_levels(data)
    try:
        body = parse(data)
    except orjson.JSONDecodeError as exc:
        raise UnparsableBody(UNPARSABLE_TEXT) from exc
    if not isinstance(body, dict):
        raise InvalidRequest(no_object_text)
    return body


def requested_model(body: Mapping[str, object]) -> str:
    """The name of the requested model; OpenAI checks it before any other parameter."""
    name = body.get("model")
    if name is None or name == "":
        raise InvalidRequest(NO_MODEL_TEXT)
    if not isinstance(name, str):
        raise validation_errors.invalid_type("a string", name).at_param("model")
    return name
