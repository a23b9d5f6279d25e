"""Items as a request has them."""

from typing import Any

from myna.wire.parameters import Parameter, Support
from myna.wire.response_items import Item, ItemList, ItemReference
from myna.wire.validation import WireModel, validate

_PARAMETERS = {"input": Parameter(Support.SUPPORTED)}


class _Request(WireModel):
    input: ItemList


def read_items(items: list[Any]) -> list[Item | ItemReference]:
    """Raises `InvalidRequest` for the first error."""
    return validate(_Request, {"input": items}, _PARAMETERS).input
