"""What the playground says when an answer fails, and that nothing which came is lost."""

import re
import signal

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.server import ServerProcess, serving
from tests.web.browser import Visitor
from tests.web.conftest import root_of
from tests.web.playing import Player


def test_a_server_that_dies_leaves_what_came(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("dying"), "--engine", "fake") as server:
        context = browser.new_context()
        visitor = Visitor(context.new_page(), root_of(server))
        visitor.watch()
        visitor.expect_complaint("ERR_")
        player = Player(visitor)
        player.say(f"[[slow 100]][[say {'bird ' * 900}]]")
        expect(player.answers().last).to_contain_text("bird bird")
        server.process.send_signal(signal.SIGKILL)
        answer = player.ended()
        expect(answer).to_contain_text("bird bird")
        expect(answer.get_by_role("alert")).to_contain_text("was interrupted")
        answer.get_by_role("button", name="Try again").click()
        expect(player.ended().get_by_role("alert")).to_contain_text("can't be reached")
        expect(answer.get_by_role("group", name="Answers")).to_contain_text("2/2")
        context.close()
        assert visitor.unexpected() == []


@pytest.mark.parametrize("status", [429, 503])
def test_too_much_at_once_says_when_to_come_back(player: Player, status: int) -> None:
    player.visitor.expect_complaint(str(status))
    error = {
        "error": {"message": "Rate limit reached.", "type": "x", "param": None, "code": "rate_limit_exceeded"}
    }
    player.page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(status=status, json=error, headers={"retry-after": "7"}),
    )
    answer = player.ask("Hello?")
    expect(answer.get_by_role("alert")).to_contain_text("Rate limit reached. Try again in 7 s.")
    player.page.unroute_all()
    answer.get_by_role("button", name="Try again").click()
    expect(player.ended().get_by_role("alert")).to_have_count(0)


def test_an_error_in_the_stream_is_shown_behind_what_came(player: Player) -> None:
    body = (
        'data: {"model":"fake","choices":[{"index":0,"delta":{"content":"so far"}}]}\n\n'
        'data: {"error":{"message":"The engine died.","type":"server_error","param":null,"code":null}}\n\n'
    )
    player.page.route(
        "**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body)
    )
    answer = player.ask("Hello?")
    expect(answer).to_contain_text("so far")
    expect(answer.get_by_role("alert")).to_contain_text("The engine died.")


def test_a_model_that_cannot_chat_offers_completion(player: Player) -> None:
    player.visitor.expect_complaint("404")
    error = {"error": {"message": "This is not a chat model.", "type": "x", "param": "model", "code": None}}
    player.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=404, json=error))
    answer = player.ask("Once upon a time")
    answer.get_by_role("button", name="Use the text in completion mode").click()
    expect(player.page.get_by_label("Text to continue")).to_have_value("Once upon a time")
    player.button("Complete").click()
    player.ended()
    assert player.sent[-1]["prompt"] == "Once upon a time"


def test_a_key_that_ends_leads_back_to_the_sign_in(player: Player) -> None:
    player.visitor.expect_complaint("401")
    error = {
        "error": {"message": "The key was revoked.", "code": "invalid_api_key", "type": "x", "param": None}
    }
    player.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=401, json=error))
    player.say("Hello?")
    expect(player.page.get_by_role("alert")).to_contain_text("The key was revoked.")
    expect(player.page.get_by_label("Key", exact=True)).to_be_visible()


def test_no_server_at_all_is_said_and_tried_again(visitor: Visitor) -> None:
    visitor.expect_complaint("ERR_")
    page: Page = visitor.open()
    page.route("**/v1/models?*", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("heading", name="The server doesn't answer")).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


def test_what_can_not_be_sent_is_not_sent(player: Player, server: ServerProcess) -> None:
    player.field("temperature").fill("9")
    player.say("Hello?")
    expect(player.page.locator(".composer").get_by_role("alert")).to_contain_text("Temperature")
    expect(player.page.locator(".settings").get_by_role("alert").first).to_contain_text("The maximum is 2")
    assert player.sent == []
    player.field("temperature").fill("0.5")
    player.page.keyboard.press("Tab")
    player.page.get_by_label("Message", exact=True).press("Enter")
    player.ended()
    assert player.sent[-1]["temperature"] == 0.5


@pytest.mark.parametrize(
    ("code", "meaning"), [("context_length_exceeded", "超出模型的上下文"), (None, "服务器无法处理该请求")]
)
def test_an_error_of_the_api_is_explained_in_chinese(player: Player, code: str | None, meaning: str) -> None:
    player.visitor.expect_complaint("400")
    error = {"error": {"message": "Something 'n' is wrong.", "type": "x", "param": "n", "code": code}}
    player.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=400, json=error))
    answer = player.ask("Hello?")
    expect(answer.get_by_role("alert")).to_have_text(re.compile("^Something 'n' is wrong."))
    player.page.get_by_role("button", name="中文").click()
    player.page.get_by_role("button", name="重试").click()
    alert = player.answers().last.get_by_role("alert")
    expect(alert).to_contain_text(meaning)
    expect(alert).to_contain_text("Something 'n' is wrong.")
