"""Large JSON bodies: their values counted in slices, and their turns off the event loop."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.http.live import running
from tests.http.scripted import ScriptedGenerator, pool_of, services, words

from myna.core.errors import InvalidRequest
from myna.http.json_bodies import (
    MAX_LEVELS,
    MAX_NODES,
    MAX_VALUES,
    LargeBodies,
    check_levels,
    check_size,
    count_levels,
    count_values,
    parse,
)

_texts = st.text(st.sampled_from('a"\\[]{},:\n'), max_size=8)
_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | _texts,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(_texts, inside, max_size=4),
    max_leaves=20,
)


def _counted(value: Any) -> tuple[int, int]:
    """By walking the value itself."""
    if isinstance(value, list | dict):
        inside = list(value.values()) if isinstance(value, dict) else value
        counts = [_counted(entry) for entry in inside]
        nodes = 1 + (len(value) if isinstance(value, dict) else 0) + sum(nodes for nodes, _ in counts)
        return nodes, max(0, len(inside) - 1) + sum(commas for _, commas in counts)
    return 0, 0


@settings(deadline=None)
@given(_values, st.integers(1, 9))
def test_values_are_counted_whatever_strings_hold_and_wherever_slices_end(
    value: Any, slice_bytes: int
) -> None:
    assert count_values(json.dumps(value).encode(), slice_bytes) == _counted(value)


def _levels(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(_levels, inside), default=0)


@settings(deadline=None)
@given(_values, st.integers(1, 9))
def test_levels_are_counted_whatever_strings_hold_and_wherever_slices_end(
    value: Any, slice_bytes: int
) -> None:
    assert count_levels(json.dumps(value).encode(), slice_bytes) == _levels(value)


def test_what_is_nested_too_deeply_to_be_written_again_is_refused() -> None:
    check_levels(b"[" * MAX_LEVELS + b"]" * MAX_LEVELS)
    check_levels(b"[" + b"[]," * MAX_LEVELS + b"1]")
    orjson.dumps(parse(b"[" * MAX_LEVELS + b"]" * MAX_LEVELS))
    with pytest.raises(InvalidRequest, match=r"levels of nesting\. Expected at most 200, but got 201"):
        check_levels(b"[" * (MAX_LEVELS + 1) + b"]" * (MAX_LEVELS + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * MAX_NODES + b"1]",
        b'{"a":1' + b',"a":1' * MAX_NODES + b"}",
        b"[" * (MAX_NODES + 1),
        b"[1" + b",1" * (MAX_VALUES + 1) + b"]",
    ],
    ids=["arrays", "properties", "deep", "numbers"],
)
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="too many") as caught:
        check_size(body)
    assert caught.value.code == "too_many_values"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"cut \ud83d"', "cut \ufffd"),
        (r'"\uDE00 \uD83D\uD83D\uDE00"', "\ufffd \ufffd😀"),
        (r'{"\udbff": ["\\ud83d", "\\\ud83d", "\\"]}', {"\ufffd": [r"\ud83d", "\\\ufffd", "\\"]}),
        (r'"\ud83dA\ud83d\u0041"', "\ufffdA\ufffdA"),
    ],
)
def test_half_of_a_surrogate_pair_becomes_the_replacement_character(text: str, value: Any) -> None:
    assert parse(text.encode()) == value


@pytest.mark.parametrize(
    "text", [r'"\ud83d" x', r'"\ud83g"', r'{"\ud83d": NaN}', '"\\ud83d\0"', "", r"\ud83d"]
)
def test_other_mistakes_remain_mistakes(text: str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        parse(text.encode())


@given(st.text(st.sampled_from('a\\"\ud83d\ude00😀/u')), st.booleans())
def test_parsing_replaces_what_utf8_cant_hold_and_nothing_else(text: str, is_ascii: bool) -> None:
    data = json.dumps(text, ensure_ascii=is_ascii).encode("utf-8", "backslashreplace")
    assert parse(data) == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_text_of_any_length_and_kind_is_one_value() -> None:
    check_size(json.dumps({"content": '[{,:"\\' * 500_000}).encode())


async def test_a_key_with_many_bodies_delays_only_itself() -> None:
    bodies = LargeBodies(ThreadPoolExecutor(2))
    may_end = threading.Event()
    first = asyncio.create_task(bodies.run("a", may_end.wait))
    more = [asyncio.create_task(bodies.run("a", lambda: "a")) for _ in range(8)]
    assert await bodies.run("b", lambda: "b") == "b"
    assert not any(task.done() for task in more)
    may_end.set()
    assert await first
    assert await asyncio.gather(*more) == ["a"] * 8


async def test_what_reading_raises_reaches_its_request_and_frees_the_turn() -> None:
    bodies = LargeBodies()
    with pytest.raises(InvalidRequest):
        await bodies.run("a", lambda: check_size(b"[" * (MAX_NODES + 1)))
    assert await bodies.run("a", lambda: "next") == "next"


async def test_what_takes_more_than_a_few_milliseconds_leaves_the_event_loop() -> None:
    """Many such bodies at once would hold it up for all their time together."""
    loop = threading.current_thread()
    assert await LargeBodies().run_if_large(20_000, "a", threading.current_thread) is not loop
    assert await LargeBodies().run_if_large(2000, "a", threading.current_thread) is loop


_MEGABYTES = 15 * 2**20


def _message(content: str) -> str:
    return f'{{"role":"user","content":{content}}}'


def _many(entry: str) -> str:
    return f"[{','.join([entry] * (_MEGABYTES // (len(entry) + 1)))}]"


_HI = f"[{_message(json.dumps('hi'))}]"
HOSTILE = {
    "messages": (f'"messages":{_many(_message(chr(34) * 2))}', "too_many_values"),
    "fewer messages": (
        f'"messages":[{_message("1")}{("," + _message("1")) * 30_000}]',
        "array_above_max_length",
    ),
    "parts": (f'"messages":[{_message(_many(json.dumps({"type": "text", "text": ""})))}]', "too_many_values"),
    "fewer parts": (
        f'"messages":[{_message("[{}" + ",{}" * 80_000 + "]")}]',
        "array_above_max_length",
    ),
    "wrong parts": (f'"messages":[{_message("[{}" + ",{}" * 2000 + "]")}]', "missing_required_parameter"),
    "unknown keys": (
        f'"messages":[{{"role":"user",{",".join(f"{chr(34)}{n}{chr(34)}:1" for n in range(80_000))}}}]',
        "unknown_parameter",
    ),
    "biases": (
        f'"messages":{_HI},"logit_bias":{{{",".join(f"{chr(34)}{n}{chr(34)}:1" for n in range(80_000))}}}',
        "object_above_max_properties",
    ),
    "tokens": (f'"messages":{_many("1")}', "too_many_values"),
    "text": (f'"messages":[{_message(chr(34) + "a" * _MEGABYTES + chr(34))}]', "string_above_max_length"),
    "name": (f'"messages":{_HI},"{"k" * _MEGABYTES}":1', "unknown_parameter"),
    "integer": (f'"messages":{_HI},"n":{"1" * _MEGABYTES}', None),
    "nested": (f'"messages":{"[" * 1000}{"]" * 1000}', "too_many_values"),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_no_body_holds_up_the_event_loop(kind: str) -> None:
    """The guard of all tests fails it if one does."""
    fields, code = HOSTILE[kind]
    body = f'{{"model":"tiny",{fields}}}'.encode()
    families = ("myna.api.models.routes", "myna.api.chat.routes")
    async with running(services(pool_of(ScriptedGenerator([words("a")]))), families=families) as live:
        replies = await asyncio.gather(
            *(live.ask("POST", "/v1/chat/completions", body) for _ in range(2)), live.ask("GET", "/health")
        )
    *refused, healthy = replies
    assert healthy.status == 200
    for reply in refused:
        assert reply.status == 400
        error = json.loads(reply.body)["error"]
        assert error["code"] == code
        assert len(reply.body) < 8192
