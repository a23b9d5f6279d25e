"""The bodies of the administration API, and which of OpenAI's parameters are supported."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import Field, StrictInt, StrictStr

from myna.accounts.checks import (
    MAX_LIFE_S,
    MAX_LIMIT,
    MAX_MODELS,
    MAX_NAME,
    SCOPES,
    UNKNOWN_PARAMETERS,
)
from myna.wire.fields import array, integer, never_null, one_of, text
from myna.wire.parameters import Parameter, Support
from myna.wire.validation import Items, WireModel

Name = Annotated[StrictStr, never_null("a string"), text(longest=MAX_NAME, may_be_empty=False)]
Scopes = Annotated[
    Items[Annotated[StrictStr, one_of(*SCOPES)]],
    never_null("an array of strings"),
    array("an array of strings", longest=len(SCOPES)),
]
Models = Annotated[
    Items[Annotated[StrictStr, text(longest=MAX_NAME, may_be_empty=False)]] | None,
    array("an array of strings", longest=MAX_MODELS, may_be_null=True),
]
UnknownParameters = Annotated[StrictStr | None, one_of(*UNKNOWN_PARAMETERS)]
Lifetime = Annotated[StrictInt | None, integer(1, MAX_LIFE_S)]
Amount = Annotated[StrictInt | None, integer(1, MAX_LIMIT)]


class ProjectBody(WireModel):
    name: Name


class KeyBody(WireModel):
    name: Name
    scopes: Scopes = Field(default_factory=lambda: ["inference"])
    models: Models = None
    expires_in_seconds: Lifetime = None
    unknown_parameters: UnknownParameters = None


class KeyChanges(WireModel):
    """Absent fields stay; null allows all models, removes the expiry, or makes unknown parameters what the
    server is set to."""

    name: Name = ""
    scopes: Scopes = Field(default_factory=lambda: ["inference"])
    models: Models = None
    expires_in_seconds: Lifetime = None
    unknown_parameters: UnknownParameters = None


class NamedKeyBody(WireModel):
    """The body with which OpenAI creates service accounts and admin keys."""

    name: Name
    expires_in_seconds: Lifetime = None


class RotationBody(WireModel):
    overlap_seconds: Annotated[StrictInt, never_null("an integer"), integer(0, MAX_LIFE_S)] = 0


class LimitBody(WireModel):
    """Absent fields stay; null removes a limit."""

    max_requests_per_1_minute: Amount = None
    max_tokens_per_1_minute: Amount = None
    max_tokens_per_1_day: Amount = None
    max_concurrent_requests: Amount = None
    max_priority_requests_per_1_minute: Amount = None
    budget_cents: Amount = None


class SpendingBody(WireModel):
    """A budget as OpenAI sets it, in cents."""

    currency: Annotated[StrictStr, never_null("a string"), one_of("USD")]
    interval: Annotated[StrictStr, never_null("a string"), one_of("month")]
    threshold_amount: Annotated[StrictInt, never_null("an integer"), integer(1, MAX_LIMIT)]


Parameters = Mapping[str, Parameter]
_REJECTED: Final = Parameter(Support.REJECTED)
_NO_RESIDENCY: Final = Parameter(
    Support.REJECTED, error_text="All data stays on this server; regions are not supported."
)


def _of(schema: type[WireModel], **refused: Parameter) -> Parameters:
    fields = {name: Parameter(is_required=field.is_required()) for name, field in schema.model_fields.items()}
    return MappingProxyType({**fields, **refused})


PROJECT: Final = _of(ProjectBody, external_key_id=_REJECTED, geography=_NO_RESIDENCY, residency=_NO_RESIDENCY)
KEY: Final = _of(KeyBody)
KEY_CHANGES: Final = _of(KeyChanges)
ADMIN_KEY: Final = _of(NamedKeyBody)
SERVICE_ACCOUNT: Final = _of(
    NamedKeyBody,
    create_service_account_only=Parameter(
        Support.REJECTED,
        allowed=(None, False),
        error_text="Here a service account is a key, so it always has one.",
    ),
)
ROTATION: Final = _of(RotationBody)
LIMIT: Final = _of(
    LimitBody,
    max_requests_per_1_day=_REJECTED,
    max_images_per_1_minute=_REJECTED,
    max_audio_megabytes_per_1_minute=_REJECTED,
    batch_1_day_max_input_tokens=_REJECTED,
)
SPENDING: Final = _of(SpendingBody)
LIMIT_FIELDS: Final[Mapping[str, str]] = {
    "max_requests_per_1_minute": "requests_per_minute",
    "max_tokens_per_1_minute": "tokens_per_minute",
    "max_tokens_per_1_day": "tokens_per_day",
    "max_concurrent_requests": "concurrent_requests",
    "max_priority_requests_per_1_minute": "priority_requests_per_minute",
    "budget_cents": "budget_cents",
}
"""Maps the API's names to those of `core.accounts.Limit`."""
