"""Responses in the playground: items, stored chains, tools, and what is sent when nothing is stored."""

import json
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect
from tests.e2e.server import KEY, ServerProcess
from tests.web.browser import Visitor
from tests.web.conftest import root_of
from tests.web.playing import Player
from tests.web.test_code import AWKWARD, Recorder, code, recorder, run

__all__ = ["recorder"]

# The fake model goes on with this as soon as the call's grammar allows it: within the first argument.
CALL = '[[say Oslo", "unit": "C"}}\n</tool_call>]]'
CITY = {"city": "Oslo", "unit": "C"}


def user(text: str) -> dict[str, str]:
    return {"type": "message", "role": "user", "content": text}


@pytest.fixture
def responding(player: Player) -> Player:
    player.choose("Responses")
    expect(player.setting("truncation")).to_be_visible()
    return player


def stored(server: ServerProcess, response_id: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.get(f"{server.base_url}/responses/{response_id}", headers=headers, timeout=60)


def delete(server: ServerProcess, response_id: str) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    httpx.delete(f"{server.base_url}/responses/{response_id}", headers=headers, timeout=60).raise_for_status()


def test_a_stored_response_is_continued_by_its_id(responding: Player, server: ServerProcess) -> None:
    responding.page.get_by_text("Instructions").click()
    responding.page.get_by_label("Instructions").fill("Be brief.")
    answer = responding.ask("[[say one]]")
    expect(answer.get_by_role("region", name="message")).to_contain_text("one")
    expect(answer.locator(".measures")).to_contain_text("First token")
    first = {"model": "fake", "instructions": "Be brief.", "input": [user("[[say one]]")], "stream": True}
    assert responding.sent[-1] == first
    responding.ask("[[say two]]", num_turns=2)
    previous = responding.sent[-1]["previous_response_id"]
    assert responding.sent[-1] == {**first, "input": [user("[[say two]]")], "previous_response_id": previous}
    assert stored(server, previous).json()["output"][0]["content"][0]["text"] == "one"
    responding.page.reload()
    responding.page.get_by_label("Message", exact=True).wait_for()
    responding.ask("[[say three]]", num_turns=3)
    assert responding.sent[-1]["previous_response_id"] not in (None, previous)
    delete(server, responding.sent[-1]["previous_response_id"])
    responding.answers().last.get_by_role("button", name="Regenerate").click()
    responding.visitor.expect_complaint("400")
    expect(responding.ended(3)).to_contain_text("three")
    items = responding.sent[-1]["input"]
    assert "previous_response_id" not in responding.sent[-1]
    assert [item["role"] for item in items] == ["user", "assistant"] * 2 + ["user"]


def test_what_was_edited_is_sent_whole(responding: Player) -> None:
    responding.ask("[[say one]]")
    said = responding.page.locator("article.user")
    said.get_by_role("button", name="Edit").click()
    said.get_by_label("Text").fill("[[say another]]")
    said.get_by_role("button", name="Save", exact=True).click()
    responding.ask("[[say two]]", num_turns=2)
    assert "previous_response_id" not in responding.sent[-1]
    part = {"type": "output_text", "text": "one", "annotations": []}
    assert responding.sent[-1]["input"] == [
        user("[[say another]]"),
        {"type": "message", "role": "assistant", "content": [part]},
        user("[[say two]]"),
    ]


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "not stored"])
def test_calls_are_items_and_their_outputs_the_next_input(responding: Player, is_stored: bool) -> None:
    if not is_stored:
        responding.field("store").uncheck()
    responding.setting("tools").get_by_role("button", name="Insert an example").click()
    responding.field("tool_choice").select_option("get_weather")
    answer = responding.ask(CALL)
    assert responding.sent[-1]["tool_choice"] == {"type": "function", "name": "get_weather"}
    assert responding.sent[-1]["tools"][0]["name"] == "get_weather"
    call = answer.get_by_role("region", name="function_call")
    expect(call).to_contain_text("get_weather")
    expect(call.locator("pre")).to_contain_text('"city": "Oslo"')
    answer.get_by_label("Result of get_weather").fill("3 degrees")
    responding.field("tool_choice").select_option("none")
    responding.button("Send the results").click()
    responding.ended(2)
    expect(responding.page.locator("article.tool")).to_contain_text("function_call_output")
    output = responding.sent[-1]["input"][-1]
    assert (output["type"], output["output"]) == ("function_call_output", "3 degrees")
    assert ("previous_response_id" in responding.sent[-1]) == is_stored
    if is_stored:
        assert len(responding.sent[-1]["input"]) == 1
    else:
        said, called, _ = responding.sent[-1]["input"]
        assert said == user(CALL)
        assert (called["type"], called["name"], json.loads(called["arguments"])) == (
            "function_call", "get_weather", CITY,
        )  # fmt: skip
        assert called["call_id"] == output["call_id"]


