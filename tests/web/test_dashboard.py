"""The dashboard in a real browser: usage, requests, and what an administrator does there."""

import json
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from tests.e2e.server import KEY, ServerProcess, serving
from tests.web.browser import Visitor
from tests.web.conftest import root_of

AUTH = {"authorization": f"Bearer {KEY}"}
LIMITS = "**/rate_limits*"


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of its own, of which three requests were made: two answered, one refused."""
    with serving(
        tmp_path_factory.mktemp("home"), "--engine", "fake", MYNA_PRICES="fake=1000/1000"
    ) as running:
        for max_tokens in (4, 5, -1):
            ask(running, KEY, max_tokens)
        yield running


def ask(server: ServerProcess, key: str, max_tokens: int) -> httpx.Response:
    body = {"model": "fake", "prompt": "one two three", "max_tokens": max_tokens}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{server.base_url}/completions", json=body, headers=headers, timeout=60)


@pytest.fixture
def admin(browser: Browser, busy: ServerProcess) -> Iterator[Visitor]:
    context = browser.new_context(locale="en-GB", permissions=["clipboard-read", "clipboard-write"])
    visitor = Visitor(context.new_page(), root_of(busy))
    visitor.watch()
    yield visitor
    context.close()
    assert visitor.unexpected() == []


def row_of(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))


def make_key(page: Page, name: str) -> str:
    """Make a key of that name on the page of keys; what it shows once."""
    page.get_by_role("button", name="Create key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Create key").click()
    expect(dialog).to_have_count(0)
    shown = page.locator(".new-key code").inner_text()
    page.get_by_role("button", name="I have saved it").click()
    expect(page.locator(".new-key")).to_have_count(0)
    return shown


def test_the_overview_sums_what_was_used_and_says_who_used_it(admin: Visitor) -> None:
    page = admin.open("#/dashboard")
    sums = page.locator(".sums")
    expect(sums.locator("div", has_text="Requests")).to_contain_text("3")
    expect(sums.locator("div", has_text="Answer tokens")).to_contain_text("9")
    expect(sums.locator("div", has_text="Errors")).to_contain_text("1")
    expect(sums.locator("div", has_text="Cost")).to_contain_text("$0.0")
    expect(row_of(page, "fake")).to_be_visible()
    expect(page.locator(".plot canvas")).to_have_count(3)
    expect(page.locator(".chart-lines").first).to_contain_text("fake")
    expect(page.locator(".chart-lines").first).not_to_contain_text("others")
    page.get_by_role("button", name="Key", exact=True).click()
    expect(page.get_by_role("columnheader", name="Key")).to_be_visible()
    page.get_by_role("button", name="Hour").click()
    expect(sums.locator("div", has_text="Requests")).to_contain_text("3")


def test_the_overview_shows_what_is_loaded(admin: Visitor) -> None:
    page = admin.open("#/dashboard")
    loaded = page.locator(".loaded")
    expect(loaded).to_contain_text("fake")
    expect(loaded).to_contain_text("ready")
    expect(loaded).to_contain_text("0 running, 0 waiting")


def test_the_overview_shows_the_replicas_of_a_fleet(admin: Visitor, busy: ServerProcess) -> None:
    url = f"{busy.base_url}/organization/status"
    status = httpx.get(url, headers=AUTH, timeout=60).json()
    load = {"num_running": 2, "num_waiting": 1, "kv_usage": 0.5}
    replica = {"id": "r1", "node": "10.0.0.2", **load, "prompt_tokens": 400, "cached_tokens": 300}
    status["models"][0]["replicas"] = [replica]
    admin.page.route("**/organization/status", lambda route: route.fulfill(json=status))
    row = row_of(admin.open("#/dashboard"), "r1")
    expect(row).to_contain_text("10.0.0.2")
    expect(row).to_contain_text("75%")
    assert admin.barriers() == []


def test_requests_are_listed_with_their_ends_and_errors_alone_if_wanted(admin: Visitor) -> None:
    page = admin.open("#/dashboard/requests")
    rows = page.locator("tbody tr")
    expect(rows.first).to_be_visible()
    expect(page.get_by_text("completed", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Errors").click()
    expect(page.get_by_text("refused", exact=True)).to_be_visible()
    expect(page.get_by_text("completed", exact=True)).to_have_count(0)


def test_requests_open_and_are_filtered_by_key_and_model(admin: Visitor, busy: ServerProcess) -> None:
    page = admin.open("#/dashboard/keys")
    ask(busy, make_key(page, "Filtered"), 3)
    page.get_by_role("link", name="Requests").click()
    page.get_by_label("Key", exact=True).select_option("Filtered")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("Filtered")
    rows.first.get_by_role("button", name="Details").click()
    expect(page.locator(".facts")).to_contain_text("req_")
    expect(page.locator(".facts")).to_contain_text("completions")
    assert admin.barriers() == []
    page.get_by_label("Model", exact=True).select_option("fake")
    expect(page.locator(".facts")).to_be_visible()
    page.get_by_role("button", name="Cancelled").click()
    expect(page.get_by_text("No matching requests.")).to_be_visible()


def test_the_audit_log_says_whose_limit_changed_from_what_to_what(
    admin: Visitor, busy: ServerProcess
) -> None:
    page = admin.open("#/dashboard/keys")
    path = limit_key(page, busy, "Watched", {"budget_cents": 250})
    httpx.post(path, json={"budget_cents": 1000}, headers=AUTH, timeout=60).raise_for_status()
    page.get_by_role("link", name="Audit log").click()
    row = page.get_by_role("row").filter(has_text="Watched").filter(has_text="rate_limit.updated")
    expect(row.first).to_contain_text("Monthly budget: $2.50 → $10.00")
    expect(row.last).to_contain_text("Monthly budget: none → $2.50")


def test_models_are_loaded_unloaded_and_deleted(admin: Visitor) -> None:
    admin.expect_complaint("403")
    page = admin.open("#/dashboard/models")
    row = row_of(page, "fake")
    expect(row).to_contain_text("gpt-4o-mini")
    row.get_by_role("button", name="Unload fake").click()
    expect(row).to_contain_text("not loaded")
    row.get_by_role("button", name="Load fake").click()
    expect(row.get_by_role("button", name="Unload fake")).to_be_visible()
    expect(row).to_contain_text("8,192")
    row.get_by_role("button", name="Delete fake").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_contain_text("fake")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def offer(id: str, **changes: object) -> dict[str, object]:
    made = {
        "id": id,
        "size_bytes": 2_497_281_312,
        "owned_by": "Someone",
        "licence": "Apache-2.0",
        "terms": None,
        "capabilities": ["chat", "tools"],
        "is_here": False,
        "fits": True,
        "runs": True,
        "tokens_per_s": 12.3,
        "best_for": [],
    }
    return made | changes


class Catalog:
    """The server's part, played by the test: real downloads are gigabytes. `pulls` by id."""

    def __init__(self, page: Page, *offers: dict[str, object]) -> None:
        self.offers = offers
        self.pulls: dict[str, dict[str, object]] = {}
        page.route("**/v1/organization/models/**", self._answer)

    def _answer(self, route: Route) -> None:
        path = unquote(urlsplit(route.request.url).path).partition("/models/")[2]
        if path.endswith("/pull/cancel"):
            self.pulls[path.removesuffix("/pull/cancel")] |= {
                "status": "failed",
                "message": "The hub is away.",
            }
        elif path.endswith("/pull"):
            id = path.removesuffix("/pull")
            start = {"status": "downloading", "downloaded_bytes": 30, "total_bytes": 100, "message": None}
            self.pulls[id] = {"id": id, **start}
        listed = self.offers if path == "available" else tuple(self.pulls.values())
        route.fulfill(json={"object": "list", "data": listed})


