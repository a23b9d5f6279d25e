"""What a visitor does in the playground, and the requests that this sends."""

import json
from typing import Any

from playwright.sync_api import Locator, Page, expect
from tests.web.browser import Visitor


class Player:
    """A visitor who has signed in and sees the playground."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.sent: list[dict[str, Any]] = []
        visitor.page.on("request", self._hear)
        self.page: Page = visitor.open()
        self.page.get_by_role("group", name="Mode").wait_for()

    def _hear(self, request: Any) -> None:
        if request.method == "POST":
            self.sent.append(json.loads(request.post_data))

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def say(self, text: str) -> None:
        """Write a message and send it."""
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")

    def ask(self, text: str, *, num_turns: int = 1) -> Locator:
        """Write, send, and wait for the end of the answer, which is the `num_turns`-th."""
        self.say(text)
        return self.ended(num_turns)

    def ended(self, num_turns: int = 1) -> Locator:
        answers = self.answers()
        expect(answers).to_have_count(num_turns)
        expect(answers.last).to_have_attribute("aria-busy", "false")
        return answers.last

    def answers(self) -> Locator:
        return self.page.locator("article.assistant")

    def setting(self, name: str) -> Locator:
        """The setting with that name on the wire, its words and buttons included."""
        return self.page.locator(".parameter").filter(has=self.page.locator(f"code:text-is('{name}')"))

    def field(self, name: str) -> Locator:
        return self.setting(name).locator("input:not([type=range]), select, textarea").first

    def choose(self, mode: str) -> None:
        self.page.get_by_role("group", name="Mode").get_by_role("button", name=mode).click()
