"""Constraints that are meant to hurt: each is refused before anything is computed, and says why."""

import json
from functools import reduce
from typing import Any

import pytest

from myna.core.constraints import Constraint, JsonSchema, LarkGrammar, Origin
from myna.core.errors import ConstraintTooComplex, InvalidRequest
from myna.core.events import ChoiceDone, Event, PromptDone
from myna.core.requests import GenerationRequest, Sampling
from myna.engines import fake
from myna.scheduling.in_process import InProcessGenerator

ORIGIN = Origin("Invalid schema for response_format 'x'", "response_format")
TOO_LONG = "^((a{1000}){1000}){1000}$"


def schema(value: Any) -> JsonSchema:
    return JsonSchema(json.dumps(value), origin=ORIGIN)


def nested(levels: int) -> dict[str, Any]:
    return reduce(lambda inner, _: {"type": "object", "properties": {"a": inner}}, range(levels), {})


def chain(length: int, link: str) -> dict[str, Any]:
    """Definitions that refer to each other; the stack that following them takes would end a process."""
    parts = {f"d{i}": json.loads(link % f"#/$defs/d{i + 1}") for i in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**parts, f"d{length}": {"type": "integer"}}}


HOSTILE: dict[str, tuple[Constraint, type[InvalidRequest]]] = {
    "1,000 optional properties": (
        schema({"type": "object", "properties": {f"p{i}": {} for i in range(1000)}}),
        ConstraintTooComplex,
    ),
    "a pattern of a billion": (schema({"type": "string", "pattern": TOO_LONG}), ConstraintTooComplex),
    "a constant of 1 MB": (schema({"const": "x" * 1_000_000}), ConstraintTooComplex),
    "a slow constant": (schema({"const": "x" * 200_000}), ConstraintTooComplex),
    "nested objects": (schema(nested(150)), ConstraintTooComplex),
    "more nested objects": (schema(nested(300)), ConstraintTooComplex),
    "a reference to itself": (schema({"$ref": "#"}), InvalidRequest),
    "a loop of references": (
        schema({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        InvalidRequest,
    ),
    "many tokens": (
        LarkGrammar(
            "start: (" + "|".join(f"T{i}" for i in range(2000)) + ")+\n"
            "".join(f"T{i}: /[a-z]*{i}[a-z0-9]*/\n" for i in range(2000)),
            ORIGIN,
        ),
        InvalidRequest,
    ),
}  # fmt: skip


async def asked(service: InProcessGenerator, constraint: Constraint, max_tokens: int = 100) -> list[Event]:
    events: list[Event] = []
    tokens = tuple(fake.tokenize("go", parse_special=True))
    wanted = GenerationRequest(
        "r", tokens, max_tokens, constraint=constraint, sampling=Sampling(temperature=0)
    )
    try:
        events += [event async for event in await service.generate(wanted)]
    except InvalidRequest as error:
        assert not events, "nothing was computed"
        raise error
    return events


@pytest.mark.parametrize("name", HOSTILE)
async def test_it_is_refused_by_name(service: InProcessGenerator, name: str) -> None:
    constraint, kind = HOSTILE[name]
    with pytest.raises(kind) as caught:
        await asked(service, constraint)
    assert caught.value.param == "response_format"
    assert caught.value.message.startswith("Invalid schema for response_format 'x': ")


CHAINS: dict[str, Constraint] = {
    "references": schema(chain(8000, '{"$ref": "%s"}')),
    "alternatives": schema(chain(6000, '{"anyOf": [{"$ref": "%s"}]}')),
    "rules": LarkGrammar("start:r0\n" + "".join(f"r{i}:r{i + 1}\n" for i in range(5000)) + 'r5000:"z"\n'),
}


@pytest.mark.parametrize("kind", CHAINS)
async def test_a_chain_longer_than_a_usual_stack_ends_no_process(
    service: InProcessGenerator, kind: str
) -> None:
    events = await asked(service, CHAINS[kind])
    assert isinstance(events[0], PromptDone)


async def test_what_outgrows_its_limits_within_the_answer_says_so(service: InProcessGenerator) -> None:
    value = {
        "type": "object",
        "properties": {"a": {"const": "long enough, so that its beginning shows nothing of it"},
                       "b": {"type": "string", "pattern": TOO_LONG}},
        "required": ["a", "b"],
    }  # fmt: skip
    with pytest.raises(ConstraintTooComplex, match=r"became too complex after \d+ tokens"):
        await asked(service, schema(value), 1000)


async def test_what_is_large_and_harmless_is_followed(service: InProcessGenerator) -> None:
    for value in (
        {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(400)}},
        {"type": "object", "properties": {f"p{i}": {} for i in range(300)}, "additionalProperties": {}},
        {"type": "string", "maxLength": 1_000_000},
        {"enum": [f"{i} {'y' * 100}" for i in range(1000)]},
        nested(50),
    ):
        events = await asked(service, schema(value))
        assert any(isinstance(event, ChoiceDone) for event in events)
