"""Tools and calls that tests of every call format share."""

import json

from llguidance import LLMatcher, LLTokenizer

from myna.core.conversation import ToolCall, ToolSpec
from myna.prompts.call_formats.base import (
    CallArguments,
    CallFormat,
    CallReader,
    CallStarted,
    Piece,
    TextPiece,
)

NODE = {
    "type": "object",
    "properties": {"值": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["值", "next"],
    "additionalProperties": False,
}
LIST = {
    "type": "object",
    "properties": {"head": {"$ref": "#/$defs/node"}},
    "required": ["head"],
    "additionalProperties": False,
    "$defs": {"node": NODE},
}
ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
SEND = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "text": {"type": "string"},
        "urgent": {"type": "boolean"},
        "unit": {"type": "string", "enum": ["C", "华氏"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "size": {"type": "number"},
        "until": {"type": ["string", "null"]},
    },
    "required": ["to", "text"],
    "additionalProperties": False,
}
TOOLS = [
    ToolSpec("add", "", json.dumps(ADD)),
    ToolSpec("chain", "", json.dumps(LIST)),
    ToolSpec("now"),
    ToolSpec("send", "", json.dumps(SEND)),
]

Call = tuple[str, str]
ONE: Call = ("add", '{"a": 5}')
TWO: Call = ("chain", '{"head": {"值": "}\\"{👋🏽", "next": {"值": "", "next": null}}}')
NONE: Call = ("now", "{}")
LONG: Call = (
    "send",
    json.dumps(
        {
            "to": "王",
            "text": 'Line one\n  "two" <tag> </param {x} \\ it\'s 你好\n',
            "urgent": True,
            "tags": ["a,b", "])}"],
            "size": -1.5,
            "until": None,
        },
        ensure_ascii=False,
    ),
)
FEW: Call = ("send", '{"to": "", "text": "5", "unit": "华氏"}')
CALLS = (ONE, TWO, NONE, LONG, FEW)


def written(form: CallFormat, *calls: Call) -> str:
    """What a model of that family writes."""
    return form.write([ToolCall(f"call{i:05}", name, arguments) for i, (name, arguments) in enumerate(calls)])


def lead(form: CallFormat) -> str:
    """The part of the first call's mark with which prompts end."""
    return form.marks.anywhere[0] if form.marks.has_recipients else ""


def model_text(form: CallFormat, *calls: Call) -> str:
    """`written` behind a prompt."""
    return written(form, *calls).removeprefix(lead(form))


def allows(grammar: str, text: str) -> bool:
    tokenizer = LLTokenizer("byte")
    matcher = LLMatcher(tokenizer, grammar)
    tokens = tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def read(reader: CallReader, *texts: str, is_cut: bool = False) -> list[Piece]:
    return [piece for text in texts for piece in reader.feed(text)] + reader.end(is_cut=is_cut)


def summed(pieces: list[Piece]) -> tuple[str, list[Call]]:
    """The text, and the calls with their whole arguments; asserts that calls don't mix."""
    said, calls = "", list[Call]()
    for piece in pieces:
        match piece:
            case TextPiece(text):
                said += text
            case CallStarted(index, name):
                assert index == len(calls)
                calls.append((name, ""))
            case CallArguments(index, text):
                assert text and index == len(calls) - 1
                calls[-1] = (calls[-1][0], calls[-1][1] + text)
    return said, calls


def same(calls: list[Call], expected: list[Call]) -> bool:
    """Whether names and arguments are equal, whatever the white space in them."""
    return [(name, json.loads(text)) for name, text in calls] == [
        (name, json.loads(text)) for name, text in expected
    ]
