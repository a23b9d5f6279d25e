"""Signing in, moving between pages, theme and language, in a real browser."""

import httpx
import pytest
from playwright.sync_api import Browser, expect
from tests.e2e.server import KEY, ServerProcess, serving
from tests.web.browser import Visitor
from tests.web.conftest import root_of

from myna.cli.banner import sign_in_link


def test_a_wrong_key_stays_at_the_sign_in_and_says_so(visitor: Visitor) -> None:
    page = visitor.open(key="")
    visitor.expect_complaint("401")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter a key first")
    page.get_by_label("Key", exact=True).fill("ключ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("plain letters")
    page.get_by_label("Key", exact=True).fill("sk-a-stranger-0000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("doesn't know this key")
    expect(page.get_by_role("navigation", name="Pages")).to_have_count(0)
    page.get_by_label("Key", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


def test_the_key_lives_in_the_tab_and_never_in_an_address(visitor: Visitor) -> None:
    visited: list[str] = []
    visitor.page.on("request", lambda request: visited.append(request.url))
    page = visitor.open()
    page.reload()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    assert visited
    assert [url for url in [*visited, page.url] if KEY in url] == []
    assert page.evaluate("JSON.stringify(localStorage)").find(KEY) < 0
    assert {url.split("/")[2] for url in visited} == {visitor.root.split("/")[2]}
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    page.reload()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()


def test_a_link_signs_in_once_and_its_code_leaves_the_address(visitor: Visitor) -> None:
    link = sign_in_link(f"{visitor.root}v1", KEY)
    page = visitor.page
    page.goto(link)
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    assert "code=" not in page.url
    page.get_by_role("button", name="Sign out").click()
    visitor.expect_complaint("403")
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_role("alert")).to_contain_text("was used before")
    expect(page.get_by_label("Key", exact=True)).to_be_visible()


def test_a_server_without_keys_asks_for_none(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("open"), "--engine", "fake", "--no-auth") as server:
        page = browser.new_page()
        page.goto(root_of(server))
        expect(page.get_by_role("navigation")).to_be_visible()
        expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
        page.close()


def test_theme_and_language_change_and_are_remembered(visitor: Visitor) -> None:
    page = visitor.open()
    before = page.evaluate("document.documentElement.dataset.theme")
    page.get_by_role("button", name=f"Use the {'light' if before == 'dark' else 'dark'} theme").click()
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("navigation", name="页面")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="仪表盘")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert page.evaluate("document.documentElement.dataset.theme") != before


def test_both_languages_have_the_same_words_with_the_same_gaps(visitor: Visitor) -> None:
    visitor.open(key="")
    words: dict[str, dict[str, str]] = visitor.page.evaluate(
        "Promise.all([import('/static/app/words/en.js'), import('/static/app/words/zh.js')])"
        ".then(([a, b]) => ({en: a.en, zh: b.zh}))"
    )
    assert set(words["en"]) == set(words["zh"])
    for key, text in words["en"].items():
        assert gaps(text) == gaps(words["zh"][key]), key


def gaps(text: str) -> set[str]:
    return {part.split("}")[0] for part in text.split("{")[1:]}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_sign_in_and_pages_are_accessible(visitor: Visitor, theme: str) -> None:
    visitor.page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    page = visitor.open(key="")
    assert visitor.barriers() == []
    page.get_by_label("Key", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Dashboard").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    assert visitor.barriers() == []


def test_every_module_is_fetched_at_once_and_never_again(visitor: Visitor) -> None:
    """The document names every module that the pages load, in a folder whose files the browser may keep."""
    page = visitor.open()
    page.get_by_role("link", name="Dashboard").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    named = set(
        page.evaluate("[...document.querySelectorAll('link[rel=modulepreload]')].map((link) => link.href)")
    )
    loaded = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    modules = {address for address in loaded if address.endswith(".js")}
    assert modules == named
    assert len(named) > 80
    for address in sorted(named)[:3]:
        assert "immutable" in httpx.get(address).headers["cache-control"]
    assert "immutable" not in httpx.get(visitor.root + "static/app/main.js").headers["cache-control"]


def test_answers_carry_the_headers_that_confine_them(server: ServerProcess) -> None:
    with httpx.Client(base_url=root_of(server)) as client:
        page = client.get("/")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
        script = client.get("/static/app/main.js")
        assert script.headers["content-type"].startswith("text/javascript")
        unchanged = client.get("/static/app/main.js", headers={"if-none-match": script.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        for path in ("/static/../routes.py", "/static/%2e%2e/routes.py", "/static/", "/static/none.js"):
            assert client.get(path).status_code == 404
        assert client.post("/").status_code == 405
