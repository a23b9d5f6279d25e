"""What grammars let a model write, read back, conforms to the tool's schema, in every call format."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.prompts.call_formats.adversary import written_badly
from tests.prompts.call_formats.written import allows, lead, model_text, read, summed

from myna.core.conversation import ToolSpec
from myna.core.errors import InvalidRequest
from myna.decoding.grammar import check
from myna.prompts.call_formats.json_style import JsonStyle
from myna.prompts.call_formats.marked import MarkedFormat
from myna.prompts.call_formats.table import FORMATS
from myna.prompts.ecma_regex import translate

Schema = dict[str, Any]
STRING: Schema = {"type": "string"}


def strict(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMAS: dict[str, Schema] = {
    "strings": strict(
        code={"type": "string", "pattern": "^[a-z]{2}-\\d$"},
        part={"type": "string", "pattern": "a|^b"},
        short={"type": "string", "minLength": 2, "maxLength": 4},
        plain=STRING,
    ),
    "strings or other values": strict(
        text={"type": ["string", "null"], "minLength": 3},
        level={"anyOf": [{"type": "string", "pattern": "^[a-z]*$"}, {"type": "integer", "minimum": 3}]},
        many={"anyOf": [STRING, {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}]},
        some={"type": ["integer", "string"]},
        deep={"anyOf": [{"type": "string", "maxLength": 3}, strict(b={"type": "number"})]},
    ),
    "listed values": strict(
        kind={"type": "string", "enum": ["a", "</", "null", "5", "", "it's \"so\""]},
        mixed={"enum": ["x", 5, None, True, "5", [1, "y"]]},
        fixed={"const": "a b"},
        other={"anyOf": [{"enum": ["5", 6]}, {"type": "boolean"}]},
    ),
    "numbers": strict(
        age={"type": "integer", "minimum": 3, "maximum": 17},
        part={"type": "number", "exclusiveMinimum": -1, "maximum": 0.5},
        step={"type": "integer", "multipleOf": 5},
        maybe={"type": ["number", "null"], "minimum": 100},
    ),
    "arrays": strict(
        words={"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 3},
        pair={"type": "array", "prefixItems": [STRING, {"type": "integer"}], "items": False, "minItems": 2},
        none={"type": "array", "items": {"type": "integer"}, "maxItems": 0},
        grid={"type": "array", "items": {"type": "array", "items": {"type": "number"}}, "maxItems": 2},
    ),
    "objects": strict(
        place=strict(city={"type": "string", "minLength": 1}, at=strict(lat={"type": "number"})),
        empty={"type": "object", "properties": {}, "additionalProperties": False},
        few={
            "type": "object",
            "properties": {"a": STRING, "b": {"type": "boolean"}},
            "additionalProperties": False,
        },
    ),
    "alternatives": strict(
        shape={
            "anyOf": [
                strict(kind={"const": "circle"}, size={"type": "integer"}, item={"type": "null"}),
                strict(kind={"const": "word"}, size={"type": "string", "minLength": 2}),
                {"type": "array", "items": {"anyOf": [STRING, strict(c={"type": "integer"})]}, "maxItems": 2},
                {"type": "null"},
            ]
        }
    ),
    "itself": {
        **strict(head={"$ref": "#/$defs/node"}),
        "$defs": {
            "node": strict(
                value={"$ref": "#/$defs/word"}, next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}
            ),
            "word": {"type": "string", "pattern": "^[ab]+$"},
        },
    },
    "names": strict(**{
        "a b": STRING, "城市": {"type": "integer"}, "a.b": {"type": "boolean"}, "it's": STRING, "A": STRING,
        'p"q': {"type": "integer"}, "x>y": STRING, "x": STRING, "a=b": STRING, "f[g]": {"type": "integer"},
        "k:v": STRING, "{r}": STRING, "a,": STRING, "$t": STRING,
    }),
    "others": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": STRING},
        "required": ["a", "z"],
        "additionalProperties": {"type": "integer", "minimum": 5},
    },
    "others by pattern": {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "patternProperties": {"^s": {"type": "string", "minLength": 2}, "^n": {"type": "integer"}},
        "additionalProperties": {"type": "boolean"},
    },
    "everything": {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": True},
    "a reference": {"$ref": "#/$defs/all", "$defs": {"all": strict(a={"type": "integer"})}},
    "all of": {
        "type": "object",
        "allOf": [
            {"properties": {"a": {"type": "string", "maxLength": 2}}, "required": ["a"]},
            {"properties": {"b": {"allOf": [{"type": "integer"}, {"minimum": 3}]}}, "required": ["b"]},
        ],
    },
    "all of, which differ": strict(
        age={"allOf": [{"type": "integer", "minimum": 3, "maximum": 90}, {"minimum": 18, "maximum": 95}]},
        step={"type": "integer", "allOf": [{"multipleOf": 2}, {"multipleOf": 3}]},
        word={"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "b$", "maxLength": 5}]},
        day={"allOf": [{"type": "string", "format": "date"}, {"pattern": "^2024-"}]},
        pick={"allOf": [{"enum": ["x", "y", 1]}, {"enum": ["y", 1, True]}, {"type": ["string", "null"]}]},
        kind={"type": ["string", "integer", "null"], "allOf": [{"type": ["number", "null"]}]},
        many={"allOf": [
            {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
            {"items": {"minimum": 7}, "maxItems": 2},
        ]},
        some={"allOf": [{"anyOf": [STRING, {"type": "integer"}]}, {"anyOf": [{"minimum": 3}, STRING]}]},
        place={"type": "object", "allOf": [
            {"properties": {"x": {"maximum": 5}}, "additionalProperties": {"type": "integer"}},
            {"properties": {"x": {"type": "number", "minimum": 1}}, "required": ["x"]},
            {"additionalProperties": {"minimum": 2}, "properties": {"y": STRING}},
        ]},
        only={"type": "object", "allOf": [
            {"properties": {"x": STRING, "y": {"type": "integer"}}},
            {"properties": {"x": {"maxLength": 3}}, "required": ["x"], "additionalProperties": False},
        ]},
    ),
    "numbers of properties": strict(
        some={**strict(a=STRING, b={"type": "integer"}), "required": [], "minProperties": 1},
        one={**strict(a=STRING, b={"type": "integer"}), "required": [], "maxProperties": 1},
        none={"type": "object", "maxProperties": 0},
    ),
}  # fmt: skip


def pairs() -> Iterator[tuple[str, str]]:
    """Every schema with every form that has a syntax of its own, some with those whose arguments are JSON."""
    for i, (name, form) in enumerate(FORMATS.items()):
        style = form.style if isinstance(form, MarkedFormat) else JsonStyle()
        step = 5 if isinstance(style, JsonStyle) and name != "hermes" else 1
        yield from ((name, schema) for schema in list(SCHEMAS)[i % step :: step])


@pytest.mark.parametrize(("name", "schema"), list(pairs()))
def test_whatever_is_written_is_read_as_arguments_that_conform(name: str, schema: str) -> None:
    form, tool = FORMATS[name], ToolSpec("f", "", json.dumps(SCHEMAS[schema], ensure_ascii=False))
    text = written_badly(form, form.grammar([tool], must_call=True, is_parallel=False), seed=1)
    said, calls = summed(read(form.reader([tool]), lead(form) + text))
    assert (said, len(calls)) == ("", 1), text
    arguments = json.loads(calls[0][1])
    errors = [error.message for error in Draft202012Validator(SCHEMAS[schema]).iter_errors(arguments)]
    assert errors == [], text


@pytest.mark.parametrize(
    ("format", "right", "wrong"),
    [
        ("date", "2024-02-28", ("2024-02-30", "2024-13-01", "24-1-1")),
        ("time", "23:59:59.5Z", ("24:00:00Z", "12:00")),
        ("date-time", "2024-12-31T00:00:00+02:00", ("2024-12-31", "2024-12-31 00:00:00Z")),
        ("duration", "P1DT2H", ("P", "PT", "1D")),
        ("email", "a.b+c@x-y.org", ("a@", "a b@c.de", ".a@b.c")),
        ("hostname", "a-1.example", ("-a", "a..b", "a_b")),
        ("ipv4", "127.0.0.1", ("256.1.1.1", "1.2.3")),
        ("ipv6", "fe80::1:2", ("1::2::3", "1:2:3", "12345::")),
        ("uuid", "0B6F3f2a-0000-4000-8000-00000000000f", ("0B6F3f2a", "g" * 36)),
        ("uri", "https://a.example:80/b%20c?d=e#f", ("a b", "https://", "%zz:")),
    ],
)
def test_a_string_between_tags_has_its_format(format: str, right: str, wrong: tuple[str, ...]) -> None:
    tool = ToolSpec("f", "", json.dumps(strict(a={"type": "string", "format": format})))
    for form in (FORMATS["qwen3-coder"], FORMATS["gemma-4"], FORMATS["minimax-m3"]):
        grammar = form.grammar([tool], must_call=True, is_parallel=False)
        assert allows(grammar, model_text(form, ("f", json.dumps({"a": right}))))
        for text in (*wrong, right + "!\n", ""):
            assert not allows(grammar, model_text(form, ("f", json.dumps({"a": text})))), text


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        ("b", "abc", "ac"),
        ("^a|c$", "ab", "ba"),
        ("^(a|b)$", "b", "bb"),
        ("(^a|b)c", "xbc", "xac"),
        ("a(b|c$)", "xac", "xacx"),
        ("", "x", None),
        ("^(?:)$", "", "x"),
        ("^\\$\\/$", "$/", "$"),
    ],
)
def test_a_pattern_is_searched_for_in_a_string_between_tags(
    pattern: str, right: str, wrong: str | None
) -> None:
    tool = ToolSpec("f", "", json.dumps(strict(a={"type": "string", "pattern": translate(pattern)})))
    for form in (FORMATS["qwen3-coder"], FORMATS["gemma-4"], FORMATS["minimax-m3"]):
        grammar = form.grammar([tool], must_call=True, is_parallel=False)
        assert allows(grammar, model_text(form, ("f", json.dumps({"a": right}))))
        assert wrong is None or not allows(grammar, model_text(form, ("f", json.dumps({"a": wrong}))))


SOME = {
    "type": "object",
    "properties": {"a": STRING, "b": STRING, "c": STRING},
    "additionalProperties": False,
}


@pytest.mark.parametrize("name", ["hermes", "qwen3-coder", "glm-4.7", "gemma-4", "minimax-m3", "lfm2"])
@pytest.mark.parametrize(
    ("counts", "right", "wrong"),
    [
        ({"minProperties": 1}, ("a", "c", "bc", "abc"), ("",)),
        ({"maxProperties": 1}, ("", "a", "b", "c"), ("ab", "bc")),
    ],
)
def test_the_number_of_arguments_is_bound(
    name: str, counts: Schema, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    form, tool = FORMATS[name], ToolSpec("f", "", json.dumps({**SOME, **counts}))
    grammar = form.grammar([tool], must_call=True, is_parallel=False)
    for keys, is_right in [*((keys, True) for keys in right), *((keys, False) for keys in wrong)]:
        arguments = json.dumps(dict.fromkeys(keys, "x"))
        assert allows(grammar, model_text(form, ("f", arguments))) == is_right, keys


@pytest.mark.parametrize("name", ["qwen3-coder", "gemma-4", "minimax-m3", "lfm2"])
def test_arguments_that_nothing_conforms_to_are_an_error(name: str) -> None:
    tool = ToolSpec("f", "", json.dumps({**SOME, "required": ["a", "b"], "maxProperties": 1}))
    with pytest.raises(InvalidRequest, match="no object conforms"):
        FORMATS[name].grammar([tool], must_call=True, is_parallel=False)


def test_a_long_list_of_limited_strings_is_within_a_grammars_limits() -> None:
    many = {f"p{i}": {"type": "string", "maxLength": 50} for i in range(1000)}
    tool = ToolSpec("f", "", json.dumps(strict(**many)))
    for name in ("qwen3-coder", "gemma-4", "minimax-m3"):
        check(FORMATS[name].grammar([tool], must_call=True, is_parallel=False))
