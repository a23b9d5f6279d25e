"""Writes calls that a grammar allows, as awkwardly as it can."""

import random
from collections.abc import Iterator
from itertools import takewhile

import numpy as np
from llguidance import LLMatcher, LLTokenizer

from myna.core.conversation import ToolCall
from myna.prompts.call_formats.base import CallFormat

_NASTY = (
    "null", "true", "None", " 5", "-7.5", "5e3", "[1]", "{}", '"', "'x'", '"x"', "\\", "\n", "", "</",
    "</parameter>", "</parameter>\n<parameter=a>\n", "]<]minimax[>[", "]<]minimax[>[</", '<|"|>',
    "</arg_value>", "a.b=", "item", "a", "aaa", "zz-9", "ü", "北京", ", ", ")", "]", "}", "<a>x", "&amp;",
)  # fmt: skip
_CLOSERS = ('"', "}", "]", ")", "0", "a", "{", ",", ":", "9")
_HARMONY = " to=functions.f<|channel|>commentary json<|message|>"
_TOKENIZER = LLTokenizer("byte")
_MAX_STEPS = 2000


def written_badly(form: CallFormat, grammar: str, seed: int) -> str:
    """A call of the tool `f` that the grammar allows: random, with texts that readers may misunderstand."""
    chance = random.Random(seed)
    matcher = LLMatcher(_TOKENIZER, grammar)
    assert not matcher.is_error(), matcher.get_error()
    out = bytearray()
    _type(matcher, out, _HARMONY if form.name == "harmony" else "")
    ends = list(_ends(form))
    for step in range(_MAX_STEPS):
        if matcher.is_accepting() and (step > 20 or matcher.is_stopped()):
            return out.decode()
        if step > 60 and (end := _end(matcher, ends)):
            return (out + end).decode()
        texts = [*ends, *_CLOSERS] if step > 60 else _NASTY
        if chance.random() < (0.9 if step > 60 else 0.6):
            _type(matcher, out, chance.choice(texts))
        else:
            _type(matcher, out, bytes([_allowed(matcher, chance)]))
        if matcher.is_stopped():
            return out.decode()
    raise AssertionError(f"it doesn't end: {out.decode(errors='replace')[-300:]}")


def _ends(form: CallFormat) -> Iterator[str]:
    """What the form writes after a value, and after the last one."""
    for value in ('"777"', '["777"]', "777"):
        text = form.write([ToolCall("", "f", f'{{"a": {value}, "b": {value}}}')])
        _, between, end = text.split("777")
        yield end
        yield end[
            sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(between, end, strict=False))) :
        ]


def _end(matcher: LLMatcher, ends: list[str]) -> bytes:
    """The end of one of the texts with which the grammar's text would be whole; empty if there is none."""
    for data in map(str.encode, ends):
        for i in range(len(data)):
            if matcher.validate_tokens(list(data[i:])) == len(data) - i:
                ahead = matcher.deep_copy()
                ahead.consume_tokens(list(data[i:]))
                if ahead.is_accepting():
                    return data[i:]
    return b""


def _type(matcher: LLMatcher, out: bytearray, text: str | bytes) -> None:
    """As much of the text as the grammar allows, and what must follow it."""
    data = text.encode() if isinstance(text, str) else text
    num = matcher.try_consume_tokens(list(data))
    forced = matcher.compute_ff_bytes()
    if num:
        matcher.try_consume_tokens(list(forced))
        out += data[:num] + forced


def _allowed(matcher: LLMatcher, chance: random.Random) -> int:
    """One of the allowed bytes, rather a readable one."""
    mask = np.frombuffer(matcher.compute_bitmask(), np.uint8)
    allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little")[:256])
    readable = allowed[(allowed >= 32) & (allowed < 127)]
    return int(chance.choice(list(readable if len(readable) else allowed)))
