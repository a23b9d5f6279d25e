"""`max_answer`: how long the server lets any answer be, whoever asks for how much."""

from typing import Any

import pytest
from tests.api.stand_in import error_of, serving

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}]}
TEXT: dict[str, Any] = {"prompt": "a"}


async def test_an_answer_of_no_stated_length_ends_at_the_servers_limit() -> None:
    for limit, expected in ((100, 100), (0, 4096 - len("<user>a<assistant>")), (5000, 4096 - 18)):
        async with serving(max_answer_tokens=limit) as model:
            assert (await model.ask("chat/completions", **CHAT)).status_code == 200
        assert model.generator.requests[0].max_tokens == expected


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("chat/completions", CHAT, "max_tokens"),
        ("chat/completions", CHAT, "max_completion_tokens"),
        ("completions", TEXT, "max_tokens"),
    ],
)
async def test_more_than_the_servers_limit_is_refused_as_openai_does(
    path: str, body: dict[str, Any], name: str
) -> None:
    async with serving(max_answer_tokens=100) as model:
        fits = await model.ask(path, **body, **{name: 100})
        too_much = await model.ask(path, **body, **{name: 101})
    assert fits.status_code == 200
    assert model.generator.requests[0].max_tokens == 100
    assert too_much.status_code == 400
    assert error_of(too_much) == {
        "message": f"{name} is too large: 101. This model supports at most 100 completion tokens, whereas "
        "you provided 101.",
        "type": "invalid_request_error",
        "param": name,
        "code": "invalid_value",
    }


async def test_the_limit_is_part_of_the_fingerprint() -> None:
    prints = set()
    for limit in (0, 100, 101):
        async with serving(max_answer_tokens=limit) as model:
            prints.add((await model.ask("chat/completions", **CHAT)).json()["system_fingerprint"])
    assert len(prints) == 3
