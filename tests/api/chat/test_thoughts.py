"""Models that think: `reasoning_effort` in, `reasoning_content` and `content` out."""

from typing import Any

import pytest
from tests.api.stand_in import BytePrompting, chunks_of, error_of, script, serving
from tests.http.scripted import Step

from myna.core.constraints import AnyText, FinalChannel, JsonObject
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta
from myna.core.renderer import Thinking
from myna.core.requests import Thought
from myna.prompts.thinking import DONT_THINK, THINK

ASK = [{"role": "user", "content": "2+2, as JSON?"}]
HYBRID = Thinking("<think>", "</think>", can_skip=True, is_default=True, is_open=False)
ALWAYS = Thinking("<think>", "</think>", can_skip=False, is_default=True, is_open=True)
ON_REQUEST = Thinking("<think>", "</think>", can_skip=True, is_default=False, is_open=True)
LEVELS = {level: {"reasoning_effort": level} for level in ("low", "medium", "high")}
WORDED = Thinking("<think>", "</think>", can_skip=False, is_default=True, is_open=False, efforts=LEVELS)
OTHER_WORDS = Thinking(
    "<think>", "</think>", True, False, True, skip={"effort": "off"}, think={"effort": "on"}, budget="budget"
)
CHANNELS = Thinking(
    "<a>", "</a>", False, True, False, is_harmony=True, efforts=LEVELS, answer="<f>", close="<e>"
)
HARMONY = Thought("<a>", "</a>", is_harmony=True, answer="<f>", close="<e>")
UNSURE = Thinking("<think>", "</think>", can_skip=False, is_default=True, is_open=False)


def thoughtful() -> list[Step]:
    return script(
        PromptDone(9, 0),
        TextDelta(0, "two ", 1, is_thought=True),
        TextDelta(0, "and 二", 2, is_thought=True),
        TextDelta(0, "It is ", 3),
        TextDelta(0, "4.", 1),
        ChoiceDone(0, "stop", 1, 8),
        Done(8, 0, 0, 4),
    )


def thinking_model(thinking: Thinking | None) -> BytePrompting:
    return BytePrompting(thinking=thinking)


async def test_the_thought_is_next_to_the_content_and_is_counted() -> None:
    async with serving(thoughtful(), prompting=thinking_model(HYBRID)) as model:
        answer = (await model.ask("chat/completions", messages=ASK)).json()
    message = answer["choices"][0]["message"]
    assert list(message) == ["role", "content", "reasoning_content", "refusal", "annotations"]
    assert (message["reasoning_content"], message["content"]) == ("two and 二", "It is 4.")
    assert answer["usage"]["completion_tokens"] == 8
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 4


