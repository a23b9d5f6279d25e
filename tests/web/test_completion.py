"""Completion mode, and each token with its probability and alternatives, in both modes."""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from playwright.sync_api import Browser, Locator, expect
from tests.e2e.server import KEY, ServerProcess, serving
from tests.web.browser import Visitor, chromium_path
from tests.web.conftest import root_of
from tests.web.playing import Player

MODEL = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]
) -> Iterator[ServerProcess]:
    """A server with a real model: its probabilities are worth looking at."""
    chromium_path()
    home = tmp_path_factory.mktemp("home")
    with serving(home, str(model_path(MODEL)), "--context", "2048") as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def player(browser: Browser, server: ServerProcess) -> Iterator[Player]:
    context = browser.new_context(locale="en-GB")
    visitor = Visitor(context.new_page(), root_of(server))
    visitor.watch()
    yield Player(visitor)
    context.close()
    assert visitor.unexpected() == []


def complete(player: Player, text: str) -> Locator:
    player.choose("Completion")
    player.page.get_by_label("Text to continue").fill(text)
    player.field("temperature").fill("0")
    player.field("max_tokens").fill("6")
    player.button("Complete").click()
    return player.ended()


def test_a_text_is_continued_and_the_continuation_kept(player: Player) -> None:
    start = "The capital of France is"
    answer = complete(player, start)
    said = answer.locator(".continued").inner_text()
    assert "Paris" in said
    answer.get_by_role("button", name="Add to the text").click()
    expect(player.page.get_by_label("Text to continue")).to_have_value(start + said)
    expect(player.answers()).to_have_count(0)
    player.page.get_by_label("Text to continue").press("Control+Enter")
    player.ended()
    assert player.sent[-1]["prompt"] == start + said


def test_continued_tokens_show_the_servers_probabilities(player: Player, client: OpenAI) -> None:
    player.choose("Completion")
    player.button("Show token probabilities").click()
    answer = complete(player, "The capital of France is")
    asked = client.completions.create(
        model=player.sent[-1]["model"],
        prompt="The capital of France is",
        max_tokens=6,
        temperature=0,
        logprobs=5,
    )
    logprobs = asked.choices[0].logprobs
    assert logprobs is not None
    tokens = answer.locator(".token[data-place]")
    assert tokens.all_inner_texts() == logprobs.tokens
    tokens.nth(0).hover()
    alternatives = answer.locator(".alternative")
    top = (logprobs.top_logprobs or [{}])[0]
    assert alternatives.count() == len(top)
    likeliest = max(top.items(), key=lambda pair: pair[1])
    expect(alternatives.first.locator("code")).to_have_text(likeliest[0].replace(" ", "␣"))
    share = round(100 * math.exp(likeliest[1]))
    expect(alternatives.first).to_contain_text(f"{share}")


def test_an_answers_tokens_can_be_walked_with_the_keyboard(player: Player) -> None:
    player.button("Show token probabilities").click()
    player.field("temperature").fill("0")
    player.field("max_completion_tokens").fill("12")
    answer = player.ask("Say hello.")
    assert (player.sent[-1]["logprobs"], player.sent[-1]["top_logprobs"]) == (True, 5)
    tokens = answer.locator(".token[data-place]")
    assert tokens.count() > 3
    tokens.first.focus()
    first = answer.locator(".alternatives").inner_text()
    assert "%" in first
    player.page.keyboard.press("ArrowRight")
    expect(tokens.nth(1)).to_be_focused()
    expect(answer.locator(".alternatives")).not_to_have_text(first)
    expect(tokens.nth(1)).to_have_class(re.compile(r"token p\d"))
    player.page.keyboard.press("Escape")
    expect(answer.locator(".alternatives")).to_have_count(0)
    player.button("Show token probabilities").click()
    expect(answer.locator(".markdown")).to_be_visible()
    player.ask("Again.", num_turns=2)
    assert "logprobs" not in player.sent[-1]


def test_an_answer_without_probabilities_says_so(player: Player) -> None:
    player.field("max_completion_tokens").fill("3")
    answer = player.ask("Hello.")
    player.button("Show token probabilities").click()
    expect(answer).to_contain_text("has no probabilities")
    answer.get_by_role("button", name="Regenerate").click()
    player.ended()
    expect(answer.locator(".token[data-place]").first).to_be_visible()