def test_a_model_is_downloaded_with_progress_cancelled_and_fails(admin: Visitor) -> None:
    page = admin.page
    Catalog(
        page,
        offer("qwen3-4b", best_for=["chat"]),
        offer("qwen3-32b", fits=False),
        offer("gpt-oss-20b", runs=False),
        offer("qwen3-0.6b", is_here=True),
    )
    admin.open("#/dashboard/models")
    row = row_of(page, "qwen3-4b best for chat here")
    expect(row).to_contain_text("chat, tools")
    expect(row).to_contain_text("12")
    expect(page.get_by_role("rowheader", name="qwen3-32b")).to_have_count(0)
    page.get_by_label("Also those that don't run here").check()
    expect(row_of(page, "qwen3-32b")).to_contain_text("too large")
    expect(row_of(page, "gpt-oss-20b")).to_contain_text("needs another engine")
    expect(page.get_by_role("rowheader", name="qwen3-0.6b")).to_have_count(0)
    row.get_by_role("button", name="Download qwen3-4b").click()
    expect(page.get_by_role("progressbar", name="Download of qwen3-4b")).to_have_attribute("value", "30")
    row.get_by_role("button", name="Cancel the download of qwen3-4b").click()
    expect(row.get_by_role("alert")).to_have_text("The hub is away.")
    assert admin.barriers() == []
    page.goto("about:blank")  # the real server has no downloads, and would say so


