"""Formulas in answers: which texts are ones, and that KaTeX draws them within the page's policy."""

import json

import pytest
from playwright.sync_api import Locator, expect
from tests.web.playing import Player


def show(player: Player, text: str) -> Locator:
    event = {"model": "fake", "choices": [{"index": 0, "delta": {"content": text}}]}
    body = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
    player.page.route(
        "**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body)
    )
    return player.ask("?").locator(".markdown")


@pytest.mark.parametrize(
    ("text", "formulas", "num_displayed"),
    [
        ("The roots of $ax^2 + b = 0$.", ["ax^2 + b = 0"], 0),
        (r"Euler: \(e^{i\pi} + 1 = 0\).", [r"e^{i\pi} + 1 = 0"], 0),
        ("So\n\n$$\nx = \\frac{1}{2}\n$$\n\nholds.", [r"x = \frac{1}{2}"], 1),
        ("So\n\\[\n\\int_0^1 x\\,dx\n\\]\nholds.", [r"\int_0^1 x\,dx"], 1),
        ("In a line: $$a_1$$ and *$b_2$*.", ["a_1", "b_2"], 1),
        ("| a |\n|---|\n| $\\alpha$ |", [r"\alpha"], 0),
        ("It costs $5 and $10, or $ 3 $; `$x$` is code, \\$y\\$ is text.", [], 0),
        ("```\n$$x$$\n```", [], 0),
    ],
)
def test_formulas_are_drawn(player: Player, text: str, formulas: list[str], num_displayed: int) -> None:
    shown = show(player, text)
    found = shown.get_by_role("math")
    expect(found.locator(".katex")).to_have_count(len(formulas))
    assert [formula.get_attribute("aria-label") for formula in found.all()] == formulas
    expect(shown.locator(".formula.displayed")).to_have_count(num_displayed)


def test_the_fonts_of_formulas_come_from_this_server(player: Player) -> None:
    expect(show(player, "$x^2$").locator(".katex")).to_be_visible()
    player.page.evaluate("document.fonts.ready")
    loaded = player.page.evaluate(
        "[...document.fonts].filter((font) => font.status === 'loaded').map((font) => font.family)"
    )
    assert any("KaTeX_Math" in family for family in loaded)


def test_what_is_not_a_formula_shows_its_source(player: Player) -> None:
    shown = show(player, r"A mistake: $\frac{1$, a link: $\href{javascript:alert(1)}{x}$, good: $y$")
    expect(shown.locator(".katex").last).to_be_visible()
    expect(shown).to_contain_text(r"$\frac{1$")
    expect(shown.locator("a")).to_have_count(0)
