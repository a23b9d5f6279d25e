"""The page at the width of a phone: everything can be reached, in both themes."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.server import KEY, ServerProcess
from tests.web.browser import Visitor
from tests.web.conftest import root_of

WIDTH = 390
THUMB = 40


@pytest.fixture
def phone(browser: Browser, server: ServerProcess) -> Iterator[Visitor]:
    context = browser.new_context(
        locale="en-GB", viewport={"width": WIDTH, "height": 844}, reduced_motion="reduce"
    )
    visitor = Visitor(context.new_page(), root_of(server))
    visitor.watch()
    yield visitor
    context.close()
    assert visitor.unexpected() == []


def small_or_outside(page: Page, places: str) -> list[str]:
    """The visible buttons and fields there that a thumb misses."""
    found: list[str] = page.evaluate(
        """([places, width, thumb]) => [...document.querySelectorAll(places)].filter((element) => {
          const { left, right, height } = element.getBoundingClientRect();
          return element.checkVisibility() && (left < 0 || right > width || height < thumb);
        }).map((element) => element.outerHTML)""",
        [places, WIDTH, THUMB],
    )
    return found


@pytest.mark.parametrize("part", ["overview", "requests", "models", "keys", "acts"])
def test_the_dashboard_is_used_by_thumb(phone: Visitor, part: str, server: ServerProcess) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    base = f"{server.base_url}/organization/projects/default/api_keys"
    made = httpx.post(base, json={"name": "A phone's own key"}, headers=headers, timeout=60).json()
    body = {"model": "fake", "prompt": "one", "max_tokens": 1}
    httpx.post(f"{server.base_url}/completions", json=body, headers=headers, timeout=60)
    page = phone.open(f"#/dashboard/{part}")
    expect(page.locator("main .card").first).to_be_visible()
    if part in ("requests", "models", "keys"):
        expect(page.locator("tbody tr").first).to_be_visible()
    assert small_or_outside(page, "main button, main select, main a") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    assert phone.barriers() == []
    if part == "keys":
        page.get_by_role("button", name=f"Limits of {made['name']}").first.click()
        expect(page.get_by_role("dialog").get_by_role("button", name="Save")).to_be_enabled()
        assert page.get_by_role("row").filter(has_text=made["name"]).count() > 0, "cards are rows"


def test_the_tools_are_in_a_menu_with_their_words(phone: Visitor) -> None:
    page = phone.open()
    page.locator(".composer").wait_for()
    toolbar = page.get_by_role("toolbar")
    assert small_or_outside(page, ".toolbar button, .pane-top select") == []
    expect(toolbar.get_by_role("button", name="Two columns")).to_be_hidden()
    toolbar.get_by_role("button", name="More tools").click()
    expect(toolbar.get_by_text("Export as a file")).to_be_visible()
    assert small_or_outside(page, ".tools button") == []
    assert phone.barriers() == []
    toolbar.get_by_role("button", name="Two columns").click()
    expect(page.get_by_role("region", name="Column B")).to_be_visible()
    expect(toolbar.get_by_role("button", name="Two columns")).to_be_hidden()
    toolbar.get_by_role("button", name="More tools").click()
    page.keyboard.press("Escape")
    expect(toolbar.get_by_role("button", name="Two columns")).to_be_hidden()
