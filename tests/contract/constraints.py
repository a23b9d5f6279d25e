"""The one place where tests of this folder, and of the output processor, build a constraint."""

import json

from llguidance import LLMatcher

from myna.core.requests import Constraint


def json_schema(schema: dict[str, object]) -> Constraint:
    """An answer that is JSON and valid under the schema."""
    return Constraint(LLMatcher.grammar_from_json_schema(json.dumps(schema)))
