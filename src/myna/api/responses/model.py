"""The model that a request to the Responses API names, with the errors of this API."""

from collections.abc import Mapping
from typing import Final

from myna.catalog.registry import ModelCard
from myna.core.errors import InvalidRequest, ModelNotFound
from myna.request.context import RequestContext
from myna.wire import validation_errors

NO_OBJECT_TEXT: Final = "Missing required parameter: 'model'."


def requested_card(context: RequestContext, body: Mapping[str, object]) -> ModelCard:
    """The card of the model that the body names; checked before the rest of the body."""
    if "model" not in body:
        raise validation_errors.missing().at_param("model")
    name = body["model"]
    if not isinstance(name, str):
        noun = {} if name is None else name  # null counts as an object
        raise validation_errors.invalid_type("a string", noun).at_param("model")
    try:
        return context.find_card(name)
    except ModelNotFound as exc:
        context.record.hint(exc.message)
        raise InvalidRequest(
            f"The requested model '{validation_errors.echoed(name)}' does not exist.",
            param="model",
            code="model_not_found",
        ) from exc
