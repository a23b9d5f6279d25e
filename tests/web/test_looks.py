"""The playground for everyone: no barrier that axe finds, in both themes and languages, on any width."""

import json

import pytest
from playwright.sync_api import Browser, Route, expect
from tests.e2e.server import KEY, ServerProcess
from tests.web.browser import Visitor
from tests.web.conftest import root_of
from tests.web.playing import Player

TEXT = (
    "## A list\n\n1. one\n2. **two** and `three`\n\n> quoted\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n\n"
    "```python\ndef f(x: int) -> str:\n    # why\n    return 'x' * 3\n```\n\n[link](https://example.com/)"
)


def answers(route: Route) -> None:
    """An answer with everything in it: a thought, Markdown, tokens, a call of a tool."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    likely = [{"token": " two", "logprob": -0.7}, {"token": " one", "logprob": -1.2}]
    tokens: list[dict[str, object]] = [
        {"token": " two", "logprob": -0.7, "top_logprobs": likely} for _ in range(10)
    ]
    for level, token in enumerate(tokens):
        token["logprob"] = -level / 3
    deltas: list[dict[str, object]] = [
        {"reasoning_content": "Hm."},
        {"content": TEXT},
        {"tool_calls": [call]},
    ]
    choices: list[dict[str, object]] = [
        {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
    ]
    choices[1]["logprobs"] = {"content": tokens}
    events: list[dict[str, object]] = [{"model": "m", "choices": [choice]} for choice in choices]
    usage = {"prompt_tokens": 3, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 2}}
    events.append({"model": "m", "choices": [], "usage": usage})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    route.fulfill(content_type="text/event-stream", body=body)


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_no_barriers(player: Player, theme: str) -> None:
    page, visitor = player.page, player.visitor
    # Without transitions no colour is half-way when it is looked at.
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    assert visitor.barriers() == []
    page.route("**/v1/chat/completions", answers)
    answer = player.ask("Everything, please.")
    answer.get_by_text("Reasoning").click()
    assert visitor.barriers() == []
    player.button("Show token probabilities").click()
    answer.locator(".token[data-place]").first.focus()
    assert visitor.barriers() == []
    player.button("Two columns").click()
    player.setting("tools").get_by_role("button", name="Insert an example").click()
    player.field("temperature").fill("9")
    player.button("Show as code").click()
    assert visitor.barriers() == []
    page.keyboard.press("Escape")
    assert visitor.barriers() == []
    player.choose("Completion")
    player.page.get_by_label("Text to continue").fill("[[say words]]")
    player.button("Complete").click()
    player.ended()
    assert visitor.barriers() == []


def test_a_failure_is_not_a_barrier(player: Player, theme: str) -> None:
    player.page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    player.visitor.expect_complaint("503")
    error = {"error": {"message": "Busy.", "type": "x", "param": None, "code": None}}
    player.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=503, json=error))
    expect(player.ask("Hello?").get_by_role("alert")).to_be_visible()
    assert player.visitor.barriers() == []


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_is_wider_than_the_window(browser: Browser, server: ServerProcess, width: int) -> None:
    context = browser.new_context(locale="zh-CN", viewport={"width": width, "height": 800})
    visitor = Visitor(context.new_page(), root_of(server))
    visitor.watch()
    page = visitor.page
    page.goto(visitor.root)
    page.get_by_label("密钥", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_label("消息", exact=True).fill(f"[[say {'x' * 300} and 你好]]")
    page.keyboard.press("Enter")
    expect(page.locator("article.assistant")).to_have_attribute("aria-busy", "false")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width < 1180:
        page.get_by_role("button", name="设置", exact=True).click()
        expect(page.get_by_role("complementary", name="设置")).to_be_focused()
        assert visitor.barriers() == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("complementary")).to_have_count(0)
        expect(page.get_by_role("button", name="设置", exact=True)).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    assert visitor.unexpected() == []
