"""Conversations kept in the browser, and as files."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, expect
from tests.e2e.server import KEY
from tests.web.playing import Player


def listed(player: Player) -> Locator:
    return player.page.locator(".conversation")


READ = """async () => {
  const { readAll } = await import('/static/app/playground/database.js');
  const own = await fetch('v1/organization/own_key', { headers: { authorization: `Bearer ${KEY}` } });
  const { id } = await own.json();
  const isThere = ({ panes }) => panes[0].turns.some((turn) => turn.answers[0]?.state === 'done');
  while (!(await readAll(id)).some(isThere)) await new Promise(requestAnimationFrame);
}""".replace("KEY", f"'{KEY}'")


def saved(player: Player) -> None:
    """Wait until the conversation is in the browser's database."""
    player.page.evaluate(READ)


def test_a_conversation_outlives_the_page(player: Player) -> None:
    player.ask("[[say kept]]")
    saved(player)
    player.page.reload()
    expect(player.answers()).to_contain_text("kept")
    expect(listed(player)).to_have_count(1)
    player.button("New conversation").click()
    expect(player.answers()).to_have_count(0)
    player.page.go_back()
    expect(player.answers()).to_contain_text("kept")


def message(player: Player) -> Locator:
    return player.page.get_by_label("Message", exact=True)


def test_a_draft_outlives_the_page_the_dashboard_and_another_conversation(player: Player) -> None:
    no_room = """() => {
      IDBObjectStore.prototype.put = () => { throw new DOMException('x', 'QuotaExceededError'); };
    }"""
    player.page.evaluate(no_room)  # as when the browser ends the page before its database has finished
    message(player).fill("half a thou")
    player.page.reload()
    expect(message(player)).to_have_value("half a thou")
    player.page.get_by_role("link", name="Dashboard").click()
    player.page.get_by_role("link", name="Playground").click()
    expect(message(player)).to_have_value("half a thou")
    player.button("New conversation").click()
    expect(message(player)).to_have_value("")
    listed(player).filter(has_text="half a thou").click()
    expect(message(player)).to_have_value("half a thou")


def test_two_tabs_on_one_conversation_lose_nothing(player: Player) -> None:
    player.ask("[[say one]]")
    saved(player)
    key = player.page.evaluate("sessionStorage.getItem('myna.key')")
    other = player.page.context.new_page()
    other.add_init_script(f"sessionStorage.setItem('myna.key', '{key}')")
    other.goto(player.page.url)
    expect(other.locator("article.assistant")).to_contain_text("one")
    for page, text in ((other, "two"), (player.page, "three"), (other, "four")):
        page.get_by_label("Message", exact=True).fill(f"[[say {text}]]")
        page.keyboard.press("Enter")
        for tab in (other, player.page):
            expect(tab.locator("article.assistant").last).to_contain_text(text)
    for tab in (other, player.page):
        tab.reload()
        expect(tab.locator("article.assistant")).to_have_text(
            [re.compile(text) for text in ("one", "two", "three", "four")]
        )


def new_key(player: Player, name: str) -> str:
    base = player.visitor.root + "v1/organization/projects/default/api_keys"
    headers = {"authorization": f"Bearer {KEY}"}
    made = httpx.post(base, json={"name": name}, headers=headers, timeout=60).json()
    return str(made["value"])


def sign_in(player: Player, key: str) -> None:
    player.page.get_by_label("Key", exact=True).fill(key)
    player.page.get_by_role("button", name="Sign in").click()
    player.page.get_by_role("group", name="Mode").wait_for()


def test_conversations_belong_to_the_key(player: Player) -> None:
    player.ask("[[say secret]]")
    saved(player)
    player.button("Sign out").click()
    sign_in(player, new_key(player, "another"))
    expect(listed(player)).to_have_count(1)
    expect(listed(player)).to_have_text("Empty conversation")
    player.button("Sign out").click()
    sign_in(player, KEY)
    expect(listed(player).filter(has_text="[[say secret]]")).to_have_count(1)


def test_conversations_without_an_owner_go_to_the_first_key(player: Player) -> None:
    player.ask("[[say old]]")
    saved(player)
    player.page.evaluate(
        """() => new Promise((done) => {
          const request = indexedDB.open('myna');
          request.onsuccess = () => {
            const changing = request.result.transaction('conversations', 'readwrite');
            const store = changing.objectStore('conversations');
            store.getAll().onsuccess = ({ target }) => {
              for (const { owner, draft, ...old } of target.result) store.put(old);
            };
            changing.oncomplete = done;
          };
        })"""
    )
    player.button("Sign out").click()
    sign_in(player, new_key(player, "first"))
    expect(listed(player).filter(has_text="[[say old]]")).to_have_count(1)
    player.button("Sign out").click()
    sign_in(player, KEY)
    expect(listed(player).filter(has_text="[[say old]]")).to_have_count(0)


def test_a_key_that_ends_takes_neither_the_draft_nor_what_was_open(player: Player) -> None:
    player.visitor.expect_complaint("401")
    player.ask("[[say before]]")
    message(player).fill("and then")
    error = {"error": {"message": "Revoked.", "code": "invalid_api_key", "type": "x", "param": None}}
    player.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=401, json=error))
    message(player).press("Enter")
    expect(player.page.get_by_role("alert")).to_contain_text("Revoked.")
    player.page.unroute_all()
    sign_in(player, new_key(player, "next"))
    expect(player.answers().first).to_contain_text("before")
    expect(player.page.locator("article.user").last).to_contain_text("and then")


