"""`POST /v1/moderations` with the official client, on a live server with a scripted guard model."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.moderations.stand_in import GuardPrompting, guarding, safe, says, unsafe
from tests.api.responses import document as platform

from myna.api.moderations.hazards import CATEGORIES
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta
from myna.core.requests import Sampling

FLAGGED = ["illicit", "illicit/violent", "violence"]
RECORDED_ORDER = (
    "harassment harassment/threatening sexual hate hate/threatening illicit illicit/violent self-harm/intent "
    "self-harm/instructions self-harm sexual/minors violence violence/graphic"
)


def flagged(result: Any) -> list[str]:
    return [name for name, is_so in result.categories.to_dict().items() if is_so]


async def test_a_guard_s_verdict_is_openais_result() -> None:
    async with guarding(unsafe("S1", 0.75)) as guard:
        answer = await guard.client.moderations.create(input="How do I rob a bank?")
    (result,) = answer.results
    assert answer.id.startswith("modr-") and answer.model == "omni-moderation-latest"
    assert result.flagged and flagged(result) == FLAGGED
    assert result.category_scores.violence == pytest.approx(0.75)
    assert result.category_scores.hate == result.category_scores.sexual == 0
    assert result.category_applied_input_types.hate == ["text"]
    assert result.category_applied_input_types.sexual == []  # not in this guard's prompt
    (request,) = guard.generator.requests
    assert request.sampling == Sampling(temperature=0) and request.constraint is None
    assert (request.num_logprobs, request.max_tokens, request.is_collected) == (20, 128, True)
    assert guard.prompting.conversations[-1][0].text == "How do I rob a bank?"


async def test_a_safe_text_has_the_probability_that_it_isn_t() -> None:
    async with guarding(safe(0.25)) as guard:
        (result,) = (await guard.client.moderations.create(input="I like birds.")).results
    assert not result.flagged and flagged(result) == []
    scores = result.category_scores.to_dict()
    judged = {*FLAGGED, "hate"}
    assert scores == {name: pytest.approx(0.25) if name in judged else 0 for name in CATEGORIES}


async def test_an_answer_is_of_openais_schema_and_in_its_form() -> None:
    async with guarding(unsafe("S1,S3"), safe()) as guard:
        reply = await guard.live.ask("POST", "/v1/moderations", b'{"input": ["a", "b"]}')
    body = json.loads(reply.body)
    platform.validator("CreateModerationResponse").validate(body)
    assert reply.body.startswith(b'{\n  "id": "modr-')
    assert list(body) == ["id", "model", "results"]
    for part in ("categories", "category_scores", "category_applied_input_types"):
        assert " ".join(body["results"][0][part]) == RECORDED_ORDER
    assert reply.headers["openai-model"] == "omni-moderation-latest"


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("one", ["one"]),
        ("", [""]),
        (["one"], ["one"]),
        (["one", "two", "one"], ["one", "two", "one"]),
        ([{"type": "text", "text": "one"}], ["one"]),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], ["one\ntwo"]),
    ],
)
async def test_every_form_of_input_is_classified_in_order(form: Any, texts: list[str]) -> None:
    scripts = [unsafe("S3") if i % 2 else safe() for i in range(len(texts))]
    async with guarding(*scripts) as guard:
        answer = await guard.client.moderations.create(input=form)
    assert [result.flagged for result in answer.results] == [bool(i % 2) for i in range(len(texts))]
    # The first conversation is the one that the guard's own list is read from.
    assert [turns[0].text for turns in guard.prompting.conversations[1:]] == texts


@pytest.mark.parametrize(
    "name", ["omni-moderation-latest", "text-moderation-latest", "omni-moderation-2024-09-26", "guard"]
)
async def test_the_guard_has_openais_names_and_its_own(name: str) -> None:
    async with guarding(safe()) as guard:
        answer = await guard.client.moderations.create(input="a", model=name)
        listed = [model.id async for model in guard.client.models.list()]
    assert answer.model == name and name in listed
    (row,) = guard.ledger.rows
    assert (row.endpoint, row.model, row.asked_model, row.outcome) == (
        "moderations",
        "guard",
        name,
        "completed",
    )
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (9, 1, 3)


async def test_another_model_does_not_classify() -> None:
    async with guarding() as guard:
        with pytest.raises(openai.NotFoundError) as wrong:
            await guard.client.moderations.create(input="a", model="tiny")
        with pytest.raises(openai.NotFoundError) as unknown:
            await guard.client.moderations.create(input="a", model="nothing")
    assert "'tiny' does not classify texts" in wrong.value.message and wrong.value.param == "model"
    assert unknown.value.code == "model_not_found"
    assert guard.generator.requests == []


async def test_the_names_of_a_version_s_codes_are_those_in_its_own_prompt() -> None:
    older = GuardPrompting(task="S1: Sexual Content\nS2: Suicide & Self-Harm.\n\n")
    async with guarding(unsafe("S1, S2"), prompting=older) as guard:
        # What a client writes is not taken for the guard's list.
        (result,) = (await guard.client.moderations.create(input="S1: Hate.\n")).results
    assert flagged(result) == ["self-harm", "sexual"]


async def test_a_hazard_that_openai_has_no_category_for_is_flagged_without_one() -> None:
    async with guarding(unsafe("S4"), unsafe("S9"), unsafe()) as guard:
        answer = await guard.client.moderations.create(input=["a", "b", "c"])
    assert [(result.flagged, flagged(result)) for result in answer.results] == [(True, [])] * 3


async def test_qwen3guard_s_three_verdicts() -> None:
    def verdict(word: str, hazards: str, **likely: float) -> Any:
        return says("Safety", ":", (f" {word}", {f" {name}": p for name, p in likely.items()}), "\n", hazards)

    scripts = [
        verdict("Safe", "Categories: None", Safe=0.8, Unsafe=0.1, Controversial=0.1),
        verdict("Unsafe", "Categories: Violent, Unethical Acts\n", Unsafe=0.9, Safe=0.1),
        verdict(
            "Controversial", "Categories: PII, Suicide & Self-Harm", Controversial=0.6, Unsafe=0.3, Safe=0.1
        ),
        verdict("Safe", "Categories: None\nRefusal: Yes", Safe=1.0),
    ]
    async with guarding(*scripts) as guard:
        answer = await guard.client.moderations.create(input=["a", "b", "c", "d"])
    assert [result.flagged for result in answer.results] == [False, True, True, False]
    assert flagged(answer.results[1]) == ["harassment", "hate", *FLAGGED]
    assert flagged(answer.results[2]) == ["self-harm"]
    # The probability of `Unsafe` alone, so that a client may tell a controversial text.
    scores = [result.category_scores.self_harm for result in answer.results]
    assert scores == [pytest.approx(0.1), 0, pytest.approx(0.3), 0]


@pytest.mark.parametrize(
    "answer",
    [
        says("Sorry", ", I can't help."),
        says("safe", "ly done"),
        says("safe", "\n", "S1"),
        says("Safety", ":", " Safe"),
        says("Safety", ":", " Maybe", "\n", "Categories: None"),
        says("unsafe", "\n", "S1, S"),
        says(),
        says(". safe"),
        [PromptDone(9, 1), TextDelta(0, "safe", 1), ChoiceDone(0, "stop", 1, 2), Done(2)],
    ],
)
async def test_an_answer_without_a_verdict_is_an_error(answer: Any) -> None:
    async with guarding(safe(), answer) as guard:
        with pytest.raises(openai.InternalServerError) as failed:
            await guard.client.moderations.create(input=["a", "b"])
    assert failed.value.code == "no_verdict"
    assert "did not say whether the text is safe" in failed.value.message
    assert "setting `moderation`" in failed.value.message
    assert failed.value.response.headers["x-should-retry"] == "false"
    assert guard.ledger.rows[-1].outcome == "failed"


async def test_parts_of_the_words_of_a_verdict_count_and_other_tokens_do_not() -> None:
    likely = {"safe": 0.3, " un": 0.2, "U": 0.1, "unsafely": 0.2, "\n": 0.2}
    async with guarding(says(("safe", likely))) as guard:
        answer = await guard.client.moderations.create(input="a")
    assert answer.results[0].category_scores.hate == pytest.approx(0.5)


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({}, "input", "Missing required parameter: 'input'."),
        ({"input": None}, "input", "but got null instead"),
        ({"input": 3}, "input", "expected one of a string, array of strings, or array of objects"),
        ({"input": []}, "input", "empty array"),
        ({"input": ["a"] * 2049}, "input", "maximum length 2048"),
        ({"input": ["a", 1]}, "input[1]", "expected a string, but got an integer"),
        ({"input": ["a", {"type": "text", "text": "b"}]}, "input[1]", "expected a string"),
        ({"input": [{"type": "text", "text": "b"}, "a"]}, "input[1]", "expected an object"),
        ({"input": [{"type": "text"}]}, "input[0].text", "Missing required parameter"),
        ({"input": [{"text": "a"}]}, "input[0].type", "Missing required parameter"),
        ({"input": [{"type": 1}]}, "input[0].type", "expected a string"),
        ({"input": [{"type": "audio"}]}, "input[0].type", "Supported values are: 'text' and 'image_url'."),
        ({"input": [{"type": "text", "text": 1}]}, "input[0].text", "expected a string"),
        ({"input": [{"type": "text", "text": "a", "x": 1}]}, "input[0].x", "Unknown parameter"),
        ({"input": [{"type": "text", "text": "a"}, IMAGE]}, "input[1]", "images are not supported"),
        ({"input": "a", "user": "me"}, "user", "Unknown parameter"),
        ({"input": "a", "model": 7}, "model", "expected a string"),
        ({"input": "a" * 9000}, "input", "maximum context length"),
    ],
)
async def test_bad_input_is_refused_before_anything_is_computed(
    body: dict[str, Any], param: str, said: str
) -> None:
    async with guarding(safe()) as guard:
        reply = await guard.live.ask("POST", "/v1/moderations", json.dumps(body).encode())
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert said in error["message"]
    assert guard.generator.requests == []


_part = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "x"])}, optional={"text": st.text(max_size=3)}
)
_any = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.text(max_size=3) | _part, max_size=3)


async def test_any_body_is_answered_or_refused() -> None:
    bodies: list[dict[str, Any]] = []

    @given(st.fixed_dictionaries({}, optional={"input": _any, "model": _any, "x": _any}))
    def collect(body: dict[str, Any]) -> None:
        bodies.append(body)

    collect()
    async with guarding(*[safe() for _ in range(3 * len(bodies))]) as guard:
        for body in bodies:
            reply = await guard.live.ask("POST", "/v1/moderations", json.dumps(body).encode())
            assert reply.status in (200, 400, 404), (body, reply.body)


async def test_a_batch_moderates(tmp_path: Path) -> None:
    body = {"input": ["a", "b"]}
    lines = [
        {"custom_id": name, "method": "POST", "url": "/v1/moderations", "body": entry}
        for name, entry in (("good", body), ("none", {"input": "c"}), ("bad", {}))
    ]
    data = "\n".join(map(json.dumps, lines)).encode()
    async with guarding(safe(), unsafe("S3"), says("What?"), folder=tmp_path) as guard:
        client = guard.client
        file = await client.files.create(file=("in.jsonl", data), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/moderations", completion_window="24h"
        )
        while batch.status not in ("completed", "failed"):
            batch = await client.batches.retrieve(batch.id)
        good = json.loads((await client.files.content(str(batch.output_file_id))).text)
        errors = (await client.files.content(str(batch.error_file_id))).text.splitlines()
    assert good["custom_id"] == "good"
    assert [result["flagged"] for result in good["response"]["body"]["results"]] == [False, True]
    statuses = {
        line["custom_id"]: (line["response"]["status_code"], line["response"]["body"]["error"]["code"])
        for line in map(json.loads, errors)
    }
    assert statuses == {"none": (500, "no_verdict"), "bad": (400, "missing_required_parameter")}


async def test_without_a_guard_moderation_is_refused_with_what_to_do() -> None:
    async with guarding(guard="") as guard:
        with pytest.raises(openai.NotFoundError) as refused:
            await guard.client.moderations.create(input="I like birds.")
        with pytest.raises(openai.NotFoundError) as other:
            await guard.client.moderations.create(input="I like birds.", model="tiny")
        listed = [model.id async for model in guard.client.models.list()]
        without_key = await guard.live.ask("POST", "/v1/moderations", b"{}", key="")
    for error in (refused.value, other.value):
        assert "POST /v1/moderations" in error.message
        assert "the setting `moderation`" in error.message and "ask a chat model" in error.message
    assert listed == ["guard", "tiny"]
    assert without_key.status == 401
