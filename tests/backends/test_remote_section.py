"""The table [upstreams]: what it takes, what it says of mistakes, and where keys come from."""

from pathlib import Path

import pytest
from tests.backends.raw_upstream import section

from myna.backends.remote.backend import RemoteBackend
from myna.backends.remote.section import UpstreamConfig, read_section
from myna.core.backend import Section
from myna.core.errors import ConfigurationError
from myna.core.ledger import Price
from myna.settings import load_settings

URL = "https://llm.example.org/v1"


def read(**values: object) -> UpstreamConfig:
    return read_section(Section({"big": {"url": URL, **values}}, Path("/etc/myna")))["big"]


def test_every_field_is_read() -> None:
    config = read(
        key_file="big.key",
        models=["gpt-*"],
        timeout="5m",
        max_requests=3,
        weight=2,
        price={"prompt": 0.4, "completion": 1.6},
    )
    assert (config.key_file, config.models, config.timeout_s) == ("/etc/myna/big.key", ("gpt-*",), 300)
    assert (config.max_requests, config.weight) == (3, 2)
    assert config.token_price == Price(0.4, 0.4, 1.6)
    assert (read().models, read().timeout_s, read().token_price) == (("*",), 600, None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ulr": 1}, "sets ulr, which is not a setting of an upstream; choose one of url"),
        ({"key": "sk-secret"}, "choose one of key_"),
        ({"url": "llm.example.org"}, "url takes an address"),
        ({"url": "https://me:secret@llm.example.org"}, "no user, password"),
        ({"url": 3}, "Expected `str`"),
        ({"timeout": "soon"}, 'such as "30s"'),
        ({"timeout": 0}, "a time of up to a day"),
        ({"weight": 0}, "> 0"),
        ({"max_requests": 0}, ">= 1"),
        ({"key_env": "A", "key_file": "b"}, "not in both"),
        ({"price": {"prompt": 1}}, "completion"),
    ],
)
def test_a_mistake_is_named_and_no_secret_with_it(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(**values)
    assert said in caught.value.message
    assert "upstreams.big" in caught.value.message
    assert "secret" not in caught.value.message


def test_keys_come_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("sk-one\n")
    monkeypatch.setenv("BIG_KEY", "sk-two")
    assert read(key_file=str(tmp_path / "key")).read_key() == "sk-one"
    assert read(key_env="BIG_KEY").read_key() == "sk-two"
    assert read().read_key() == ""
    for bad in (read(key_file=str(tmp_path / "none")), read(key_env="NO_SUCH"), read(key_file=str(tmp_path))):
        with pytest.raises(ConfigurationError):
            bad.read_key()
    monkeypatch.setenv("BIG_KEY", "sk-one\r\nX-More: 1")
    with pytest.raises(ConfigurationError) as caught:
        read(key_env="BIG_KEY").read_key()
    assert "sk-one" not in caught.value.message


def test_the_table_comes_from_myna_toml(tmp_path: Path) -> None:
    (tmp_path / "myna.toml").write_text(f'[upstreams.big]\nurl = "{URL}"\n')
    settings = load_settings(environ={}, directory=tmp_path)
    assert settings.upstreams == Section({"big": {"url": URL}}, tmp_path)
    with pytest.raises(ConfigurationError, match=r"a table in myna\.toml"):
        load_settings(environ={"MYNA_UPSTREAMS": "x=y"}, directory=tmp_path)


def test_changed_upstreams_are_taken_up_and_the_same_ones_stay() -> None:
    entry: dict[str, object] = {"url": URL, "models": ["a"], "price": {"prompt": 1, "completion": 2}}
    backend = RemoteBackend(section(one=entry, two=entry))
    one, two = backend.balancer.upstreams
    backend.change(section(two=entry, three={**entry, "models": ["b-*", "c"]}))
    assert backend.balancer.upstreams[0] is two
    assert [model.id for model in backend.announced()] == ["a", "c"]
    assert backend.price("b-1") == Price(1, 1, 2)
    assert backend.price("d") is None
    backend.change(section())
    assert backend.announced() == ()
    assert not backend.may_announce("a")
    assert one.num_running == 0
