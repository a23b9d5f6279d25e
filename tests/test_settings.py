"""Where settings come from, which source wins, and what a wrong one says."""

import pwd
import re
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

import pytest

from myna.core.errors import ConfigurationError
from myna.core.sampling_defaults import OPENAI, SamplingDefaults
from myna.setting_values import AliasSetting, ModelSetting, PriceSetting
from myna.settings import Settings, key_of, load_settings

DOCS = Path(__file__).parent.parent / "docs" / "configuration.md"


def load(
    tmp_path: Path,
    toml: str = "",
    environ: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
) -> Settings:
    (tmp_path / "myna.toml").write_text(toml, encoding="utf-8")
    home = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    return load_settings(flags, environ=home | (environ or {}), directory=tmp_path)


def test_defaults_need_no_source(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.host, settings.port, settings.engine) == ("127.0.0.1", 8000, "auto")
    assert settings.home == tmp_path / "data" / "myna"


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    assert load(tmp_path, "port = 1").port == 1
    assert load(tmp_path, "port = 1", {"MYNA_PORT": "2"}).port == 2
    assert load(tmp_path, "port = 1", {"MYNA_PORT": "2"}, {"port": 3}).port == 3


def test_a_flag_that_is_not_given_hides_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "port = 1", flags={"port": None}).port == 1


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert load(tmp_path, "port = 1", {"MYNA_PORT": ""}).port == 1


def test_the_engine_s_instruction_set_is_the_engine_s_business(tmp_path: Path) -> None:
    assert load(tmp_path, "port = 1", {"MYNA_CPU": "int8"}).port == 1


def test_myna_config_names_another_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("port = 7", encoding="utf-8")
    assert load(tmp_path, "port = 1", {"MYNA_CONFIG": "other.toml"}).port == 7


@pytest.mark.parametrize(
    ("toml", "environ", "said"),
    [
        ("prot = 1", {}, "did you mean port?"),
        ("", {"MYNA_CONTXT": "1"}, "did you mean MYNA_CONTEXT?"),
        ("port = 70000", {}, "port takes a whole number from 0 to 65535, not 70000"),
        ('port = "eighty"', {}, "not 'eighty'"),
        ("port = true", {}, "whole number"),
        ("", {"MYNA_NO_AUTH": "maybe"}, "MYNA_NO_AUTH: no_auth takes true or false"),
        ('memory = "lots"', {}, 'such as "4G"'),
        ('engine = "warp"', {}, "one of auto, native"),
        ("[aliases]\nx = 3", {}, "a model's id"),
        ("[prices]\nx = 3", {}, "dollars per million tokens"),
        ("[defaults]\nx = { temperature = 3 }", {}, "temperature = 0.7"),
        ("[defaults]\nx = { temprature = 1 }", {}, "temperature = 0.7"),
        ('defaults = "vllm"', {}, '"model", "openai"'),
        ("[prices]\nx = { prompt = -1, completion = 1 }", {}, "from 0 to 1000000"),
        ("", {"MYNA_PRICES": "x=1"}, "dollars per million tokens"),
        ("[prices]\nx = { prompt = 1, completion = 1" + "0" * 400 + " }", {}, "from 0 to 1000000"),
        ("batch_price = 1" + "0" * 400, {}, "a number from 0 to 1"),
        ('[models]\nx = { kv_cache_type = ["q8_0"] }', {}, "one of auto, q8_0"),
        ('memory = "' + "9" * 400 + '"', {}, 'such as "4G"'),
        ('memory = "9999999T"', {}, 'such as "4G"'),
        ('drain = "9999999999h"', {}, 'such as "30s"'),
        ('model = "a\\u0000b"', {}, "text in quotes"),
        ("port = ", {}, "is not valid TOML"),
        ("port = " + "[" * 3000, {}, "is not valid TOML"),
        ("", {"MYNA_CONFIG": "nowhere.toml"}, "Can't read the configuration"),
    ],
)
def test_a_wrong_setting_says_what_is_right(
    tmp_path: Path, toml: str, environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said.replace("?", r"\?").replace("(", r"\(")):
        load(tmp_path, toml, environ)


def test_an_unknown_user_has_no_home_folder(tmp_path: Path) -> None:
    assert load(tmp_path, 'model = "~nobody-of-this-name/x.gguf"').model == "~nobody-of-this-name/x.gguf"
    with pytest.raises(ConfigurationError, match="Can't read"):
        load(tmp_path, environ={"MYNA_CONFIG": "~nobody-of-this-name/myna.toml"})
    assert load(tmp_path, 'mirror = "./~name"').mirror == tmp_path / "~name"
    with pytest.raises(ConfigurationError, match="home takes a path whose home folder exists, not '~nobody"):
        load(tmp_path, 'home = "~nobody-of-this-name/myna"')


def test_a_user_without_a_home_folder_needs_a_folder_for_myna(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs as a user whom it doesn't know."""

    def unknown(user: int) -> NoReturn:
        raise KeyError(user)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert load_settings(environ={"MYNA_HOME": "/srv/myna"}, directory=tmp_path).home == Path("/srv/myna")
    with pytest.raises(ConfigurationError, match="set MYNA_HOME"):
        load_settings(environ={}, directory=tmp_path)


def test_a_deleted_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigurationError, match="has been deleted"):
        load_settings(environ={})


