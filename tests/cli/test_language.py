"""The language of the terminal: the locale decides, every message is translated, no field is lost."""

import string

import pytest
from tests.cli.conftest import Run
from tests.cli.messages import messages

from myna.cli.chinese import MESSAGES
from myna.cli.language import in_chinese, is_chinese, translated

SAID = messages()


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


def test_every_message_is_translated() -> None:
    assert {key: place for key, place in SAID.items() if key not in MESSAGES} == {}


def fields(template: str) -> set[str]:
    return {name for _, name, *_ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("english", [text for text in MESSAGES if "{0}" in text])
def test_a_translation_has_the_fields_of_the_message(english: str) -> None:
    assert fields(MESSAGES[english]) == fields(english)


@pytest.mark.parametrize("english", [text for text in MESSAGES if "{0}" in text])
def test_a_message_is_found_again_with_its_fields(english: str) -> None:
    values = [f"<{name}>" for name in sorted(fields(english), key=int)]
    assert in_chinese(english.format(*values)) == MESSAGES[english].format(*values)


def test_a_field_that_is_a_message_is_translated_too() -> None:
    said = in_chinese("myna.toml sets prot, which is no setting of Myna's; did you mean port?")
    assert said == "myna.toml 设置了 prot，Myna 没有这项设置；你是想用 port 吗？"


def test_what_the_table_lacks_stays_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert translated("Nothing of ours: {0} {braces}") == "Nothing of ours: {0} {braces}"


def test_errors_and_results_follow_the_locale(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert run("rm", "bird").err == "myna: 'bird' 不在本机，本机也没有其他模型。\n"
    assert "在本机" in run("models").out
    assert run("serve", "--engine", "warp").err.startswith("myna: --engine：engine 应为 auto")


@pytest.mark.parametrize(
    ("arguments", "english", "chinese"),
    [
        (("srve",), "No such command 'srve'. Did you mean 'serve'? See: myna --help", "没有 'srve' 这个命令"),
        (("serve", "--prot", "1"), "No such option: --prot", "没有选项 --prot"),
        (("serve", "--port", "x"), "valid integer", "应为整数"),
        (("serve", "a", "b"), "unexpected extra argument", "多余的参数"),
        (("rm",), "Missing argument", "缺少参数"),
        (("complete", "x", "-t", "9"), "less than or equal to 2", "应不大于 2"),
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
