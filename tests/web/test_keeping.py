"""Conversations kept in the browser, and as files."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from tests.web.playing import Player


def listed(player: Player) -> Locator:
    return player.page.locator(".conversation")


def saved(player: Player) -> None:
    """Wait until what was said is in the browser's database."""
    player.page.evaluate(
        """async () => {
          const { readAll } = await import('/static/app/playground/database.js');
          const isThere = ({ panes }) => panes[0].turns.some((turn) => turn.answers[0]?.state === 'done');
          while (!(await readAll()).some(isThere)) await new Promise(requestAnimationFrame);
        }"""
    )


def test_a_conversation_outlives_the_page(player: Player) -> None:
    player.ask("[[say kept]]")
    saved(player)
    player.page.reload()
    expect(listed(player)).to_have_count(2)
    listed(player).filter(has_text="[[say kept]]").click()
    expect(player.answers()).to_contain_text("kept")
    expect(listed(player)).to_have_count(1)


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
    """What an import makes anew."""
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
