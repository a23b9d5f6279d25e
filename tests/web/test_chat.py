"""Chatting in the playground: streams, editing, asking again, several answers, two columns, tools."""

import json
import re
from typing import Any

from playwright.sync_api import Route, expect
from tests.e2e.server import KEY, ServerProcess
from tests.web.playing import Player


def test_an_answer_streams_in_and_is_measured(player: Player) -> None:
    answer = player.ask("[[say the bird said 你好 and café]]")
    expect(answer).to_contain_text("the bird said 你好 and café")
    expect(player.page.locator(".composer").get_by_role("status")).to_have_text("The answer has ended")
    expect(answer.locator(".measures")).to_contain_text("First token")
    expect(answer.locator(".measures")).to_contain_text("tokens/s")
    assert player.sent[-1] == {
        "model": "fake",
        "messages": [{"role": "user", "content": "[[say the bird said 你好 and café]]"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


# Adds content of that height in the step in which the scroll event arrives, before the page follows.
GROW = """height => {
  const box = document.querySelector(".turns");
  const added = document.createElement("div");
  added.style.height = `${height}px`;
  box.firstElementChild.append(added);
  box.dispatchEvent(new Event("scroll"));
}"""
IS_AT_END = """() => {
  const box = document.querySelector(".turns");
  return box.scrollHeight > 3000 && box.scrollHeight - box.scrollTop - box.clientHeight < 2;
}"""


def test_what_grows_quickly_is_followed_until_the_reader_scrolls_up(player: Player) -> None:
    player.ask("[[say one]]")
    page = player.page
    page.evaluate(GROW, 3000)
    page.wait_for_function(IS_AT_END)
    page.evaluate(GROW, 500)
    page.wait_for_function(IS_AT_END)
    page.locator(".turns").evaluate("box => box.scrollBy(0, -1000)")
    page.wait_for_function(f"() => !({IS_AT_END})()")
    page.evaluate("() => new Promise(frame => requestAnimationFrame(() => requestAnimationFrame(frame)))")
    page.evaluate(GROW, 500)
    page.evaluate("() => new Promise(frame => requestAnimationFrame(() => requestAnimationFrame(frame)))")
    assert not page.evaluate(IS_AT_END)


def test_stop_keeps_what_came_and_frees_the_server(player: Player, server: ServerProcess) -> None:
    player.say(f"[[slow 100]][[say {'bird ' * 900}]]")
    expect(player.answers().last).to_contain_text("bird bird")
    player.button("Stop").click()
    expect(player.ended()).to_contain_text("Stopped here")
    expect(player.answers().last).to_contain_text("bird bird")
    line = server.wait_for_log(r"completion_tokens=(\d+).*outcome=cancelled")
    assert int(line[1]) < 900
    expect(player.button("Send")).to_be_visible()


def test_the_system_prompt_and_the_conversation_are_sent(player: Player) -> None:
    player.page.get_by_text("System prompt").click()
    player.page.get_by_label("System prompt").fill("Be brief.")
    player.ask("[[say one]]")
    player.ask("[[say two]]", num_turns=2)
    assert [(message["role"], message["content"]) for message in player.sent[-1]["messages"]] == [
        ("system", "Be brief."),
        ("user", "[[say one]]"),
        ("assistant", "one"),
        ("user", "[[say two]]"),
    ]


def test_an_edited_question_is_asked_again_and_can_be_undone(player: Player) -> None:
    player.ask("[[say one]]")
    player.ask("[[say two]]", num_turns=2)
    first = player.page.locator("article.user").first
    first.hover()
    first.get_by_role("button", name="Edit").click()
    first.get_by_label("Text").fill("[[say three]]")
    player.button("Save and regenerate").click()
    expect(player.ended()).to_contain_text("three")
    assert len(player.sent[-1]["messages"]) == 1
    player.button("Undo").click()
    expect(player.answers()).to_have_count(2)
    expect(player.answers().last).to_contain_text("two")


def test_an_answer_can_be_edited_and_counts_as_edited(player: Player) -> None:
    answer = player.ask("[[say one]]")
    answer.get_by_role("button", name="Edit").click()
    answer.get_by_label("Text").fill("uno")
    player.button("Save").click()
    player.ask("[[say two]]", num_turns=2)
    assert player.sent[-1]["messages"][1] == {"role": "assistant", "content": "uno"}


def test_answers_to_the_same_question_are_adjacent(player: Player) -> None:
    player.field("n").fill("2")
    answer = player.ask("Tell me of birds.")
    versions = answer.get_by_role("group", name="Answers")
    expect(versions).to_contain_text("1/2")
    answer.get_by_role("button", name="Regenerate").click()
    expect(versions).to_contain_text("3/4")
    versions.get_by_role("button", name="Previous answer").click()
    versions.get_by_role("button", name="Previous answer").click()
    expect(versions).to_contain_text("1/4")
    expect(versions.get_by_role("button", name="Previous answer")).to_be_disabled()


def test_a_turn_can_be_deleted_and_brought_back(player: Player) -> None:
    answer = player.ask("[[say one]]")
    answer.get_by_role("button", name="Delete").click()
    expect(player.answers()).to_have_count(0)
    player.button("Undo").click()
    expect(player.answers()).to_have_count(1)


def test_two_columns_answer_with_settings_of_their_own(player: Player) -> None:
    player.button("Two columns").click()
    player.page.get_by_label("Model B").select_option("gpt-4o-mini")
    player.page.get_by_role("group", name="Settings for column").get_by_role(
        "button", name="Column B"
    ).click()
    player.field("temperature").fill("0")
    player.ask("[[say both]]", num_turns=2)
    expect(player.page.get_by_role("region", name="Column A")).to_contain_text("both")
    expect(player.page.get_by_role("region", name="Column B").locator("article.assistant")).to_contain_text(
        "both"
    )
    asked = {body["model"]: body.get("temperature") for body in player.sent}
    assert asked == {"fake": None, "gpt-4o-mini": 0}
    player.button("Two columns").click()
    expect(player.answers()).to_have_count(1)


def test_a_whole_answer_looks_like_a_streamed_one(player: Player) -> None:
    player.field("stream").uncheck()
    answer = player.ask("[[say at once]]")
    expect(answer).to_contain_text("at once")
    expect(answer.locator(".measures")).to_contain_text("Tokens")
    assert "stream" not in player.sent[-1]


def test_tools_are_called_and_their_results_sent_back(player: Player) -> None:
    player.setting("tools").get_by_role("button", name="Insert an example").click()
    player.field("tool_choice").select_option("get_weather")
    player.page.route("**/v1/chat/completions", _calls_a_tool)
    answer = player.ask("What is the weather?")
    expect(answer.locator(".tool-call")).to_contain_text("get_weather")
    expect(answer.locator(".tool-call pre")).to_contain_text('"city": "Oslo"')
    assert player.sent[-1]["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    assert player.sent[-1]["tools"][0]["function"]["name"] == "get_weather"
    player.page.unroute_all()
    answer.get_by_label("Result of get_weather").fill("3 degrees")
    player.field("tool_choice").select_option("none")
    player.button("Send the results").click()
    player.ended(2)
    call, result = player.sent[-1]["messages"][1:]
    assert call["content"] is None
    assert call["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    assert result == {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "3 degrees"}


def _calls_a_tool(route: Route) -> None:
    """A call in pieces, as the server streams it; the fake engine has no mind of its own to make one."""
    pieces: list[dict[str, object]] = [
        {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": ""},
        },
        {"index": 0, "function": {"arguments": '{"city": '}},
        {"index": 0, "function": {"arguments": '"Oslo"}'}},
    ]
    chunks: list[dict[str, object]] = [
        {"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None} for piece in pieces
    ]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    events = [{"model": "fake", "choices": [chunk]} for chunk in chunks]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    route.fulfill(status=200, content_type="text/event-stream", body=body)


def test_code_is_coloured_and_copied_with_one_click(player: Player) -> None:
    answer = player.ask("[[say ```python\ndef caw():\n    return 'caw'\n```]]")
    block = answer.locator(".code-block")
    expect(block.locator(".hljs-keyword").first).to_have_text("def")
    block.get_by_role("button", name="Copy").click()
    expect(block.get_by_role("button", name="Copied")).to_be_visible()
    assert player.page.evaluate("navigator.clipboard.readText()") == "def caw():\n    return 'caw'"


def test_the_keyboard_alone_does_it_all(player: Player) -> None:
    page = player.page
    page.get_by_label("Message", exact=True).focus()
    page.keyboard.type("[[say line]]")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("more")
    page.keyboard.press("Enter")
    player.ended()
    assert player.sent[-1]["messages"][0]["content"] == "[[say line]]\nmore"
    assert KEY not in page.content()
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Regenerate":
            break
    page.keyboard.press("Enter")
    expect(player.answers().last.get_by_role("group", name="Answers")).to_contain_text("2/2")


def test_hostile_text_of_a_model_stays_text(player: Player) -> None:
    hostile = (
        "<img src=x onerror=alert(1)> <script>alert(2)</script> [x](javascript:alert(3)) "
        "![i](http://example.com/leak.png) <svg/onload=alert(4)> "
        '```html\n<script>alert(5)</script>\n```\n```x"><img/onerror=alert(6)>\n</code><b>7</b>\n```'
    )
    requested: list[str] = []
    player.page.on("request", lambda request: requested.append(request.url))
    player.page.on("dialog", lambda dialog: player.visitor.complaints.append(dialog.message))
    player.page.route("**/v1/chat/completions", lambda route: _says(route, hostile))
    answer = player.ask("Go on.")
    expect(answer).to_contain_text("<script>alert(2)</script>")
    expect(answer).to_contain_text("<b>7</b>")
    assert answer.locator("img, script, svg:not(.drawn), b").count() == 0
    links = answer.locator(".markdown a")
    assert [links.nth(i).get_attribute("href") for i in range(links.count())] == [
        "http://example.com/leak.png"
    ]
    assert [url for url in requested if re.search("example.com", url)] == []


def _says(route: Route, text: str, model: str = "<b>model</b>") -> None:
    event = {"model": model, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    body = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
    route.fulfill(status=200, content_type="text/event-stream", body=body)


def test_hostile_names_of_models_stay_text(player: Player) -> None:
    name = "<img src=x onerror=alert(1)>"
    listed: dict[str, Any] = {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "<b>x</b>"}],
    }
    player.page.on("dialog", lambda dialog: player.visitor.complaints.append(dialog.message))
    player.page.route("**/v1/models?*", lambda route: route.fulfill(json=listed))
    player.page.route("**/v1/models/*", lambda route: route.fulfill(json=listed["data"][0]))
    player.page.reload()
    expect(player.page.get_by_label("Model", exact=True)).to_have_value(name)
    player.page.route("**/v1/chat/completions", lambda route: _says(route, "hello", name))
    expect(player.ask("Hello?").locator(".who")).to_have_text(name)
    assert player.page.locator("img:not([src='static/mark.svg'])").count() == 0