def test_a_wrong_key_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, "api_key = 123456789")
    assert "123456789" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "num_bytes"), [("512", 512), ("512M", 512 << 20), ("2G", 2 << 30), ("1.5GiB", 3 << 29)]
)
def test_sizes_take_units(tmp_path: Path, text: str, num_bytes: int) -> None:
    assert load(tmp_path, environ={"MYNA_MEMORY": text}).memory_bytes == num_bytes


def test_times_take_units(tmp_path: Path) -> None:
    assert load(tmp_path, 'drain = "2m"').drain_s == 120
    assert load(tmp_path, "drain = 0.5").drain_s == 0.5


def test_own_models_and_aliases_are_tables(tmp_path: Path) -> None:
    toml = '[models]\nmine = "x.gguf"\n[aliases]\na = "mine"\nb = { model = "mine", kind = "instruct" }'
    settings = load(tmp_path, toml)
    assert settings.models == (ModelSetting("mine", tmp_path / "x.gguf"),)
    assert settings.aliases == (AliasSetting("a", "mine", "alias"), AliasSetting("b", "mine", "instruct"))


def test_a_models_template_is_set_with_its_file_or_alone(tmp_path: Path) -> None:
    toml = (
        '[models]\nmine = { path = "x.gguf", chat_template = "x.jinja" }\n'
        'pulled = { chat_template = "y.jinja" }'
    )
    assert load(tmp_path, toml).models == (
        ModelSetting("mine", tmp_path / "x.gguf", tmp_path / "x.jinja"),
        ModelSetting("pulled", None, tmp_path / "y.jinja"),
    )
    with pytest.raises(ConfigurationError, match="chat_template = "):
        load(tmp_path, '[models]\nmine = { template = "x.jinja" }')


def test_a_models_draft_model_is_set_by_its_id(tmp_path: Path) -> None:
    toml = '[models]\nlarge = { draft = "small" }\nmine = { path = "x.gguf", draft = "small" }'
    assert load(tmp_path, toml).models == (
        ModelSetting("large", None, draft="small"),
        ModelSetting("mine", tmp_path / "x.gguf", draft="small"),
    )
    with pytest.raises(ConfigurationError, match="text in quotes"):
        load(tmp_path, "[models]\nlarge = { draft = 1 }")


def test_the_type_of_the_kv_cache_is_set_for_all_models_or_one(tmp_path: Path) -> None:
    settings = load(tmp_path, 'kv_cache_type = "q8_0"\n[models]\nmine = { kv_cache_type = "auto" }')
    assert settings.kv_cache_type == "q8_0"
    assert settings.models == (ModelSetting("mine", None, kv_cache_type="auto"),)
    for wrong in ('kv_cache_type = "int8"', '[models]\nmine = { kv_cache_type = "int8" }'):
        with pytest.raises(ConfigurationError, match="auto, q8_0"):
            load(tmp_path, wrong)


def test_sampling_defaults_are_a_word_or_a_table_by_model(tmp_path: Path) -> None:
    assert load(tmp_path).defaults.of("a") == SamplingDefaults()
    assert load(tmp_path, 'defaults = "openai"').defaults.of("a") == OPENAI
    assert load(tmp_path, "", {"MYNA_DEFAULTS": "openai"}).defaults.of("a") == OPENAI
    found = load(tmp_path, '[defaults]\na = { temperature = 0.5, top_k = 3 }\nb = "openai"').defaults
    assert found.of("a") == SamplingDefaults(temperature=0.5, top_k=3)
    assert found.of("b") == OPENAI
    assert found.of("c") == SamplingDefaults()
    assert load(tmp_path, "", {"MYNA_DEFAULTS": "a=openai"}).defaults.of("a") == OPENAI


def test_prices_are_dollars_per_million_tokens(tmp_path: Path) -> None:
    found = load(tmp_path, "[prices]\na = { prompt = 0.1, cached = 0.05, completion = 0.4 }").prices
    assert found == (PriceSetting("a", 0.1, 0.05, 0.4),)
    assert load(tmp_path, "", {"MYNA_PRICES": "a=1/2"}).prices == (PriceSetting("a", 1, 1, 2),)


def test_lists_take_commas_in_the_environment(tmp_path: Path) -> None:
    assert load(tmp_path, environ={"MYNA_ALLOWED_HOSTS": "a.example, b.example"}).allowed_hosts == (
        "a.example",
        "b.example",
    )


def test_every_setting_is_in_the_example() -> None:
    text = (DOCS.parents[1] / "examples" / "myna.toml").read_text(encoding="utf-8")
    shown = set(re.findall(r"^(?:# )?(\w+) = ", text, re.MULTILINE)) | set(
        re.findall(r"^\[(\w+)\]", text, re.MULTILINE)
    )
    assert shown >= {key_of(setting) for setting in fields(Settings)}


def test_every_setting_has_a_meaning_and_is_documented() -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} == {key_of(setting) for setting in fields(Settings)}
    assert all(
        setting.metadata["doc"].endswith(".") or ":" in setting.metadata["doc"]
        for setting in fields(Settings)
    )
