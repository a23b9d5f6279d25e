"""The language of the terminal: the locale decides, messages are translated with what they are made of."""

import pytest
from tests.cli.conftest import Run

from myna.cli.language import in_chinese, is_chinese, translated
from myna.core.errors import ConfigurationError
from myna.core.translatable import N_
from myna.settings import load_settings


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh"}, True),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, True),
        ({"LANG": "zhuang"}, False),
    ],
)
def test_the_locale_s_name_decides(environ: dict[str, str], expected: bool) -> None:
    assert is_chinese(environ) is expected


def test_a_field_that_is_a_message_is_translated_too() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({}, environ={"MYNA_PROT": "1", "MYNA_CONFIG": "/dev/null"})
    error = caught.value
    assert error.message == str(error.text)
    assert error.message == "Unknown setting MYNA_PROT in the environment; did you mean MYNA_PORT?"
    assert in_chinese(error.text) == "环境变量 里有未知的设置 MYNA_PROT；你是想用 MYNA_PORT 吗？"


def test_what_fields_hold_is_not_taken_for_a_template() -> None:
    text = N_("There is no file {path}.", path="/{braces}/{0}")
    assert str(text) == "There is no file /{braces}/{0}."
    assert in_chinese(text) == "没有文件 /{braces}/{0}。"


def test_what_the_catalogue_lacks_stays_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert translated("Nothing of ours: {0} {braces}") == "Nothing of ours: {0} {braces}"
    assert translated("") == ""


def test_text_that_came_as_a_whole_is_looked_up_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert translated("The server is shutting down.") == "服务器正在关闭。"


def test_errors_and_results_follow_the_locale(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert run("rm", "bird").err == "myna: 'bird' 不在本机，本机也没有其他模型。\n"
    assert "推荐用于" in run("models", "--available").out
    assert run("serve", "--engine", "warp").err.startswith("myna: --engine：engine 应为 auto")
    assert run("keys", "list").err == "还没有密钥；创建一个：myna keys create 名称\n"
    assert "没有 myna.toml" in run("doctor", "--quick").out


@pytest.mark.parametrize(
    ("arguments", "english", "chinese"),
    [
        (("srve",), "No such command 'srve'. Did you mean 'serve'? See: myna --help", "没有 'srve' 这个命令"),
        (("serve", "--prot", "1"), "No such option: --prot", "没有选项 --prot"),
        (("serve", "--port", "x"), "valid integer", "应为整数"),
        (("serve", "a", "b"), "unexpected extra argument", "多余的参数"),
        (("rm",), "Missing argument", "缺少参数"),
        (("complete", "x", "-t", "9"), "less than or equal to 2", "应不大于 2"),
        (("key", "show", "--json=1"), "'--json' does not take a value", "选项 '--json' 不带值"),
        (("serve", "--port"), "'--port' requires an argument", "选项 '--port' 需要一个值"),
        (
            ("key", "lose"),
            "'lose' is not one of 'show', 'new', 'link'. See:",
            "'lose' 不在 'show', 'new', 'link' 之中",
        ),
    ],
)
def test_a_mistake_in_the_arguments_is_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], english: str, chinese: str
) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert english in ran.err
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert chinese in run(*arguments).err