def test_the_catalog_is_searched_and_other_names_are_downloaded(admin: Visitor) -> None:
    page = admin.page
    catalog = Catalog(
        page,
        offer("qwen3-4b"),
        offer("qwen3-32b", fits=False),
        offer("bge-m3", capabilities=["embeddings"], licence="MIT"),
        offer("gemma-3-270m"),
    )
    admin.open("#/dashboard/models")
    table = page.get_by_role("table", name="Models to download")
    search = page.get_by_role("searchbox", name="Search the catalog")
    for text, ids in (
        ("QWEN3", ["qwen3-4b", "qwen3-32b"]),  # also what doesn't fit, so that the reader learns why
        ("embeddings mit", ["bge-m3"]),
        ("", ["qwen3-4b", "bge-m3", "gemma-3-270m"]),
    ):
        search.fill(text)
        expect(table.get_by_role("rowheader")).to_have_text(ids)
    search.fill("owner/some-GGUF:Q4_K_M")
    page.get_by_role("button", name="Download owner/some-GGUF:Q4_K_M").click()
    expect(search).to_have_value("")
    expect(page.get_by_role("progressbar", name="Download of owner/some-GGUF:Q4_K_M")).to_be_visible()
    assert admin.barriers() == []
    catalog.pulls["owner/some-GGUF:Q4_K_M"]["status"] = "completed"
    expect(page.get_by_role("rowheader", name="owner/some-GGUF:Q4_K_M")).to_have_count(0)
    page.goto("about:blank")  # the real server has no downloads, and would say so


def test_a_newcomer_makes_a_key_sees_its_use_limits_it_hits_the_limit_and_reads_why(
    admin: Visitor, busy: ServerProcess
) -> None:
    page = admin.open("#/dashboard/keys")
    key = make_key(page, "Ana's laptop")
    assert key.startswith("sk-myna-")
    assert ask(busy, key, 3).status_code == 200
    page.get_by_role("button", name="Limits of Ana's laptop").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Requests per minute").fill("1")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    answers = [ask(busy, key, 3) for _ in range(3)]
    assert [answer.status_code for answer in answers][-1] == 429
    assert "per min" in answers[-1].json()["error"]["message"]
    page.get_by_role("link", name="Requests").click()
    page.get_by_role("button", name="Errors").click()
    refused = page.get_by_role("row").filter(has_text="Ana's laptop").filter(has_text="429")
    expect(refused.first).to_be_visible()


def test_limits_typed_as_soon_as_their_fields_are_there_are_kept(admin: Visitor, busy: ServerProcess) -> None:
    page = admin.open("#/dashboard/keys")
    make_key(page, "Fast fingers")
    page.evaluate(
        """() => new MutationObserver((_, observer) => {
            const field = document.querySelector("dialog input[type=number]");
            if (!field) return;
            observer.disconnect();
            field.value = "7";
            field.dispatchEvent(new Event("input", {bubbles: true}));
        }).observe(document.body, {childList: true, subtree: true})"""
    )
    page.get_by_role("button", name="Limits of Fast fingers").click()
    dialog = page.get_by_role("dialog")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    expect(dialog.get_by_label("Requests per minute")).to_have_value("7")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Limits of Fast fingers").click()
    expect(page.get_by_role("dialog").get_by_label("Requests per minute")).to_have_value("7")


def limit_key(page: Page, busy: ServerProcess, name: str, limits: dict[str, int]) -> str:
    """A new key with those limits in the page's list; the path of its limits."""
    base = f"{busy.base_url}/organization/projects/default/api_keys"
    made = httpx.post(base, json={"name": name}, headers=AUTH, timeout=60).json()
    path = f"{base}/{made['id']}/rate_limits/rl-all"
    httpx.post(path, json=limits, headers=AUTH, timeout=60).raise_for_status()
    page.reload()
    expect(row_of(page, name)).to_be_visible()
    return path


def test_limits_that_are_not_loaded_are_never_saved(admin: Visitor, busy: ServerProcess) -> None:
    admin.expect_complaint("503")
    page = admin.open("#/dashboard/keys")
    path = limit_key(page, busy, "Careful", {"max_requests_per_1_minute": 60, "budget_cents": 250})
    held: list[Route] = []
    page.route(LIMITS, lambda route: held.append(route))
    page.get_by_role("button", name="Limits of Careful").click()
    dialog = page.get_by_role("dialog")
    save = dialog.get_by_role("button", name="Save")
    expect(dialog.get_by_text("Loading the limits")).to_be_visible()
    expect(save).to_be_disabled()
    error = {"error": {"message": "Busy.", "type": "x", "param": None, "code": None}}
    held[0].fulfill(status=503, json=error)
    expect(dialog.get_by_role("alert").first).to_contain_text("Busy.")
    expect(save).to_be_disabled()
    page.unroute(LIMITS)
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog.get_by_label("Requests per minute")).to_have_value("60")
    dialog.get_by_label("Monthly budget").fill("2.75")
    save.click()
    expect(dialog).to_have_count(0)
    found = httpx.get(path, headers=AUTH, timeout=60).json()
    assert (found["max_requests_per_1_minute"], found["budget_cents"]) == (60, 275)


