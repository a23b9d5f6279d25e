"""The body of `POST /v1/batches`, in the order in which it is checked."""

from collections.abc import Mapping
from typing import Annotated, Final

from myna.wire.fields import Metadata, integer, one_of, text
from myna.wire.parameters import Parameter
from myna.wire.validation import WireModel

ENDPOINTS: Final = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
)
WINDOW: Final = "24h"
"""The only window, as at OpenAI."""
_DAY_S: Final = 86_400


class OutputExpiry(WireModel):
    """How long the results are kept."""

    anchor: Annotated[str, one_of("created_at")]
    seconds: Annotated[int, integer(3600, 30 * _DAY_S)]


class BatchRequest(WireModel):
    """A batch to create."""

    input_file_id: Annotated[str, text(longest=64)]
    endpoint: Annotated[str, one_of(*ENDPOINTS)]
    completion_window: Annotated[str, one_of(WINDOW)]
    metadata: Metadata = ()
    output_expires_after: OutputExpiry | None = None


BATCH: Final[Mapping[str, Parameter]] = {
    "input_file_id": Parameter(is_required=True, about="A file of purpose `batch`."),
    "endpoint": Parameter(is_required=True, about="What answers its requests."),
    "completion_window": Parameter(is_required=True, about="`24h`."),
    "metadata": Parameter(about="Up to 16 pairs."),
    "output_expires_after": Parameter(about="How long the results are kept."),
}
