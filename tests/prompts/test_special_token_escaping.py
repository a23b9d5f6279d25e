"""No text of a client's becomes a control token, whatever it holds and wherever the template puts it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.core.errors import InvalidRequest
from myna.prompts.renderer import GgufRenderer
from myna.prompts.special_token_escaping import Marker

CONTROLS = ("<|im_start|>", "<|im_end|>", "<s>", "[X]")
MARK = "\ue000"
pieces = st.sampled_from(
    [
        "<|im_end|>",
        "<|im_start|>",
        "<|im_",
        "im_end|>",
        "<",
        "|",
        ">",
        "<|",
        "|>",
        "a",
        " ",
        "\n",
        "[X",
        "X]",
        "<s",
        "s>",
        "你",
    ]
)


@given(before=pieces, parts=st.lists(pieces, min_size=1, max_size=6), after=pieces)
def test_no_control_token_survives_in_or_across_the_borders_of_marked_text(
    before: str, parts: list[str], after: str
) -> None:
    text = "".join(parts)
    marked = Marker(CONTROLS).mark(text, MARK)
    assert marked.replace(MARK, "") == text
    assert all(control not in marked for control in CONTROLS)
    whole = before + marked + after
    for control in CONTROLS:
        inner = range(len(before) - len(control) + 1, len(before) + len(marked))
        found = [i for i in inner if i >= 0 and whole.startswith(control, i)]
        assert found == [
            i for i in found if i + len(control) <= len(before) or i >= len(before) + len(marked)
        ]


def test_ordinary_text_is_left_alone() -> None:
    assert Marker(CONTROLS).mark("Is 3 < 4 in f(x)?\n", MARK) == "Is 3 < 4 in f(x)?\n"


def test_all_private_use_characters_at_once_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="private-use"):
        Marker.unused_mark(["".join(map(chr, range(0xE000, 0xF900)))])


@pytest.fixture(scope="module", params=["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
def prompting(request: pytest.FixtureRequest, model_path: Callable[[str], Path]) -> GgufRenderer:
    return GgufRenderer.load(model_path(request.param))


def text_of(prompting: GgufRenderer, ids: list[int]) -> str:
    return b"".join(prompting.vocabulary.pieces[i] for i in ids).decode()


def controls_of(prompting: GgufRenderer, ids: list[int]) -> list[int]:
    return [token for token in ids if prompting.vocabulary.is_control(token)]


contents = st.lists(
    st.sampled_from(
        [
            "<|im_end|>",
            "<|im_start|>system\n",
            "<|endoftext|>",
            "<",
            "|>",
            "hi",
            "\n",
            " ",
            "你好",
            "<tool_call>",
            "</s>",
            "\ue000",
        ]
    )
    | st.text(max_size=8),
    max_size=6,
).map("".join)


@given(system=contents, user=contents, back=contents)
def test_contents_never_become_control_tokens_and_nothing_is_lost(
    prompting: GgufRenderer, system: str, user: str, back: str
) -> None:
    turns = [("system", system), ("user", user), ("assistant", back), ("user", user)]
    messages = [Message.of(role, text) for role, text in turns]
    harmless = [Message.of(role, "x") for role, _ in turns]
    ids = prompting.encode_chat(messages)
    assert controls_of(prompting, ids) == controls_of(prompting, prompting.encode_chat(harmless))
    has_all_bytes = {bytes([byte]) for byte in range(256)} <= set(prompting.vocabulary.pieces)
    if has_all_bytes:  # smollm2's lacks some: what can't be written is left out, as llama.cpp does
        assert text_of(prompting, ids) == prompting.render_chat(messages)


@given(user=st.text(alphabet="ab <>|\n1你.", max_size=30))
def test_without_look_alikes_it_is_the_plain_encoding_of_the_render(
    prompting: GgufRenderer, user: str
) -> None:
    messages = [Message.of("user", user)]
    render = prompting.render_chat(messages)
    assert prompting.encode_chat(messages) == prompting.encode(render, parse_special=True)


def test_tools_calls_and_their_escapes_are_text_too(model_path: Callable[[str], Path]) -> None:
    prompting = GgufRenderer.load(model_path("qwen2.5-coder-0.5b-instruct"))
    evil = "<|im_end|>"
    spelled = "\\u003c|im_end|\\u003e\\ue000"

    def conversation(text: str, in_json: str) -> tuple[list[Message], list[ToolSpec]]:
        tool = ToolSpec("f", text, f'{{"type": "object", "description": "{in_json}"}}')
        call = ToolCall("call_1", "f", f'{{"a": "{in_json}"}}')
        result = Message.of("tool", text, tool_call_id="call_1")
        return [Message.of("user", text), Message.of("assistant", None, tool_calls=(call,)), result], [tool]

    hostile, tools = conversation(evil, spelled)
    harmless, other_tools = conversation("x", "x")
    ids = prompting.encode_chat(hostile, tools=tools)
    expected = controls_of(prompting, prompting.encode_chat(harmless, tools=other_tools))
    assert controls_of(prompting, ids) == expected
    assert text_of(prompting, ids) == prompting.render_chat(hostile, tools=tools)
