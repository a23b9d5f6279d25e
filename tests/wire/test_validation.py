"""OpenAI's texts, params and codes for wrong values, and which of several faults is reported."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import StrictInt

from myna.core.errors import InvalidRequest
from myna.wire.fields import (
    Biases,
    Count,
    Flag,
    Metadata,
    Penalty,
    Seed,
    Stops,
    StreamOptions,
    Temperature,
    Text,
    array,
    integer,
    one_of,
    text,
)
from myna.wire.parameters import Parameter, Support
from myna.wire.validation import WireModel, validate


class Item(WireModel):
    name: Annotated[str, text(longest=8, pattern="^[a-z]+$", may_be_empty=False)]
    kind: Annotated[str | None, one_of("a", "b", "c")] = None


class Thing(WireModel):
    model: str
    items: Annotated[list[Item], array("an array of objects", longest=2)]
    n: Count = None
    stop: Stops = ()
    temperature: Temperature = None
    presence_penalty: Penalty = None
    seed: Seed = None
    user: Text = None
    tier: Annotated[str | None, one_of("auto", "flex", expected="one of 'auto', or 'flex'")] = None
    stream: Flag = None
    stream_options: StreamOptions | None = None
    store: Flag = None
    metadata: Metadata = ()
    logit_bias: Biases = ()
    small: Annotated[StrictInt | None, integer(0, 5)] = None


TABLE = {name: Parameter(is_required=name == "items") for name in Thing.model_fields} | {
    "audio": Parameter(Support.REJECTED, allowed=(None, "off"))
}
GOOD: dict[str, Any] = {"model": "m", "items": [{"name": "x"}]}


def fault(**changes: Any) -> tuple[str, str | None, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        validate(Thing, GOOD | changes, TABLE)
    return caught.value.message, caught.value.param, caught.value.code


ROWS = json.loads((Path(__file__).parent.parent / "data" / "field_faults.json").read_text("utf-8"))


@pytest.mark.parametrize(("changes", "message", "param", "code"), ROWS, ids=[row[1][:70] for row in ROWS])
def test_a_wrong_value_is_reported_in_openais_words(
    changes: dict[str, Any], message: str, param: str | None, code: str | None
) -> None:
    assert fault(**changes) == (message, param, code)


def test_missing_is_reported_before_unknown_and_unknown_before_wrong() -> None:
    with pytest.raises(InvalidRequest, match="Missing required parameter: 'items'"):
        validate(Thing, {"model": "m", "zzz": 1, "n": 0}, TABLE)
    assert fault(n=0, zzz=1)[1] == "zzz"


def test_wrong_values_are_reported_in_the_schemas_order() -> None:
    body = {"audio": 1, "metadata": 1, "stream": 1, "stop": 1, "n": 0, "items": 1, "model": "m"}
    order = []
    while True:
        try:
            validate(Thing, body, TABLE)
        except InvalidRequest as exc:
            assert exc.param
            order.append(exc.param)
            body[exc.param] = GOOD.get(exc.param)
        else:
            break
    assert order == ["items", "n", "stop", "stream", "metadata", "audio"]


def test_null_is_absent_for_every_optional_field() -> None:
    optional = dict.fromkeys(TABLE.keys() - GOOD.keys())
    assert validate(Thing, GOOD | optional, TABLE) == validate(Thing, GOOD, TABLE)


def test_a_refused_parameter_may_ask_for_nothing() -> None:
    assert validate(Thing, GOOD | {"audio": "off"}, TABLE).n is None


def test_a_biased_tokens_number_may_be_absurd() -> None:
    [(token, _)] = validate(Thing, GOOD | {"logit_bias": {"9" * 5000: 1}}, TABLE).logit_bias
    assert token >= 10**17