def test_settings_are_sent_at_their_level(responding: Player) -> None:
    responding.field("reasoning.effort").select_option("low")
    responding.field("reasoning.summary").select_option("auto")
    responding.field("text.format").select_option("json_object")
    responding.field("max_output_tokens").fill("40")
    responding.field("stream").uncheck()
    responding.ask("Say it as json.")
    sent = responding.sent[-1]
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
    assert sent["text"] == {"format": {"type": "json_object"}}
    assert (sent["max_output_tokens"], "stream" in sent) == (40, False)
    responding.field("text.format").select_option("json_schema")
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    responding.field("json_schema").fill(json.dumps(schema))
    responding.ask("Again as json.", num_turns=2)
    named = {"type": "json_schema", "name": "answer", "strict": True, "schema": schema}
    assert responding.sent[-1]["text"] == {"format": named}


def test_tokens_show_their_probabilities(responding: Player) -> None:
    responding.button("Show token probabilities").click()
    answer = responding.ask("[[say one two]]")
    assert responding.sent[-1]["include"] == ["message.output_text.logprobs"]
    expect(answer.locator(".token[data-place]").first).to_be_visible()


@pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])
def test_code_sends_what_the_page_sends(
    responding: Player, recorder: str, tmp_path: Path, is_streamed: bool
) -> None:
    responding.page.get_by_text("Instructions").click()
    responding.page.get_by_label("Instructions").fill(AWKWARD)
    responding.setting("tools").get_by_role("button", name="Insert an example").click()
    responding.field("tool_choice").select_option("get_weather")
    responding.field("max_output_tokens").fill("16")
    if not is_streamed:
        responding.field("stream").uncheck()
    responding.ask(AWKWARD)
    body = responding.sent[-1]
    assert body["tool_choice"] == {"type": "function", "name": "get_weather"}
    for kind in ("Python", "Node", "curl"):
        run(code(responding, kind).replace(f"{responding.visitor.root}v1", recorder), kind, tmp_path)
        assert Recorder.got[-1] == ("/v1/responses", body), kind


def everything(route: Route) -> None:
    """A response with an item of each type."""
    thought = {"type": "reasoning_text", "text": "Hm."}
    text = {"type": "output_text", "text": "## A list\n\n1. `one`"}
    items: list[dict[str, object]] = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [thought]},
        {"type": "message", "id": "msg_1", "content": [text]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"x": 1}'},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_2", "name": "g", "input": "x" * 300},
    ]
    usage = {"input_tokens": 3, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 2}}
    response = {"id": "resp_1", "model": "m", "store": True, "output": items, "usage": usage}
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": {"id": "resp_1", "model": "m"}}
    ]
    for place, item in enumerate(items):
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
    events.append({"type": "response.completed", "response": response})
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    route.fulfill(content_type="text/event-stream", body=body)


def ask_everything(page: Page) -> None:
    page.route("**/v1/responses", everything)
    page.locator(".composer textarea").fill("Everything, please.")
    page.keyboard.press("Enter")
    expect(page.locator("article.assistant")).to_have_attribute("aria-busy", "false")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_all_items_can_be_seen_and_reached(
    browser: Browser, server: ServerProcess, width: int, language: str
) -> None:
    context = browser.new_context(
        locale=language, viewport={"width": width, "height": 844}, reduced_motion="reduce"
    )
    visitor = Visitor(context.new_page(), root_of(server))
    visitor.watch()
    page = visitor.page
    page.goto(visitor.root)
    page.locator("input").fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Responses", exact=True).click()
    ask_everything(page)
    items = page.locator("article.assistant .item")
    assert items.evaluate_all("items => items.map(item => item.getAttribute('aria-label'))") == [
        "reasoning", "message", "function_call", "custom_tool_call",
    ]  # fmt: skip
    items.first.locator("summary").click()
    expect(items.first).to_contain_text("Hm.")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert visitor.barriers() == []
    context.close()
    assert visitor.unexpected() == []
