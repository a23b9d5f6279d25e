"""Long things: how full the model's context is, long messages, a growing field; and how a chat begins."""

import json
from typing import Any

from playwright.sync_api import Route, expect
from tests.web.playing import Player


def says(route: Route, text: str, prompt_tokens: int) -> None:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 10}
    events: list[dict[str, Any]] = [
        {"model": "fake", "choices": [choice]},
        {"model": "fake", "choices": [], "usage": usage},
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    route.fulfill(content_type="text/event-stream", body=body)


def contents(player: Player) -> list[str]:
    return [message["content"] for message in player.sent[-1]["messages"]]


def test_a_full_context_goes_on_without_the_oldest(player: Player) -> None:
    player.visitor.expect_complaint("400")
    page = player.page
    page.route("**/v1/chat/completions", lambda route: says(route, "an answer", 1000))
    player.ask("the first question")
    expect(page.locator(".composer")).to_contain_text("1,010 of 8,192 tokens of context")
    expect(player.button("Leave out the oldest messages")).to_have_count(0)
    page.unroute_all()
    page.route("**/v1/chat/completions", lambda route: says(route, "an answer", 8000))
    player.ask("the second question", num_turns=2)
    player.button("Leave out the oldest messages").click()
    expect(page.locator("article.user").first).to_contain_text("no longer sent")
    player.button("Undo").click()
    expect(page.get_by_text("no longer sent")).to_have_count(0)
    page.unroute_all()
    error = {"message": "Too long.", "type": "x", "param": "messages", "code": "context_length_exceeded"}
    page.route("**/v1/chat/completions", lambda route: route.fulfill(status=400, json={"error": error}))
    player.ask("the third question", num_turns=3)
    page.unroute_all()
    player.button("Leave out the oldest messages and try again").click()
    expect(player.ended(3)).not_to_contain_text("Too long.")
    sent = contents(player)
    assert "the first question" not in sent
    assert sent[-1] == "the third question"


def test_a_long_message_is_folded(player: Player) -> None:
    text = "\n".join(f"line {number}" for number in range(40))
    player.ask(text)
    said = player.page.locator("article.user .said")
    expect(said).not_to_contain_text("line 39")
    player.page.get_by_role("button", name="Show all").click()
    expect(said).to_contain_text("line 39")
    player.page.get_by_role("button", name="Show less").click()
    expect(said).not_to_contain_text("line 39")
    assert contents(player)[-1] == text


def test_the_field_grows_with_its_text_as_it_wraps(player: Player) -> None:
    field = player.page.get_by_label("Message", exact=True)
    height = "(element) => element.clientHeight"
    low = field.evaluate(height)
    field.fill("words that wrap " * 30)
    grown = field.evaluate(height)
    assert grown > 2 * low
    field.fill("words that wrap " * 3000)
    assert field.evaluate(height) < player.page.viewport_size["height"] / 2  # type: ignore[index]
    field.fill("")
    assert field.evaluate(height) == low


def test_texts_have_the_direction_of_their_content(player: Player) -> None:
    page = player.page
    page.route("**/v1/chat/completions", lambda route: says(route, "مرحبا بالعالم\n\nHello", 5))
    answer = player.ask("اكتب لي قصة")
    direction = "(element) => getComputedStyle(element).direction"
    assert page.locator("article.user .said").evaluate(direction) == "rtl"
    assert [found.evaluate(direction) for found in answer.locator("p[dir]").all()] == ["rtl", "ltr"]
    field = page.get_by_label("Message", exact=True)
    field.fill("שלום")
    assert field.evaluate(direction) == "rtl"


def test_models_are_shown_with_what_is_known_and_aliases_apart(player: Player) -> None:
    player.ask("Hello?")
    models = player.page.get_by_label("Model", exact=True).locator("optgroup[label=Models] option")
    # The embedding model is not offered for chats.
    expect(models).to_have_text(["fake · chat · context 8,192 · loaded"])
    aliases = player.page.locator("optgroup[label=Aliases] option")
    expect(aliases.filter(has_text="gpt-4o-mini")).to_have_text("gpt-4o-mini → fake")


def test_an_example_is_put_into_the_field(player: Player) -> None:
    page = player.page
    page.get_by_role("button", name="Explain recursion").click()
    field = page.get_by_label("Message", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value("Explain recursion to a ten-year-old.")
