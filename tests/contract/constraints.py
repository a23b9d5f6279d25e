"""The one place where tests of this folder, and of the output processor, build a constraint."""

import json

from myna.core.constraints import JsonSchema


def json_schema(schema: dict[str, object]) -> JsonSchema:
    """An answer that is JSON and valid under the schema."""
    return JsonSchema(json.dumps(schema))