async def test_streamed_thoughts_add_up_to_the_whole_answers() -> None:
    async with serving(thoughtful(), prompting=thinking_model(HYBRID)) as model:
        response = await model.ask(
            "chat/completions", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    *chunks, usage = chunks_of(response)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert [d["reasoning_content"] for d in deltas if "reasoning_content" in d] == ["two ", "and 二"]
    assert "".join(d.get("content") or "" for d in deltas) == "It is 4."
    assert not any("content" in d and "reasoning_content" in d for d in deltas)
    assert usage["usage"]["completion_tokens_details"]["reasoning_tokens"] == 4


async def test_the_official_clients_stream_helper_takes_thoughts() -> None:
    async with serving(thoughtful(), prompting=thinking_model(HYBRID)) as model:
        messages: Any = ASK
        async with model.openai().chat.completions.stream(model="tiny", messages=messages) as stream:
            final = await stream.get_final_completion()
    assert final.choices[0].message.content == "It is 4."
    assert final.choices[0].message.model_extra == {"reasoning_content": "two and 二"}


@pytest.mark.parametrize(
    ("thinking", "effort", "switches", "thought"),
    [
        (HYBRID, None, {}, Thought("<think>", "</think>")),
        (HYBRID, "none", DONT_THINK, None),
        (HYBRID, "low", THINK, Thought("<think>", "</think>", max_tokens=1024)),
        (HYBRID, "max", THINK, Thought("<think>", "</think>")),
        (ALWAYS, None, {}, Thought("<think>", "</think>", is_open=True)),
        (ALWAYS, "minimal", THINK, Thought("<think>", "</think>", is_open=True, max_tokens=256)),
        (ALWAYS, "none", THINK, Thought("<think>", "</think>", is_open=True, max_tokens=1)),
        (ON_REQUEST, None, {}, Thought("<think>", "</think>", is_optional=True)),
        (ON_REQUEST, "xhigh", THINK, Thought("<think>", "</think>", is_open=True)),
        (WORDED, "high", {**THINK, "reasoning_effort": "high"}, Thought("<think>", "</think>")),
        (WORDED, "minimal", {**THINK, "reasoning_effort": "low"}, Thought("<think>", "</think>")),
        (WORDED, "max", {**THINK, "reasoning_effort": "high"}, Thought("<think>", "</think>")),
        (WORDED, "none", {**THINK, "reasoning_effort": "low"}, Thought("<think>", "</think>")),
        (OTHER_WORDS, "none", {**DONT_THINK, "effort": "off"}, None),
        (
            OTHER_WORDS,
            "low",
            {**THINK, "effort": "on", "budget": 1024},
            Thought("<think>", "</think>", is_open=True, max_tokens=1024),
        ),
        (CHANNELS, None, {}, HARMONY),
        (CHANNELS, "none", {**THINK, "reasoning_effort": "low"}, HARMONY),
        (CHANNELS, "high", {**THINK, "reasoning_effort": "high"}, HARMONY),
        (UNSURE, None, {}, Thought("<think>", "</think>", is_optional=True)),
        (UNSURE, "low", {}, Thought("<think>", "</think>", is_optional=True)),
        (UNSURE, "none", {}, Thought("<think>", "</think>", is_optional=True)),
        (None, None, {}, None),
        (None, "low", {}, None),
        (None, "none", {}, None),
    ],
)
async def test_effort_becomes_the_templates_words_or_a_limit(
    thinking: Thinking | None, effort: str | None, switches: dict[str, object], thought: Thought | None
) -> None:
    prompting = thinking_model(thinking)
    async with serving(prompting=prompting) as model:
        response = await model.ask("chat/completions", messages=ASK, reasoning_effort=effort)
    assert response.status_code == 200
    assert prompting.switches == [switches]
    request = model.generator.requests[0]
    assert request.thought == thought
    is_limited = thought is not None and thought.max_tokens > 0
    assert request.constraint == (AnyText() if is_limited else None)


async def test_an_unknown_effort_is_answered_with_the_known_ones() -> None:
    async with serving() as model:
        response = await model.ask("chat/completions", messages=ASK, reasoning_effort="enormous")
    assert error_of(response)["message"] == (
        "Invalid value: 'enormous'. Supported values are: 'none', 'minimal', 'low', 'medium', 'high', "
        "'xhigh', and 'max'."
    )


async def test_a_form_holds_the_answer_behind_the_thought() -> None:
    async with serving(prompting=thinking_model(HYBRID)) as model:
        await model.ask(
            "chat/completions",
            messages=ASK,
            reasoning_effort="low",
            response_format={"type": "json_object"},
        )
    request = model.generator.requests[0]
    assert request.constraint not in (None, AnyText())
    assert request.thought is not None


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
async def test_an_earlier_thought_goes_back_to_the_template(key: str) -> None:
    prompting = thinking_model(HYBRID)
    messages = [*ASK, {"role": "assistant", "content": "4", key: "two and two"}, *ASK]
    async with serving(prompting=prompting) as model:
        assert (await model.ask("chat/completions", messages=messages)).status_code == 200
        wrong = await model.ask("chat/completions", messages=[{**ASK[0], key: "x"}])
        turn = {"role": "assistant", "content": None, key: "two and two"}
        empty = await model.ask("chat/completions", messages=[*ASK, turn, *ASK])
    assert prompting.conversations[0][1].reasoning == "two and two"
    assert empty.status_code == 200
    assert prompting.conversations[1][1].reasoning == "two and two"
    assert error_of(wrong)["message"] == f"Unknown parameter: 'messages[0].{key}'."


async def test_plain_prompts_in_a_template_are_answered_without_a_thought() -> None:
    prompting = thinking_model(HYBRID)
    async with serving(prompting=prompting) as model:
        body = {"model": "gpt-3.5-turbo-instruct", "prompt": "Say hi"}
        assert (await model.client.post("/v1/completions", json=body)).status_code == 200
    assert prompting.switches == [DONT_THINK]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plain_prompts_answer_leaves_out_what_the_model_must_think(stream: bool) -> None:
    async with serving(thoughtful(), prompting=thinking_model(CHANNELS)) as model:
        body = {"model": "gpt-3.5-turbo-instruct", "prompt": "Say hi", "stream": stream}
        response = await model.client.post("/v1/completions", json=body)
    assert model.generator.requests[0].thought == HARMONY
    chunks = chunks_of(response) if stream else [response.json()]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "It is 4."


async def test_json_of_a_model_with_channels_is_its_final_message() -> None:
    async with serving(prompting=thinking_model(CHANNELS)) as model:
        await model.ask("chat/completions", messages=ASK, response_format={"type": "json_object"})
    assert model.generator.requests[0].constraint == FinalChannel(JsonObject())
