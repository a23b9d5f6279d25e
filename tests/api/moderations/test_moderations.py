"""Moderation is refused by name: no text is ever called harmless that nobody has looked at."""

import openai
import pytest
from tests.http.live import running
from tests.http.scripted import KEY, ScriptedGenerator, pool_of, services


async def test_moderation_is_refused_with_what_to_do() -> None:
    made = services(pool_of(ScriptedGenerator([])))
    async with (
        running(made, families=("myna.api.moderations.routes",)) as live,
        openai.AsyncOpenAI(base_url=live.base_url, api_key=KEY, max_retries=0) as client,
    ):
        with pytest.raises(openai.NotFoundError) as refused:
            await client.moderations.create(input="I like birds.")
        without_key = await live.ask("POST", "/v1/moderations", b"{}", key="")
    assert "POST /v1/moderations" in refused.value.message
    assert "ask a chat model" in refused.value.message
    assert without_key.status == 401
