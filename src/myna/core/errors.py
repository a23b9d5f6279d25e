"""The tree of all errors that Myna raises. `wire/errors.py` maps each to HTTP."""

from typing import NamedTuple

from myna.core.translatable import Translatable


class MynaError(Exception):
    """Root of the tree. `message` is a complete English sentence that may be shown to the user; `text` is the
    same message, translatable if it was raised with `N_`."""

    def __init__(self, message: str | Translatable) -> None:
        super().__init__(str(message))
        self.message = str(message)
        self.text = message


# --- client errors: never retried, never a 5xx ---


class RequestError(MynaError):
    """The request can't be served as it is. `param` and `code` follow OpenAI, where it defines them."""

    def __init__(
        self, message: str | Translatable, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class InvalidRequest(RequestError):
    """A wrong type, an unknown parameter, a value out of range, or an invalid combination."""


class ConstraintTooComplex(InvalidRequest):
    """A valid constraint that takes more time or memory than a request may use."""


class ContextOverflow(NamedTuple):
    """A prompt of that many tokens (or more), and the requested answer (0: any), in that context."""

    prompt_tokens: int
    requested_tokens: int
    context_tokens: int


class ContextLengthExceeded(RequestError):
    """Prompt and answer together exceed the model's context length or the size of the KV cache. `overflow`
    has the numbers, where they are known."""

    def __init__(
        self,
        message: str | Translatable,
        *,
        param: str | None = None,
        code: str | None = None,
        overflow: ContextOverflow | None = None,
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.overflow = overflow


class ModelNotFound(RequestError):
    """The model doesn't exist, or the key may not use it."""


class WrongEndpoint(RequestError):
    """The model exists, but doesn't support this endpoint."""


class AuthenticationFailed(RequestError):
    """The API key is missing or invalid."""


class MissingScope(AuthenticationFailed):
    """The API key is valid, but lacks a scope; at OpenAI, this is a 401."""


class PermissionDenied(RequestError):
    """The key is valid, but doesn't allow this."""


class NotFound(RequestError):
    """The object doesn't exist, or belongs to another project."""


class FileNotFound(NotFound):
    """The file doesn't exist, or belongs to another project."""


class InvalidFile(InvalidRequest):
    """An upload that is not a file as it is required, or one too much."""


class BatchEnded(RequestError):
    """The batch has ended, so that it can't be cancelled."""


class ModelInUse(RequestError):
    """The model can't be unloaded or deleted while it serves requests."""


class BodyTooLarge(RequestError):
    """The body exceeds the server's limit."""


class FileTooLarge(BodyTooLarge):
    """The file exceeds the server's limit."""


class RateLimited(RequestError):
    """A rate limit is reached. `retry_after_s` is when to retry; None: this request can never succeed."""

    def __init__(
        self, message: str | Translatable, *, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class RequestsLimited(RateLimited):
    """Too many requests, per minute or concurrently."""


class TokensLimited(RateLimited):
    """Too many tokens, per minute or per day."""


class QuotaExceeded(RateLimited):
    """The budget is used up."""


class UpstreamRefused(RequestError):
    """The upstream server rejected the request. Its response is passed to the client unchanged: `status`
    (4xx), `body` and its content type. If it rejects Myna's own key, that is an `UpstreamFailed` instead."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.content_type = content_type
        self.retry_after_s = retry_after_s


# --- server errors: may be retried ---


class Overloaded(MynaError):
    """The queue is full or the server is draining. `retry_after_s` is when to retry."""

    def __init__(self, message: str | Translatable, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageFailed(MynaError):
    """A file can't be written or read: the disk is full, or fails. `message` is for the client."""


class EngineDead(MynaError):
    """The model's worker process ended while requests were running; it is being restarted."""


class UpstreamFailed(MynaError):
    """The upstream server can't be reached, failed, broke off, or sent an invalid response. `message` names
    it as in the configuration, without its address."""


class UpstreamTimeout(UpstreamFailed):
    """The upstream server did not respond in time."""


class GenerationFailed(MynaError):
    """One request failed in the engine; others are not affected."""


class NoVerdict(GenerationFailed):
    """A model that is to classify a text answered something else."""


class ModelLoadFailed(MynaError):
    """The model can't be loaded: a corrupt or unsupported file, or not enough memory."""


class ModelTooLarge(ModelLoadFailed):
    """The model does not fit even if all others are unloaded; `message` has the numbers and what to do."""


# --- operator errors: command line and startup ---


class OperatorError(MynaError):
    """The command failed or the configuration is invalid; the message says what to do."""


class ConfigurationError(OperatorError):
    """A setting is invalid; the message suggests the closest valid one."""


class ModelFileError(OperatorError):
    """A model file is corrupt, truncated, malicious or of an unsupported kind."""


class DownloadFailed(OperatorError):
    """A source did not respond, broke off, or sent data with the wrong hash."""


class DatabaseError(OperatorError):
    """The database can't be opened, or was written by a newer version."""


class DatabaseUnavailable(DatabaseError):
    """The database can't be reached, is locked or full, or takes too long; logged when it begins."""
