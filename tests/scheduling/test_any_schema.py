"""Any JSON is followed as a schema, or rejected as the client's mistake; nothing else may happen."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.constraints import CallableTool, ToolCalls
from myna.core.errors import InvalidRequest
from myna.decoding.grammar import Grammar, Grammars
from myna.generation.hints import unenforced_hint
from myna.generation.json_schema import constraint_of, origin_of
from myna.scheduling.grammar_text import compile_constraint

MAX_TOKENS = 200
NAMES = st.sampled_from(["a", "b", "name", "properties", "type", ""])
PATTERNS = st.one_of(
    st.sampled_from(
        [r"^\d+$", "(?=x)", r"\bx", "a{,3}", "[^]", "(", "^(a|b)+$", r"(a)\1", "x$y", r"\p{Foo}"]
    ),
    st.text("ab^$.*+?()[]{}|\\dwb,1", max_size=8),
)
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-9, 9) | st.text(max_size=4)
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null", "nonsense"])
REFERENCES = st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/nowhere", "http://a/b", ""])
FORMATS = st.sampled_from(["date-time", "email", "uuid", "int32", "regex", "password", "x"])
COUNTS = st.integers(-1, 4) | st.just(10**30) | st.just(1.5)


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named, listed = st.dictionaries(NAMES, inner, max_size=3), st.lists(inner, max_size=3)
    keywords: Mapping[str, st.SearchStrategy[Any]] = {
        "type": TYPES | st.lists(TYPES, max_size=2),
        "properties": named,
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
        "$defs": named,
        "items": inner | listed,
        "required": st.lists(NAMES, max_size=2) | st.just("a"),
        "pattern": PATTERNS,
        "format": FORMATS,
        "$ref": REFERENCES,
        "enum": st.lists(SCALARS, max_size=3),
        "const": SCALARS,
        **dict.fromkeys(("anyOf", "allOf", "oneOf", "prefixItems"), listed),
        **dict.fromkeys(("additionalProperties", "not", "if", "contains", "propertyNames"), inner),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties"), COUNTS),
        **dict.fromkeys(("minimum", "exclusiveMaximum", "multipleOf"), COUNTS),
    }
    typed = st.fixed_dictionaries({}, optional=keywords)
    return typed | st.dictionaries(st.sampled_from(sorted(keywords)), inner, max_size=2)


SCHEMAS = st.recursive(SCALARS, schemas, max_leaves=8).filter(lambda value: isinstance(value, dict))

LEAVES = st.one_of(
    st.fixed_dictionaries({"type": st.just("string")}, optional={"pattern": PATTERNS, "format": FORMATS}),
    st.fixed_dictionaries({"type": st.sampled_from(["integer", "number"])}, optional={"minimum": COUNTS}),
    st.builds(lambda value: {"const": value}, SCALARS),
)
PLAUSIBLE = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda properties, required, rest: {
                "type": "object",
                "properties": properties,
                "required": [name for name in required if name in properties],
                **rest,
            },
            st.dictionaries(NAMES, inner, max_size=3),
            st.lists(NAMES, max_size=3),
            st.fixed_dictionaries(
                {}, optional={"additionalProperties": st.booleans(), "minProperties": st.just(1)}
            ),
        ),
        st.builds(
            lambda named: {"type": "object", "patternProperties": named}, st.dictionaries(PATTERNS, inner)
        ),
        st.builds(lambda items: {"type": "array", "items": items, "uniqueItems": True}, inner),
        st.builds(
            lambda key, options: {key: options},
            st.sampled_from(["anyOf", "oneOf"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    return Grammars(
        [b"", *(bytes([i]) for i in range(256))], [0], [0], lambda text: [i + 1 for i in text.encode()], 257
    )


def follow(grammars: Grammars, grammar: Grammar) -> None:
    """Generate an answer: the first allowed token each time."""
    for _ in range(MAX_TOKENS):
        if grammar.must_stop:
            return
        mask = grammars.masks([grammar])[0]
        assert mask.any() or grammar.is_broken, grammar.error
        if grammar.is_broken:
            assert grammar.error
            return
        token = int(mask.nonzero()[0][0])
        allowed = int(mask[token])
        assert grammar.advance(token * 32 + (allowed & -allowed).bit_length() - 1)


@given(schema=SCHEMAS | PLAUSIBLE, is_strict=st.booleans(), is_tool=st.booleans())
def test_any_schema_is_followed_or_rejected(
    grammars: Grammars, schema: dict[str, Any], is_strict: bool, is_tool: bool
) -> None:
    origin = origin_of("response_format 'x'", "response_format")
    try:
        constraint = constraint_of(schema, is_strict=is_strict, name="x", origin=origin)
        tool = CallableTool("x", constraint.schema, is_strict, origin=origin)
        wanted = ToolCalls("hermes", (tool,), is_required=True) if is_tool else constraint
        hint = unenforced_hint(wanted)
        grammar = compile_constraint(wanted, grammars.compile)
    except InvalidRequest as error:
        assert error.param == "response_format"
        return
    assert not (is_strict and hint)
    follow(grammars, grammar)
