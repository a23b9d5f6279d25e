"""The playground's settings: every parameter of the API is there, with bounds, meanings and editors."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.e2e.server import ServerProcess, serving
from tests.web.browser import Visitor
from tests.web.conftest import root_of
from tests.web.playing import Player

from myna.wire.parameters import CHAT, COMPLETIONS, RESPONSES, Parameter, Support

# What the page decides by itself: who answers, what is said, and names that newer ones replace.
PAGES_OWN = {"model", "messages", "prompt", "stream_options"}
OLDER_NAMES = {"max_tokens", "functions", "function_call"}
# How the page goes on, what it asks for with other settings, and what no setting is for.
PAGES_OWN |= {"input", "instructions", "previous_response_id", "include"}
STATE = {"conversation", "prompt", "background", "max_tool_calls", "client_metadata"}
# Other servers' names for the page's JSON schema, and hints of newer models.
OTHER_NAMES = {"structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"}
OTHER_NAMES |= {"verbosity", "chat_template_kwargs", "enable_thinking"}


@pytest.fixture(scope="module")
def editors(browser: Browser, server: ServerProcess) -> Iterator[Player]:
    """One visitor for all wrong texts: each replaces the one before."""
    visitor = Visitor(browser.new_page(locale="en-GB"), root_of(server))
    visitor.watch()
    yield Player(visitor)
    visitor.page.close()
    assert visitor.unexpected() == []


def shown(player: Player) -> set[str]:
    return set(player.page.locator(".parameter-top code").all_inner_texts())


def offered(parameters: dict[str, Parameter]) -> set[str]:
    unused = (Support.REJECTED, Support.NO_EFFECT)
    return {name for name, parameter in parameters.items() if parameter.support not in unused}


def test_every_parameter_of_the_api_is_there_with_its_meaning(player: Player) -> None:
    assert shown(player) - {"json_schema"} == offered(dict(CHAT)) - PAGES_OWN - OLDER_NAMES - OTHER_NAMES
    player.choose("Completion")
    expect(player.setting("best_of")).to_be_visible()
    assert shown(player) == offered(dict(COMPLETIONS)) - PAGES_OWN - OTHER_NAMES
    player.choose("Responses")
    expect(player.setting("truncation")).to_be_visible()
    inner = {name.partition(".")[0] for name in shown(player)}
    assert inner - {"json_schema"} == offered(dict(RESPONSES)) - PAGES_OWN - STATE - OTHER_NAMES
    for setting in player.page.locator(".parameter").all():
        assert setting.locator(".meaning").inner_text().strip().endswith(".")
        assert "param." not in setting.inner_text()


def test_what_is_set_is_sent_and_what_is_reset_is_not(player: Player) -> None:
    player.field("temperature").fill("0.25")
    player.field("top_k").fill("40")
    player.field("stop").fill("\\n\\n\nEND")
    player.field("seed").fill("7")
    player.field("store").check()
    player.field("user").fill("me")
    player.field("prediction").fill("said")
    player.field("service_tier").select_option("default")
    player.field("response_format").select_option("json_object")
    player.ask("Say it as json.")
    sent = dict(player.sent[-1])
    assert sent.pop("messages")
    assert sent == {
        "model": "fake",
        "temperature": 0.25,
        "top_k": 40,
        "seed": 7,
        "stop": ["\n\n", "END"],
        "store": True,
        "user": "me",
        "prediction": {"type": "content", "content": "said"},
        "service_tier": "default",
        "response_format": {"type": "json_object"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    player.setting("temperature").get_by_role("button", name="Reset Temperature").click()
    expect(player.field("temperature")).to_have_value("")
    player.button("Reset all").click()
    player.ask("[[say it]]", num_turns=2)
    assert set(player.sent[-1]) == {"model", "messages", "stream", "stream_options"}


def test_what_is_not_set_shows_the_models_own_default(browser: Browser, tmp_path: Path) -> None:
    config = tmp_path / "myna.toml"
    config.write_text("[defaults]\nfake = { top_k = 20, top_p = 0.8 }", encoding="utf-8")
    with serving(tmp_path, "--engine", "fake", MYNA_CONFIG=str(config)) as server:
        visitor = Visitor(browser.new_page(locale="en-GB"), root_of(server))
        visitor.watch()
        player = Player(visitor)
        expect(player.field("top_k")).to_have_attribute("placeholder", "20")
        expect(player.setting("top_p")).to_contain_text("Default: 0.8.")
        expect(player.setting("top_p").locator("input[type=range]")).to_have_value("0.8")
        expect(player.field("min_p")).to_have_attribute("placeholder", "0")
        player.field("temperature").fill("1")
        expect(player.field("top_k")).to_have_attribute("placeholder", "0")
        player.ask("[[say it]]")
        assert player.sent[-1].keys() == {"model", "messages", "temperature", "stream", "stream_options"}
        visitor.page.close()
    assert visitor.unexpected() == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", "2.5", "The maximum is 2."),
        ("top_p", "-0.1", "The minimum is 0."),
        ("n", "1.5", "Enter a whole number."),
        ("max_completion_tokens", "0", "The minimum is 1."),
        ("stop", "\n".join("abcdefghijklmnopq"), "At most 16 lines."),
        ("safety_identifier", "x" * 65, "At most 64 characters."),
    ],
)
def test_a_value_out_of_bounds_says_why(editors: Player, name: str, value: str, said: str) -> None:
    editors.field(name).fill(value)
    expect(editors.setting(name).get_by_role("alert")).to_have_text(said)
    expect(editors.field(name)).to_have_attribute("aria-invalid", "true")


FUNCTION = '[{"type": "function", "function": {"name": "f", "parameters": %s}}]'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "tools",
            '[\n  {"type": "function",}\n]',
            "Line 2, column 23: a name in double quotes is expected here.",
        ),
        ("tools", "[1, 2", "Line 1, column 6: the text ends too early."),
        ("tools", "[1 2]", "Line 1, column 4: a comma is missing here."),
        ("tools", '{"a" 1}', "Line 1, column 6: a colon is missing here."),
        ("tools", '{"a": tru}', "Line 1, column 7: a value is expected here."),
        (
            "tools",
            '["a\nb"]',
            "Line 1, column 2: this string isn't closed, or contains a character that must be escaped.",
        ),
        ("tools", "[] x", "Line 1, column 4: there is more text after the value."),
        ("tools", '{"a": 1, "a": 2}', "Line 1, column 10: this name occurs twice."),
        ("tools", "{}", "tools: must be an array."),
        ("tools", '[{"type": "tool"}]', 'tools[0].type: must be "function".'),
        (
            "tools",
            '[{"type": "function", "function": {"name": "a b"}}]',
            "must be 1 to 64 letters, digits, _ or -.",
        ),
        ("tools", FUNCTION % '{"type": "text"}', "tools[0].function.parameters.type: must be one of string"),
        ("tools", FUNCTION % '{"required": ["x"]}', "lists “x”, which isn't among the properties."),
        ("json_schema", "3", "schema: must be an object."),
        (
            "json_schema",
            '{"properties": {"a": {"type": "list"}}}',
            "schema.properties.a.type: must be one of",
        ),
        ("logit_bias", '{"word": 1}', "word: must be a token id."),
        ("logit_bias", '{"1": 101}', "1: must be a number from -100 to 100."),
        ("metadata", '{"a": 1}', "a: must be a string of at most 512 characters."),
    ],
)
def test_an_editor_says_where_and_why(editors: Player, name: str, text: str, said: str) -> None:
    editors.field(name).fill(text)
    expect(editors.setting(name).get_by_role("alert")).to_contain_text(said)


def test_a_schema_is_sent_as_the_api_wants_it(player: Player) -> None:
    schema: dict[str, object] = {"type": "object", "properties": {"a": {"type": "integer"}}}
    schema |= {"required": ["a"], "additionalProperties": False}
    player.field("response_format").select_option("json_schema")
    player.say("Go")
    expect(player.page.locator(".composer").get_by_role("alert")).to_contain_text("JSON schema")
    player.field("json_schema").fill(json.dumps(schema))
    expect(player.setting("json_schema")).to_contain_text("Valid")
    player.setting("json_schema").get_by_role("button", name="Format").click()
    assert player.field("json_schema").input_value() == json.dumps(schema, indent=2)
    player.page.get_by_label("Message", exact=True).press("Enter")
    player.ended()
    assert player.sent[-1]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": schema},
    }
