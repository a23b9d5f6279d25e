"""What tests of the page share: a server, a browser a module, a visitor a test."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.e2e.server import ServerProcess, serving
from tests.web.browser import Visitor, chromium_path, open_browser
from tests.web.playing import Player


def root_of(server: ServerProcess) -> str:
    """The address of the page."""
    return server.base_url.removesuffix("v1")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    chromium_path()
    with serving(tmp_path_factory.mktemp("home"), "--engine", "fake") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One a module, closed before the next: while it is open, no test of another module may run its loop."""
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visitor(browser: Browser, server: ServerProcess) -> Iterator[Visitor]:
    """A visitor of the server on the fake engine, whose console must stay empty."""
    context = browser.new_context(locale="en-GB", permissions=["clipboard-read", "clipboard-write"])
    visitor = Visitor(context.new_page(), root_of(server))
    visitor.watch()
    yield visitor
    context.close()
    assert visitor.unexpected() == []


@pytest.fixture
def player(visitor: Visitor) -> Player:
    return Player(visitor)