def test_conversations_are_named_and_deleted(player: Player) -> None:
    player.ask("[[say one]]")
    player.button("Rename “[[say one]]”").click()
    name = player.page.get_by_label("Name of the conversation")
    name.fill("My <b>birds</b>")
    name.press("Enter")
    expect(listed(player)).to_have_text("My <b>birds</b>")
    player.button("New conversation").click()
    expect(listed(player)).to_have_count(2)
    player.button("Delete “My <b>birds</b>”").click()
    expect(listed(player)).to_have_count(1)
    player.button("Undo").click()
    expect(player.answers()).to_contain_text("one")
    saved(player)


def test_a_full_browser_says_so_and_goes_on(player: Player) -> None:
    player.page.evaluate(
        """() => {
          IDBObjectStore.prototype.put = () => {
            throw new DOMException('full', 'QuotaExceededError');
          };
        }"""
    )
    answer = player.ask("[[say still here]]")
    expect(player.page.locator(".notice.bad")).to_contain_text("no space left for this conversation")
    expect(answer).to_contain_text("still here")


def test_a_browser_without_storage_says_so(player: Player) -> None:
    player.page.add_init_script("delete window.indexedDB; delete Window.prototype.indexedDB;")
    player.page.reload()
    expect(player.page.locator(".notice").first).to_contain_text("doesn't store data")
    expect(player.ask("[[say fine]]")).to_contain_text("fine")


def export(player: Player) -> dict[str, Any]:
    with player.page.expect_download() as download:
        player.button("Export as a file").click()
    assert download.value.suggested_filename.endswith(".json")
    read: dict[str, Any] = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    return read


def take(player: Player, text: str) -> None:
    picker = player.page.locator("input[type=file]")
    picker.set_input_files({"name": "c.json", "mimeType": "application/json", "buffer": text.encode()})


def test_a_file_holds_the_whole_conversation(player: Player) -> None:
    player.field("temperature").fill("0.5")
    player.field("tools").fill('[{"type": "function", "function": {"name": "f"}}]')
    player.button("Show token probabilities").click()
    player.ask("[[say birds]]")
    first = export(player)
    player.button("Delete “[[say birds]]”").click()
    take(player, json.dumps(first))
    expect(player.answers()).to_contain_text("birds")
    expect(player.field("temperature")).to_have_value("0.5")
    second = export(player)
    for read in (first, second):
        _forget_ids(read)
    assert second == first
    player.ask("[[say more]]", num_turns=2)
    assert player.sent[-1]["temperature"] == 0.5
    assert len(player.sent[-1]["messages"]) == 3


def _forget_ids(value: Any) -> None:
    """What an import creates."""
    if isinstance(value, dict):
        for name in ("id", "created", "updated"):
            value.pop(name, None)
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            _forget_ids(inner)


OURS: dict[str, Any] = {"format": "myna-conversation", "version": 1}
PANE: dict[str, Any] = {"model": "fake", "system": "", "prompt": "", "values": {}, "turns": []}


def conversation(**pane: Any) -> str:
    return json.dumps({**OURS, "conversation": {"title": "x", "mode": "chat", "panes": [{**PANE, **pane}]}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n}', "isn't valid JSON: see line 2, column 1"),
        ("", "isn't valid JSON: see line 1, column 1"),
        ("[1, 2]", "isn't a conversation exported by Myna"),
        ("null", "isn't a conversation exported by Myna"),
        (json.dumps({**OURS, "version": 9}), "has version 9 of the format"),
        (json.dumps({**OURS, "conversation": {"mode": "poem"}}), "damaged at “mode”"),
        (conversation(turns=[{"role": "king", "answers": []}]), "damaged at “role”"),
        (conversation(turns=[{"role": "assistant", "answers": [], "chosen": 0}]), "damaged at “answers”"),
        (conversation(model=["x"]), "damaged at “model”"),
    ],
)
def test_a_file_that_is_not_ours_says_what_is_wrong(player: Player, text: str, said: str) -> None:
    take(player, text)
    expect(player.page.locator(".notice.bad")).to_contain_text(said)
    expect(listed(player)).to_have_count(1)


def test_a_strangers_file_brings_no_markup_and_no_strange_settings(player: Player) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    values = {"temperature": 0.5, "__proto__": {"x": 1}, "evil": 1, "stop": {"a": 1}}
    said = {"role": "user", "text": hostile, "toolCallId": "", "answers": [], "chosen": 0}
    player.page.on("dialog", lambda dialog: player.visitor.complaints.append(dialog.message))
    take(player, conversation(model=hostile, system=hostile, values=values, turns=[said]))
    expect(player.page.locator("article.user .said")).to_have_text(hostile)
    expect(player.page.get_by_label("Model", exact=True)).to_have_value(hostile)
    expect(player.field("temperature")).to_have_value("0.5")
    expect(player.page.locator(".parameter.set")).to_have_count(1)
    assert player.page.locator("img:not([src='static/mark.svg'])").count() == 0
