"""Every way in which Myna can fail, as one tree. Raise these; `wire/errors.py` maps each to HTTP."""

from myna.core.translatable import Translatable


class MynaError(Exception):
    """Root of the tree. `message` is a whole English sentence that may be shown to the user; `text` is the
    same for those who translate it, where it was raised with `N_`."""

    def __init__(self, message: str | Translatable) -> None:
        super().__init__(str(message))
        self.message = str(message)
        self.text = message


# --- the client's mistakes: never retried, never a 5xx ---


class RequestError(MynaError):
    """The request can't be served as it is. `param` and `code` are OpenAI's, where it has them."""

    def __init__(
        self, message: str | Translatable, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class InvalidRequest(RequestError):
    """A wrong type, range, combination or unknown parameter."""


class ConstraintTooComplex(InvalidRequest):
    """A constraint that is valid, but takes more time or memory to enforce than any request may have."""


class ContextLengthExceeded(RequestError):
    """Prompt plus answer don't fit the model's context, or the KV cache alone."""


class ModelNotFound(RequestError):
    """No such model in the catalog, or none that the key may see."""


class WrongEndpoint(RequestError):
    """The model exists, but it can't do what this endpoint asks of it."""


class AuthenticationFailed(RequestError):
    """No key, or a key that is not ours."""


class PermissionDenied(RequestError):
    """A good key that may not do this."""


class NotFound(RequestError):
    """A stored thing that isn't there, or is another project's."""


class ModelInUse(RequestError):
    """A model can't be deleted while requests run on it."""


class BodyTooLarge(RequestError):
    """The body is over the server's limit."""


class RateLimited(RequestError):
    """A limit has no room. `retry_after_s` says when it will; None: never, for this request."""

    def __init__(
        self, message: str | Translatable, *, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class RequestsLimited(RateLimited):
    """Too many requests, in a minute or at once."""


class TokensLimited(RateLimited):
    """Too many tokens, in a minute or in a day."""


class QuotaExceeded(RateLimited):
    """The budget is spent."""


class UpstreamRefused(RequestError):
    """The server that runs the model refused the request. Its answer goes to the client as it is: `status`
    (4xx), `body` and its content type. A refusal of Myna's own key is no client's mistake: that is an
    `UpstreamFailed`."""

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


# --- the server's state: worth a retry ---


class Overloaded(MynaError):
    """The queue is full or the server is draining. `retry_after_s` says when to come back."""

    def __init__(self, message: str | Translatable, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineDead(MynaError):
    """The worker process of the model ended while requests ran; it is being restarted."""


class UpstreamFailed(MynaError):
    """The server that runs the model can't be reached, failed, broke off, or sent what can't be read.
    `message` names it as the configuration does, without its address."""


class UpstreamTimeout(UpstreamFailed):
    """The server that runs the model did not answer in time."""


class GenerationFailed(MynaError):
    """One request failed inside the engine; the others go on."""


class ModelLoadFailed(MynaError):
    """The model can't be loaded: a corrupt or unsupported file, or not enough memory."""


class ModelTooLarge(ModelLoadFailed):
    """No unloading of others would make room for the model; `message` has the numbers and the remedy."""


# --- the operator's: command line and start ---


class OperatorError(MynaError):
    """The command or configuration can't be carried out; the message says what to do next."""


class ConfigurationError(OperatorError):
    """A setting is wrong; names the nearest right one."""


class ModelFileError(OperatorError):
    """A model file is corrupt, truncated, hostile or of an unsupported kind."""


class DownloadFailed(OperatorError):
    """A source did not answer, broke off, or sent bytes with the wrong hash."""


class DatabaseError(OperatorError):
    """The database can't be opened, or a newer program wrote it."""


class DatabaseUnavailable(DatabaseError):
    """The database is away, locked or full, or takes too long; the log has a line when that begins."""
