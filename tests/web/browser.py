"""A visitor in a real Chromium, who notices every error that the page writes to its console."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from tests.e2e.server import KEY

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE_MS = 120_000


def chromium_path() -> str:
    """Where Chromium is; a machine without it skips."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is on the PATH; install it (on Debian and Ubuntu: apt install chromium)")
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    path = chromium_path()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """One tab of a fresh profile. `complaints` are errors of the page that no test said it expects."""

    page: Page
    root: str
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def expect_complaint(self, part: str) -> None:
        """The browser itself writes an error for every response that is not a success."""
        self.expected.append(part)

    def unexpected(self) -> list[str]:
        return [said for said in self.complaints if not any(part in said for part in self.expected)]

    def barriers(self) -> list[str]:
        """What axe finds to keep people out of the page as it is now."""
        found = Axe().run(self.page).response["violations"]
        return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]

    def open(self, where: str = "", key: str = KEY) -> Page:
        """The page, signed in with that key; without one it is left at the sign-in."""
        self.page.goto(self.root + where)
        if key:
            self.page.get_by_label("Key", exact=True).fill(key)
            self.page.get_by_role("button", name="Sign in").click()
            self.page.get_by_role("navigation", name="Pages").wait_for()
        return self.page
