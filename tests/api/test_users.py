"""The user that a request names is in its log line, and never changes an answer."""

import logging
from typing import Any

import pytest
from tests.api.stand_in import serving

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}]}
TEXT: dict[str, Any] = {"prompt": "a"}


@pytest.mark.parametrize(
    ("path", "body", "shown"),
    [
        ("chat/completions", CHAT | {"user": "anna"}, "user=anna"),
        ("chat/completions", CHAT | {"safety_identifier": "h4sh"}, "user=h4sh"),
        ("chat/completions", CHAT | {"user": "anna", "safety_identifier": "h4sh"}, "user=anna"),
        ("completions", TEXT | {"user": "a b\nc"}, "user=a%20b\\nc"),
    ],
)
async def test_the_log_says_for_whom(
    path: str, body: dict[str, Any], shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "myna.access")
    async with serving() as model:
        assert (await model.ask(path, **body)).status_code == 200
        assert (
            await model.ask(path, **{k: v for k, v in body.items() if "user" not in k})
        ).status_code == 200
    (first, *_) = [record.getMessage() for record in caplog.records if record.name == "myna.access"]
    assert f" {shown} " in first