def test_a_dashboard_opened_while_the_server_is_away_recovers(admin: Visitor) -> None:
    admin.expect_complaint("ERR_")
    page = admin.open()
    page.clock.install()
    page.route("**/v1/organization/**", lambda route: route.abort())
    page.get_by_role("link", name="Dashboard").click()
    alert = page.get_by_role("alert").filter(has_text="can't be reached").first
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.get_by_text("$0.00")).to_have_count(0)
    page.unroute_all()
    page.clock.fast_forward(15_000)  # each part asks again
    expect(row_of(page, "fake")).to_be_visible()
    expect(page.get_by_role("link", name="Keys and limits")).to_be_visible()


def test_a_key_is_rotated_and_revoked(admin: Visitor, busy: ServerProcess) -> None:
    page = admin.open("#/dashboard/keys")
    old = make_key(page, "CI")
    page.get_by_role("button", name="Rotate CI").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Minutes").fill("0")
    dialog.get_by_role("button", name="Rotate").click()
    expect(dialog).to_have_count(0)
    new = page.locator(".new-key code").inner_text()
    assert ask(busy, new, 2).status_code == 200
    assert new != old
    page.get_by_role("button", name="Revoke CI").click()
    expect(page.get_by_role("dialog")).to_contain_text("can't be undone")
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row_of(page, "CI")).to_have_count(0)
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_text("api_key.created").first).to_be_visible()


def test_a_mistake_stays_in_the_window_with_its_reason(admin: Visitor) -> None:
    admin.expect_complaint("400")
    page = admin.open("#/dashboard/keys")
    page.get_by_role("button", name="Create key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("x")
    dialog.get_by_label("Expires after (days)").fill("-1")
    dialog.get_by_role("button", name="Create key").click()
    expect(dialog.get_by_role("alert")).to_contain_text("expires_in_seconds")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_project_has_its_own_keys(admin: Visitor) -> None:
    page = admin.open("#/dashboard/keys")
    page.get_by_role("button", name="New project").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Website")
    page.get_by_role("dialog").get_by_role("button", name="New project").click()
    expect(page.get_by_label("Project", exact=True)).to_contain_text("Website")
    expect(page.get_by_text("This project has no keys yet.")).to_be_visible()


def test_a_key_that_may_not_administer_sees_no_keys(admin: Visitor, busy: ServerProcess) -> None:
    body = {"name": "reader", "scopes": ["inference", "read"]}
    made = httpx.post(
        f"{busy.base_url}/organization/projects/default/api_keys",
        json=body,
        headers={"authorization": f"Bearer {KEY}"},
        timeout=60,
    ).json()
    admin.expect_complaint("401")
    page = admin.open("#/dashboard", key=made["value"])
    expect(page.get_by_role("link", name="Requests")).to_be_visible()
    expect(row_of(page, "fake")).to_be_visible()
    expect(page.get_by_role("link", name="Keys and limits")).to_have_count(0)


def make_batch(server: ServerProcess, *texts: str) -> str:
    """Create a batch of requests with these prompts; its id."""
    lines = [
        json.dumps(
            {
                "custom_id": str(number),
                "method": "POST",
                "url": "/v1/completions",
                "body": {"model": "fake", "prompt": text, "max_tokens": 4},
            }
        )
        for number, text in enumerate(texts)
    ]
    form = {"purpose": "batch"}
    content = {"file": ("in.jsonl", "\n".join(lines).encode())}
    file = httpx.post(f"{server.base_url}/files", data=form, files=content, headers=AUTH, timeout=60).json()
    body = {"input_file_id": file["id"], "endpoint": "/v1/completions", "completion_window": "24h"}
    made = httpx.post(f"{server.base_url}/batches", json=body, headers=AUTH, timeout=60).json()
    return str(made["id"])


def test_batches_show_their_progress_and_can_be_cancelled(admin: Visitor, busy: ServerProcess) -> None:
    done, running = make_batch(busy, "one", "two"), make_batch(busy, "one", "[[slow 100000]]")
    page = admin.open("#/dashboard/batches")
    expect(row_of(page, done)).to_contain_text("completed")
    expect(row_of(page, done)).to_contain_text("2 / 2")
    expect(row_of(page, done).get_by_role("button")).to_have_count(0)
    page.get_by_role("button", name=f"Cancel {running}").click()
    expect(row_of(page, running)).to_contain_text("cancelled")
    assert admin.barriers() == []


@pytest.mark.parametrize("part", ["overview", "requests", "batches", "models", "keys", "acts"])
def test_nothing_keeps_anyone_out(admin: Visitor, part: str) -> None:
    page = admin.open(f"#/dashboard/{part}")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # no colour is half-way
        expect(page.locator("main .card").first).to_be_visible()
        assert admin.barriers() == []
    if part == "keys":
        page.get_by_role("button", name="Create key").click()
        assert admin.barriers() == []
