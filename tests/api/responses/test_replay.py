"""What is stored of a response is the response, and its replayed events are of OpenAI's schemas, whatever its
items are."""

from typing import Any

import pytest
from tests.api.responses.document import check_event
from tests.api.responses.reading import events_of, followed
from tests.api.responses.test_schemas import FIXTURES
from tests.api.stand_in import serving
from tests.http.scripted import Step, words
from tests.stores.conftest import url

from myna.stores.registry import open_stores

__all__ = ["url"]


@pytest.mark.parametrize("url", ["memory", "sqlite"], indirect=True)
@pytest.mark.parametrize(("script", "options"), FIXTURES, ids=range(len(FIXTURES)))
async def test_a_stored_response_is_retrieved_and_replayed(
    url: str, script: list[Step], options: dict[str, Any]
) -> None:
    stores = open_stores(url)
    async with serving(list(script), stores=stores) as model:
        whole = await model.ask("responses", input="x", **{**options, "store": True})
        path = f"/v1/responses/{whole.json()['id']}"
        assert (await model.client.get(path)).content == whole.content
        events = events_of((await model.client.get(f"{path}?stream=true")).text)
    assert followed(events) == whole.json()
    for event in events:
        check_event(event)
    stores.responses().close()


@pytest.mark.parametrize(("script", "options"), FIXTURES, ids=range(len(FIXTURES)))
async def test_what_was_answered_can_be_continued_and_sent_back(
    script: list[Step], options: dict[str, Any]
) -> None:
    async with serving(list(script), words("a"), words("b")) as model:
        first = (await model.ask("responses", input="x", **{**options, "store": True})).json()
        results = [
            {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "x"}
            for item in first["output"]
            if "call_id" in item
        ]
        rest = [*results, {"role": "user", "content": "And?"}]
        continued = await model.ask("responses", input=rest, previous_response_id=first["id"])
        sent_back = await model.ask("responses", input=[*first["output"], *rest])
        assert (continued.status_code, sent_back.status_code) == (200, 200)
        prompts = [list(seen) for seen in model.prompting.conversations[1:]]
        assert prompts[0][1:] == prompts[1]
