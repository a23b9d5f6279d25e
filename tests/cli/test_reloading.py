"""What a reload takes up, what it leaves, and that a wrong configuration changes nothing."""

import logging
import re
from dataclasses import fields
from pathlib import Path

import pytest

from myna.cli.reloading import LIVE, Reloader, find_here, merge_settings
from myna.cli.served_models import ServedModels, check_sizes, choose_models
from myna.core.errors import ConfigurationError, ModelTooLarge
from myna.settings import Settings, key_of, load_settings

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


class Server:
    """What a reload would change, in a folder with a myna.toml."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.applied: list[tuple[Settings, ServedModels]] = []
        self.write("")
        self.reloader = Reloader(self.read(), self.read, lambda *new: self.applied.append(new))

    def write(self, toml: str) -> None:
        (self._folder / "myna.toml").write_text(toml, encoding="utf-8")

    def read(self) -> Settings:
        environ = {"MYNA_HOME": str(self._folder), "MYNA_ENGINE": "fake"}
        return load_settings(environ=environ, directory=self._folder)


def test_what_is_live_is_a_setting_and_is_documented() -> None:
    assert {key_of(setting) for setting in fields(Settings)} >= LIVE
    text = DOCS.read_text(encoding="utf-8")
    said = re.search(r"These settings can\schange: (.*?)\. If any", text, re.DOTALL)
    assert said is not None
    assert set(re.findall(r"`(\w+)`", said[1])) == LIVE


async def test_live_settings_are_taken_up_and_others_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(tmp_path)
    server.write('port = 1\nmax_queue = 3\nidle = "1m"\n[aliases]\nmy-bird = "fake"')
    with caplog.at_level(logging.INFO):
        await server.reloader.reload()
    ((settings, offer),) = server.applied
    assert (settings.port, settings.max_queue, settings.idle_s) == (8000, 3, 60.0)
    assert offer.aliases[0].id == "my-bird"
    assert "changed: aliases, idle, max_queue" in caplog.text
    assert "take effect at the next start: port" in caplog.text


async def test_each_reload_compares_with_what_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(tmp_path)
    server.write("max_queue = 3")
    await server.reloader.reload()
    server.write("max_queue = 3\nlog_level = 'debug'")
    with caplog.at_level(logging.INFO):
        await server.reloader.reload()
    assert "changed: log_level" in caplog.text


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("max_queue = ", "not valid TOML"),
        ("max_que = 1", "did you mean max_queue"),
        ('[aliases]\na = "a"', "refers to itself"),
        ('[aliases]\na = "nothing"', "pull it"),
        ('model = "x"\n[models]\nx = "gone.gguf"', "There is no file"),
    ],
)
async def test_a_wrong_configuration_leaves_the_old_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, toml: str, said: str
) -> None:
    server = Server(tmp_path)
    server.write(toml)
    await server.reloader.reload()
    assert server.applied == []
    assert "The configuration stays as it was: " in caplog.text
    assert said in caplog.text


async def test_a_fault_of_ours_leaves_the_old_in_force_and_the_next_reload_possible(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty() -> Settings:
        raise ZeroDivisionError("a bug")

    server = Server(tmp_path)
    reloader = Reloader(server.read(), faulty, lambda *new: server.applied.append(new))
    await reloader.reload()
    await reloader.reload()
    assert server.applied == []
    assert caplog.text.count("ZeroDivisionError: a bug") == 2


def test_a_reload_fetches_no_model(tmp_path: Path) -> None:
    settings = load_settings(environ={"MYNA_HOME": str(tmp_path)}, directory=tmp_path)
    with pytest.raises(ConfigurationError, match="myna pull smollm2"):
        find_here("smollm2-135m-instruct", settings)


def test_flags_that_did_not_change_change_nothing(tmp_path: Path) -> None:
    settings = load_settings(environ={}, directory=tmp_path)
    assert merge_settings(settings, settings) == (settings, [], [])


def test_a_model_bigger_than_memory_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("x", "y"):
        with (tmp_path / f"{name}.gguf").open("wb") as file:
            file.write(b"GGUF")
            file.truncate(4 << 30)  # a hole, no bytes on the disk
    (tmp_path / "myna.toml").write_text('model = "x"\n[models]\nx = "x.gguf"\ny = "y.gguf"', encoding="utf-8")
    environ = {"MYNA_HOME": str(tmp_path), "MYNA_ENGINE": "fake"}
    offer = choose_models(load_settings(environ=environ, directory=tmp_path))
    with pytest.raises(ModelTooLarge, match=r"'x' needs 4,295 MB .* may use 1,074 MB here\. Raise"):
        check_sizes(offer, 1 << 30)
    fake = choose_models(load_settings({"model": "fake"}, environ=environ, directory=tmp_path))
    check_sizes(fake, 1 << 30)
    assert "'y' needs 4,295 MB" in caplog.text
